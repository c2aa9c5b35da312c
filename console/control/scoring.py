"""How good one's own forecasts were: what was told of each service day before its deadline against what became of it.

Every day counts the same, however often it was forecast. Brier score: mean square of P(late) less what happened (Brier
1950); skill: 1 less its ratio to that of always telling the share of late days. Reliability: by bins of P(late), what
was told on average and how often it came true (Murphy 1973); their mean distance is the calibration error (ECE).
Sharpness: how far p50 and p95 lay apart, in the median.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from statistics import median

from console.model.chance import ToldDay

ENOUGH_DAYS = 20
"""Days that are over, below which nothing is said of a service's forecasts."""
OFF = 0.1
"""Calibration error from which on forecasts are not to be trusted."""
BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Bin:
    """Forecasts from `low` to below `high`; `days` in full days: one that was there half of the time counts half."""

    low: float
    high: float
    days: float
    told: float
    """P(late) on average."""
    late: float
    """Share that was late."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of one service, or of all."""

    service: str
    """Empty: all."""
    days: int
    late: int
    brier: float | None
    """None as the next ones: without a day."""
    skill: float | None
    """None also where all days went the same."""
    ece: float | None
    sharpness: timedelta | None
    bins: tuple[Bin, ...]

    @property
    def trouble(self) -> str:
        """Why its forecasts are not to be trusted; empty where they are, and where too few days are over."""
        if self.days < ENOUGH_DAYS or self.ece is None or self.brier is None:
            return ""
        if self.ece >= OFF:
            return f"what was told lay {round(self.ece * 100)} % off on average"
        is_worse = self.skill is not None and self.skill < 0
        return "worse than telling the share of its late days every time" if is_worse else ""


def score(days: Sequence[ToldDay], service: str = "") -> Score:
    """Of these days, those without a forecast left out."""
    days = [day for day in days if day.told]
    late = sum(day.was_late for day in days)
    if not days:
        return Score(service, 0, 0, None, None, None, None, ())
    rows = [(one.late, float(day.was_late), 1 / len(day.told)) for day in days for one in day.told]
    brier = sum(weight * (told - was) ** 2 for told, was, weight in rows) / len(days)
    share = late / len(days)
    base = share * (1 - share)
    bins = tuple(_bins(rows))
    ece = sum(one.days * abs(one.told - one.late) for one in bins) / len(days)
    widths = [
        (one.p95 - one.p50).total_seconds()
        for day in days
        for one in day.told
        if one.p50 is not None and one.p95 is not None
    ]
    sharpness = timedelta(seconds=median(widths)) if widths else None
    return Score(service, len(days), late, brier, 1 - brier / base if base else None, ece, sharpness, bins)


def by_service(days: Iterable[ToldDay]) -> list[Score]:
    """Of each service, in the order of their names."""
    found: dict[str, list[ToldDay]] = {}
    for day in days:
        found.setdefault(day.service, []).append(day)
    return [score(found[name], name) for name in sorted(found)]


def _bins(rows: Sequence[tuple[float, float, float]]) -> Iterable[Bin]:
    for low, high in pairwise(BINS):
        mine = [row for row in rows if low <= row[0] < high or (high == BINS[-1] and row[0] == high)]
        total = sum(weight for _, _, weight in mine)
        if total:
            told, was = (sum(row[place] * row[2] for row in mine) / total for place in (0, 1))
            yield Bin(low, high, total, told, was)
