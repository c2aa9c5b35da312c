"""The store's tables. Every instant is BIGINT microseconds since 1970 UTC (`*_us`); names from outside are kept raw.

Why each table is there: docs/architecture.md. Rows are declared here by SQLModel; ingest writes them through Core.
"""

from console.model.tables.acts import Action as Action
from console.model.tables.acts import Audit as Audit
from console.model.tables.acts import Hold as Hold
from console.model.tables.acts import Permission as Permission
from console.model.tables.acts import Plan as Plan
from console.model.tables.acts import PlanStep as PlanStep
from console.model.tables.acts import Switch as Switch
from console.model.tables.alerting import Acknowledgement as Acknowledgement
from console.model.tables.alerting import AlertHeld as AlertHeld
from console.model.tables.alerting import AlertTold as AlertTold
from console.model.tables.alerting import AlertUseful as AlertUseful
from console.model.tables.alerting import Rota as Rota
from console.model.tables.alerting import Silence as Silence
from console.model.tables.checks import CheckResult as CheckResult
from console.model.tables.estate import Dependency as Dependency
from console.model.tables.estate import Drift as Drift
from console.model.tables.estate import Job as Job
from console.model.tables.estate import JobCard as JobCard
from console.model.tables.estate import ScheduleRow as ScheduleRow
from console.model.tables.estate import System as System
from console.model.tables.estate import Target as Target
from console.model.tables.findings import FindingRow as FindingRow
from console.model.tables.incidents import Alert as Alert
from console.model.tables.incidents import Delivery as Delivery
from console.model.tables.incidents import Event as Event
from console.model.tables.incidents import Incident as Incident
from console.model.tables.incidents import IncidentMember as IncidentMember
from console.model.tables.incidents import IncidentService as IncidentService
from console.model.tables.runs import Attempt as Attempt
from console.model.tables.runs import JobCounts as JobCounts
from console.model.tables.runs import LatestRun as LatestRun
from console.model.tables.runs import LogTail as LogTail
from console.model.tables.runs import Run as Run
from console.model.tables.services import BackTestOfRow as BackTestOfRow
from console.model.tables.services import BackTestRow as BackTestRow
from console.model.tables.services import ExtensionRow as ExtensionRow
from console.model.tables.services import Service as Service
from console.model.tables.services import ServiceDay as ServiceDay
from console.model.tables.work import ClockRow as ClockRow
from console.model.tables.work import Lease as Lease
from console.model.tables.work import Meta as Meta
from console.model.tables.work import Presence as Presence
from console.model.tables.work import Request as Request
