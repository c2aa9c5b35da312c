"""The past of one night in two views, and the columns that each view draws for tonight.

Level and spread (Brown 1959): exponential weights, in logarithms, because times vary by factors. `recent`: the last
nights unchanged, for jobs that repeat the same few durations. `followed`: the errors of a level that follows the
job, for jobs that drift.
Prior (empirical Bayes, Morris 1983): a job without history takes the median of the estate, with a wide
spread.
Run factor: finished jobs of tonight as evidence for the rest, since jobs of one night are slow together. Ridge
regression of every job on the known jobs, over past nights, in its dual form (kernel ridge, Saunders et al.
1998); errors are the leave-one-out residuals e = (A y) / diag(A). The inverted matrix is nights x nights.
Columns: stratified resampling of weighted nights (Kitagawa 1996), by largest remainders rather than at random. A
gap takes another night of the same job (hot deck, Andridge & Little 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from console.forecast.simulation.values import (
    Booleans,
    Floats,
    Integers,
    JobPhase,
    NightHistory,
    Tonight,
    clip_within,
    normal,
)

RECENT_HALF_LIFE = 3.0
"""Nights after which a night counts half, in the view of recent nights."""
LEVEL_HALF_LIFE = 1.5
"""The same for the level that is followed: lateness comes in spells."""
MISSED_HALF_LIFE = 30.0
"""The same for what it missed: a spread moves slowly."""
MAX_NIGHTS = 80
OFFSET = 5.0
"""Seconds added before the logarithm: a job of one second may well take three."""
LEAST_SPREAD = 0.015
UNKNOWN_SPREAD = 0.5
"""Of a job without history around its like, in logarithms; and of what a night varies, where no job shows it."""
OFTEN = 12
"""Nights from which on a job's spread is its own, and says how others vary that ran on fewer."""
FEWEST_JOBS = 3
"""Fewer of these say nothing about another one."""
STILL = 1e-6
"""A smaller spread counts as 0: a marker in the graph, or a declared duration."""
WILD = 4.0
"""Spreads from the level beyond which a night says no more about it."""
MAX_MOVED = 1.0
"""The most that one night moves the level, before its step; in logarithms."""


@dataclass(frozen=True, slots=True)
class UsualDurations:
    """Statistics of each job's own nights: logarithms of durations, nights x jobs, oldest night first."""

    level: Floats
    """Of a job that never ran 0, from `usual_durations` on NaN."""
    spread: Floats
    away: Floats
    """Of each night from the level, from `usual_durations` on in spreads; 0 where the job did not run."""
    runs: Integers
    """How many of the nights it ran, by job."""
    weights: Floats
    """By night, the newest 1."""

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def spread_seconds(self) -> Floats:
        return seconds(self.level + self.spread) - seconds(self.level)


class PeerSpread(NamedTuple):
    """The jobs that ran often."""

    spread: float
    """Median spread of their nights, in logarithms; UNKNOWN_SPREAD if they are too few."""
    jobs: int
    """How many; 0: too few."""


def peer_spread(spreads: Floats, runs: Integers) -> PeerSpread:
    """`spreads`: by job, its own."""
    known = spreads[(runs >= OFTEN) & (spreads >= STILL)]
    if len(known) < FEWEST_JOBS:
        return PeerSpread(UNKNOWN_SPREAD, 0)
    return PeerSpread(float(np.clip(np.median(known), LEAST_SPREAD, UNKNOWN_SPREAD)), len(known))


def doubt(runs: Integers, varies: float) -> Floats:
    """By how much the level of a job that ran so often may lie elsewhere, in logarithms; `varies`: a night of the
    others."""
    level = 1 / (1 / UNKNOWN_SPREAD**2 + runs / varies**2)
    return np.asarray(np.sqrt((1 - _known(runs)) * level))


def _known(runs: Integers) -> Floats:
    """How much of its own spread a job shows in so many runs."""
    return np.asarray(runs / (runs + 2.0))


def logs(times: Floats) -> Floats:
    return np.log(np.maximum(times, 0.0) + OFFSET)


