"""Past nights of the jobs of one night, from their histories: matrices with one row per business date.

The rows of a job that runs many times a day are its latest runs, newest last, whatever their night. A job without
enough runs takes its declared duration on every night, with the variation of other jobs. Nights of tonight's calendar
class count more (shrinkage of small groups towards the whole, James & Stein 1961). Month ends are too few among them:
where a year of daily figures shows what they take, each night is scaled to tonight's class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from statistics import median, stdev

import numpy as np

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import SourceMemo
from console.domain.history import MIN_RUNS, NO_HISTORY, EstimateKind, RunHistory
from console.forecast.night_graph import NightPoint, StartReference
from console.forecast.simulation.draws import SHORTEST
from console.forecast.simulation.past_views import MAX_NIGHTS, UNKNOWN_SPREAD, logs
from console.forecast.simulation.values import Booleans, Floats, Integers, JobPhase, NightHistory
from console.forecast.usual import LEAST_SPREAD, MONTH_END, night_kind

OWN_NIGHTS = 6.0
"""Number of nights of tonight's class with which a night of another class counts half."""


def night_similarity(classes: Sequence[str], tonight: str) -> Floats:
    """Weight of each past night: 1 in tonight's class, less in others; `classes`: `usual.night_kind` of each."""
    same = np.array([night_class == tonight for night_class in classes], bool)
    return np.where(same, 1.0, OWN_NIGHTS / (OWN_NIGHTS + same.sum()))


MIN_MONTH_ENDS = 3
MEDIAN_ERROR = 2.5
"""Two standard errors of a median, in those of a mean (normal distribution): a job without month ends shows none."""


def month_end_effect(ratios: Sequence[float]) -> float:
    """By how much month ends take longer than other nights, in logarithms, from those `ratios`: nearer to 0 the more
    they differ among themselves; 0 for fewer than MIN_MONTH_ENDS."""
    if len(ratios) < MIN_MONTH_ENDS:
        return 0.0
    logarithms = [math.log(ratio) for ratio in ratios]
    effect = median(logarithms)
    error = MEDIAN_ERROR * max(stdev(logarithms), LEAST_SPREAD) / math.sqrt(len(logarithms))
    return effect * (1 - (error / effect) ** 2) if abs(effect) > error else 0.0


FEWEST = 30
"""Minimum number of columns, so that repair times vary even if nothing else does."""
NINE_OF_TEN = 1.28
"""Standard deviations below which nine of ten lie (normal distribution)."""


@dataclass(frozen=True, slots=True)
class JobPast:
    """A job's successes, oldest first; s, NaN: not known."""

    days: Integers
    """Business dates as ordinals; empty: its runs belong to no night."""
    takes: Floats
    began: Floats
    """First start, since 1970."""
    ended: Floats
    delays: Floats
    """From its scheduled start to the first start."""
    repairs: Floats
    """From a failure to the start that succeeded; NaN: it did not fail. For attempts of one run, the time of the first
    failure is estimated: after half of the duration, or half-way to the start that succeeded."""
    unrepaired: Integers
    """Business dates, like `days`, on which it failed and never succeeded."""
    month_end: float
    """`month_end_effect`."""


def job_past(history: RunHistory) -> JobPast:
    """The history as arrays."""
    names = ("days", "takes", "at", "ended", "delays", "attempts", "repairs")
    days, takes, at, ended, delays, attempts, known = (np.array(getattr(history, name), float)[::-1] for name in names)
    delays = np.where(delays < 0, np.nan, delays)
    begun = ended - takes
    began = np.where(np.isfinite(delays), at + delays, np.where((attempts > 1) | (known >= 0), at, begun))
    began = np.minimum(began, begun)
    lost = begun - began
    repairs = np.where((attempts > 1) & (lost > 0), lost - np.minimum(takes, lost) / 2, np.nan)
    repairs = np.maximum(np.where(known >= 0, known, repairs), SHORTEST)
    no_days = np.empty(0, int)
    days, unrepaired = (
        (days.astype(int), np.array(history.unrepaired, int)) if history.is_nightly else (no_days, no_days)
    )
    return JobPast(days, takes, began, ended, delays, repairs, unrepaired, month_end_effect(history.month_ends))


@dataclass(frozen=True, slots=True)
class NightMatrices:
    """Nights x jobs."""

    takes: Floats
    began: Floats
    ended: Floats
    delays: Floats
    repairs: Floats


class PastNights:
    """Past nights of jobs as matrices, cached as long as the jobs' histories are the same."""

    def __init__(self) -> None:
        self._pasts = SourceMemo[JobPast]()

    def of(self, index: EstateIndex, points: Sequence[NightPoint], business_date: date) -> NightHistory:
        """The nights of these points before `business_date`, oldest first."""
        jobs = list(dict.fromkeys(point.job_id for point in points))
        histories = {job_id: index.estate.history.get(job_id, NO_HISTORY) for job_id in jobs}
        pasts = [
            self._pasts.get(job_id, (history,), partial(job_past, history)) for job_id, history in histories.items()
        ]
        dates = _past_dates(pasts, business_date)
        kinds, tonight = [night_kind(date.fromordinal(int(day))) for day in dates], night_kind(business_date)
        steps = np.array([(tonight == MONTH_END) - (kind == MONTH_END) for kind in kinds], int)
        nights = _night_matrices(index, jobs, pasts, dates, steps)
        column = {job_id: column for column, job_id in enumerate(jobs)}
        takes = np.column_stack([_takes(nights, column[point.job_id], point) for point in points])
        waits = np.column_stack([_waits(nights, column, point, points) for point in points])
        never = np.full(len(dates), np.nan)
        repairs = np.column_stack([nights.repairs[:, column[p.job_id]] if p.takes else never for p in points])
        ran = np.isfinite(nights.takes).sum(axis=0)
        done = np.array([ran[column[p.job_id]] if p.takes else 0 for p in points])
        similarity = night_similarity(kinds, tonight)
        declared, unsure = np.array([_declared(index, point) for point in points]).T
        return NightHistory(takes, waits, repairs, similarity, declared, unsure=unsure, done=done)


