"""What a service promises: by when, to whom it answers for it, and how often it may fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from datetime import date, datetime, time, timedelta
from typing import TypeVar

from console.model.frozen import dataclass

T = TypeVar("T")

FURTHEST_DAY = 7
"""As config lets a deadline lie after the window of its business date."""
BEFORE_DEADLINE = timedelta(days=FURTHEST_DAY + 3)
"""By which a business date may lie before its deadline at most, its own windows included."""
MOST_JUDGED = 500
"""Submissions of one service that are judged, the latest: older ones keep what was said of them."""
MOST_NAMED = 5
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


@dataclass(frozen=True, slots=True)
class Instance:
    """One of the instances of a service that is promised end to end: one submission."""

    key: str
    """What tells it apart: the value of the correlation key, else the submission's period key."""
    submission: tuple[int, str]
    """Its run: job and period key."""
    submitted_at: datetime
    bd: date
    is_keyed: bool
    """False where the submission carried no such parameter."""
    until: datetime | None
    """The next submission with the same key: runs from then on are that one's."""


def instance_name(service: str, key: str) -> str:
    """ "onboarding #4711": under it an instance is judged and told."""
    return f"{service} #{key}"


def service_of(name: str) -> str:
    """The service whose instance has that name; the name itself for one that has no instances."""
    return name.partition(" #")[0]


def not_too_many(hurt: Iterable[T], name: Callable[[T], str]) -> Iterator[tuple[T, int]]:
    """In their order, of each service the first MOST_NAMED; with the last of these, how many more there are, else 0.
    `name`: of its service, or of its instance."""
    found: dict[str, list[T]] = {}
    for one in hurt:
        found.setdefault(service_of(name(one)), []).append(one)
    for ones in found.values():
        more = len(ones) - MOST_NAMED
        for number, one in enumerate(ones[:MOST_NAMED], 1):
            yield one, max(0, more) if number == MOST_NAMED else 0


@dataclass(frozen=True, slots=True)
class Objective:
    """What the team aims at (SLO): this share of the days in time, over so many days back."""

    share: float
    days: int = 30


@dataclass(frozen=True, slots=True)
class Agreement:
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
    slo: Objective | None = None
    sla: Agreement | None = None
    false_alarm_days: int = 30
    """One false alarm in so many days is put up with."""


PLAIN = Promise()
"""A deadline by the clock and nothing more."""


@dataclass(frozen=True, slots=True)
class Extension:
    """More time for one business date of a service, or one submission of it, by a person's word."""

    service: str
    bd: date
    until: datetime
    by: str
    why: str
    submission: str = ""
    """Period key of the run that submitted it; empty: the service's own day."""

    @property
    def words(self) -> str:
        return f"by {self.by}: {self.why}" if self.why else f"by {self.by}"
