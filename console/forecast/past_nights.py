"""Past nights of the jobs of one night, from their histories: matrices with one row per business date.

Of a job that runs many times a day the latest runs fill the rows, newest last: which of them belongs to which night
says nothing. A job without enough runs takes what its owner declared on every night; it varies as others do. Nights
of tonight's calendar class count more (shrinkage of small groups towards the whole, James & Stein 1961).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import SourceMemo
from console.domain.history import MANY_A_DAY, MIN_RUNS, NO_HISTORY, RunHistory
from console.forecast.night_graph import NightPoint, StartReference
from console.forecast.simulation.draws import SHORTEST
from console.forecast.simulation.past_views import MOST_NIGHTS, UNKNOWN_SPREAD, logs
from console.forecast.simulation.values import Booleans, Floats, Integers, JobPhase, NightHistory
from console.forecast.usual import night_kind

OWN_NIGHTS = 6.0
"""With so many nights of its own class, a night of another one counts half."""


def night_similarity(classes: Sequence[str], tonight: str) -> Floats:
    """By earlier night: 1 for one of tonight's class, less for others; `classes`: as the calendar names them."""
    same = np.array([each == tonight for each in classes], bool)
    return np.where(same, 1.0, OWN_NIGHTS / (OWN_NIGHTS + same.sum()))


FEWEST = 30
"""Columns there are at least, so that repair times vary where nothing else does."""
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
    """From its clock to the first start."""
    repairs: Floats
    """Between a failure and the start that succeeded; NaN: it did not fail. Of attempts of one run it is not known when
    the first failed: half of what it takes, or half-way."""
    unmended: Integers
    """Business dates, like `days`, on which it failed and never succeeded."""


def job_past(history: RunHistory) -> JobPast:
    """The same as arrays."""
    names = ("days", "takes", "at", "ended", "delays", "attempts", "repairs")
    days, takes, at, ended, delays, attempts, known = (np.array(getattr(history, name), float)[::-1] for name in names)
    delays = np.where(delays < 0, np.nan, delays)
    begun = ended - takes
    began = np.where(np.isfinite(delays), at + delays, np.where((attempts > 1) | (known >= 0), at, begun))
    began = np.minimum(began, begun)
    lost = begun - began
    repairs = np.where((attempts > 1) & (lost > 0), lost - np.minimum(takes, lost) / 2, np.nan)
    repairs = np.maximum(np.where(known >= 0, known, repairs), SHORTEST)
    is_nightly = len(days) > 0 and days.min() > 0 and len(days) / len(np.unique(days)) < MANY_A_DAY
    no_days = np.empty(0, int)
    days, unmended = (days.astype(int), np.array(history.unmended, int)) if is_nightly else (no_days, no_days)
    return JobPast(days, takes, began, ended, delays, repairs, unmended)


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
        """Of these points before the night of `business_date`; nights oldest first."""
        jobs = list(dict.fromkeys(point.job_id for point in points))
        pasts = [self.past(index, job_id) for job_id in jobs]
        dates = _dates(pasts, business_date)
        nights = _nights(index, jobs, pasts, dates)
        place = {job_id: column for column, job_id in enumerate(jobs)}
        takes = np.column_stack([_takes(nights, place, point) for point in points])
        waits = np.column_stack([_waits(nights, place, point, points) for point in points])
        never = np.full(len(dates), np.nan)
        repairs = np.column_stack([nights.repairs[:, place[p.job_id]] if p.takes else never for p in points])
        ran = np.isfinite(nights.takes).sum(axis=0)
        done = np.array([ran[place[p.job_id]] if p.takes else 0 for p in points])
        kinds = [night_kind(date.fromordinal(int(day))) for day in dates]
        guesses = [_guessed(index, point) for point in points]
        guessed = np.array([usual for usual, _ in guesses])
        unsure = np.array([spread for _, spread in guesses])
        return NightHistory(
            takes, waits, repairs, night_similarity(kinds, night_kind(business_date)), guessed, unsure=unsure, done=done
        )

    def past(self, index: EstateIndex, job_id: int) -> JobPast:
        history = index.estate.history.get(job_id, NO_HISTORY)
        return self._pasts.get(job_id, (history,), lambda: job_past(history))


