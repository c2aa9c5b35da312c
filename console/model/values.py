"""The frozen values that decisions see. `control` takes these and the time, and gives decisions; nothing here does IO.

All instants are aware UTC. Ids are the store's integers; `name` is what people type: "etl-hosts/db07:extract_orders".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from connectors.contract import Evidence, Proof, Schedule, State
from console.model.alerting import Telling
from console.model.checks import CheckFacts
from console.model.declared import NOTHING, Declared
from console.model.findings import FindingFacts
from console.model.forecasts import PastForecasts, Peak, Tally
from console.model.frozen import value
from console.model.history import History
from console.model.holds import HoldFacts
from console.model.likes import Like, Place
from console.model.modes import Modes
from console.model.past import Past
from console.model.pauses import Pause
from console.model.promises import PLAIN, Extension, Instance, Promise
from console.model.wants import PLAINLY, Wants
from console.model.words import EngineDown, Mode, Origin, Safety, Timeliness


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is polled on its own: its health is a value with an age."""

    id: int
    system: str
    name: str
    poll_every: timedelta
    last_ok_at: datetime | None
    """Our clock, at the end of the last poll that succeeded."""
    failing_since: datetime | None
    error: str
    seen_until: datetime | None
    """Every start before this instant has been seen (skew already taken out): it proves MISSED."""
    first_ok_at: datetime | None
    error_kind: str = ""
    """"unreachable", "failing", "limited" or "unsupported" (it answers), "refused" or "forbidden" (a person must act),
    "broken"; empty when well."""
    lost: tuple[datetime, datetime] | None = None
    """Evidence of starts between these instants is lost for good (a truncated log): nothing there is proved missed."""
    pause: Pause | None = None
    """The last time that a person stopped its polls, lasting or over."""

    def paused(self, now: datetime) -> Pause | None:
        """The pause that lasts."""
        return self.pause if self.pause is not None and self.pause.lasts(now) else None


@value(frozen=True, slots=True)
class JobFacts:
    """One job or task, with what config and the accepted schedule say of it."""

    id: int
    system: str
    native_id: str
    kind: str
    target_id: int
    parent_id: int | None
    schedule: Schedule
    """The last ACCEPTED schedule; dialect "none" when nothing is expected by the clock."""
    accepted_at: datetime | None
    """When that schedule was accepted (first sight is accepted): nothing before it is expected."""
    zone: str
    """The system's zone, for business dates."""
    cutoff: time
    paused_since: datetime | None
    gone_since: datetime | None
    proof: Proof
    expected: timedelta | None
    """Declared in config; None without."""
    grace: timedelta
    owner: str
    notify: tuple[str, ...]
    runbook: str
    rerun: Safety
    title: str = ""
    starts_held: bool = False
    """Its kind can start it while it is held, so that it may start before its clock."""
    calendar: str = ""
    """Name of the calendar on whose days a run is expected; empty: whenever its schedule says."""
    budget_time: timedelta | None = None
    """What a run may take at most, all its attempts together; None: nobody said."""
    budget_cost: float | None = None
    """What a run may cost at most, in whatever its source counts."""
    pool: str = ""
    """What its source calls that from which each of its runs takes a slot; empty: nothing."""
    slots: int | None = None
    """How many that has; None: no limit is known."""
    cannot_rerun: str = ""
    """Why its system can run it no second time, for people; empty where it can."""
    drift_reason: str = ""
    """Why its native definition differs from the accepted one, e.g. "line gone"; empty without drift."""
    drift_since: datetime | None = None
    """When that was seen first."""

    @property
    def name(self) -> str:
        return f"{self.system}/{self.native_id}"


@value(frozen=True, slots=True)
class RunFacts:
    """One run: its latest attempt decides; the first start is kept."""

    id: int
    """0 for a run that a decision makes and the store has not seen."""
    job_id: int
    period_key: str
    period_at: datetime | None
    bd: date
    state: State
    evidence: Evidence
    native_state: str = ""
    reason: str = ""
    attempt: int = 0
    """Number of the latest attempt; 0 while none has started."""
    first_started_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    message: str = ""
    tail: str = ""
    """The end of its log, where it is red and one was fetched."""
    expected: bool = False
    """An accepted schedule said that it must exist."""
    observed_at: datetime | None = None
    timeliness: Timeliness = Timeliness.NO_ESTIMATE
    """As last judged; only a judgement that differs is decided."""
    stale_read: bool = False
    """As last judged."""
    partial_input: str = ""
    """As last judged: what it read that was partial, in words; empty where nothing was."""
    queued_at: datetime | None = None
    """Since when it waits, where it waits and its source tells it."""
    successes: tuple[tuple[datetime, datetime], ...] = ()
    """Start and end of every attempt that succeeded, oldest first. Needed where more than one attempt has started: a
    rerun of what was good does not make its followers stale. Empty: the latest attempt is all that is known."""
    ends: tuple[tuple[datetime, State], ...] = ()
    """End and state of every attempt that is over, oldest first, where more than one has started; else empty."""


@dataclass(frozen=True, slots=True)
class CancelFacts:
    """The latest cancel that left for a run through Headway."""

    by: str
    why: str
    sent_at: datetime


