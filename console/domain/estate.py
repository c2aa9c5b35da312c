"""Everything one evaluation sees: frozen facts of targets, jobs, runs, dependencies, services and incidents.

`control` takes these and the time, and gives `console.domain.decision`; nothing here does IO. All instants are aware
UTC. Ids are the store's integers; `name` is what people type: "etl-hosts/db07:extract_orders".

An estate has hundreds of thousands of `JobFacts`, `RunFacts` and `DependencyFacts`. They are not frozen, because a
frozen dataclass is four times slower to create; they are never changed either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import NamedTuple, overload

from connectors.sdk.records import Schedule
from connectors.sdk.states import STOPPED, PeriodKind, ProofLevel, RunEvidence, RunState, Verb
from console.domain.alert import NotificationState
from console.domain.check import CheckHistory
from console.domain.dependency import PLAIN_REQUIREMENT, DependencyMode, DependencyOrigin, EngineDown, Requirement
from console.domain.finding import StoredFinding
from console.domain.forecast import ForecastTally, PastForecasts
from console.domain.history import DurationPrior, PeerGroup, RunHistory
from console.domain.hold import HoldFacts
from console.domain.incident_record import CauseRecord, Flaps, IncidentFingerprint
from console.domain.job import Safety
from console.domain.plan import ABORT, RESUME
from console.domain.policy import PendingRepair, PolicyRepair
from console.domain.promise import PLAIN_PROMISE, DeadlineExtension, Promise
from console.domain.service import Timeliness
from console.domain.settings import NOTHING_DECLARED, Declared
from console.domain.switches import Modes, SystemPause
from console.domain.text import NO_TITLE, Text, Title


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One polled target, with its health."""

    id: int
    system: str
    name: str
    poll_every: timedelta
    last_ok_at: datetime | None
    """By our clock, at the end of the last successful poll."""
    failing_since: datetime | None
    error: str
    seen_until: datetime | None
    """Every start before this instant has been seen (clock skew removed): it proves MISSED."""
    first_ok_at: datetime | None
    error_kind: str = ""
    """"unreachable", "failing", "limited" or "unsupported" (it answers), "refused" or "forbidden" (a person must act),
    "broken", `STOPPED`; empty when well."""
    lost: tuple[datetime, datetime] | None = None
    """Evidence of starts between these instants is incomplete (a truncated log, an unread line): none there counts as
    missed."""
    unread: str = ""
    """The evidence that was not read there; empty if unknown."""
    behind: timedelta = timedelta(0)
    """How far its clock is behind ours: its scheduler starts jobs that much later."""
    ahead: timedelta = timedelta(0)
    """At most so far is its clock ahead of ours; negative if it is certainly behind. Starts until then may be due for
    its scheduler."""
    pause: SystemPause | None = None
    """The last pause of its polls by a person, lasting or ended."""
    error_fix: str = ""
    """The fix that its connector names; empty if it names none."""
    endpoint: str = ""
    """ "db07:22": the targets of one endpoint that are unreachable have one cause; empty: it has its own."""

    @property
    def is_impaired(self) -> bool:
        """True while it may be the cause of failures of its jobs: they are evaluated together."""
        return self.failing_since is not None

    @property
    def polls_fail(self) -> bool:
        return self.failing_since is not None and self.error_kind != STOPPED

    @property
    def is_stopped(self) -> bool:
        """True once two polls in a row have read that its scheduler is stopped: a single reading may be transient.
        Pages of one poll, which are read at once, count as one."""
        if self.error_kind != STOPPED or self.failing_since is None or self.last_ok_at is None:
            return False
        return self.last_ok_at >= self.failing_since + self.poll_every / 2

    def paused(self, now: datetime) -> SystemPause | None:
        """The pause in effect, if any."""
        return self.pause if self.pause is not None and self.pause.lasts(now) else None


