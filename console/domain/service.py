"""Services: the promise, deadlines and instances, timeliness, attainment of past days, and the service's rows and
pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar


class Timeliness(StrEnum):
    """Ours, apart from state and evidence: how a run or service stands against its deadline."""

    NO_ESTIMATE = "no_estimate"
    ON_TIME = "on_time"
    AT_RISK = "at_risk"
    WILL_MISS = "will_miss"
    BREACHED = "breached"
    MET_LATE = "met_late"
    MET = "met"
    NO_PROMISE = "no_promise"
    """Of a service, on a business date that its calendar leaves out."""


UNMET_PROMISE = "undelivered"
"""The rule of a cause that is nothing but a promise that is not kept."""

T = TypeVar("T")

MAX_DEADLINE_DAY = 7
"""As config lets a deadline lie after the window of its business date."""
MAX_LEAD = timedelta(days=MAX_DEADLINE_DAY + 3)
"""By which a business date may lie before its deadline at most, its own windows included."""
MAX_INSTANCES = 500
"""Submissions of one service that are judged, the latest: older ones keep what was said of them."""
MAX_NAMED = 5
"""Instances of one service that an incident names one by one; of the others it says how many."""


@dataclass(frozen=True, slots=True)
class DeadlineRule:
    """How the deadline of a business date is found: by the clock, or so long after a start."""

    day: int = 0
    """By the clock: so many days after the business date's own window."""
    after_start: timedelta | None = None
    """So long after the first start of that business date."""
    of: str = ""
    """Whose start: a job's name; empty: whichever member starts first."""
    of_id: int | None = None
    """The same as the store's number; None while no job has the name."""
    key: str = ""
    """End to end: each run of that job is an instance of its own, told apart by this parameter of its run context."""

    @property
    def reach(self) -> timedelta:
        """How long after the window of its business date it may lie: its runs must still be looked at then."""
        return timedelta(days=self.day) + (self.after_start or timedelta(0))


class ServiceInstance(NamedTuple):
    """One of the instances of a service that is promised end to end: one submission."""

    key: str
    """What tells it apart: the value of the correlation key, else the submission's period key."""
    submission: tuple[int, str]
    """Its run: job and period key."""
    submitted_at: datetime
    business_date: date
    is_keyed: bool
    """False where the submission carried no such parameter."""
    until: datetime | None
    """The next submission with the same key: runs from then on are that one's."""


def instance_name(service: str, key: str) -> str:
    """ "onboarding #4711": under it an instance is judged and told."""
    return f"{service} #{key}"


def service_of_instance(name: str) -> str:
    """The service whose instance has that name; the name itself for one that has no instances."""
    return name.partition(" #")[0]


_NATIVE_START = re.compile(r"(?P<at>(?:\S+ )?\d\d:\d\d \S+) (?P<job>.+) starts: (?P<consequence>.+)")


def reason_lines(reason: str) -> list[str]:
    """The clauses of a verdict's reason, one per line; native starts as a table of time, job and consequence."""
    clauses = [clause for clause in reason.split("; ") if clause]
    starts = {clause: match for clause in clauses if (match := _NATIVE_START.fullmatch(clause)) is not None}
    at_width, job_width = (max((len(match[name]) for match in starts.values()), default=0) for name in ("at", "job"))
    return [
        f"{match['at']:<{at_width}}  {match['job']:<{job_width}} starts  {match['consequence']}"
        if (match := starts.get(clause)) is not None
        else clause
        for clause in clauses
    ]


def limit_instances(hurt: Iterable[T], name: Callable[[T], str]) -> Iterator[tuple[T, int]]:
    """In their order, of each service the first MOST_NAMED; with the last of these, how many more there are, else 0.
    `name`: of its service, or of its instance."""
    found: dict[str, list[T]] = {}
    for one in hurt:
        found.setdefault(service_of_instance(name(one)), []).append(one)
    for ones in found.values():
        more = len(ones) - MAX_NAMED
        for number, one in enumerate(ones[:MAX_NAMED], 1):
            yield one, max(0, more) if number == MAX_NAMED else 0


@dataclass(frozen=True, slots=True)
class ServiceObjective:
    """What the team aims at (SLO): this share of the days in time, over so many days back."""

    share: float
    days: int = 30


@dataclass(frozen=True, slots=True)
class ServiceAgreement:
    """What was agreed with those who wait for it (SLA): at most so many late days within so many. An extension does
    not move it."""

    misses: int = 0
    days: int = 30
    at: time | None = None
    """Local time of day, inside the window of the service's deadline; None: the deadline as promised."""


@dataclass(frozen=True, slots=True)
class Promise:
    """All of it."""

    deadline: DeadlineRule = field(default_factory=DeadlineRule)
    slo: ServiceObjective | None = None
    sla: ServiceAgreement | None = None
    false_alarm_days: int = 30
    """One false alarm in so many days is put up with."""


PLAIN_PROMISE = Promise()
"""A deadline by the clock and nothing more."""


class DeadlineExtension(NamedTuple):
    """More time for one business date of a service, or one submission of it, by a person's word."""

    service: str
    business_date: date
    until: datetime
    by: str
    why: str
    submission: str = ""
    """Period key of the run that submitted it; empty: the service's own day."""

    @property
    def text(self) -> str:
        return f"by {self.by}: {self.why}" if self.why else f"by {self.by}"