@value(frozen=True, slots=True)
class DependencyFacts:
    """upstream -> downstream."""

    upstream_id: int
    downstream_id: int
    origin: Origin
    mode: Mode = Mode.OBSERVE
    engine_down: EngineDown = EngineDown.OPEN
    lead: timedelta = timedelta(minutes=10)
    """How long before the downstream's start it is held."""
    hold_for: timedelta = timedelta(hours=6)
    """How long after that start it is let go, whatever its upstream does."""
    wants: Wants = PLAINLY
    """How the upstream must have ended, in which of its runs: plainly, well, on the same business date."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A business outcome and its promise. Members are everything upstream of the terminals."""

    name: str
    title: str
    terminals: tuple[int, ...]
    deadline: time
    """Local time of day inside the business date's window; `promise.deadline` says what else there is to it."""
    zone: str
    cutoff: time
    tier: int
    owner: str
    notify: tuple[str, ...]
    runbook: str
    risk: float
    """Share of nights that may be late before it counts as at risk: 0.1."""
    ready: tuple[str, ...] = ()
    """Checks that must pass before it counts as delivered."""
    promise: Promise = PLAIN
    instance: Instance | None = None
    """Which of its instances this is, of a service that is promised end to end."""
    calendar: str = ""
    """Name of the calendar of the business dates that have a promise; empty: all on which something of it runs."""


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """An incident that is open, or closed lately, as the store has it."""

    id: int
    key: str
    """The dedup key of its alerts; it stays when the root cause is found to be another."""
    root_job_id: int | None
    root_period_key: str | None
    root_target_id: int | None
    member_run_ids: frozenset[int]
    bd: date
    opened_at: datetime
    failed_since: datetime
    fingerprint: str
    """Of what was last told: a changed one is an update."""
    member_job_ids: frozenset[int] = frozenset()
    """The jobs of the members; empty where only their runs are known."""
    hurt_run_ids: frozenset[int] | None = None
    """Those of the members whose role is root, red, stale or repaired; None: all members count as such."""
    title: str = ""
    """As last told; kept when the root is green again and tells no more what it was."""
    reason: str = ""
    shared: str = ""
    """The host, database or credential that is its root, as `control.signatures` names it; empty for other roots."""
    closed_at: datetime | None = None
    """None: it is open."""
    rule: str = ""
    """The rule whose finding is its cause; empty where a red run or a target is."""
    root_check: str = ""
    """The check that is its cause; empty for a run or a target."""
    flaps: int = 0
    """How often it was reopened since it was last steady; `flaps_since`: since when."""
    flaps_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stood:
    """How a service day was judged by the last evaluation."""

    timeliness: Timeliness
    has_cause: bool = False
    """An open incident endangered it: another than that it will be late, which is no cause but the forecast."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Estate-wide settings that decisions use."""

    default_route: tuple[str, ...] = ()
    shadow_route: str = ""
    """Told what would have been told, where that is in shadow; empty: nobody."""
    horizon: timedelta = timedelta(hours=36)
    """How far ahead expected runs and service days are laid out."""
    lookback: timedelta = timedelta(hours=48)
    """How far back runs and expectations are judged."""
    stale_polls: int = 3


@dataclass(frozen=True, slots=True)
class Estate:
    """Everything that one evaluation sees. Built by the store, read by `control`, never changed."""

    jobs: Mapping[int, JobFacts]
    runs: Sequence[RunFacts]
    """Every run whose period, start or end lies in the lookback, and every open one; by job, then period."""
    durations: Mapping[int, Sequence[float]]
    """Job id -> seconds of its latest successful attempts, newest first, at most 60."""
    dependencies: tuple[DependencyFacts, ...]
    services: tuple[ServiceFacts, ...]
    targets: Mapping[int, TargetFacts]
    incidents: tuple[IncidentFacts, ...] = ()
    """The open ones."""
    beside: Mapping[int, tuple[JobFacts, Sequence[RunFacts]]] = field(default_factory=dict)
    """Of a part of an estate, by job: what takes slots of its pools and is no part of it, with all its runs."""
    closed: tuple[IncidentFacts, ...] = ()
    """Those that closed in the lookback, and were merged into no other: the same root may reopen them."""
    holds: tuple[HoldFacts, ...] = ()
    """Open ones and those that ended in the lookback, in the order of their keys."""
    cancels: Mapping[int, CancelFacts] = field(default_factory=dict)
    """By run id: those that were asked for in the lookback and have been sent."""
    earlier: tuple[RunFacts, ...] = ()
    """Runs of before the lookback of those jobs of which a dependency reads another period; no rule judges them."""
    checks: Mapping[tuple[str, date], CheckFacts] = field(default_factory=dict)
    """What the looks at data came to, by check and business date; of dates in the lookback, and a few before."""
    correlated: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """Run id -> the correlation keys of services that are promised end to end, with the values its context has."""
    costs: Mapping[int, float] = field(default_factory=dict)
    """Run id -> what it has cost, as its source tells; of jobs with a budget for it."""
    stood: Mapping[tuple[str, date], Stood] = field(default_factory=dict)
    """Service and business date -> how it was judged last, of those that were in danger."""
    peaks: Mapping[str, Sequence[Peak]] = field(default_factory=dict)
    """Service -> its latest days that are over, at most 90."""
    likes: Mapping[Place, Like] = field(default_factory=dict)
    """What the jobs of a target, and of a system, usually take: for those of them that hardly ever ran."""
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    """Service -> how good its forecasts were, added up; read once a day."""
    forecasts: Sequence[PastForecasts] = ()
    """Of the latest service days that are over, oldest first."""
    extensions: tuple[Extension, ...] = ()
    """The last word for each service and business date of the lookback or later, in their order."""
    history: Mapping[int, History] = field(default_factory=dict)
    """Job id -> its past; of a job that is not in it yet nobody knows any."""
    findings: tuple[FindingFacts, ...] = ()
    """The open ones."""
    modes: Modes = field(default_factory=Modes)
    declared: Declared = NOTHING
    telling: Telling = field(default_factory=Telling)
    """What was told and said so far."""
    pasts: Mapping[int, Past] = field(default_factory=dict)
    """Run id -> when its job was last good: of the roots that are told now, and of none in the first look."""
    settings: Settings = field(default_factory=Settings)
