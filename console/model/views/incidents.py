"""Services and incidents."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from math import inf

from console.model.frozen import dataclass
from console.model.views.acts import ActionView
from console.model.views.alerting import DeliveryView, HeldView
from console.model.views.findings import FindingView
from console.model.views.repairs import Repair
from console.model.words import Timeliness

ENDANGERED = (Timeliness.AT_RISK, Timeliness.WILL_MISS, Timeliness.BREACHED)


def in_doubt(timeliness: str, incident_id: int | None) -> bool:
    """Whether a service without an estimate is hurt by an open incident."""
    return timeliness == Timeliness.NO_ESTIMATE and incident_id is not None


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service on its current business date: the promise and how it stands."""

    id: int
    name: str
    title: str
    tier: int
    owner: str
    runbook: str
    zone: str
    bd: str
    deadline: datetime
    timeliness: str
    data_state: str
    delivered: datetime | None
    expected: datetime | None
    late: datetime | None
    act_by: datetime | None
    green_by: datetime | None
    cause: str
    incident_id: int | None
    reason: str
    sources: tuple[dict[str, object], ...] = ()
    path: tuple[str, ...] = ()
    """Names of the jobs along the critical path, first to last."""
    promised: datetime | None = None
    """The deadline before somebody extended it; the same as `deadline` where nobody did."""
    extension: str = ""
    """Who extended it and why; empty where nobody did."""
    instance: str = ""
    """What shows which submission this is, of a service that is promised end to end."""
    submission: str = ""
    """Which it is: the period key of that submission."""
    awaits: tuple[str, ...] = ()
    """The checks that are all that is missing."""
    calendar: str = ""
    """Name of the calendar of the dates that it is promised for; empty: all on which something of it runs."""
    p95: datetime | None = None
    """The finish in nineteen of twenty cases; None where nothing is forecast, or not yet told by the engine."""
    p80: datetime | None = None
    """The same in four of five; None where it was not simulated, as with the next three."""
    p_late: float | None = None
    """The probability that it is delivered after its deadline."""
    critical: tuple[float, ...] = ()
    """Of each job of `path`: the probability that the finish is decided by it."""
    nights: int = 0
    """How many earlier nights the forecast rests on."""
    distrust: str = ""
    """Why its forecasts are not to be trusted, by what became of earlier ones; empty where they are."""
    trouble: str = ""
    """What its open incident is called: the root cause in a few words."""
    taken_by: str = ""
    """Who is on that incident; empty: nobody."""
    taken_until: datetime | None = None

    @property
    def is_promised(self) -> bool:
        """False on a date that its calendar leaves out: `reason` says so, and its deadline means nothing."""
        return self.timeliness != Timeliness.NO_PROMISE

    @property
    def is_endangered(self) -> bool:
        """At risk or late, or an open incident hurts it and nobody can tell by how much."""
        return self.timeliness in ENDANGERED or in_doubt(self.timeliness, self.incident_id)

    @property
    def needs_a_person(self) -> bool:
        """Endangered, or delivered late."""
        return self.is_endangered or self.timeliness == Timeliness.MET_LATE

    @property
    def given(self) -> str:
        """ "delivered", "delivered, partial", "delivered, stale": what was handed over, and what is in it; empty while
        nothing was. On stale data the promise is not kept."""
        if self.delivered is not None:
            return "delivered" if self.data_state != "partial" else "delivered, partial"
        was = self.data_state in ("partial", "stale") and self.reason.startswith("delivered ")
        return f"delivered, {self.data_state}" if was else ""


