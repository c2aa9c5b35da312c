"""Everything one evaluation decides: written by `store.decisions`, made by `control.evaluate`. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from connectors.sdk.states import PeriodKind, RunEvidence, RunState, Verb
from console.domain.alert import (
    NOTHING_NOTIFIED,
    TECHNICAL,
    AlertKind,
    NotifiedIncident,
    SuppressedNotice,
    SuppressionFacts,
)
from console.domain.finding import FindingChange
from console.domain.forecast import JobForecast
from console.domain.history import DurationEstimate, EstimateBasis
from console.domain.hold import HoldFacts, HoldState
from console.domain.incident_record import CauseRecord, Flaps, IncidentFingerprint
from console.domain.message import NO_MESSAGE, Message
from console.domain.policy import PendingRepair, PolicyRepair
from console.domain.reason import Reason, Repetition
from console.domain.service import Timeliness
from console.domain.text import Clock, Text, Title, render


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """A run that the accepted schedule demands and no start has fulfilled: PLANNED, HELD, MISSED, or expected but
    unseen (PLANNED with evidence STALE). Upserted by (job, period key); a real attempt always wins."""

    job_id: int
    period_key: str
    period_at: datetime
    business_date: date
    state: RunState
    evidence: RunEvidence
    why: Text
    """ "line gone since 02:10", "paused since 02:10", "no start in the log by 03:15"."""
    period_kind: PeriodKind = PeriodKind.INSTANT
    """A name where its schedule starts partitions, whether or not it is known which."""
    period_name: str = ""
    """The partition that this start is of, as far as earlier starts of its schedule show it."""


@dataclass(frozen=True, slots=True)
class RunJudgement:
    """Headway's judgement of a run that exists; written only where it changed."""

    run_id: int
    timeliness: Timeliness
    stale_read: bool
    partial_input: str = ""


@dataclass(frozen=True, slots=True)
class ServiceVerdict:
    """The timeliness of one service on one business date."""

    service: str
    business_date: date
    deadline: datetime
    timeliness: Timeliness
    expected_at: datetime | None = None
    act_by: datetime | None = None
    green_by: datetime | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def key(self) -> tuple[str, date]:
        return self.service, self.business_date


@dataclass(frozen=True, slots=True)
class ServiceDayVerdict(ServiceVerdict):
    """One service on one business date, as judged now; a bad delivery is the first of its reasons."""

    data_state: str = ""
    """ "open", "complete", "partial", "unknown", "stale", "failed"."""
    delivered_at: datetime | None = None
    late_at: datetime | None = None
    """p90 of the finish."""
    cause: str = ""
    incident_key: str | None = None
    sources: tuple[DurationEstimate, ...] = ()
    path: tuple[int, ...] = ()
    promised: datetime | None = None
    """The deadline before an extension; None: not extended."""
    agreed: datetime | None = None
    """Deadline of its SLA; None without one."""
    p95_at: datetime | None = None
    p80_at: datetime | None = None
    """None if not simulated, as the next three."""
    p_late: float | None = None
    """The probability that it is delivered after its deadline, in steps of a hundredth."""
    p_own: float | None = None
    """P(late) before recalibration."""
    critical: tuple[float, ...] = ()
    """Of each job of `path`: the probability that it decides the finish."""
    jobs: tuple[JobForecast, ...] = ()
    """Forecasts of its most relevant running or waiting jobs; empty if not simulated."""
    distrust: str = ""
    """Why its forecasts are not trusted, by the outcome of earlier ones; empty if they are."""
    nights: int = 0
    """Number of earlier runs of the job of `path` that has fewest; 0 if one duration is declared."""
    extension: str = ""
    """Person and reason of the extension."""
    awaits: tuple[str, ...] = ()
    """Checks that are still pending after all its jobs."""
    starts: tuple[datetime | None, ...] = ()
    """By job of `path`: when its clock starts the run that is read; None once that has begun, or without a clock."""


@dataclass(frozen=True, slots=True)
class MemberVerdict:
    """role: "root", "red", "stale", "threatened" (not yet started, will read it), "repaired", "closing" (a start that
    closes it without a repair), "awaited" (an upstream that the root waits for)."""

    job_id: int
    period_key: str
    role: str
    run_id: int | None


@dataclass(frozen=True, slots=True)
class AffectedServiceVerdict(ServiceVerdict):
    """A service day that an incident affects."""

    basis: EstimateBasis | None = None
    needs_restart: bool = False
    """True if the day needs a restart of the incident's run. False if that run is running again, will be started by its
    schedule, was cancelled through Headway, or is in maintenance."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert to one route, its texts cleaned; outside text only in quotes."""

    kind: AlertKind
    route: str
    message: Message
    plain: Message = NO_MESSAGE
    """The same without external text except names: services, times, the command."""
    urgent: bool = False
    """First notification about a tier-1 service: never delayed."""
    style: str = TECHNICAL
    """"technical", "business" or "shadow"."""
    content: NotifiedIncident = NOTHING_NOTIFIED
    """The incident, as the route is notified of it."""
    group: str = ""
    """Notifications of one evaluation in the same group are sent as one message."""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class MaintenanceCover:
    """The maintenance that suppresses the notifications of an incident."""

    reason: Text
    until: datetime


