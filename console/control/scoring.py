"""How good one's own forecasts were: what was told of each service day before its deadline against what became of it.

Every day counts the same, however often it was forecast. Brier score: mean square of P(late) less what happened (Brier
1950); skill: 1 less its ratio to that of always telling the share of late days. Reliability: by bins of P(late), what
was told on average and how often it came true (Murphy 1973); their mean distance is the calibration error (ECE).
Sharpness: how far p50 and p95 lay apart, in the median.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median

from console.model.forecasts import Tally, ToldDay, percent
from console.model.promises import service_of

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
            return f"what was told lay {percent(self.ece)} off on average"
        is_worse = self.skill is not None and self.skill < 0
        return "worse than telling the share of its late days every time" if is_worse else ""


@lru_cache(maxsize=4096)
def distrust(tally: Tally) -> str:
    """As `Score.trouble`, of what was added up; the same at every look until that is another."""
    return _scored(tally, "", None).trouble


def distrust_of(tallies: Mapping[str, Tally], service: str) -> str:
    """Why the service's forecasts, or those of its instance, are not to be trusted; empty where nothing says so."""
    known = tallies.get(service_of(service))
    return "" if known is None else distrust(known)


def score(days: Sequence[ToldDay], service: str = "") -> Score:
    """Of these days, those without a forecast left out."""
    days = [day for day in days if day.told]
    rows = tuple((one.late, 1 / len(day.told), day.was_late / len(day.told)) for day in days for one in day.told)
    widths = [
        (one.p95 - one.p50).total_seconds()
        for day in days
        for one in day.told
        if one.p50 is not None and one.p95 is not None
    ]
    sharpness = timedelta(seconds=median(widths)) if widths else None
    return _scored(Tally(len(days), sum(day.was_late for day in days), rows), service, sharpness)


def _scored(known: Tally, service: str, sharpness: timedelta | None) -> Score:
    if not known.days:
        return Score(service, 0, 0, None, None, None, None, ())
    brier = sum(late * (1 - told) ** 2 + (of - late) * told**2 for told, of, late in known.told) / known.days
    share = known.late / known.days
    base = share * (1 - share)
    bins = tuple(_bins(known.told))
    ece = sum(one.days * abs(one.told - one.late) for one in bins) / known.days
    return Score(service, known.days, known.late, brier, 1 - brier / base if base else None, ece, sharpness, bins)


def by_service(days: Iterable[ToldDay]) -> list[Score]:
    """Of each service, in the order of their names."""
    found: dict[str, list[ToldDay]] = {}
    for day in days:
        found.setdefault(day.service, []).append(day)
    return [score(found[name], name) for name in sorted(found)]


def _bins(rows: Iterable[tuple[float, float, float]]) -> Iterable[Bin]:
    for low, high in pairwise(BINS):
        mine = [row for row in rows if low <= row[0] < high or (high == BINS[-1] and row[0] == high)]
        total = sum(of for _, of, _ in mine)
        if total:
            told, was = sum(told * of for told, of, _ in mine) / total, sum(late for _, _, late in mine) / total
            yield Bin(low, high, total, told, was)