def _past_dates(pasts: Sequence[JobPast], business_date: date) -> Integers:
    """The past nights, as ordinals: at least FEWEST, at most MAX_NIGHTS."""
    until = business_date.toordinal()
    known = [days[days < until] for past in pasts for days in (past.days, past.unrepaired) if len(days)]
    dates = np.unique(np.concatenate(known))[-MAX_NIGHTS:] if known else np.empty(0, int)
    rows = max((min(len(past.takes), MAX_NIGHTS) for past in pasts if not len(past.days)), default=0)
    missing = max(rows, FEWEST) - len(dates)
    if missing <= 0:
        return dates
    first = int(dates[0]) if len(dates) else until
    return np.concatenate([np.arange(first - missing, first), dates]).astype(int)


def _night_matrices(
    index: EstateIndex, jobs: Sequence[int], pasts: Sequence[JobPast], dates: Integers, steps: Integers
) -> NightMatrices:
    """`steps`: by night, 1 to scale an ordinary night to a month end, -1 for the reverse, 0 for neither."""
    nights = NightMatrices(*(np.full((len(dates), len(jobs)), np.nan) for _ in range(5)))
    for column, (job_id, past) in enumerate(zip(jobs, pasts, strict=True)):
        estimate = index.estimate(job_id)
        if estimate.source is EstimateKind.DECLARED and estimate.p50 is not None:
            nights.takes[:, column] = estimate.p50.total_seconds()
        elif len(past.takes) < MIN_RUNS:
            latest = np.array(index.estate.durations.get(job_id, ())[: len(dates)], float)[::-1]
            nights.takes[len(dates) - len(latest) :, column] = latest
        elif len(past.days):
            rows, within = _rows(dates, past.days)
            for name in ("takes", "began", "ended", "delays", "repairs"):
                getattr(nights, name)[rows, column] = getattr(past, name)[within]
            nights.takes[:, column] *= np.exp(past.month_end * steps)
            nights.repairs[_rows(dates, past.unrepaired)[0], column] = np.inf
        else:
            count = min(len(past.takes), len(dates))
            for name in ("takes", "delays", "repairs"):
                getattr(nights, name)[-count:, column] = getattr(past, name)[-count:]
    return nights


def _declared(index: EstateIndex, point: NightPoint) -> tuple[float, float]:
    """Duration of a job with too few runs, as declared or as its peers take, s, and the uncertainty of the latter, in
    logarithms; NaN for any other job."""
    estimate = index.estimate(point.job_id)
    if estimate.source not in (EstimateKind.DECLARED, EstimateKind.PEERS) or estimate.takes is None or not point.takes:
        return np.nan, np.nan
    usual, most = estimate.takes.p50.total_seconds(), estimate.takes.p90.total_seconds()
    takes = usual * point.factor + point.longer
    if estimate.source is EstimateKind.DECLARED:
        return takes, np.nan
    spread = float(logs(np.array(most)) - logs(np.array(usual))) / NINE_OF_TEN
    return takes, max(spread, UNKNOWN_SPREAD)


def _rows(dates: Integers, days: Integers) -> tuple[Integers, Booleans]:
    """The rows of those days that are among the dates, and which of them are."""
    rows = np.searchsorted(dates, days)
    within = (rows < len(dates)) & (dates[np.minimum(rows, len(dates) - 1)] == days)
    return rows[within], within


def _takes(nights: NightMatrices, column: int, point: NightPoint) -> Floats:
    if not point.takes:
        return np.zeros(len(nights.takes))
    if not point.says:
        return np.full(len(nights.takes), np.nan)
    return nights.takes[:, column] * point.factor + point.longer


def _waits(nights: NightMatrices, column: Mapping[int, int], point: NightPoint, points: Sequence[NightPoint]) -> Floats:
    """From ready to started; 0 for a job that was never seen to wait."""
    waited = np.full(len(nights.takes), np.nan)
    upstreams = [points[upstream] for upstream in point.upstreams if points[upstream].job_id != point.job_id]
    if point.waited is StartReference.CLOCK:
        waited = nights.delays[:, column[point.job_id]]
    elif point.waited is StartReference.UPSTREAMS and upstreams and all(upstream.takes for upstream in upstreams):
        ready = nights.ended[:, [column[upstream.job_id] for upstream in upstreams]].max(axis=1)
        waited = np.maximum(nights.began[:, column[point.job_id]] - ready, 0.0)
    is_begun = point.phase in (JobPhase.RUNS, JobPhase.DONE)
    return waited if is_begun or np.isfinite(waited).any() else np.zeros(len(waited))
