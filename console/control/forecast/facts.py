"""Plain facts about a service now, for what is learned over many estates: nothing in them tells which estate it is.

Ratios and logarithms only, so that minutes or hours make no difference."""

from __future__ import annotations

import numpy as np

from console.control.forecast.logits import logit
from console.control.forecast.look import Look
from console.control.forecast.outcome import Outcome, quantiles
from console.control.forecast.values import LEVELS, Floats, Promise, Stand

SPELL = 10.0
"""Half-life, in nights, of how often a service was late."""
USUALLY_LATE = 0.05
"""For a service without nights of its own."""
MANY_RUNS = 10.0


def facts(seen: Look, promise: Promise) -> Floats:
    """In a fixed order; a change of it needs a new training."""
    left = _left(promise, seen.now)
    outcomes = seen.outcomes(promise)
    told = np.concatenate([_of_outcome(each, promise, seen.now) for each in outcomes])
    apart = (outcomes[0].mean - outcomes[1].mean) / outcomes[1].spread
    now = np.array([seen.now / promise.deadline, apart, np.log(left / promise.deadline)])
    return np.asarray(np.concatenate([told, now, _of_service(promise, seen.now), _of_jobs(seen, promise)]))


def _left(promise: Promise, now: float) -> float:
    return max(promise.deadline - now, 1.0)


def _of_outcome(outcome: Outcome, promise: Promise, now: float) -> Floats:
    left = _left(promise, now)
    spread = outcome.spread
    late = logit(outcome.late(promise.deadline, now))
    slack = np.clip((promise.deadline - outcome.mean) / spread, -20, 20)
    ahead = quantiles(outcome.finish, outcome.weights, LEVELS) - now
    return np.array([late, slack, np.log(spread / left), np.log(spread / promise.deadline),
                     *np.log(np.maximum(ahead, 1.0) / left)])  # fmt: skip


def _of_service(promise: Promise, now: float) -> Floats:
    """Its own nights: lateness comes in spells."""
    past = promise.finishes[np.isfinite(promise.finishes)][-60:]
    if not len(past):
        return np.array([0.0, 0.0, 0.0, USUALLY_LATE, USUALLY_LATE, USUALLY_LATE, 0.0, 0.1])
    near = np.log(np.maximum(past, 1.0) / promise.deadline)
    recent = 0.5 ** (np.arange(len(near) - 1, -1, -1) / SPELL)
    known = np.isfinite(promise.finishes) & np.isfinite(promise.deadlines)
    was_late = (promise.finishes[known] > promise.deadlines[known])[-20:]
    ahead = past[past > now]
    still = ((ahead > promise.deadline).sum() + 0.5) / (len(ahead) + 1)
    return np.array([
        near[-1], np.median(near[-5:]), near[-10:].max(), recent @ (near > 0) / recent.sum(),
        was_late.mean() if len(was_late) else USUALLY_LATE, was_late[-5:].mean() if len(was_late) else USUALLY_LATE,
        logit(still), near[-20:].std(),
    ])  # fmt: skip


def _of_jobs(seen: Look, promise: Promise) -> Floats:
    plan = seen.night.plan
    stand = seen.tonight.stand[plan.jobs]
    takes, shift = seen.night.views[-1].takes.usual, seen.shift[-1]
    ends = plan.place[promise.ends]
    done = seen.ends[:, np.searchsorted(seen.night.ends, ends)]
    last = seen.by_view(ends[np.argmax(done, axis=1)])[-1]
    weights = seen.by_view(seen.weights(len(done)))[-1]
    weights = weights / weights.sum()
    on = np.isin(stand[last], (Stand.READY, Stand.RUNS, Stand.DONE))
    runs = np.flatnonzero(stand == Stand.RUNS)
    elapsed = np.log(np.maximum(seen.now - seen.tonight.start[plan.order[runs]], 0.0) + 5.0)
    over = (elapsed - takes.level[runs]) / takes.spread[runs]
    open_jobs = np.flatnonzero(stand != Stand.DONE)
    return np.array([
        weights @ on, float(np.clip(over.max(initial=-5.0), -5, 5)), shift[open_jobs].mean() if len(open_jobs) else 0.0,
        len(open_jobs) / max(len(stand), 1), float((stand == Stand.FAILED).any()),
        np.minimum(takes.runs[ends], MANY_RUNS).mean(), weights @ (takes.runs[last] < MANY_RUNS),
        np.log1p(len(promise.ends)), weights @ shift[last],
    ])  # fmt: skip