def seconds(logarithms: Floats) -> Floats:
    return np.maximum(np.exp(logarithms) - OFFSET, 0.0)


def recent(times: Floats, similarity: Floats | None = None) -> UsualDurations:
    """`times`: nights x jobs, s, NaN where a job did not run. `similarity`: additional weight of each night."""
    past, ran, weights = _window(times, similarity, RECENT_HALF_LIFE)
    filled = np.where(ran, past, 0.0)
    level, spread = _weighted(filled, ran * weights[:, None])
    for _ in range(2):
        near = np.clip(filled, level - WILD * spread / 2, level + WILD * spread / 2)
        level, _ = _weighted(near, ran * weights[:, None])
    return UsualDurations(level, spread, np.where(ran, filled - level, 0.0), ran.sum(axis=0), weights)


def followed(times: Floats, similarity: Floats | None = None) -> UsualDurations:
    """As `recent`, with each night's deviation measured from the level known before it."""
    past, ran, weights = _window(times, similarity, MISSED_HALF_LIFE)
    level, missed = _follow(past, ran, 1 - 0.5 ** (1 / LEVEL_HALF_LIFE))
    weight = ran * weights[:, None]
    spread = np.sqrt((weight * missed**2).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9))
    return UsualDurations(level, spread, missed, ran.sum(axis=0), weights)


def usual_durations(shown: UsualDurations, varies: float) -> UsualDurations:
    """A job that ran on few nights may vary as the `others` do. Uses up what is shown."""
    level = np.where(shown.runs == 0, np.nan, shown.level)
    spread = np.sqrt(_known(shown.runs) * shown.spread**2 + doubt(shown.runs, varies) ** 2)
    spread = np.maximum(spread, LEAST_SPREAD)
    away = np.divide(shown.away, spread, out=shown.away)
    return UsualDurations(level, spread, np.clip(away, -WILD, 2 * WILD, out=away), shown.runs, shown.weights)


def _window(times: Floats, similarity: Floats | None, half_life: float) -> tuple[Floats, Booleans, Floats]:
    past = logs(np.asarray(times[-MAX_NIGHTS:], float))
    weights = 0.5 ** (np.arange(len(past) - 1, -1, -1) / half_life)
    return past, np.isfinite(past), weights if similarity is None else weights * similarity[-MAX_NIGHTS:]