def _dates(pasts: Sequence[JobPast], business_date: date) -> Integers:
    """The nights that are looked at, as ordinals."""
    until = business_date.toordinal()
    known = [days[days < until] for past in pasts for days in (past.days, past.unmended) if len(days)]
    found = np.unique(np.concatenate(known))[-MOST_NIGHTS:] if known else np.empty(0, int)
    rows = max((min(len(past.takes), MOST_NIGHTS) for past in pasts if not len(past.days)), default=0)
    missing = max(rows, FEWEST) - len(found)
    if missing <= 0:
        return found
    first = int(found[0]) if len(found) else until
    return np.concatenate([np.arange(first - missing, first), found]).astype(int)


def _nights(index: EstateIndex, jobs: Sequence[int], pasts: Sequence[JobPast], dates: Integers) -> NightMatrices:
    found = NightMatrices(*(np.full((len(dates), len(jobs)), np.nan) for _ in range(5)))
    for column, (job_id, past) in enumerate(zip(jobs, pasts, strict=True)):
        known = index.estimate(job_id)
        durations = index.estate.durations.get(job_id, ())
        if known.source == "declared" and known.p50 is not None:
            found.takes[:, column] = known.p50.total_seconds()
        elif len(past.takes) < MIN_RUNS:
            latest = np.array(durations[: len(dates)], float)[::-1]
            found.takes[len(dates) - len(latest) :, column] = latest
        elif len(past.days):
            _by_date(found, column, past, dates)
        else:
            _by_run(found, column, past)
    return found


def _guessed(index: EstateIndex, point: NightPoint) -> tuple[float, float]:
    """What a job that hardly ever ran takes as its owner declared, or as those like it do, s, and by how much a guess
    may be off, in logarithms; NaN for any other."""
    known = index.estimate(point.job_id)
    if known.source not in ("declared", "like") or known.takes is None or not point.takes:
        return np.nan, np.nan
    if known.source == "declared":
        return known.takes.p50.total_seconds() * point.factor + point.longer, np.nan
    usual, most = (each.total_seconds() for each in (known.takes.p50, known.takes.p90))
    spread = float(logs(np.array(most)) - logs(np.array(usual))) / NINE_OF_TEN
    return usual * point.factor + point.longer, max(spread, UNKNOWN_SPREAD)


def _by_date(found: NightMatrices, column: int, past: JobPast, dates: Integers) -> None:
    rows, within = _rows(dates, past.days)
    for name in ("takes", "began", "ended", "delays", "repairs"):
        getattr(found, name)[rows, column] = getattr(past, name)[within]
    found.repairs[_rows(dates, past.unmended)[0], column] = np.inf


def _rows(dates: Integers, days: Integers) -> tuple[Integers, Booleans]:
    """Where those days stand among the dates, and which of them do."""
    rows = np.searchsorted(dates, days)
    within = (rows < len(dates)) & (dates[np.minimum(rows, len(dates) - 1)] == days)
    return rows[within], within


def _by_run(found: NightMatrices, column: int, past: JobPast) -> None:
    count = min(len(past.takes), len(found.takes))
    for name in ("takes", "delays", "repairs"):
        getattr(found, name)[-count:, column] = getattr(past, name)[-count:]


def _takes(nights: NightMatrices, place: Mapping[int, int], point: NightPoint) -> Floats:
    if not point.takes:
        return np.zeros(len(nights.takes))
    if not point.says:
        return np.full(len(nights.takes), np.nan)
    return nights.takes[:, place[point.job_id]] * point.factor + point.longer


def _waits(nights: NightMatrices, place: Mapping[int, int], point: NightPoint, points: Sequence[NightPoint]) -> Floats:
    """From when it could start to when it did; nothing for what was never seen to wait."""
    column, waited = place[point.job_id], np.full(len(nights.takes), np.nan)
    above = [points[each] for each in point.upstreams if points[each].job_id != point.job_id]
    if point.waited is StartReference.CLOCK:
        waited = nights.delays[:, column]
    elif point.waited is StartReference.UPSTREAMS and above and all(each.takes for each in above):
        ready = nights.ended[:, [place[each.job_id] for each in above]].max(axis=1)
        waited = np.maximum(nights.began[:, column] - ready, 0.0)
    is_begun = point.stand in (JobPhase.RUNS, JobPhase.DONE)
    return waited if is_begun or np.isfinite(waited).any() else np.zeros(len(waited))