@dataclass(slots=True, unsafe_hash=True)
class JobFacts:
    """One job or task, with its config and accepted schedule."""

    id: int
    system: str
    native_id: str
    kind: str
    target_id: int
    parent_id: int | None
    schedule: Schedule
    """The last accepted schedule; dialect "none" when nothing is expected by the clock."""
    accepted_at: datetime | None
    """Acceptance of that schedule (first sight is accepted): nothing before it is expected."""
    zone: str
    """The system's zone, for business dates."""
    cutoff: time
    paused_since: datetime | None
    gone_since: datetime | None
    proof: ProofLevel
    expected: timedelta | None
    """Declared in config."""
    grace: timedelta
    owner: str
    notify: tuple[str, ...]
    runbook: str
    rerun: Safety
    title: str = ""
    starts_held: bool = False
    """Its kind can start it while it is held."""
    start_within: timedelta = timedelta()
    """The longest time from a rerun or start through its system until the run begins."""
    calendar: str = ""
    """Calendar on whose days a run is expected; empty: whenever its schedule says."""
    budget_time: timedelta | None = None
    """Limit of a run with all its attempts."""
    budget_cost: float | None = None
    """Limit of a run's cost, in the unit of its source."""
    pool: str = ""
    """The pool from which each of its runs takes a slot; empty: none."""
    slots: int | None = None
    """Size of that pool; None: no known limit."""
    cannot_rerun: str = ""
    """Why its system cannot rerun it, for people; empty if it can."""
    can_hold: bool = False
    """Its system can hold it, and start it once its upstreams have succeeded."""
    has_periods: bool = False
    """A rerun works on the period of its run; without periods every rerun does the same work."""
    drift_reason: str = ""
    """Why its native definition differs from the accepted one, e.g. "line gone"; empty without drift."""
    drift_since: datetime | None = None
    drift_change: int = 0
    """Number of the newest change if several are open; else 0."""
    seen_schedule: Schedule | None = None
    """The schedule at its source, if it changed and is not accepted."""

    @property
    def source_schedule(self) -> Schedule:
        """The schedule at its source now, accepted or not."""
        return self.seen_schedule or self.schedule

    @property
    def is_moved(self) -> bool:
        """True if its schedule was changed, and the change is not accepted."""
        return self.seen_schedule is not None

    @property
    def name(self) -> str:
        return f"{self.system}/{self.native_id}"


@dataclass(slots=True, unsafe_hash=True)
class RunFacts:
    """One run: its latest attempt decides; the first start is kept."""

    id: int
    """0 for a run that a decision makes and the store has not seen."""
    job_id: int
    period_key: str
    period_at: datetime | None
    business_date: date
    state: RunState
    evidence: RunEvidence
    native_state: str = ""
    reason: str = ""
    """The reason that its scheduler reports, of its wait or its end."""
    why: Text = ()
    """Why it is expected, held or missed; empty once it has started."""
    attempt: int = 0
    """Number of the latest attempt; 0 while none has started."""
    first_started_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    message: str = ""
    tail: str = ""
    """End of its log, if it is red and one was fetched."""
    expected: bool = False
    """An accepted schedule demands it."""
    observed_at: datetime | None = None
    timeliness: Timeliness = Timeliness.NO_ESTIMATE
    """As last judged."""
    stale_read: bool = False
    partial_input: str = ""
    """As last judged: its partial input; empty if none was."""
    queued_at: datetime | None = None
    """Since when it waits, if its source reports it."""
    successes: tuple[tuple[datetime, datetime], ...] = ()
    """Start and end of every successful attempt, oldest first, if more than one attempt has started: rerunning a good
    run does not make its followers stale. Empty: only the latest attempt is known."""
    ends: tuple[tuple[datetime, RunState], ...] = ()
    """End and state of every ended attempt, oldest first, if more than one has started; else empty."""
    period_kind: PeriodKind = PeriodKind.INSTANT
    """The meaning of its period: of its key where it has no name."""
    own_period: str = ""
    """The period that its source names, where its key is the due start that it answers."""

    @property
    def period_name(self) -> str:
        """The period as its source names it; empty where its key is an instant, or only its own id."""
        return self.own_period or (self.period_key if self.period_kind is PeriodKind.NAME else "")


