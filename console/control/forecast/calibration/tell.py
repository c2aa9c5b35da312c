"""What is told of a service: P(late) by the samples, by what many estates taught and by one's own past, and the samples
as they then say it, so that all that is told beside it is of the same odds."""

from __future__ import annotations

from dataclasses import dataclass

from console.control.forecast.calibration.facts import facts
from console.control.forecast.calibration.learned import Learned, late
from console.control.forecast.calibration.own_past import corrected
from console.control.forecast.simulation.look import Look, answer, told_as
from console.control.forecast.simulation.values import Floats, Promise, Stand


@dataclass(frozen=True, slots=True)
class Told:
    own: float
    """P(late) before one's own past corrects it; what is learned from later."""
    look: Look
    """Weighted: what is read from it is told."""


LONG_WAIT = 300.0
"""Seconds that a job may always wait without that being news."""


def tell(seen: Look, promise: Promise, model: Learned | None, slopes: Floats) -> Told:
    """`model` None: nothing was learned elsewhere, the samples' own share is taken, as where something is broken.
    `slopes`: by one's own past. After its deadline a service that is still open is late."""
    if seen.now >= promise.deadline:
        return Told(1.0, told_as(seen, promise, 1.0))
    if model is None or _is_broken(seen, promise):
        own = answer(seen, promise).late
    else:
        own = float(late(model, facts(seen, promise)[None])[0])
    return Told(own, told_as(seen, promise, corrected(own, slopes)))


def _is_broken(seen: Look, promise: Promise) -> bool:
    """True where a job of the service is red, or began tonight after more than twice its longest wait, as after a
    repair: hardly a night was like this where the model was learned."""
    tonight, mine = seen.tonight, seen.night.awaited(promise)
    jobs = seen.night.plan.order[mine]
    waited = tonight.start[jobs] - tonight.ready[jobs]
    return bool((tonight.stand[jobs] == Stand.FAILED).any() or (waited > seen.night.most_waits[mine] + LONG_WAIT).any())
