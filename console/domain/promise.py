"""A service's promise: deadline, objective, agreement, extensions, and how often it was kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from console.domain.service import Timeliness


@dataclass(frozen=True, slots=True)
class DeadlineRule:
    """The deadline of a business date: a time of day, or an interval after a start."""

    day: int = 0
    """Time of day: days after the business date's own window."""
    after_start: timedelta | None = None
    """After the first start of that business date."""
    of: str = ""
    """The job that starts; empty: whichever member starts first."""
    of_id: int | None = None
    """Its id in the store; None while no job has the name."""

    @property
    def reach(self) -> timedelta:
        """How long after the window of its business date the deadline may be."""
        return timedelta(days=self.day) + (self.after_start or timedelta(0))


@dataclass(frozen=True, slots=True)
class ServiceObjective:
    """SLO: the share of days in time, over this many days back."""

    share: float
    days: int = 30


@dataclass(frozen=True, slots=True)
class ServiceAgreement:
    """SLA: late days allowed within this many. An extension does not move it."""

    misses: int = 0
    days: int = 30
    at: time | None = None
    """Local time of day, in the window of the service's deadline; None: that deadline."""


RISK = 0.1
"""P(late) of a service that is restarted exactly at its act-by."""


@dataclass(frozen=True, slots=True)
class Promise:
    deadline: DeadlineRule = field(default_factory=DeadlineRule)
    slo: ServiceObjective | None = None
    sla: ServiceAgreement | None = None


PLAIN_PROMISE = Promise()


class DeadlineExtension(NamedTuple):
    """More time for one business date of a service, granted by a person."""

    service: str
    business_date: date
    until: datetime
    by: str
    why: str

    @property
    def text(self) -> str:
        return f"by {self.by}: {self.why}" if self.why else f"by {self.by}"


WINDOWS = (30, 90)
"""Days back."""


class AttainmentDay(NamedTuple):
    """One business date of a service, as last judged."""

    business_date: date
    deadline: datetime
    """As extended."""
    promised: datetime
    agreed: datetime | None
    """Deadline of its SLA; None without one."""
    delivered: datetime | None
    timeliness: Timeliness


@dataclass(frozen=True, slots=True)
class AttainmentWindow:
    """Past days only: `kept` of `judged` were in time; `unknown` ones count as neither."""

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
    """Budgets are in days; below zero: overspent."""

    windows: tuple[AttainmentWindow, ...]
    """Over each of WINDOWS, by the deadline as extended."""
    objective: float | None
    slo_days: int
    budget: float | None
    """Days of the objective's window that may be late; None without an objective."""
    budget_left: float | None
    sla_days: int
    sla_allowed: int | None
    """Late days that the SLA allows; None without one."""
    sla_missed: int
    """Late by the SLA, whatever was extended."""

    @property
    def sla_left(self) -> int | None:
        return None if self.sla_allowed is None else self.sla_allowed - self.sla_missed


def attainment(days: Sequence[AttainmentDay], promise: Promise, today: date, now: datetime) -> Attainment:
    """Of one service. `today`: its current business date; a window of 30 days is that one and the 29 before it."""
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
    past = [day for day in _days_within(days, length, today) if is_over(day.delivered, day.deadline, now)]
    judged = [day for day in past if not _is_unknown(day)]
    in_time = sum(is_in_time(day.delivered, day.deadline) for day in judged)
    return AttainmentWindow(length, len(judged), in_time, len(past) - len(judged))


def _days_within(days: Iterable[AttainmentDay], length: int, today: date) -> list[AttainmentDay]:
    return [day for day in days if today - timedelta(days=length) < day.business_date <= today]


def _is_unknown(day: AttainmentDay) -> bool:
    return day.timeliness is Timeliness.NO_ESTIMATE


def _is_late(day: AttainmentDay, now: datetime) -> bool:
    if day.agreed is None or _is_unknown(day):
        return False
    return is_over(day.delivered, day.agreed, now) and not is_in_time(day.delivered, day.agreed)


def is_over(delivered: datetime | None, due: datetime, now: datetime) -> bool:
    """Whether a service day is judged by this deadline: it was delivered, or the deadline has come."""
    return delivered is not None or due <= now


def is_in_time(delivered: datetime | None, due: datetime) -> bool:
    """Whether it was delivered by this deadline."""
    return delivered is not None and delivered <= due


@dataclass(frozen=True, slots=True)
class AttainmentView:
    """How often one service kept its promise."""

    service: str
    title: str
    tier: int
    attainment: Attainment
    days: tuple[AttainmentDay, ...] = ()
    """Of the longest window, oldest first."""
