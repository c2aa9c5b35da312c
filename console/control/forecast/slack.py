"""How late each job may be: the graph walked backwards from the deadline, in every column.

Source: the backward pass of the critical path method (Kelley & Walker 1959), once for each column, so that slack,
criticality (Van Slyke 1963) and act-by come from the same draws as P(late)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.levels import propagate
from console.control.forecast.logits import logit, share_of
from console.control.forecast.look import Look
from console.control.forecast.outcome import mixed, quantiles
from console.control.forecast.values import Floats, Promise, Rule, Stand, Truths

EVEN = 1e-6
"""Seconds within which two finishes are the same."""
HALF = np.array([0.5])


@dataclass(frozen=True, slots=True)
class Room:
    """What a service leaves to the jobs that it waits for. Jobs x columns of all views."""

    latest: Floats
    """The latest finish of a job with which the service is in time, all else as drawn; infinite for other jobs."""
    weights: Floats
    """By column; they add up to 1."""
    slack: Floats
    """By job: the median of latest finish minus finish, s."""
    critical: Floats
    """By job: the probability that it is on the path that decides the service's finish."""


def room(seen: Look, promise: Promise) -> Room:
    walked = [_back(seen, promise, view) for view in range(len(seen.drawn))]
    latest, decides = (np.concatenate(each, axis=1) for each in zip(*walked, strict=True))
    weights = mixed(seen.outcomes(promise)).weights
    gap = latest - np.concatenate(seen.finishes, axis=1)
    slack = np.array([quantiles(row, weights, HALF)[0] if np.isfinite(row).all() else np.inf for row in gap])
    return Room(latest, weights, slack, decides @ weights)


def _back(seen: Look, promise: Promise, view: int) -> tuple[Floats, Truths]:
    """Latest finishes, and who decides; jobs x columns of one view."""
    finish, draws = seen.finishes[view], seen.drawn[view].draws
    waits = seen.tonight.stand == Stand.WAITS
    latest = np.full(finish.shape, np.inf)
    latest[promise.ends] = promise.deadline
    decides = np.zeros(finish.shape, bool)
    decides[promise.ends] = finish[promise.ends] >= finish[promise.ends].max(axis=0) - EVEN
    takes = draws.waits + draws.takes
    for layer in reversed(seen.night.plan):
        mine = waits[layer.jobs]
        for job, rule in layer.ruled:
            if waits[job]:
                mine &= layer.jobs != job
                _back_by_rule(rule, job, finish, takes[job], latest, decides)
        for upstream in layer.nth:
            held = mine[: len(upstream)]
            jobs, before = layer.jobs[: len(upstream)][held], upstream[held]
            np.minimum.at(latest, before, latest[jobs] - takes[jobs])
            held_up = decides[jobs] & (finish[before] >= finish[jobs] - takes[jobs] - EVEN)
            np.logical_or.at(decides, before, held_up)
    return latest, decides


def _back_by_rule(rule: Rule, job: int, finish: Floats, takes: Floats, latest: Floats, decides: Truths) -> None:
    for upstream, by in rule.back(finish, latest[job], takes):
        np.minimum(latest[upstream], by, out=latest[upstream])
    for upstream, where in rule.deciders(finish, takes):
        decides[upstream] |= decides[job] & where


def act_by(seen: Look, promise: Promise, job: int, risk: float, told: float | None = None) -> float | None:
    """The latest restart of the job, s, at which P(late) stays within `risk`; None: no restart does, not even now.
    `told`: the service's P(late) as it was told, where it is not the columns' own; the risk is then read alike."""
    columns = room(seen, promise)
    takes = np.concatenate([each.draws.takes[job] for each in seen.drawn])
    lost = np.concatenate([_late_anyway(seen, promise, view, job) for view in range(len(seen.drawn))])
    last = np.where(lost, -np.inf, columns.latest[job] - takes)
    order = np.argsort(last, kind="stable")
    share = np.cumsum(columns.weights[order])
    first_too_many = min(
        int(np.searchsorted(share, _own_share(seen, promise, risk, told), side="right")), len(last) - 1
    )
    at = float(last[order][first_too_many])
    return at if at >= seen.now else None


def _own_share(seen: Look, promise: Promise, risk: float, told: float | None) -> float:
    """The share of columns that stands for this risk: what is told is moved against the columns by so much in the
    logit, and so is the risk."""
    if told is None:
        return risk
    own = mixed(seen.outcomes(promise)).late(promise.deadline, seen.now)
    return float(share_of(logit(risk) - logit(told) + logit(own)))


def _late_anyway(seen: Look, promise: Promise, view: int, job: int) -> Truths:
    """By column: the service is late though this job were done now."""
    finish, draws = seen.finishes[view].copy(), seen.drawn[view].draws
    finish[job] = np.minimum(finish[job], seen.now)
    waits = seen.tonight.stand == Stand.WAITS
    waits[job] = False
    floor = np.maximum(seen.night.graph.earliest, seen.now)
    propagate(seen.night.plan, finish, waits, floor, draws.waits + draws.takes)
    return np.asarray(finish[promise.ends].max(axis=0) > promise.deadline)