def _weighted(filled: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation by job; the latter as from as many nights as the weights amount to."""
    total = np.maximum(weight.sum(axis=0), 1e-9)
    level = (weight * filled).sum(axis=0) / total
    squares = (weight * (filled - level) ** 2).sum(axis=0) / total
    nights = total**2 / np.maximum((weight**2).sum(axis=0), 1e-9)
    return level, np.sqrt(squares * nights / np.maximum(nights - 1, 0.5))


def _follow(past: Floats, ran: Booleans, step: float) -> tuple[Floats, Floats]:
    """The level after all nights, and by how much each night missed the level known before it."""
    level = np.zeros(past.shape[1])
    counted = np.zeros(past.shape[1])
    missed = np.zeros(past.shape)
    for night, here in enumerate(ran):
        level = np.where(here & (counted == 0), past[night], level)
        counted += here
        missed[night] = np.where(here, past[night] - level, 0.0)
        moved = clip_within(missed[night], -MAX_MOVED, MAX_MOVED)
        level = level + np.maximum(step, 1 / np.maximum(counted, 1)) * moved
    return level, missed


UNKNOWN_TAKES = 300.0
"""Default duration, s, if no job of the estate ever ran and none is declared."""


def fill_levels(level: Floats, declared: Floats | None) -> Floats:
    """The level of each job, in logarithms. A job that never ran (NaN) gets what is declared, else the estate's
    median."""
    never = np.isnan(level)
    if not never.any():
        return level
    ran = level[~never]
    filled = np.where(never, np.median(ran) if len(ran) else logs(np.array(UNKNOWN_TAKES)), level)
    if declared is not None:
        filled = np.where(never & np.isfinite(declared), logs(np.nan_to_num(declared)), filled)
    return filled


RIDGE = 1.5
MAX_SAID = 3.0
"""Limit of the evidence of one job, in spreads."""
OVERTAKEN_SAYS = 1.0
"""The same for a job that is still running longer than usual: weak evidence of a slow run."""
FEWEST_NIGHTS = 3


@dataclass(frozen=True, slots=True)
class NightEvidence:
    """Evidence from the jobs that have started or ended tonight."""

    jobs: Booleans
    """By job: True if it is evidence."""
    away: Floats
    """By job: spreads from the level."""


@dataclass(frozen=True, slots=True)
class RunFactor:
    """Inference from the known jobs about all jobs, through past nights: `away @ shift` by job and `away @ errors`
    jobs x nights, in spreads from the level, with `away` jobs x nights."""

    shift: Floats
    """By night."""
    errors: Floats
    """Nights x nights: the leave-one-out errors of each past night."""


def night_evidence(usual: UsualDurations, times: Floats, is_over: Booleans, is_on: Booleans) -> NightEvidence:
    """`times`: s, by job: the duration where `is_over`, the elapsed time where `is_on`; NaN: no evidence."""
    away = (logs(np.where(is_over | is_on, times, 0.0)) - usual.level) / usual.spread
    says = (is_over | (is_on & (away > 0))) & (usual.runs > 0) & np.isfinite(away)
    return NightEvidence(says, np.clip(away, -MAX_SAID, np.where(is_over, MAX_SAID, OVERTAKEN_SAYS)))


def infer_run_factor(seen: Floats, tonight: Floats, weights: Floats) -> RunFactor:
    """`seen`: of the known jobs only, jobs x nights, spreads from the level; `tonight`: the same of tonight; `weights`:
    by night."""
    nights = len(weights)
    if not len(seen) or nights < FEWEST_NIGHTS:
        return RunFactor(np.zeros(nights), np.eye(nights))
    sane = clip_within(seen, -MAX_SAID, MAX_SAID)
    similarity = sane.T @ sane / len(sane)
    inverse = np.linalg.inv(similarity.astype(float) + np.diag(RIDGE / weights))
    return RunFactor(inverse @ (sane.T @ tonight / len(sane)), inverse / np.diag(inverse))


COLUMNS = 64
"""Columns of a view."""


@dataclass(frozen=True, slots=True)
class NightColumns:
    night: Integers
    """By column, newest first."""
    weights: Floats
    """By column; they add up to 1."""


def choose_columns(weights: Floats) -> NightColumns:
    """`weights`: by night, oldest first. A night with several columns shares its weight among them."""
    quota = weights / weights.sum() * COLUMNS
    counts = np.floor(quota).astype(np.intp)
    remaining = COLUMNS - int(counts.sum())
    counts[np.argsort(-(quota - counts), kind="stable")[:remaining]] += 1
    night = np.repeat(np.arange(len(weights)), counts)[::-1]
    shared = weights[night] / counts[night]
    return NightColumns(night, shared / shared.sum())


STRIDE = 7
"""From one gap to the next, so that gaps side by side take different nights."""
FEWEST = 3
"""Of the nights that have columns, for a job to fill its gaps from them alone."""


@dataclass(frozen=True, slots=True)
class StandIns:
    """By gap, of places and columns."""

    place: Integers
    column: Integers
    of: Integers
    """The substitute column."""
    rare: Integers
    """Places that ran on few of the nights that have columns."""
    nights: Integers
    """Substitute night of each rare place and column, as an index into all nights."""

    def fill(self, drawn: Floats, first: int, away: Floats, errors: Floats) -> None:
        """`drawn`: columns of the places from `first` on, in place; `away`: all jobs x nights, of which `errors` makes
        what each night missed."""
        mine = slice(*np.searchsorted(self.place, [first, first + len(drawn)]))
        place = self.place[mine] - first
        drawn[place, self.column[mine]] = drawn[place, self.of[mine]]
        rare = slice(*np.searchsorted(self.rare, [first, first + len(drawn)]))
        drawn[self.rare[rare] - first] = np.take_along_axis(away[self.rare[rare]] @ errors, self.nights[rare], axis=1)


def find_stand_ins(ran: Booleans, order: Integers, night: Integers) -> StandIns:
    """`ran`: nights x jobs; `order`: job by place; `night`: by column, newest first."""
    by_column = ran[night][:, order].T
    counts = by_column.sum(axis=1)
    gappy = np.flatnonzero((counts >= FEWEST) & (counts < len(night)))
    place, column = np.nonzero(~by_column[gappy])
    have = np.argsort(~by_column[gappy], axis=1, kind="stable")
    turn = np.concatenate([np.arange(gaps) for gaps in len(night) - counts[gappy]] or [np.zeros(0, np.intp)])
    of = have[place, (turn * STRIDE) % counts[gappy][place]]
    rare = np.flatnonzero((counts < FEWEST) & np.asarray(ran.any(axis=0))[order])
    nights = np.array([_of_all(ran[:, order[at]], night) for at in rare], np.intp).reshape(len(rare), len(night))
    return StandIns(gappy[place], column.astype(np.int16), of.astype(np.int16), rare, nights)


def _of_all(ran: Booleans, night: Integers) -> Integers:
    """By column: the night itself where it ran, else one of its nights in turn, the newest first."""
    have = np.flatnonzero(ran)[::-1]
    return np.where(ran[night], night, have[(np.arange(len(night)) * STRIDE) % len(have)])


PART = 4096
"""Jobs at once, so that nothing in between is large."""
SURE = 0.05
"""Uncertainty of a level, in logarithms, that is neglected: about a dozen nights."""


@dataclass(frozen=True, slots=True)
class ViewTimes:
    """How long jobs run, or wait."""

    usual: UsualDurations
    """Its `away` is the array below."""
    away: Floats
    """Jobs x nights: spreads from the level."""
    gaps: StandIns
    columns: NightColumns
    doubtful: Integers
    """Jobs that ran on few nights, and those that never did."""
    doubt: Floats
    """Of these, jobs x columns: spreads by which their level may lie elsewhere."""
    peers: int
    """How many jobs ran often, and say how what is declared varies; 0: too few, it is taken at its word."""


@dataclass(frozen=True, slots=True)
class PastView:
    takes: ViewTimes
    waits: ViewTimes | None
    """None: nothing ever waited."""

    @property
    def columns(self) -> NightColumns:
        return self.takes.columns


def build_views(past: NightHistory, order: Integers, seed: Integers) -> tuple[PastView, ...]:
    """Of recent nights, and of what is followed. `order`: job by place; `seed`: by place, of its name."""
    queues = bool(np.nanmax(past.waits, initial=0.0) > 0)
    return tuple(
        PastView(
            _times(of, past.takes, past, order, seed, past.declared),
            _times(of, past.waits, past, order, seed) if queues else None,
        )
        for of in (recent, followed)
    )


def _times(
    of: Callable[..., UsualDurations],
    times: Floats,
    past: NightHistory,
    order: Integers,
    seed: Integers,
    declared: Floats | None = None,
) -> ViewTimes:
    shown = [of(times[:, order[at : at + PART]], past.similarity) for at in range(0, max(len(order), 1), PART)]
    own, runs = (np.concatenate([getattr(part, name) for part in shown]) for name in ("spread", "runs"))
    varies = peer_spread(own, runs)
    parts = [usual_durations(part, varies.spread) for part in shown]
    level, spread = (np.concatenate([getattr(part, name) for part in parts]) for name in ("level", "spread"))
    nights = len(parts[0])
    drawn = choose_columns(parts[0].weights)
    level = fill_levels(level, None if declared is None else declared[order])
    away = np.concatenate([part.away.T.astype(np.float32) for part in parts])
    ran = np.isfinite(times[-nights:])
    elsewhere_by = doubt(runs, varies.spread)
    if declared is not None:
        has_declared, by = _declared(past, order, own, runs, varies)
        elsewhere_by = np.where(has_declared, by, elsewhere_by)
        spread = np.where(has_declared, np.where(by > 0, by, UNKNOWN_SPREAD), spread)
    doubtful = np.flatnonzero(elsewhere_by > SURE)
    elsewhere = (elsewhere_by / spread)[doubtful, None] * normal(seed[doubtful], len(drawn.night))
    gaps = find_stand_ins(ran, order, drawn.night)
    whole = UsualDurations(level, spread, away.T, runs, parts[0].weights)
    return ViewTimes(whole, away, gaps, drawn, doubtful, elsewhere.astype(np.float32), varies.jobs)


def _declared(
    past: NightHistory, order: Integers, own: Floats, runs: Integers, varies: PeerSpread
) -> tuple[Booleans, Floats]:
    """Which jobs have only a declared duration, and its uncertainty: the declared one, else the spread of the other
    jobs; 0 where these are too few."""
    assert past.declared is not None
    unsure = np.full(len(order), np.nan) if past.unsure is None else past.unsure[order]
    is_said = np.isfinite(unsure)
    is_declared = np.isfinite(past.declared[order]) & ((runs == 0) | ~is_said & (own < STILL))
    return is_declared, np.where(is_said, unsure, varies.spread if varies.jobs else 0.0)


def write_columns(view: PastView, tonight: Tonight, now: float, takes: Floats, waits: Floats | None) -> Floats:
    """Writes durations and waits of the first places for each column (places x columns, s, in place), shifted by the
    evidence of tonight. Returns that shift for each job, in spreads, by place."""
    ran = _ran(view.takes.usual, tonight, now)
    seen, observed = [view.takes.away[ran.jobs]], [ran.away[ran.jobs]]
    if view.waits is not None:
        waited = _waited(view.waits.usual, tonight, now)
        seen.append(view.waits.away[waited.jobs])
        observed.append(waited.away[waited.jobs])
    factor = infer_run_factor(np.concatenate(seen), np.concatenate(observed), view.takes.usual.weights)
    if view.waits is not None and waits is not None:
        _write(view.waits, factor, waits)
    return _write(view.takes, factor, takes)


def _ran(usual: UsualDurations, tonight: Tonight, now: float) -> NightEvidence:
    done, runs = tonight.phase == JobPhase.DONE, tonight.phase == JobPhase.RUNS
    return night_evidence(usual, np.where(done, tonight.end, now) - tonight.start, done, runs)


def _waited(usual: UsualDurations, tonight: Tonight, now: float) -> NightEvidence:
    begun, queued = tonight.phase >= JobPhase.RUNS, tonight.phase == JobPhase.READY
    return night_evidence(usual, np.where(begun, tonight.start, now) - tonight.ready, begun, queued)


def _write(times: ViewTimes, factor: RunFactor, out: Floats) -> Floats:
    """Part by part, so that a part stays in the cache. Spreads by place that all of a job's columns are moved by."""
    shift = np.empty(len(times.away), np.float32)
    errors = factor.errors.astype(np.float32)
    mix = np.column_stack([errors[:, times.columns.night], factor.shift.astype(np.float32)])
    for at in range(0, len(times.away), PART):
        both = times.away[at : at + PART] @ mix
        shift[at : at + PART] = both[:, -1]
        rows = slice(at, min(at + PART, len(out)))
        if at < len(out):
            part = both[: len(out) - at, :-1]
            times.gaps.fill(part, at, times.away, errors)
            here = slice(*np.searchsorted(times.doubtful, [at, at + len(part)]))
            part[times.doubtful[here] - at] += times.doubt[here]
            out[rows] = _seconds(part, shift[rows], times.usual, rows)
    return shift


def _seconds(away: Floats, shift: Floats, usual: UsualDurations, mine: slice) -> Floats:
    """Of spreads from the level, in place."""
    away += shift[:, None]
    away *= usual.spread[mine, None].astype(np.float32)
    away += usual.level[mine, None].astype(np.float32)
    np.exp(away, out=away)
    away -= np.float32(OFFSET)
    return np.maximum(away, 0.0, out=away)
