"""One night, many times over: every column is a way in which tonight may go on, with a weight.

Source: Monte Carlo over an activity network (Van Slyke 1963), with past nights for columns, so that jobs stay
together, and the same columns at every look (common random numbers)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from console.control.forecast.levels import Layer, propagate
from console.control.forecast.repair import Repair, restarts
from console.control.forecast.residual import beyond
from console.control.forecast.values import Floats, Graph, Stand, Tonight


@dataclass(frozen=True, slots=True)
class Draws:
    """Jobs x columns, s: what each job takes and waits in each column; the weights of the columns; spreads by job."""

    takes: Floats
    waits: Floats
    weights: Floats
    takes_spread: Floats
    waits_spread: Floats
    repair: Repair
    """From a failure to the restart, any job's."""


def finishes(plan: Sequence[Layer], graph: Graph, tonight: Tonight, draws: Draws, now: float) -> Floats:
    """When each job of the plan is done, jobs x columns; jobs outside of it are NaN."""
    stand = tonight.stand
    finish = np.full(draws.takes.shape, np.nan)
    jobs = np.concatenate([layer.jobs for layer in plan])
    done = jobs[stand[jobs] == Stand.DONE]
    finish[done] = tonight.end[done, None]
    for job in jobs[stand[jobs] == Stand.RUNS]:
        elapsed = now - tonight.start[job]
        finish[job] = tonight.start[job] + beyond(draws.takes[job], draws.weights, elapsed, draws.takes_spread[job])
    for job in jobs[stand[jobs] == Stand.READY]:
        elapsed = now - tonight.ready[job]
        waited = beyond(draws.waits[job], draws.weights, elapsed, draws.waits_spread[job])
        finish[job] = np.maximum(tonight.ready[job] + waited, now) + draws.takes[job]
    for job in jobs[stand[jobs] == Stand.FAILED]:
        mended = restarts(draws.repair, draws.weights, now - tonight.end[job])
        finish[job] = np.maximum(tonight.end[job] + mended, now) + draws.takes[job]
    waits = stand == Stand.WAITS
    floor = np.maximum(graph.earliest, now)
    propagate(plan, finish, waits, floor, draws.waits + draws.takes)
    return finish
