"""Services: the promise, deadlines and instances, timeliness, attainment of past days, and the service's rows and
pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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


ENDANGERED = (Timeliness.AT_RISK, Timeliness.WILL_MISS, Timeliness.BREACHED)


def is_in_doubt(timeliness: str, incident_id: int | None) -> bool:
    """Whether a service without an estimate is hurt by an open incident."""
    return timeliness == Timeliness.NO_ESTIMATE and incident_id is not None


_PROBABILITY = re.compile(r"^(?:under 1 %|over 99 %|[0-9]{1,2} %) late: ")
"""As `late_words` begins a reason."""


def format_percent(share: float, digits: int | None = None) -> str:
    """ "61 %"; with 1 digit "61.3 %"."""
    return f"{round(share * 100, digits)} %"


def format_late(late: float) -> str:
    """ "61 % late", "under 1 % late"."""
    share = round(late * 100)
    return f"{'under 1 %' if share < 1 else 'over 99 %' if share > 99 else format_percent(late)} late"


def strip_probability(words: str) -> str:
    """The text without the prefix "61 % late: "."""
    return _PROBABILITY.sub("", words)


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
