"""Risk states, from P(late) to AT_RISK and WILL_MISS, and the score of past forecasts.

Forecasts of a service with bad past scores are marked as not to be trusted.

Hysteresis keeps a wavering forecast from notifying twice: a service is at risk from ALARM on until P(late) is half of
that, and will miss from even odds on until they are clearly better.

Scores count every day the same, however often it was forecast. Brier score: mean square of P(late) less what
happened (Brier 1950); skill: 1 less its ratio to that of always forecasting the share of late days. Reliability: by
bins of P(late), the mean forecast and how often it came true (Murphy 1973); their mean distance is the calibration
error (ECE).
Sharpness: how far p50 and p95 lie apart, in the median.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from console.domain.forecast import ForecastDay, ForecastTally
from console.domain.probability import format_percent
from console.domain.service import Timeliness

if TYPE_CHECKING:
    from console.domain.estate import LastVerdict

EVEN = 0.5
BETTER = 0.35
"""Probability from which a day notified as missed is shown as saved."""
CALM = 0.5
"""Share of the alarm below which a service is not at risk any more."""
ALARM = 0.4
"""P(late) from which a service is at risk. On the recorded nights of `tests.bench.forecast` it finds as many late days,
with as many false alarms, as thresholds that each service learned from its own past."""
AHEAD = timedelta(minutes=5)
"""An act-by that has passed is one that lies ahead again only by more than this."""


def misses(late: float, before: Timeliness | None) -> bool:
    """True from even odds on, and until they are clearly better. `before`: its last status."""
    return late > (BETTER if before is Timeliness.WILL_MISS else EVEN)


def judge_risk(late: float, was: LastVerdict | None) -> Timeliness:
    """Status by the forecast alone. `was`: last status by forecast, None if it was not at risk. A risk whose cause is
    resolved counts as never."""
    before = was.timeliness if was is not None and not was.has_cause else None
    if misses(late, before):
        return Timeliness.WILL_MISS
    return Timeliness.AT_RISK if late >= (ALARM * CALM if before is not None else ALARM) else Timeliness.ON_TIME


def has_passed(act_by: datetime, now: datetime, was: LastVerdict | None) -> bool:
    """True if a restart comes too late. A missed act-by stays missed until it is well ahead."""
    was_missed = was is not None and was.has_cause and was.timeliness is Timeliness.WILL_MISS
    return now > act_by - (AHEAD if was_missed else timedelta(0))


ENOUGH_DAYS = 20
"""Past days that a score of a service's forecasts needs."""
OFF = 0.1
"""Calibration error from which on forecasts are not to be trusted."""
BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Forecasts from `low` to below `high`; `days` in full days: one that was there half of the time counts half."""

    low: float
    high: float
    days: float
    forecast: float
    """P(late) on average."""
    late: float
    """Share that was late."""


@dataclass(frozen=True, slots=True)
class ForecastScore:
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
    bins: tuple[ScoreBin, ...]

    @property
    def trouble(self) -> str:
        """Why its forecasts are unreliable; empty if they are reliable, or with too few days."""
        if self.days < ENOUGH_DAYS or self.ece is None or self.brier is None:
            return ""
        if self.ece >= OFF:
            return f"past forecasts were {format_percent(self.ece)} off on average"
        is_worse = self.skill is not None and self.skill < 0
        return "worse than forecasting the share of its late days every time" if is_worse else ""


@lru_cache(maxsize=4096)
def distrust_of_tally(tally: ForecastTally) -> str:
    """As `ForecastScore.trouble`, from a tally; unchanged until the tally changes."""
    return _scored(tally, "", None).trouble


def distrust_reason(tallies: Mapping[str, ForecastTally], service: str) -> str:
    """Why the service's forecasts are not to be trusted; empty where nothing says so."""
    known = tallies.get(service)
    return "" if known is None else distrust_of_tally(known)


def score_forecasts(days: Sequence[ForecastDay], service: str = "") -> ForecastScore:
    """The score of the forecasts of these days; days without a forecast are left out."""
    days = [day for day in days if day.published]
    rows = tuple(
        (forecast.late, 1 / len(day.published), day.was_late / len(day.published))
        for day in days
        for forecast in day.published
    )
    widths = [
        (forecast.p95 - forecast.p50).total_seconds()
        for day in days
        for forecast in day.published
        if forecast.p50 is not None and forecast.p95 is not None
    ]
    sharpness = timedelta(seconds=median(widths)) if widths else None
    return _scored(ForecastTally(len(days), sum(day.was_late for day in days), rows), service, sharpness)


def _scored(known: ForecastTally, service: str, sharpness: timedelta | None) -> ForecastScore:
    if not known.days:
        return ForecastScore(service, 0, 0, None, None, None, None, ())
    brier = (
        sum(late * (1 - probability) ** 2 + (of - late) * probability**2 for probability, of, late in known.counts)
        / known.days
    )
    share = known.late / known.days
    base = share * (1 - share)
    bins = tuple(_bins(known.counts))
    ece = sum(score_bin.days * abs(score_bin.forecast - score_bin.late) for score_bin in bins) / known.days
    return ForecastScore(
        service, known.days, known.late, brier, 1 - brier / base if base else None, ece, sharpness, bins
    )


def scores_by_service(days: Iterable[ForecastDay]) -> list[ForecastScore]:
    """Of each service, in the order of their names."""
    days_by_service: dict[str, list[ForecastDay]] = {}
    for day in days:
        days_by_service.setdefault(day.service, []).append(day)
    return [score_forecasts(days_by_service[name], name) for name in sorted(days_by_service)]


def _bins(rows: Iterable[tuple[float, float, float]]) -> Iterable[ScoreBin]:
    for low, high in pairwise(BINS):
        mine = [row for row in rows if low <= row[0] < high or (high == BINS[-1] and row[0] == high)]
        total = sum(of for _, of, _ in mine)
        if total:
            mean, was = sum(p_late * of for p_late, of, _ in mine) / total, sum(late for _, _, late in mine) / total
            yield ScoreBin(low, high, total, mean, was)