WINDOWS = (30, 90)
"""Days back that are always told."""


class AttainmentDay(NamedTuple):
    """One business date of a service as it was judged last."""

    business_date: date
    deadline: datetime
    """As extended, where it was."""
    promised: datetime
    agreed: datetime | None
    """When it was late by its SLA; None where it had none that day."""
    delivered: datetime | None
    timeliness: Timeliness


@dataclass(frozen=True, slots=True)
class AttainmentWindow:
    """Over so many days back: `kept` of `judged` were in time; of `unknown` nobody can tell, and they count as neither.
    Days that are not over yet are not among them."""

    days: int
    judged: int
    kept: int
    unknown: int

    @property
    def share(self) -> float | None:
        """None where nothing was judged."""
        return self.kept / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Attainment:
    """All that is told of one service. Budgets are counted in days: below zero, more was missed than may be."""

    windows: tuple[AttainmentWindow, ...]
    """Over each of WINDOWS, by the deadline as extended."""
    objective: float | None
    slo_days: int
    budget: float | None
    """Days of the objective's window that may miss; None without an objective."""
    budget_left: float | None
    sla_days: int
    sla_allowed: int | None
    """Late days that the agreement lets pass; None without one."""
    sla_missed: int
    """Late by the agreement, whatever was extended."""

    @property
    def sla_left(self) -> int | None:
        return None if self.sla_allowed is None else self.sla_allowed - self.sla_missed


def attainment(days: Sequence[AttainmentDay], promise: Promise, today: date, now: datetime) -> Attainment:
    """Of one service. `today`: its present business date; a window of 30 days is that one and the 29 before it."""
    slo, sla = promise.slo, promise.sla
    aimed = _window(days, slo.days, today, now) if slo else None
    budget = aimed.judged * (1 - slo.share) if slo and aimed else None
    return Attainment(
        windows=tuple(_window(days, length, today, now) for length in WINDOWS),
        objective=slo.share if slo else None,
        slo_days=slo.days if slo else 0,
        budget=budget,
        budget_left=budget - (aimed.judged - aimed.kept) if budget is not None and aimed else None,
        sla_days=sla.days if sla else 0,
        sla_allowed=sla.misses if sla else None,
        sla_missed=sum(_is_late(day, now) for day in _days_within(days, sla.days, today)) if sla else 0,
    )


def _window(days: Sequence[AttainmentDay], length: int, today: date, now: datetime) -> AttainmentWindow:
    over = [day for day in _days_within(days, length, today) if day.delivered is not None or day.deadline <= now]
    judged = [day for day in over if not _is_unknown(day)]
    kept = sum(day.delivered is not None and day.delivered <= day.deadline for day in judged)
    return AttainmentWindow(length, len(judged), kept, len(over) - len(judged))


def _days_within(days: Iterable[AttainmentDay], length: int, today: date) -> list[AttainmentDay]:
    return [day for day in days if today - timedelta(days=length) < day.business_date <= today]


def _is_unknown(day: AttainmentDay) -> bool:
    return day.delivered is None and day.timeliness is Timeliness.NO_ESTIMATE


def _is_late(day: AttainmentDay, now: datetime) -> bool:
    if day.agreed is None or _is_unknown(day):
        return False
    return day.delivered > day.agreed if day.delivered is not None else day.agreed < now


@dataclass(frozen=True, slots=True)
class AttainmentView:
    """How often one service kept its promise."""

    service: str
    title: str
    tier: int
    attainment: Attainment
    counted: str = "days"
    """What is counted: "days", of a service that is promised end to end "submissions"."""


@dataclass(frozen=True, slots=True)
class PathAttemptView:
    """One attempt, as its source told it."""

    started: datetime
    ended: datetime | None
    state: str
    asked: bool
    """By an action of ours."""


@dataclass(frozen=True, slots=True)
class PathRunView:
    """One run of a job on the service's business date."""

    at: datetime
    """Its place among the runs of the job: the period's instant, else its first start."""
    due: datetime | None
    """The instant at which it had to start; None where no schedule demanded it."""
    tries: tuple[PathAttemptView, ...]
    """By start."""


@dataclass(frozen=True, slots=True)
class PathJobView:
    """One job of a service's critical path, with its runs of the business date, in order."""

    job: str
    usual_s: float | None
    source: str
    """Where that figure comes from: "history", "declared", "none"."""
    runs: tuple[PathRunView, ...]
    job_id: int = 0
    expected: datetime | None = None
    """When its forecast says that it will be done; None: it is not told."""


@dataclass(frozen=True, slots=True)
class PathJobBaseline:
    """What is usual for one of these jobs by its past nights."""

    takes: float | None = None
    """Seconds at its present level, where that moved; None: as all of its past says."""
    waits: float = 0.0
    """Seconds from when it could start to when it does."""
    moved: str = ""
    """Since when it takes another time, in words; empty where it does not."""


ENDANGERED = (Timeliness.AT_RISK, Timeliness.WILL_MISS, Timeliness.BREACHED)


def is_in_doubt(timeliness: str, incident_id: int | None) -> bool:
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
    business_date: str
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
        return self.timeliness in ENDANGERED or is_in_doubt(self.timeliness, self.incident_id)

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