@dataclass(frozen=True, slots=True)
class CancelFacts:
    """The latest cancel of a run that was sent through Headway."""

    job_id: int
    by: str
    why: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class RepairFacts:
    """The latest repair of a run that was sent through Headway."""

    job_id: int
    verb: Verb
    by: str
    sent_at: datetime
    in_flight: bool = False
    """True until its result is known."""
    unknown: str = ""
    """Its key while it is unknown whether it arrived."""
    policy: str = ""
    """The policy that requested it; empty: a person."""


class PlannedRun(NamedTuple):
    """The plan that goes on with a run."""

    plan_id: int
    is_awaited: bool
    """True if the plan only waits for it: a failed one is rerun before the plan is resumed."""
    is_outdated: bool = False
    """True if resuming the plan would not repair its services (`console.domain.plan.is_outdated`)."""
    is_requested: bool = False
    """True while its step is requested and has not failed."""
    is_done: bool = False
    """True if its step succeeded and the run failed again, or on stale data: the plan does not send it once more."""


class PlanFacts(NamedTuple):
    """A started plan of an incident, with its present progress."""

    id: int
    state: str
    done: int
    total: int
    is_outdated: bool = False
    """As in `PlannedRun`."""

    @property
    def status(self) -> str:
        """ "plan 1 stopped", "plan 1 is running", "plan 1 is done"."""
        return f"plan {self.id} {'is ' if self.state in ('running', 'done') else ''}{self.state}"

    @property
    def progress(self) -> str:
        """ "plan 1 is at 4 of 7 steps", "plan 1 stopped at 4 of 7 steps", "plan 1 is done"."""
        if self.state == "done":
            return self.status
        return f"{self.status.removesuffix(' running')} at {self.done} of {self.total} steps"

    @property
    def has_no_further_step(self) -> bool:
        """True for a running plan without further steps."""
        return self.state == "running" and self.done == self.total

    @property
    def command(self) -> str:
        """That of a paused or stopped plan whose incident is closed: resume, or abort if it is outdated."""
        return f"{ABORT if self.is_outdated else RESUME} {self.id}"


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """A rerun or start of a run that waits for another person's approval."""

    job_id: int
    action_key: str


@dataclass(slots=True, unsafe_hash=True)
class DependencyFacts:
    """upstream -> downstream."""

    upstream_id: int
    downstream_id: int
    origin: DependencyOrigin
    mode: DependencyMode = DependencyMode.OBSERVE
    engine_down: EngineDown = EngineDown.OPEN
    hold_for: timedelta = timedelta(hours=6)
    """How long after that start it is released at the latest."""
    wants: Requirement = PLAIN_REQUIREMENT
    """The required state and run of the upstream; plainly: success, on the same business date."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service and its promise. Members are all jobs upstream of the terminals."""

    name: str
    title: str
    terminals: tuple[int, ...]
    deadline: time
    """Local time of day inside the business date's window; see also `promise.deadline`."""
    zone: str
    cutoff: time
    tier: int
    owner: str
    notify: tuple[str, ...]
    runbook: str
    ready: tuple[str, ...] = ()
    """Checks that must pass before it counts as delivered."""
    promise: Promise = PLAIN_PROMISE
    calendar: str = ""
    """Calendar of the business dates with a promise; empty: all on which something of it runs."""


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """An incident that is open, or closed lately, as the store has it."""

    id: int
    key: str
    """The dedup key of its alerts; kept when another root cause is found."""
    cause: CauseRecord
    member_run_ids: frozenset[int]
    opened_at: datetime
    failed_since: datetime
    fingerprint: IncidentFingerprint
    """The content of its last notification; another is an update."""
    member_job_ids: frozenset[int] = frozenset()
    """Empty where only runs of the members are known."""
    affected_run_ids: frozenset[int] = frozenset()
    """Members with role root, red, stale or repaired."""
    title: Title = NO_TITLE
    """The last title; kept when the root is good again."""
    reason: Text = ()
    closed_at: datetime | None = None
    flaps: Flaps | None = None
    """None while it is steady."""
    pending_repair: PendingRepair | None = None
    """The repair by a policy that is to come or in flight, as stored."""


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """The verdict of the last evaluation on a service day."""

    timeliness: Timeliness
    has_cause: bool = False
    """True if an open incident other than the forecast itself endangered it."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Estate-wide settings that decisions use."""

    default_route: tuple[str, ...] = ()
    shadow_route: str = ""
    """Receives notifications suppressed by shadow mode; empty: none."""
    horizon: timedelta = timedelta(hours=36)
    """How far ahead expected runs and service days are laid out."""
    lookback: timedelta = timedelta(hours=48)
    """How far back runs and expectations are judged."""
    stale_polls: int = 3
    zone: str = "UTC"
    """Of messages about no service."""


