"""Probabilities as people read them, and forecasts as they were told, to be scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from console.model.frozen import dataclass

_CHANCE = re.compile(r"^(?:under 1 %|over 99 %|[0-9]{1,2} %) late: ")
"""As `late_words` begins a reason."""


def percent(share: float, digits: int | None = None) -> str:
    """ "61 %"; with 1 digit "61.3 %"."""
    return f"{round(share * 100, digits)} %"


def late_words(late: float) -> str:
    """ "61 % late", "under 1 % late"."""
    share = round(late * 100)
    return f"{'under 1 %' if share < 1 else 'over 99 %' if share > 99 else percent(late)} late"


def without_chance(words: str) -> str:
    """What follows "61 % late: "; the words themselves where they do not begin with it."""
    return _CHANCE.sub("", words)


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


class Peak(NamedTuple):
    """One service day that is over."""

    late: float
    """The highest P(late) before its deadline."""
    was_late: bool
    is_told: bool = True
    """False: nobody was told, the day was back-tested."""


class Tally(NamedTuple):
    """What was told of a service's days that are over, added up: each day counts as one, however often it was told."""

    days: int
    late: int
    told: tuple[tuple[float, float, float], ...]
    """By P(late): that, how many days it was told of, and how many of these were late."""


@dataclass(frozen=True, slots=True)
class PastForecasts:
    """The simulation's own forecasts of one service day that is over, as what is learned from them is given them."""

    late: Sequence[float]
    """P(late), by look, before any recalibration."""
    was_late: bool
    night: int
    """Its business date, as an ordinal."""


@dataclass(frozen=True, slots=True)
class JobAhead:
    """What a service day leaves to a job that runs or waits, from the same samples as its own P(late)."""

    job_id: int
    late: float
    """The probability that its own part makes the service late, in steps of a hundredth."""
    decides: float
    """The probability that it is on the path that decides the service's finish."""
    p50: datetime
    """Its finish in half of all cases, in four of five, in nineteen of twenty."""
    p80: datetime
    p95: datetime
    slack_s: float | None
    """Seconds by which its finish may move, in the median; below 0: it is too late. None: it moves nothing."""
    act_by: datetime | None
    """The latest start at which P(late) stays within the service's risk; None: no start does, or nobody waits."""
    green_by: datetime | None
    """The same for its end."""
    source: str
    """Whose word its usual time is: "history (14 runs)", "declared", "like 12 jobs"."""
