"""The past of one night in its two views, made once, and the columns that each of them draws at a look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.recency import Usual, followed, recent, seconds
from console.control.forecast.repair import Repair, repair
from console.control.forecast.run_factor import Given, Known, given, known
from console.control.forecast.simulate import Draws
from console.control.forecast.values import Floats, Past, Stand, Tonight


@dataclass(frozen=True, slots=True)
class View:
    takes: Usual
    waits: Usual | None
    """None: nothing ever waited."""
    repair: Repair

    @property
    def away(self) -> Floats:
        """Nights x (takes, then waits)."""
        return self.takes.away if self.waits is None else np.hstack([self.takes.away, self.waits.away])


def views(past: Past) -> tuple[View, ...]:
    """Of recent nights, and of what is followed."""
    queues = bool(np.nanmax(past.waits, initial=0.0) > 0)
    mended = repair(past.repairs)
    return tuple(
        View(of(past.takes, past.alike), of(past.waits, past.alike) if queues else None, mended)
        for of in (recent, followed)
    )


@dataclass(frozen=True, slots=True)
class Drawn:
    draws: Draws
    shift: Floats
    """What tonight says about each job's time, in spreads."""


def drawn(view: View, tonight: Tonight, now: float) -> Drawn:
    """A column for each past night, moved by what tonight already says."""
    jobs = len(tonight.stand)
    said = given(view.away, view.takes.weights, _known(view, tonight, now))
    takes = _times(view.takes, said, slice(0, jobs))
    waits = np.zeros_like(takes) if view.waits is None else _times(view.waits, said, slice(jobs, None))
    waits_spread = np.zeros(jobs) if view.waits is None else view.waits.spread_seconds
    spreads = view.takes.spread_seconds
    return Drawn(Draws(takes, waits, view.takes.weights, spreads, waits_spread, view.repair), said.shift[:jobs])


def _known(view: View, tonight: Tonight, now: float) -> Known:
    stand = tonight.stand
    done, runs = stand == Stand.DONE, stand == Stand.RUNS
    ran = known(view.takes, np.where(done, tonight.end, now) - tonight.start, done, runs)
    if view.waits is None:
        return ran
    begun, queued = stand >= Stand.RUNS, stand == Stand.READY
    waited = known(view.waits, np.where(begun, tonight.start, now) - tonight.ready, begun, queued)
    return Known(np.append(ran.is_known, waited.is_known), np.append(ran.away, waited.away))


def _times(usual: Usual, said: Given, mine: slice) -> Floats:
    """Jobs x columns, s."""
    errors = np.take_along_axis(said.errors[:, mine], usual.donor, axis=0)
    return seconds(usual.level + usual.spread * (said.shift[mine] + errors)).T
