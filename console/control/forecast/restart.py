"""By when what is broken must be restarted, and green, for a service to be in time: from the same draws as P(late)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.control.forecast.levels import propagate
from console.control.forecast.look import Look
from console.control.forecast.slack import Room
from console.control.forecast.values import Floats, Promise, Stand, Truths


def restart(
    seen: Look, promise: Promise, columns: Room, jobs: Sequence[int], risk: float
) -> tuple[float, float] | None:
    """The latest restart of all these jobs at once at which P(late) stays within `risk`, and the same for their end; s,
    maybe before now. None where the service is late with more than that probability whatever is done about them, and
    where it does not wait for them."""
    if not jobs or not np.isfinite(columns.latest[list(jobs)]).any():
        return None
    takes = np.concatenate([each.draws.takes[list(jobs)] for each in seen.drawn], axis=1)
    lost = np.concatenate([_late_anyway(seen, promise, view, jobs) for view in range(len(seen.drawn))])
    green = np.where(lost, -np.inf, columns.latest[list(jobs)].min(axis=0))
    begun = np.where(lost, -np.inf, (columns.latest[list(jobs)] - takes).min(axis=0))
    found = _kept(begun, columns.weights, risk), _kept(green, columns.weights, risk)
    return found if np.isfinite(found).all() else None


def _kept(last: Floats, weights: Floats, risk: float) -> float:
    """The latest instant that is too late in no more columns than the risk allows."""
    order = np.argsort(last, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), risk, side="right"))
    return float(last[order][min(place, len(last) - 1)])


def _late_anyway(seen: Look, promise: Promise, view: int, jobs: Sequence[int]) -> Truths:
    """By column: the service is late though these jobs were done now."""
    finish, draws = seen.finishes[view].copy(), seen.drawn[view].draws
    finish[list(jobs)] = np.minimum(finish[list(jobs)], seen.now)
    waits = seen.tonight.stand == Stand.WAITS
    waits[list(jobs)] = False
    floor = np.maximum(seen.night.graph.earliest, seen.now)
    propagate(seen.night.plan, finish, waits, floor, draws.waits + draws.takes)
    return np.asarray(finish[promise.ends].max(axis=0) > promise.deadline)
