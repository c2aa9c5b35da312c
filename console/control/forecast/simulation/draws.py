"""One night, many times over: every sample is a way in which tonight may go on, with a weight.

Source: Monte Carlo over an activity network (Van Slyke 1963), with past nights for columns, so that jobs stay
together, and the same samples at every look (common random numbers). Samples repeat the columns of the views, and
what may still fail differs by sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.failures import Failures
from console.control.forecast.simulation.repair import Repair, restarts
from console.control.forecast.simulation.residual import GROWS, beyond
from console.control.forecast.simulation.values import Floats, Stand, Tonight, Whole

OVER = 2.0
"""Progress of a job of which nothing can still fail."""


@dataclass(frozen=True, slots=True)
class Draws:
    """By place and column, s; the columns of all views side by side."""

    lasts: Floats
    """Wait and run."""
    waits: Floats | None
    """None: nothing ever waits."""
    weights: Floats
    """By column; those of a view add up to 1."""
    views: int
    spreads: Floats
    """Views x places: of the run time, s."""
    waits_spreads: Floats
    usual: Floats
    """By place: what it usually takes, s."""
    repair: Repair
    """From a failure to the restart, any job's."""
    failures: Failures

    @property
    def columns(self) -> int:
        return len(self.weights)

    def takes(self, places: Whole) -> Floats:
        return self.lasts[places] if self.waits is None else self.lasts[places] - self.waits[places]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the night stands, asked by place."""

    order: Whole
    """Job by place."""
    tonight: Tonight
    """By job."""
    stand: Whole
    earliest: Floats
    """By place."""
    now: float

    def floor(self, places: Whole) -> Floats:
        """No waiting job starts before."""
        return np.asarray(np.maximum(self.earliest[places], self.now).astype(np.float32))

    def ready(self, places: Whole) -> Floats:
        return self.tonight.ready[self.order[places]]

    def start(self, places: Whole) -> Floats:
        return self.tonight.start[self.order[places]]

    def end(self, places: Whole) -> Floats:
        return self.tonight.end[self.order[places]]

    def progress(self, places: Whole, usual: Floats) -> Floats:
        """Share of what a run `usual`ly takes (by place, s) that is over; below 0 before it starts, OVER once it is
        done, or red: its repair is over with the start that succeeds."""
        stand, found = self.stand[places], np.full(len(places), -1.0)
        runs = stand == Stand.RUNS
        over = (self.now - self.start(places[runs])) / np.maximum(usual[places[runs]], 1.0)
        found[runs], found[(stand == Stand.DONE) | (stand == Stand.FAILED)] = np.clip(over, 0.0, 1.0), OVER
        return found


def begun(seen: Standing, draws: Draws, places: Whole) -> Floats:
    """When those are done that no longer wait for anything, places x columns, but for what may fail."""
    stand = seen.stand[places]
    found = np.repeat(seen.end(places)[:, None], draws.columns, axis=1)
    for state, of in ((Stand.RUNS, _running), (Stand.READY, _queued), (Stand.FAILED, _red)):
        mine = np.flatnonzero(stand == state)
        if len(mine):
            found[mine] = np.maximum(of(seen, draws, places[mine]), seen.now)
    return found.astype(np.float32)


def _running(seen: Standing, draws: Draws, places: Whole) -> Floats:
    start = seen.start(places)
    return start[:, None] + _beyond(draws, draws.takes(places), seen.now - start, draws.spreads[:, places], GROWS)


def _queued(seen: Standing, draws: Draws, places: Whole) -> Floats:
    ready, takes = seen.ready(places), draws.takes(places)
    waits = np.zeros(takes.shape) if draws.waits is None else draws.waits[places]
    waited = _beyond(draws, waits, seen.now - ready, draws.waits_spreads[:, places])
    return np.maximum(ready[:, None] + waited, seen.now) + takes


def _red(seen: Standing, draws: Draws, places: Whole) -> Floats:
    end = seen.end(places)
    each = draws.columns // draws.views
    mended = restarts(draws.repair, np.ones(each), seen.now - end)
    return np.maximum(end[:, None] + np.tile(mended, draws.views), seen.now) + draws.takes(places)


def _beyond(draws: Draws, times: Floats, elapsed: Floats, spreads: Floats, grows: float = 0.0) -> Floats:
    """View by view."""
    parts = zip(np.split(times, draws.views, axis=1), np.split(draws.weights, draws.views), spreads, strict=True)
    return np.hstack([beyond(part, weights, elapsed, spread, grows) for part, weights, spread in parts])
