"""The store's tables. Every instant is BIGINT microseconds since 1970 UTC (`*_us`); names from outside are kept raw.

Why each table is there: docs/store.md. Rows are declared here by SQLModel; ingest writes them through Core.
"""

from console.domain.schema.actions import Action as Action
from console.domain.schema.actions import Audit as Audit
from console.domain.schema.actions import ClockRow as ClockRow
from console.domain.schema.actions import Hold as Hold
from console.domain.schema.actions import Lease as Lease
from console.domain.schema.actions import Meta as Meta
from console.domain.schema.actions import Permission as Permission
from console.domain.schema.actions import Plan as Plan
from console.domain.schema.actions import PlanStep as PlanStep
from console.domain.schema.actions import Request as Request
from console.domain.schema.actions import Switch as Switch
from console.domain.schema.estate import Attempt as Attempt
from console.domain.schema.estate import CheckResult as CheckResult
from console.domain.schema.estate import Dependency as Dependency
from console.domain.schema.estate import Drift as Drift
from console.domain.schema.estate import FindingRow as FindingRow
from console.domain.schema.estate import Job as Job
from console.domain.schema.estate import JobCard as JobCard
from console.domain.schema.estate import JobCounts as JobCounts
from console.domain.schema.estate import LatestRun as LatestRun
from console.domain.schema.estate import LogTail as LogTail
from console.domain.schema.estate import Run as Run
from console.domain.schema.estate import ScheduleRow as ScheduleRow
from console.domain.schema.estate import System as System
from console.domain.schema.estate import Target as Target
from console.domain.schema.incidents import Acknowledgement as Acknowledgement
from console.domain.schema.incidents import Alert as Alert
from console.domain.schema.incidents import AlertHeld as AlertHeld
from console.domain.schema.incidents import AlertTold as AlertTold
from console.domain.schema.incidents import AlertUseful as AlertUseful
from console.domain.schema.incidents import Delivery as Delivery
from console.domain.schema.incidents import Event as Event
from console.domain.schema.incidents import Incident as Incident
from console.domain.schema.incidents import IncidentMember as IncidentMember
from console.domain.schema.incidents import IncidentService as IncidentService
from console.domain.schema.incidents import Rota as Rota
from console.domain.schema.incidents import Silence as Silence
from console.domain.schema.services import BackTestOfRow as BackTestOfRow
from console.domain.schema.services import BackTestRow as BackTestRow
from console.domain.schema.services import ExtensionRow as ExtensionRow
from console.domain.schema.services import Service as Service
from console.domain.schema.services import ServiceDay as ServiceDay
