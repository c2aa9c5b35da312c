"""By when what is broken must be restarted, and green, for a service to be in time: from the same draws as P(late)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from console.control.forecast.simulation.look import Look, anew
from console.control.forecast.simulation.slack import Slack
from console.control.forecast.simulation.sweep import CHUNK
from console.control.forecast.simulation.values import Floats, Promise, Stand, Truths, Whole


def restart(seen: Look, promise: Promise, slack: Slack, jobs: Sequence[int], risk: float) -> tuple[float, float] | None:
    """The latest restart of all these jobs at once at which P(late) stays within `risk`, and the same for their end; s,
    maybe before now. None where the service is late with more than that probability whatever is done about them, and
    where it does not wait for them."""
    place = seen.night.plan.place
    mine = np.array([job for job in jobs if np.isin(job, slack.jobs)], np.intp)
    latest = slack.latest[np.searchsorted(place[slack.jobs], place[mine])]
    if not np.isfinite(latest).any():
        return None
    takes = np.tile(seen.draws.takes(place[mine]), (1, CHUNK // seen.draws.columns))
    lost = _late_anyway(seen, promise, mine)
    green = np.where(lost, -np.inf, latest.min(axis=0))
    begun = np.where(lost, -np.inf, (latest - takes).min(axis=0))
    begun_by, green_by = kept_rows(np.stack([begun, green]), slack.weights, risk).tolist()
    return (begun_by, green_by) if np.isfinite([begun_by, green_by]).all() else None


def kept_rows(last: Floats, weights: Floats, risk: float) -> Floats:
    """Of each row of samples the latest instant that is too late in no more of them than the risk allows."""
    order = np.argsort(last, axis=1, kind="stable")
    place = (np.cumsum(weights[order], axis=1) <= risk).sum(axis=1)
    chosen = np.minimum(place, last.shape[1] - 1)[:, None]
    return np.asarray(np.take_along_axis(last, np.take_along_axis(order, chosen, axis=1), axis=1)[:, 0], float)


def _late_anyway(seen: Look, promise: Promise, jobs: Whole) -> Truths:
    """By sample: the service is late though these jobs were done now."""
    place, finish = seen.night.plan.place, seen.finish[:1].copy()
    stand, end = seen.tonight.stand.copy(), seen.tonight.end.copy()
    stand[jobs], end[jobs] = Stand.DONE, seen.now
    anew(seen, replace(seen.tonight, stand=stand, end=end), jobs.tolist(), finish)
    return np.asarray(finish[0, place[promise.ends]].max(axis=0) > promise.deadline)
