"""What is told of a service: P(late) by the samples, by what many estates taught and by one's own past, and the samples
as they then say it, so that all that is told beside it is of the same odds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from console.control.forecast.calibration.facts import facts
from console.control.forecast.calibration.learned import Learned, late
from console.control.forecast.calibration.own_past import corrected
from console.control.forecast.simulation.look import Look, answer, told_as
from console.control.forecast.simulation.outcome import Outcome
from console.control.forecast.simulation.tilt import Tilt
from console.control.forecast.simulation.values import Floats, Promise, Stand, Truths


@dataclass(frozen=True, slots=True)
class Told:
    own: float
    """P(late) before one's own past corrects it; what is learned from later."""
    look: Look
    """Weighted: what is read from it is told."""


LONG_WAIT = 300.0
"""Seconds that a job may always wait without that being news."""
MOVED = 60.0
"""Seconds from which on a failure moves a service."""


def tell(seen: Look, promise: Promise, model: Learned | None, slopes: Floats) -> Told:
    """`model` None: nothing was learned elsewhere, the samples' own share is taken, as where something is broken.
    `slopes`: by one's own past. After its deadline a service that is still open is late."""
    if seen.now >= promise.deadline:
        return Told(1.0, told_as(seen, promise, 1.0))
    if model is None or _is_broken(seen, promise):
        own, fails = answer(seen, promise).late, None
    else:
        fails = _fails(seen, promise)
        own = _learned(seen, promise, model, fails)
    return Told(own, told_as(seen, promise, corrected(own, slopes), fails))


def _learned(seen: Look, promise: Promise, model: Learned, fails: Truths) -> float:
    """By the model where nothing fails later tonight, as on nearly all nights that it was learned from; where
    something does, by the samples."""
    calm = replace(seen, tilt=Tilt(fails, 0.0)) if fails.any() else seen
    weights = seen.weights(len(fails))[fails]
    failing = Outcome(seen.delivered(promise)[fails], weights).late(promise.deadline, seen.now)
    return (1 - float(weights.sum())) * float(late(model, facts(calm, promise)[None])[0]) + failing


def _fails(seen: Look, promise: Promise) -> Truths:
    """Samples, chunks x CHUNK, in which what fails later tonight moves the service: they repeat columns, and differ in
    nothing else."""
    delivered = seen.delivered(promise)
    by_column = delivered.reshape(-1, seen.draws.columns)
    return np.asarray((by_column > by_column.min(axis=0) + MOVED).reshape(delivered.shape))


def _is_broken(seen: Look, promise: Promise) -> bool:
    """True where a job of the service is red, or supposed to be so no more, or began tonight after more than twice its
    longest wait, as after a repair: hardly a night was like this where the model was learned."""
    tonight, mine = seen.tonight, seen.night.awaited(promise)
    jobs = seen.night.plan.order[mine]
    waited, is_red = tonight.start[jobs] - tonight.ready[jobs], tonight.stand[jobs] == Stand.FAILED
    if tonight.failed is not None:
        is_red |= tonight.failed[jobs] & (tonight.stand[jobs] != Stand.RUNS)
    return bool(is_red.any() or (waited > seen.night.most_waits[mine] + LONG_WAIT).any())
