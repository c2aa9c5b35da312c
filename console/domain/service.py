"""Services: timeliness, instances, the reason of a verdict as text, and the service's row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar


class Timeliness(StrEnum):
    """Headway's judgement of a run or service against its deadline; independent of state and evidence."""

    NO_ESTIMATE = "no_estimate"
    ON_TIME = "on_time"
    AT_RISK = "at_risk"
    WILL_MISS = "will_miss"
    BREACHED = "breached"
    MET_LATE = "met_late"
    MET = "met"
    NO_PROMISE = "no_promise"
    """Of a service, on a business date outside its calendar."""


UNMET_PROMISE = "undelivered"
"""The rule of a cause that is nothing but an unmet promise."""

T = TypeVar("T")

MAX_DEADLINE_DAY = 7
"""Days after the window of its business date at which a deadline may be configured."""
MAX_LEAD = timedelta(days=MAX_DEADLINE_DAY + 3)
"""Longest time from a business date to its deadline, its own windows included."""
MAX_INSTANCES = 500
"""Latest submissions of one service that are judged; older ones keep their verdict."""
MAX_NAMED = 5
"""Instances of one service that an incident names; the others are counted."""


class ServiceInstance(NamedTuple):
    """One submission of an end-to-end service."""

    key: str
    """Value of the correlation key, else the submission's period key."""
    submission: tuple[int, str]
    """Its run: job and period key."""
    submitted_at: datetime
    business_date: date
    is_keyed: bool
    """False if the submission carried no such parameter."""
    until: datetime | None
    """The next submission with the same key, to which later runs belong."""


def instance_name(service: str, key: str) -> str:
    """ "onboarding #4711"."""
    return f"{service} #{key}"


def service_of_instance(name: str) -> str:
    """The service of that instance; the same name for a service without instances."""
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


def limit_instances(items: Iterable[T], name: Callable[[T], str]) -> Iterator[tuple[T, int]]:
    """The first MAX_NAMED of each service, in order; with the last of these the number of further ones, else 0."""
    by_service: dict[str, list[T]] = {}
    for item in items:
        by_service.setdefault(service_of_instance(name(item)), []).append(item)
    for items_of_service in by_service.values():
        more = len(items_of_service) - MAX_NAMED
        for number, item in enumerate(items_of_service[:MAX_NAMED], 1):
            yield item, max(0, more) if number == MAX_NAMED else 0


ENDANGERED = (Timeliness.AT_RISK, Timeliness.WILL_MISS, Timeliness.BREACHED)


def is_in_doubt(timeliness: str, incident_id: int | None) -> bool:
    """True for a service without an estimate because of an open incident."""
    return timeliness == Timeliness.NO_ESTIMATE and incident_id is not None


_PROBABILITY = re.compile(r"^risk (?:under 1 %|over 99 %|[0-9]{1,2} %): ")


def format_percent(share: float, digits: int | None = None) -> str:
    """ "61 %"; with 1 digit "61.3 %"."""
    return f"{round(share * 100, digits)} %"


def format_probability(p_late: float) -> str:
    """ "61 %"; never certain: "under 1 %", "over 99 %"."""
    share = round(p_late * 100)
    return "under 1 %" if share < 1 else "over 99 %" if share > 99 else format_percent(p_late)


def format_risk(p_late: float) -> str:
    """ "risk 61 %": the probability that a deadline is missed."""
    return f"risk {format_probability(p_late)}"


def strip_probability(words: str) -> str:
    return _PROBABILITY.sub("", words)


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service on its current business date, with its promise and status."""

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
    """Jobs along the critical path, first to last."""
    promised: datetime | None = None
    """The deadline before an extension."""
    extension: str = ""
    """Person and reason of the extension; empty without one."""
    instance: str = ""
    """Label of the submission, of an end-to-end service."""
    submission: str = ""
    """Its period key."""
    awaits: tuple[str, ...] = ()
    """Checks that are pending after all its jobs."""
    calendar: str = ""
    """Calendar of the dates with a promise; empty: all on which something of it runs."""
    p95: datetime | None = None
    """p95 of the finish; None without a forecast."""
    p80: datetime | None = None
    """None if not simulated, as the next three."""
    p_late: float | None = None
    critical: tuple[float, ...] = ()
    """Of each job of `path`: the probability that it decides the finish."""
    nights: int = 0
    """Earlier nights behind the forecast."""
    unreliable_because: str = ""
    """Why its forecasts are not trusted, by the outcome of earlier ones; empty if they are."""
    trouble: str = ""
    """Title of its open incident."""
    acknowledged_by: str = ""
    """The person who acknowledged it; empty: unacknowledged."""
    acknowledged_until: datetime | None = None

    @property
    def is_promised(self) -> bool:
        """False on a date outside its calendar: its deadline means nothing."""
        return self.timeliness != Timeliness.NO_PROMISE

    @property
    def is_endangered(self) -> bool:
        """At risk or late, or without an estimate because of an open incident."""
        return self.timeliness in ENDANGERED or is_in_doubt(self.timeliness, self.incident_id)

    @property
    def needs_a_person(self) -> bool:
        """Endangered, or delivered late."""
        return self.is_endangered or self.timeliness == Timeliness.MET_LATE

    @property
    def given(self) -> str:
        """ "delivered", "delivered, partial", "delivered, stale"; empty if not delivered. Stale data does not keep the
        promise."""
        if self.delivered is not None:
            return "delivered" if self.data_state != "partial" else "delivered, partial"
        was = self.data_state in ("partial", "stale") and self.reason.startswith("delivered ")
        return f"delivered, {self.data_state}" if was else ""
