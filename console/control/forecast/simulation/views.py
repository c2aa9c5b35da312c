"""The past of one night in its two views, made once, and the columns that each draws at a look. All by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.columns import Columns, columns
from console.control.forecast.simulation.common_random import normal
from console.control.forecast.simulation.prior import filled
from console.control.forecast.simulation.recency import (
    OFFSET,
    STILL,
    UNKNOWN_SPREAD,
    Others,
    Shown,
    Usual,
    doubt,
    followed,
    others,
    recent,
    usual,
)
from console.control.forecast.simulation.run_factor import Evidence, Given, evidence, given
from console.control.forecast.simulation.stand_ins import StandIns, stand_ins
from console.control.forecast.simulation.values import Floats, Past, Stand, Tonight, Truths, Whole

PART = 4096
"""Jobs at once, so that nothing in between is large."""
SURE = 0.05
"""Of the logarithm, up to which nobody asks whether a job's level lies elsewhere: a dozen nights."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long jobs run, or wait."""

    usual: Usual
    """Its `away` is the array below."""
    away: Floats
    """Jobs x nights: spreads from the level."""
    gaps: StandIns
    columns: Columns
    source: Whole
    """A Source by job."""
    doubtful: Whole
    """Jobs that ran on few nights, and those that never did."""
    doubt: Floats
    """Of these, jobs x columns: spreads by which their level may lie elsewhere."""
    others: int
    """How many jobs ran often, and say how what is declared varies; 0: too few, it is taken at its word."""


@dataclass(frozen=True, slots=True)
class View:
    takes: Times
    waits: Times | None
    """None: nothing ever waited."""

    @property
    def columns(self) -> Columns:
        return self.takes.columns


def views(past: Past, order: Whole, seed: Whole) -> tuple[View, ...]:
    """Of recent nights, and of what is followed. `order`: job by place; `seed`: by place, of its name."""
    queues = bool(np.nanmax(past.waits, initial=0.0) > 0)
    return tuple(
        View(
            _times(of, past.takes, past, order, seed, past.declared),
            _times(of, past.waits, past, order, seed) if queues else None,
        )
        for of in (recent, followed)
    )


def _times(
    of: Callable[..., Shown], times: Floats, past: Past, order: Whole, seed: Whole, declared: Floats | None = None
) -> Times:
    shown = [of(times[:, order[at : at + PART]], past.alike) for at in range(0, max(len(order), 1), PART)]
    own, runs = (np.concatenate([getattr(part, name) for part in shown]) for name in ("spread", "runs"))
    varies = others(own, runs)
    parts = [usual(part, varies.spread) for part in shown]
    level, spread = (np.concatenate([getattr(part, name) for part in parts]) for name in ("level", "spread"))
    nights = len(parts[0])
    drawn = columns(parts[0].weights)
    level, source = filled(
        level, None if declared is None else declared[order], None if past.like is None else past.like[order]
    )
    away = np.concatenate([part.away.T.astype(np.float32) for part in parts])
    ran = np.isfinite(times[-nights:])
    elsewhere_by = doubt(runs, varies.spread)
    if declared is not None:
        is_told, by = _declared(past, order, own, runs, varies)
        elsewhere_by = np.where(is_told, by, elsewhere_by)
        spread = np.where(is_told, np.where(by > 0, by, UNKNOWN_SPREAD), spread)
    doubtful = np.flatnonzero(elsewhere_by > SURE)
    elsewhere = (elsewhere_by / spread)[doubtful, None] * normal(seed[doubtful], len(drawn.night))
    gaps = stand_ins(ran, order, drawn.night)
    whole = Usual(level, spread, away.T, runs, parts[0].weights)
    return Times(whole, away, gaps, drawn, source, doubtful, elsewhere.astype(np.float32), varies.jobs)


def _declared(past: Past, order: Whole, own: Floats, runs: Whole, varies: Others) -> tuple[Truths, Floats]:
    """Of which jobs a declared time is all that is known, and by how much each of them may lie elsewhere: as somebody
    says, else as the others vary; where these are too few, it is taken at its word."""
    assert past.declared is not None
    unsure = np.full(len(order), np.nan) if past.unsure is None else past.unsure[order]
    is_said = np.isfinite(unsure)
    is_told = np.isfinite(past.declared[order]) & ((runs == 0) | ~is_said & (own < STILL))
    return is_told, np.where(is_said, unsure, varies.spread if varies.jobs else 0.0)


def write_columns(view: View, tonight: Tonight, now: float, takes: Floats, waits: Floats | None) -> Floats:
    """Writes what the first places take and wait in each column (places x columns, s, in place), moved by what tonight
    already says. What it says about each job's time, in spreads, by place."""
    ran = _ran(view.takes.usual, tonight, now)
    seen, told = [view.takes.away[ran.jobs]], [ran.away[ran.jobs]]
    if view.waits is not None:
        waited = _waited(view.waits.usual, tonight, now)
        seen.append(view.waits.away[waited.jobs])
        told.append(waited.away[waited.jobs])
    said = given(np.concatenate(seen), np.concatenate(told), view.takes.usual.weights)
    if view.waits is not None and waits is not None:
        _write(view.waits, said, waits)
    return _write(view.takes, said, takes)


def _ran(usual: Usual, tonight: Tonight, now: float) -> Evidence:
    done, runs = tonight.stand == Stand.DONE, tonight.stand == Stand.RUNS
    return evidence(usual, np.where(done, tonight.end, now) - tonight.start, done, runs)


def _waited(usual: Usual, tonight: Tonight, now: float) -> Evidence:
    begun, queued = tonight.stand >= Stand.RUNS, tonight.stand == Stand.READY
    return evidence(usual, np.where(begun, tonight.start, now) - tonight.ready, begun, queued)


def _write(times: Times, said: Given, out: Floats) -> Floats:
    """Part by part, so that a part stays in the cache. Spreads by place that all of a job's columns are moved by."""
    shift = np.empty(len(times.away), np.float32)
    errors = said.errors.astype(np.float32)
    mix = np.column_stack([errors[:, times.columns.night], said.shift.astype(np.float32)])
    for at in range(0, len(times.away), PART):
        both = times.away[at : at + PART] @ mix
        shift[at : at + PART] = both[:, -1]
        mine = slice(at, min(at + PART, len(out)))
        if at < len(out):
            part = both[: len(out) - at, :-1]
            times.gaps.fill(part, at, times.away, errors)
            here = slice(*np.searchsorted(times.doubtful, [at, at + len(part)]))
            part[times.doubtful[here] - at] += times.doubt[here]
            out[mine] = _seconds(part, shift[mine], times.usual, mine)
    return shift


def _seconds(away: Floats, shift: Floats, usual: Usual, mine: slice) -> Floats:
    """Of spreads from the level, in place."""
    away += shift[:, None]
    away *= usual.spread[mine, None].astype(np.float32)
    away += usual.level[mine, None].astype(np.float32)
    np.exp(away, out=away)
    away -= np.float32(OFFSET)
    return np.maximum(away, 0.0, out=away)
