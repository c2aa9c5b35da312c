"""How late each job may be: the graph walked backwards from the deadline, in every column.

Source: the backward pass of the critical path method (Kelley & Walker 1959), once for each column, so that slack,
criticality (Van Slyke 1963) and act-by come from the same draws as P(late)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.levels import propagate
from console.control.forecast.look import Look
from console.control.forecast.outcome import quantiles
from console.control.forecast.values import Floats, Promise, Stand, Truths

EVEN = 1e-6
"""Seconds within which two finishes are the same."""
HALF = np.array([0.5])


@dataclass(frozen=True, slots=True)
class Room:
    """What a service leaves to the jobs that it waits for; jobs x columns of one view, infinite where it waits for
    none of them."""

    latest: Floats
    """The latest finish of a job with which the service is in time, all else as drawn."""
    slack: Floats
    """By job: the median of latest finish minus finish, s."""
    critical: Floats
    """By job: the probability that it is on the path that decides the service's finish."""


def room(seen: Look, promise: Promise, view: int) -> Room:
    finish, draws = seen.finishes[view], seen.drawn[view].draws
    weights = draws.weights / draws.weights.sum()
    waits = seen.tonight.stand == Stand.WAITS
    latest = np.full(finish.shape, np.inf)
    latest[promise.ends] = promise.deadline
    decides = np.zeros(finish.shape, bool)
    decides[promise.ends] = finish[promise.ends] >= finish[promise.ends].max(axis=0) - EVEN
    takes = draws.waits + draws.takes
    for layer in reversed(seen.night.plan):
        mine = waits[layer.jobs]
        for upstream in layer.nth:
            head = layer.jobs[: len(upstream)]
            held = mine[: len(upstream)]
            jobs, before = head[held], upstream[held]
            begins = latest[jobs] - takes[jobs]
            np.minimum.at(latest, before, begins)
            held_up = decides[jobs] & (finish[before] >= finish[jobs] - takes[jobs] - EVEN)
            np.logical_or.at(decides, before, held_up)
    gap = latest - finish
    slack = np.array([quantiles(row, weights, HALF)[0] if np.isfinite(row).all() else np.inf for row in gap])
    return Room(latest, slack, decides @ weights)


def act_by(seen: Look, promise: Promise, view: int, job: int, risk: float) -> float | None:
    """The latest restart of the job, s, at which P(late) stays within `risk`; None: no restart does, not even now."""
    draws = seen.drawn[view].draws
    last = room(seen, promise, view).latest[job] - draws.takes[job]
    last = np.where(_late_anyway(seen, promise, view, job), -np.inf, last)
    order = np.argsort(last, kind="stable")
    lost = np.cumsum(draws.weights[order]) / draws.weights.sum()
    first_too_many = min(int(np.searchsorted(lost, risk, side="right")), len(last) - 1)
    at = float(last[order][first_too_many])
    return at if at >= seen.now else None


def _late_anyway(seen: Look, promise: Promise, view: int, job: int) -> Truths:
    """By column: the service is late though this job were done now."""
    finish, draws = seen.finishes[view].copy(), seen.drawn[view].draws
    finish[job] = np.minimum(finish[job], seen.now)
    waits = seen.tonight.stand == Stand.WAITS
    waits[job] = False
    floor = np.maximum(seen.night.graph.earliest, seen.now)
    propagate(seen.night.plan, finish, waits, floor, draws.waits + draws.takes)
    return np.asarray(finish[promise.ends].max(axis=0) > promise.deadline)
