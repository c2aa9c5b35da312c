"""Earlier nights of the jobs of one night, from what the store remembers of each: rows are business dates.

Of a job that runs many times a day the latest runs fill the rows, newest last: which of them belongs to which night
says nothing. A job without enough runs takes what its owner declared, in every night; it varies as others do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from console.control.estimate import ENOUGH_RUNS
from console.control.forecast.points import Point, Waited
from console.control.forecast.simulation.alike import alike
from console.control.forecast.simulation.recency import MOST_NIGHTS, UNKNOWN_SPREAD, logs
from console.control.forecast.simulation.repair import SHORTEST
from console.control.forecast.simulation.values import Floats, Past, Stand, Truths, Whole
from console.control.picture import Picture
from console.control.usual import kind_of
from console.model.history import MANY_A_DAY, NO_HISTORY, History

FEWEST = 30
"""Columns there are at least, so that repair times vary where nothing else does."""
NINE_OF_TEN = 1.28
"""Standard deviations below which nine of ten lie (normal distribution)."""


@dataclass(frozen=True, slots=True)
class JobPast:
    """A job's successes, oldest first; s, NaN: not known."""

    history: History
    days: Whole
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
    unmended: Whole
    """Business dates, like `days`, on which it failed and never succeeded."""


def job_past(history: History) -> JobPast:
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
    return JobPast(history, days, takes, began, ended, delays, repairs, unmended)


@dataclass(frozen=True, slots=True)
class Nights:
    """Nights x jobs."""

    takes: Floats
    began: Floats
    ended: Floats
    delays: Floats
    repairs: Floats


class PastNights:
    """What was made of the histories of jobs; whoever forecasts again holds it. A history never changes: of a job with
    another one, that is read."""

    def __init__(self) -> None:
        self._known: dict[int, JobPast] = {}

    def of(self, picture: Picture, points: Sequence[Point], bd: date) -> Past:
        """Of these points before the night of `bd`; nights oldest first."""
        jobs = list(dict.fromkeys(point.job_id for point in points))
        pasts = [self.past(picture, job_id) for job_id in jobs]
        dates = _dates(pasts, bd)
        nights = _nights(picture, jobs, pasts, dates)
        place = {job_id: column for column, job_id in enumerate(jobs)}
        takes = np.column_stack([_takes(nights, place, point) for point in points])
        waits = np.column_stack([_waits(nights, place, point, points) for point in points])
        never = np.full(len(dates), np.nan)
        repairs = np.column_stack([nights.repairs[:, place[p.job_id]] if p.takes else never for p in points])
        ran = np.isfinite(nights.takes).sum(axis=0)
        done = np.array([ran[place[p.job_id]] if p.takes else 0 for p in points])
        kinds = [kind_of(date.fromordinal(int(day))) for day in dates]
        guesses = [_guessed(picture, point) for point in points]
        guessed = np.array([usual for usual, _ in guesses])
        unsure = np.array([spread for _, spread in guesses])
        return Past(takes, waits, repairs, alike(kinds, kind_of(bd)), guessed, unsure=unsure, done=done)

    def past(self, picture: Picture, job_id: int) -> JobPast:
        history = picture.estate.history.get(job_id, NO_HISTORY)
        known = self._known.get(job_id)
        if known is None or known.history is not history:
            known = self._known[job_id] = job_past(history)
        return known


def _dates(pasts: Sequence[JobPast], bd: date) -> Whole:
    """The nights that are looked at, as ordinals."""
    until = bd.toordinal()
    known = [days[days < until] for past in pasts for days in (past.days, past.unmended) if len(days)]
    found = np.unique(np.concatenate(known))[-MOST_NIGHTS:] if known else np.empty(0, int)
    rows = max((min(len(past.takes), MOST_NIGHTS) for past in pasts if not len(past.days)), default=0)
    missing = max(rows, FEWEST) - len(found)
    if missing <= 0:
        return found
    first = int(found[0]) if len(found) else until
    return np.concatenate([np.arange(first - missing, first), found]).astype(int)


def _nights(picture: Picture, jobs: Sequence[int], pasts: Sequence[JobPast], dates: Whole) -> Nights:
    found = Nights(*(np.full((len(dates), len(jobs)), np.nan) for _ in range(5)))
    for column, (job_id, past) in enumerate(zip(jobs, pasts, strict=True)):
        known = picture.estimate(job_id)
        durations = picture.estate.durations.get(job_id, ())
        if known.source == "declared" and known.p50 is not None:
            found.takes[:, column] = known.p50.total_seconds()
        elif len(past.takes) < ENOUGH_RUNS:
            latest = np.array(durations[: len(dates)], float)[::-1]
            found.takes[len(dates) - len(latest) :, column] = latest
        elif len(past.days):
            _by_date(found, column, past, dates)
        else:
            _by_run(found, column, past)
    return found


def _guessed(picture: Picture, point: Point) -> tuple[float, float]:
    """What a job that hardly ever ran takes as its owner declared, or as those like it do, s, and by how much a guess
    may be off, in logarithms; NaN for any other."""
    known = picture.estimate(point.job_id)
    if known.source not in ("declared", "like") or known.takes is None or not point.takes:
        return np.nan, np.nan
    if known.source == "declared":
        return known.takes.p50.total_seconds() * point.factor + point.longer, np.nan
    usual, most = (each.total_seconds() for each in (known.takes.p50, known.takes.p90))
    spread = float(logs(np.array(most)) - logs(np.array(usual))) / NINE_OF_TEN
    return usual * point.factor + point.longer, max(spread, UNKNOWN_SPREAD)


def _by_date(found: Nights, column: int, past: JobPast, dates: Whole) -> None:
    rows, within = _rows(dates, past.days)
    for name in ("takes", "began", "ended", "delays", "repairs"):
        getattr(found, name)[rows, column] = getattr(past, name)[within]
    found.repairs[_rows(dates, past.unmended)[0], column] = np.inf


def _rows(dates: Whole, days: Whole) -> tuple[Whole, Truths]:
    """Where those days stand among the dates, and which of them do."""
    rows = np.searchsorted(dates, days)
    within = (rows < len(dates)) & (dates[np.minimum(rows, len(dates) - 1)] == days)
    return rows[within], within


def _by_run(found: Nights, column: int, past: JobPast) -> None:
    count = min(len(past.takes), len(found.takes))
    for name in ("takes", "delays", "repairs"):
        getattr(found, name)[-count:, column] = getattr(past, name)[-count:]


def _takes(nights: Nights, place: Mapping[int, int], point: Point) -> Floats:
    if not point.takes:
        return np.zeros(len(nights.takes))
    if not point.says:
        return np.full(len(nights.takes), np.nan)
    return nights.takes[:, place[point.job_id]] * point.factor + point.longer


def _waits(nights: Nights, place: Mapping[int, int], point: Point, points: Sequence[Point]) -> Floats:
    """From when it could start to when it did; nothing for what was never seen to wait."""
    column, waited = place[point.job_id], np.full(len(nights.takes), np.nan)
    above = [points[each] for each in point.upstreams if points[each].job_id != point.job_id]
    if point.waited is Waited.CLOCK:
        waited = nights.delays[:, column]
    elif point.waited is Waited.UPSTREAMS and above and all(each.takes for each in above):
        ready = nights.ended[:, [place[each.job_id] for each in above]].max(axis=1)
        waited = np.maximum(nights.began[:, column] - ready, 0.0)
    is_begun = point.stand in (Stand.RUNS, Stand.DONE)
    return waited if is_begun or np.isfinite(waited).any() else np.zeros(len(waited))