@dataclass(frozen=True, slots=True)
class Suppressions:
    """Notifications of an incident that are suppressed, each with the reason."""

    notices: tuple[SuppressedNotice, ...] = ()
    dropped: tuple[tuple[SuppressionFacts, str], ...] = ()
    """Suppressed notifications that are not sent any more, with the reason; empty if the route was notified after all,
    or left the config."""
    in_shadow: tuple[str, ...] = ()
    """Routes not notified because of shadow mode."""
    maintenance: MaintenanceCover | None = None
    """None also for the end of an incident that its routes know."""
    superseded: tuple[Text, ...] = ()
    """Lines for the timeline: failures repaired before they were seen."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Red runs, compared with the last successful runs of their jobs."""

    run_ids: tuple[int, ...] = ()
    """The root's run; of a shared root the first of the runs that blame it."""
    lines: tuple[Text, ...] = ()
    """The changes, or one line that says why there are none; empty if not compared."""
    has_changes: bool = False


@dataclass(frozen=True, slots=True)
class NewIncident:
    """Opens an incident, unless one with its key is open."""

    split_from: int | None = None
    """The incident that it was a part of."""


@dataclass(frozen=True, slots=True)
class KnownIncident:
    """Updates or closes an open incident."""

    id: int
    ends_acknowledgement: str = ""
    """Why an acknowledgement ends now: it covers the incident as it was. Empty while it stays valid."""


@dataclass(frozen=True, slots=True)
class ReopenedIncident(KnownIncident):
    """Reopens an incident that closed lately."""


@dataclass(frozen=True, slots=True)
class IncidentOwner:
    """The owner of an incident and its runbook; empty where the config names none."""

    name: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class IncidentDecision:
    """All that is decided about one incident."""

    incident: NewIncident | KnownIncident
    key: str
    """It never changes."""
    title: Title
    cause: CauseRecord
    reason: Text
    owner: IncidentOwner
    failed_since: datetime
    act_by: datetime | None
    repeated: Repetition | None
    """The repetition of the job to restart; None unless it starts by itself in time, or failed more than once."""
    members: tuple[MemberVerdict, ...]
    services: tuple[AffectedServiceVerdict, ...]
    fingerprint: IncidentFingerprint
    close_reason: Reason | None = None
    flaps: Flaps | None = None
    """None while it is steady."""
    changes: RunComparison = RunComparison()
    merges: Mapping[int, str] = field(default_factory=dict)
    """Open incidents that are symptoms of this one, with their job: closed as merged, without a notice of their own."""
    notices: tuple[Notice, ...] = ()
    suppressions: Suppressions = Suppressions()
    event: Text = ()
    """Line for the timeline; empty: nothing new."""
    zone: str = "UTC"
    """The one zone of its alerts: of the affected service that is due first, else of its root."""

    @property
    def closed(self) -> bool:
        return self.close_reason is not None

    def closed_because(self, clock: Clock) -> str:
        """Its close reason as text; empty while it is open."""
        return "" if self.close_reason is None else render(self.close_reason.text, clock)


@dataclass(frozen=True, slots=True)
class PolicyAction:
    """An action requested by a policy, under a key that is the same for repeated decisions."""

    key: str
    verb: Verb
    job_id: int
    period_key: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    why: Text = ()
    origin: str = "hold"
    overlap: str = "refuse"


@dataclass(frozen=True, slots=True)
class HoldDecision:
    """The new state of a hold; written only if the stored hold is still the one that the decision saw."""

    hold: HoldFacts
    was: HoldState | None
    """None: a new hold."""
    action: PolicyAction | None = None
    withdraws: str = ""
    """Key of a pending action to withdraw."""
    event: Text = ()
    """Line for the timeline of its incident; empty: none."""
    attention_reason: str = ""
    """Why a person must be notified; empty: not needed."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """All of one evaluation. `next_at`: when time alone will change a verdict."""

    expected: tuple[ExpectedRun, ...] = ()
    """New and changed ones only."""
    withdrawn: tuple[int, ...] = ()
    """Ids of runs without an attempt (PLANNED, HELD) that no accepted schedule demands any more."""
    judgements: tuple[RunJudgement, ...] = ()
    service_days: tuple[ServiceDayVerdict, ...] = ()
    incidents: tuple[IncidentDecision, ...] = ()
    holds: tuple[HoldDecision, ...] = ()
    policy_repairs: Mapping[str, PolicyRepair] = field(default_factory=dict)
    """New ones, by the key of the incident."""
    pending_repairs: Mapping[str, PendingRepair | None] = field(default_factory=dict)
    """Those to come and in flight that differ from the store, by the key of the incident; None: no longer."""
    withdrawn_repairs: tuple[str, ...] = ()
    """Keys of actions that policies requested, that are not sent yet and that no incident's decision wants."""
    opened_breakers: Mapping[str, int] = field(default_factory=dict)
    """Policy -> its failed repairs."""
    findings: tuple[FindingChange, ...] = ()
    """Differences from the store."""
    cycles: tuple[tuple[str, ...], ...] = ()
    """Cyclic dependencies, as paths of raw job names that end where they begin; none of them is followed."""
    next_at: datetime | None = None
