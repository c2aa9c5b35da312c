"""Everything one evaluation decides: written by `store.decisions`, made by `control.evaluate`. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from connectors.sdk.states import RunEvidence, RunState, Verb
from console.domain.alert import TECHNICAL, AlertKind, SuppressionFacts
from console.domain.finding import FindingChange
from console.domain.forecast import JobForecast
from console.domain.history import DurationEstimate, EstimateBasis
from console.domain.hold import HoldFacts, HoldState
from console.domain.reason import Reason
from console.domain.service import Timeliness


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
    reason: str
    """Why: "line gone since 02:10", "paused since 02:10", "nothing in the log by 03:15 UTC"."""


@dataclass(frozen=True, slots=True)
class RunJudgement:
    """Headway's judgement of a run that exists; written only where it changed."""

    run_id: int
    timeliness: Timeliness
    stale_read: bool
    partial_input: str = ""


@dataclass(frozen=True, slots=True)
class ServiceDayVerdict:
    """One service on one business date, as judged now."""

    service: str
    business_date: date
    deadline: datetime
    timeliness: Timeliness
    data_state: str = ""
    """ "open", "complete", "partial", "unknown", "stale", "failed"."""
    delivered_at: datetime | None = None
    expected_at: datetime | None = None
    late_at: datetime | None = None
    """p90 of the finish."""
    act_by: datetime | None = None
    green_by: datetime | None = None
    cause: str = ""
    incident_key: str | None = None
    sources: tuple[DurationEstimate, ...] = ()
    path: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """`given` first."""
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
    instance: str = ""
    """The instance of an end-to-end service; `service` ends in it."""
    submission: str = ""
    """Period key of the instance's submission, its identity: two may show the same `instance`."""
    awaits: tuple[str, ...] = ()
    """Checks that are still pending after all its jobs."""
    runs: tuple[int, ...] = ()
    """Of a submission: run id of each job of `path`, 0 without a run. Empty for other services."""

    @property
    def key(self) -> tuple[str, date]:
        return self.service, self.business_date


@dataclass(frozen=True, slots=True)
class MemberVerdict:
    """role: "root", "red", "stale", "threatened" (not yet started, will read it), "repaired", "closing" (a start that
    closes it without a repair), "awaited" (an upstream that the root waits for)."""

    job_id: int
    period_key: str
    role: str
    run_id: int | None


@dataclass(frozen=True, slots=True)
class AffectedServiceVerdict:
    service: str
    business_date: date
    deadline: datetime
    act_by: datetime | None
    green_by: datetime | None
    expected_at: datetime | None
    timeliness: Timeliness
    basis: EstimateBasis | None
    reasons: tuple[Reason, ...]
    submission: str = ""

    @property
    def key(self) -> tuple[str, date]:
        return self.service, self.business_date


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert to one route: plain, cleaned text; outside text only in its own bordered block."""

    kind: AlertKind
    route: str
    title: str
    body: str
    plain_title: str = ""
    plain_body: str = ""
    """The same without external text except names: services, times, the command."""
    zone_label: str = ""
    """Label of the zone of its times."""
    commands: tuple[str, ...] = ()
    """The commands that it asks for."""
    urgent: bool = False
    """First notification about a tier-1 service: never delayed."""
    style: str = TECHNICAL
    """"technical", "business" or "shadow"."""
    fingerprint: str = ""
    """Digest of the content that the route receives."""
    group: str = ""
    """Notifications of one evaluation in the same group are sent as one message."""
    not_before: datetime | None = None
    template: str = ""
    """Route whose template renders it; empty: no template."""
    values: Mapping[str, object] = field(default_factory=dict)
    plain_values: Mapping[str, object] = field(default_factory=dict)
    """Values of the template without external text except names."""


@dataclass(frozen=True, slots=True)
class SuppressedNotice:
    """A notification suppressed by a stage. `until`: end by time; None: ends with its reason."""

    route: str
    style: str
    kind: AlertKind
    stage: str
    why: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class MaintenanceCover:
    """The maintenance that suppresses the notifications of an incident."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Red runs compared with the last successful runs of their jobs."""

    lines: tuple[str, ...] = ()
    """The changes, or one line that says why there are none; empty if not compared."""
    has_changes: bool = False


@dataclass(frozen=True, slots=True)
class IncidentDecision:
    """Open, update or close one incident. `incident_id` None opens a new one; the key never changes."""

    incident_id: int | None
    key: str
    title: str
    cause: str
    root_job_id: int | None
    root_run_id: int | None
    root_period_key: str
    root_target_id: int | None
    business_date: date
    reason: str
    owner: str
    runbook: str
    failed_since: datetime
    act_by: datetime | None
    members: tuple[MemberVerdict, ...]
    services: tuple[AffectedServiceVerdict, ...]
    fingerprint: str
    closed: bool = False
    close_reason: str = ""
    root_shared: str = ""
    """The host, database or credential that is its root; empty for other roots."""
    split_from: int | None = None
    """For a new incident: the one that it was split from."""
    reopened: bool = False
    flaps: int = 0
    """How often it was reopened since it was last steady; `flaps_since`: since when."""
    flaps_since: datetime | None = None
    changes: RunComparison = RunComparison()
    cause_run_ids: tuple[int, ...] = ()
    """The root's run; of a shared root the first of the runs that blame it."""
    merges: Mapping[int, str] = field(default_factory=dict)
    """Open incidents that are symptoms of this one, with their job: closed as merged, without a notice of their own."""
    notices: tuple[Notice, ...] = ()
    rule: str = ""
    """Rule of the finding that is the cause."""
    suppressed: tuple[SuppressedNotice, ...] = ()
    dropped: tuple[tuple[SuppressionFacts, str], ...] = ()
    """Suppressed notifications that are not sent any more, with the reason; empty if the route was notified after all,
    or left the config."""
    in_shadow: tuple[str, ...] = ()
    """Routes not notified because of shadow mode."""
    maintenance: MaintenanceCover | None = None
    """None also if all that is new was notified before it began."""
    event: str = ""
    """Line for the timeline; empty: nothing new."""
    root_check: str = ""
    zone: str = "UTC"
    """The one zone of its alerts: of the affected service that is due first, else of its root."""
    superseded: tuple[str, ...] = ()
    """Lines for the timeline: failures repaired before they were seen; no route is notified of them."""
    ends_ack: str = ""
    """Why an acknowledgement ends now: it covers the incident as it was. Empty while it stays valid."""


@dataclass(frozen=True, slots=True)
class PolicyAction:
    """An action requested by a policy, under a key that is the same for repeated decisions."""

    key: str
    verb: Verb
    job_id: int
    period_key: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
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
    event: str = ""
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
    findings: tuple[FindingChange, ...] = ()
    """Differences from the store."""
    cycles: tuple[tuple[str, ...], ...] = ()
    """Cyclic dependencies, as paths of raw job names that end where they begin; none of them is followed."""
    next_at: datetime | None = None
