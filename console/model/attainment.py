"""How often a service kept its promise: attainment and what is left of its error budget, from its past days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.model.promises import Promise
from console.model.words import Timeliness

WINDOWS = (30, 90)
"""Days back that are always told."""


@dataclass(frozen=True, slots=True)
class KeptDay:
    """One business date of a service as it was judged last."""

    bd: date
    deadline: datetime
    """As extended, where it was."""
    promised: datetime
    agreed: datetime | None
    """When it was late by its SLA; None where it had none that day."""
    delivered: datetime | None
    timeliness: Timeliness


@dataclass(frozen=True, slots=True)
class Attained:
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

    windows: tuple[Attained, ...]
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


def attainment(days: Sequence[KeptDay], promise: Promise, today: date, now: datetime) -> Attainment:
    """Of one service. `today`: its present business date; a window of 30 days is that one and the 29 before it."""
    slo, sla = promise.slo, promise.sla
    aimed = _attained(days, slo.days, today, now) if slo else None
    budget = aimed.judged * (1 - slo.share) if slo and aimed else None
    return Attainment(
        windows=tuple(_attained(days, length, today, now) for length in WINDOWS),
        objective=slo.share if slo else None,
        slo_days=slo.days if slo else 0,
        budget=budget,
        budget_left=budget - (aimed.judged - aimed.kept) if budget is not None and aimed else None,
        sla_days=sla.days if sla else 0,
        sla_allowed=sla.misses if sla else None,
        sla_missed=sum(_is_late(day, now) for day in _within(days, sla.days, today)) if sla else 0,
    )


def _attained(days: Sequence[KeptDay], length: int, today: date, now: datetime) -> Attained:
    over = [day for day in _within(days, length, today) if day.delivered is not None or day.deadline <= now]
    judged = [day for day in over if not _is_unknown(day)]
    kept = sum(day.delivered is not None and day.delivered <= day.deadline for day in judged)
    return Attained(length, len(judged), kept, len(over) - len(judged))


def _within(days: Iterable[KeptDay], length: int, today: date) -> list[KeptDay]:
    return [day for day in days if today - timedelta(days=length) < day.bd <= today]


def _is_unknown(day: KeptDay) -> bool:
    return day.delivered is None and day.timeliness is Timeliness.NO_ESTIMATE


def _is_late(day: KeptDay, now: datetime) -> bool:
    if day.agreed is None or _is_unknown(day):
        return False
    return day.delivered > day.agreed if day.delivered is not None else day.agreed < now
