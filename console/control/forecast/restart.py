"""By when what is broken must be restarted, and green, for a service to be in time: from the same draws as P(late)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from console.control.forecast.look import Look, anew
from console.control.forecast.slack import Room
from console.control.forecast.sweep import CHUNK
from console.control.forecast.values import Floats, Promise, Stand, Truths, Whole


def restart(seen: Look, promise: Promise, left: Room, jobs: Sequence[int], risk: float) -> tuple[float, float] | None:
    """The latest restart of all these jobs at once at which P(late) stays within `risk`, and the same for their end; s,
    maybe before now. None where the service is late with more than that probability whatever is done about them, and
    where it does not wait for them."""
    place = seen.night.plan.place
    mine = np.array([job for job in jobs if np.isin(job, left.jobs)], np.intp)
    latest = left.latest[np.searchsorted(place[left.jobs], place[mine])]
    if not np.isfinite(latest).any():
        return None
    takes = np.tile(seen.draws.takes(place[mine]), (1, CHUNK // seen.draws.columns))
    lost = _late_anyway(seen, promise, mine)
    green = np.where(lost, -np.inf, latest.min(axis=0))
    begun = np.where(lost, -np.inf, (latest - takes).min(axis=0))
    found = _kept(begun, left.weights, risk), _kept(green, left.weights, risk)
    return found if np.isfinite(found).all() else None


def _kept(last: Floats, weights: Floats, risk: float) -> float:
    """The latest instant that is too late in no more samples than the risk allows."""
    order = np.argsort(last, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), risk, side="right"))
    return float(last[order][min(place, len(last) - 1)])


def _late_anyway(seen: Look, promise: Promise, jobs: Whole) -> Truths:
    """By sample: the service is late though these jobs were done now."""
    place, finish = seen.night.plan.place, seen.finish[:1].copy()
    stand, end = seen.tonight.stand.copy(), seen.tonight.end.copy()
    stand[jobs], end[jobs] = Stand.DONE, seen.now
    anew(seen, replace(seen.tonight, stand=stand, end=end), jobs.tolist(), finish)
    return np.asarray(finish[0, place[promise.ends]].max(axis=0) > promise.deadline)