@dataclass(frozen=True, slots=True)
class Estate:
    """Everything that one evaluation sees. Built by the store, read by `control`, never changed."""

    jobs: Mapping[int, JobFacts]
    runs: Sequence[RunFacts]
    """Every open run, and those with period, start or end in the lookback; by job, then period."""
    durations: Mapping[int, Sequence[float]]
    """Job id -> seconds of its latest successful attempts, newest first, at most 60."""
    dependencies: tuple[DependencyFacts, ...]
    services: tuple[ServiceFacts, ...]
    targets: Mapping[int, TargetFacts]
    incidents: tuple[IncidentFacts, ...] = ()
    beside: Mapping[int, tuple[JobFacts, Sequence[RunFacts]]] = field(default_factory=dict)
    """For a part of an estate: jobs outside it that use slots of its pools, with all their runs."""
    failing: frozenset[int] | None = None
    """For a part of an estate: targets on which nearly everything may fail, by their runs in the whole estate."""
    closed: tuple[IncidentFacts, ...] = ()
    """Closed in the lookback and not merged: the same root may reopen them."""
    holds: tuple[HoldFacts, ...] = ()
    """Open ones, and those that ended in the lookback, by key."""
    cancels: Mapping[int, CancelFacts] = field(default_factory=dict)
    """By run id: requested in the lookback, and sent."""
    repairs: Mapping[int, RepairFacts] = field(default_factory=dict)
    """Like `cancels`: reruns, starts, marks and skips."""
    approvals: Mapping[int, ApprovalFacts] = field(default_factory=dict)
    """By run id: requested in the lookback, and not approved yet."""
    open_actions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Key -> run id and job id: the action on the run was requested or sent, and its outcome is not known."""
    policy_repairs: tuple[PolicyRepair, ...] = ()
    """Those of the lookback, of the last week and of open incidents, oldest first."""
    plans_by_run: Mapping[int, PlannedRun] = field(default_factory=dict)
    """Run id -> the plan that repeated the run or waits for it, and which is not done."""
    plans_by_incident: Mapping[int, PlanFacts] = field(default_factory=dict)
    """By incident id."""
    planned_restarts: Mapping[int, int] = field(default_factory=dict)
    """Red or stale run -> its job: a running plan restarts it without a person."""
    planned_repairs: Mapping[int, int] = field(default_factory=dict)
    """Red or stale run -> its job: a plan that has not ended repairs it, also a paused or stopped one."""
    earlier: tuple[RunFacts, ...] = ()
    """Runs before the lookback of jobs of which a dependency reads another period; no rule judges them."""
    checks: Mapping[tuple[str, date], CheckHistory] = field(default_factory=dict)
    """Results of data checks, by check and business date; of dates in the lookback, and a few before."""
    costs: Mapping[int, float] = field(default_factory=dict)
    """Run id -> reported cost, of jobs with a cost budget."""
    last_verdicts: Mapping[tuple[str, date], LastVerdict] = field(default_factory=dict)
    """Last verdict of endangered service days, by service and business date."""
    peer_priors: Mapping[PeerGroup, DurationPrior] = field(default_factory=dict)
    """Typical durations by peer group, for jobs with too little history."""
    tallies: Mapping[str, ForecastTally] = field(default_factory=dict)
    """Service -> how good its forecasts were; read once a day."""
    forecasts: Sequence[PastForecasts] = ()
    """Of the latest past service days, oldest first."""
    extensions: tuple[DeadlineExtension, ...] = ()
    """The latest for each service and business date of the lookback or later."""
    history: Mapping[int, RunHistory] = field(default_factory=dict)
    """By job id; missing for a job without history yet."""
    findings: tuple[StoredFinding, ...] = ()
    """Open ones."""
    modes: Modes = field(default_factory=Modes)
    declared: Declared = NOTHING_DECLARED
    notifications: NotificationState = field(default_factory=NotificationState)
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)


@dataclass(frozen=True, slots=True)
class EstateChanges:
    """Jobs and targets that may differ between two estates."""

    jobs: Set[int]
    """With other facts, runs, durations, history or contexts."""
    targets: Set[int]


class RunsByJob(Sequence[RunFacts]):
    """Runs grouped by job, usable as one sequence ordered by job. Immutable."""

    __slots__ = ("_flat", "_red", "by_job")

    def __init__(self, by_job: Mapping[int, tuple[RunFacts, ...]], red: frozenset[int] | None = None) -> None:
        self.by_job = by_job
        self._red = red
        self._flat: tuple[RunFacts, ...] | None = None

    @property
    def red(self) -> frozenset[int]:
        """Jobs with a red run."""
        if self._red is None:
            self._red = frozenset(job_id for job_id, runs in self.by_job.items() if has_failed(runs))
        return self._red

    def __iter__(self) -> Iterator[RunFacts]:
        return (run for job_id in sorted(self.by_job) for run in self.by_job[job_id])

    def __len__(self) -> int:
        return sum(map(len, self.by_job.values()))

    @overload
    def __getitem__(self, place: int) -> RunFacts: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[RunFacts, ...]: ...
    def __getitem__(self, place: int | slice) -> RunFacts | tuple[RunFacts, ...]:
        if self._flat is None:
            self._flat = tuple(self)
        return self._flat[place]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RunsByJob):
            return self.by_job == other.by_job
        return tuple(self) == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Runs({tuple(self)!r})"


def runs_by_job(runs: Sequence[RunFacts]) -> Mapping[int, tuple[RunFacts, ...]]:
    """Job id -> its runs, in their order; jobs without runs are not in it."""
    if isinstance(runs, RunsByJob):
        return runs.by_job
    grouped: dict[int, list[RunFacts]] = {}
    for run in runs:
        grouped.setdefault(run.job_id, []).append(run)
    return {job_id: tuple(job_runs) for job_id, job_runs in grouped.items()}


def failed_jobs(runs: Sequence[RunFacts]) -> Iterator[tuple[int, tuple[RunFacts, ...]]]:
    """The jobs with a red run, unordered, each with all its runs."""
    grouped = group_runs(runs)
    return ((job_id, grouped.by_job[job_id]) for job_id in grouped.red)


def group_runs(runs: Sequence[RunFacts]) -> RunsByJob:
    return runs if isinstance(runs, RunsByJob) else RunsByJob(runs_by_job(runs))


def has_failed(runs: Sequence[RunFacts]) -> bool:
    return any(run.state.is_red for run in runs)