@dataclass(frozen=True, slots=True)
class Looker:
    """Who has an incident open in a console. Its instants are real time, in a replay too."""

    person: str
    came_from: str
    since: datetime
    seen: datetime
    console: str


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """One line of the incidents."""

    id: int
    title: str
    cause: str
    """"run", "target" or "shared" (a host, database or credential that many jobs name)."""
    bd: str
    reason: str
    owner: str
    failed_since: datetime
    opened: datetime
    act_by: datetime | None
    closed: datetime | None
    services: int
    hurt: int
    """Runs left red or stale."""
    root_run_id: int | None
    root_job: str
    runbook: str = ""
    split_from: int | None = None
    """The incident that it was a part of, until it showed a cause of its own."""
    merged_into: int | None = None
    """The incident that tells it since it turned out to be a symptom."""
    reopened: int = 0
    """How often it came back after it had closed."""
    changes: tuple[str, ...] = ()
    """What changed since its root was last good, as told last."""
    taken_by: str = ""
    """Who is on it; empty: nobody."""
    taken_until: datetime | None = None
    lookers: tuple[Looker, ...] = ()
    """Who has it open now, the longest first."""
    hits: tuple[str, ...] = ()
    """Titles of the services that it hurts, the soonest due first."""
    told: tuple[DeliveryView, ...] = ()
    """The last alert about it, to each of its addresses."""
    held: HeldView | None = None
    """What is held back of it now, the latest."""
    tier: int | None = None
    """Of the services that it hurts the highest, which is the smallest number; None: it hurts none."""


def by_harm(incidents: Iterable[IncidentRow]) -> list[IncidentRow]:
    """The one order of incidents, wherever they are listed: open ones by what they hurt (tier, then act-by), then the
    longest first; what is over last, the latest first."""
    return sorted(incidents, key=_harm)


def _harm(one: IncidentRow) -> tuple[bool, float, float, float, int]:
    if one.closed is not None:
        return True, -one.closed.timestamp(), 0.0, 0.0, one.id
    act_by = one.act_by.timestamp() if one.act_by is not None else inf
    return False, inf if one.tier is None else one.tier, act_by, one.failed_since.timestamp(), one.id


@dataclass(frozen=True, slots=True)
class HurtService:
    """A service that an incident hurts, with its clocks."""

    name: str
    title: str
    tier: int
    zone: str
    deadline: datetime
    act_by: datetime | None
    green_by: datetime | None
    expected: datetime | None
    timeliness: str
    source: str
    reason: str
    instance: str = ""
    """Of a service that is promised end to end: which of its submissions; its title ends in it."""
    estimates: tuple[dict[str, object], ...] = ()
    """Of each job on its critical path: job, source, runs, p50_s, p90_s."""
    p_late: float | None = None
    """The probability that it is late, as it stands now; None where it was not simulated, as with the next two."""
    p80: datetime | None = None
    p95: datetime | None = None
    distrust: str = ""
    """Why its forecasts are not to be trusted; empty where they are."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """A run that belongs to an incident, and as what."""

    role: str
    job: str
    job_id: int
    run_id: int | None
    period_key: str
    state: str
    evidence: str
    stale_read: bool
    started: datetime | None
    ended: datetime | None
    native_state: str = ""
    """Its source's own word."""
    exit_code: int | None = None
    message: str = ""
    reason: str = ""
    observed: datetime | None = None
    """When its source was last heard of it."""
    proof: str = "full"
    """What its source can prove of a run."""
    target: str = ""
    target_seen: datetime | None = None
    """The last good poll there."""
    partial_input: str = ""
    can_rerun: bool = True
    """False where its kind of system has no rerun."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of an incident's story."""

    at: datetime
    kind: str
    words: str
    actor: str


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident with everything that hangs on it."""

    row: IncidentRow
    services: tuple[HurtService, ...]
    members: tuple[MemberView, ...]
    events: tuple[EventView, ...]
    deliveries: tuple[DeliveryView, ...]
    log: str
    """The root attempt's log tail; empty with `log_error` when there is none."""
    log_error: str
    actions: tuple[ActionView, ...] = ()
    seen_before: tuple[tuple[datetime, str], ...] = ()
    """Earlier incidents with the same root job, newest first: (opened, close reason)."""
    held: tuple[HeldView, ...] = ()
    """What was held back of it and why, as it began."""
    findings: tuple[FindingView, ...] = ()
    """Of its members, open while it was, oldest first."""
    repairs: tuple[Repair, ...] = ()
    """Earlier failures of its root's job, newest first."""
