"""Probabilities as people read them, and forecasts as they were told, to be scored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from console.model.frozen import dataclass


def late_words(late: float) -> str:
    """ "61 % late", "under 1 % late"."""
    share = round(late * 100)
    return "under 1 % late" if share < 1 else "over 99 % late" if share > 99 else f"{share} % late"


@dataclass(frozen=True, slots=True)
class ToldForecast:
    """One forecast of a service day, as it was told."""

    at: datetime
    late: float
    p50: datetime | None
    p95: datetime | None


@dataclass(frozen=True, slots=True)
class ToldDay:
    """One service day that is over, with what was forecast of it before its deadline."""

    service: str
    deadline: datetime
    delivered: datetime | None
    told: tuple[ToldForecast, ...]

    @property
    def was_late(self) -> bool:
        return self.delivered is None or self.delivered > self.deadline


@dataclass(frozen=True, slots=True)
class PastForecasts:
    """The simulation's own forecasts of one service day that is over, as what is learned from them is given them."""

    late: Sequence[float]
    """P(late), by look, before any recalibration."""
    ahead_s: Sequence[float]
    """Seconds to the deadline, by look."""
    was_late: bool
    night: int
    """Its business date, as an ordinal."""
