"""Plain facts about a service now, for what is learned over many estates: nothing in them tells which estate it is.

Ratios and logarithms only, so that minutes or hours make no difference; of the jobs that the service waits for and no
others, so that nothing else moves them. Times count from when its work goes on, however long that is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from console.control.forecast.calibration.logits import logit
from console.control.forecast.simulation.look import Look
from console.control.forecast.simulation.outcome import Outcome, quantiles
from console.control.forecast.simulation.values import LEVELS, Floats, Promise, Stand, Whole, within

MANY_RUNS = 10.0
SPELL = 10.0
"""Half-life, in nights, of how often a service was late."""
FEWEST = 3
UNKNOWN = np.array([-2.4, -2.5, -0.7, 0.02, 0.0, 0.0, -3.2, 0.2])
"""Of a service with fewer nights of its own than that: the middle of others."""
OF_OUTCOME = (1, -1, 1, *(1 for _ in LEVELS))
SIGNS = np.array([*OF_OUTCOME, *OF_OUTCOME, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0])
"""By fact: 1 where an extended deadline makes less of it, -1 where more, 0 where it moves nothing."""


def facts(seen: Look, promise: Promise) -> Floats:
    """In a fixed order; a change of it needs a new training."""
    since = _goes_on(seen, seen.night.awaited(promise))
    outcomes = seen.outcomes(promise)
    told = np.concatenate([_of_outcome(each, promise, seen.now, since) for each in outcomes])
    apart = (outcomes[0].mean - outcomes[-1].mean) / outcomes[-1].spread
    spells = _of_service(promise, seen.now, outcomes[-1].spread)
    return np.asarray(np.concatenate([told, [apart], _of_last(seen, promise), spells]))


def _goes_on(seen: Look, mine: Whole) -> float:
    """Now, or when the next of these places starts where all that is not done waits for the clock."""
    plan = seen.night.plan
    stand = seen.tonight.stand[plan.jobs]
    is_waiting = stand[mine] == Stand.WAITS
    if not is_waiting.any() or (~is_waiting & (stand[mine] != Stand.DONE)).any():
        return seen.now
    waits = mine[is_waiting]
    held = np.repeat(np.arange(len(waits)), plan.upstreams.counts(waits))
    still = np.bincount(held, stand[plan.upstreams.of(waits)] != Stand.DONE, len(waits))
    return max(seen.now, float(seen.night.earliest[waits[still == 0]].min(initial=np.inf)))


def _of_outcome(outcome: Outcome, promise: Promise, now: float, since: float) -> Floats:
    left = max(promise.deadline - since, 1.0)
    spread = outcome.spread
    late = logit(outcome.late(promise.deadline, now))
    slack = min(max((promise.deadline - outcome.mean) / spread, -20.0), 20.0)
    ahead = quantiles(outcome.finish, outcome.weights, LEVELS) - since
    return np.array([late, slack, np.log(spread / left), *np.log(np.maximum(ahead, 1.0) / left)])


def _of_service(promise: Promise, now: float, spread: float) -> Floats:
    """Its own nights: lateness comes in spells."""
    past = promise.finishes[-60:]
    if len(past) < FEWEST:
        return UNKNOWN
    nights, usual = _of_nights(past.astype(float).tobytes(), promise.was_late[-20:].tobytes(), promise.deadline)
    ahead = past[past > now]
    still = ((ahead > promise.deadline).sum() + 0.5) / (len(ahead) + 1)
    return np.array([*nights, logit(still), np.log(usual / spread)])


@lru_cache(maxsize=1024)
def _of_nights(finishes: bytes, late: bytes, deadline: float) -> tuple[tuple[float, ...], float]:
    """What stays the same all night, and the spread of its finishes."""
    past, was_late = np.frombuffer(finishes), np.frombuffer(late, bool)
    last = past[-20:]
    usual = np.sqrt(((last - last.sum() / len(last)) ** 2).sum() / len(last)) + 1.0
    over = within((past - deadline) / usual, -20, 20)
    recent = 0.5 ** (np.arange(len(past) - 1, -1, -1) / SPELL)
    often = recent @ (over > 0) / recent.sum()
    told = over[-1], _middle(over[-5:]), over[-10:].max(), often, was_late.mean(), was_late[-5:].mean()
    return tuple(float(each) for each in told), float(usual)


def _middle(values: Floats) -> float:
    """The median: of five values numpy's own takes ten times as long."""
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _of_last(seen: Look, promise: Promise) -> Floats:
    """Of the job that is done last, over the samples."""
    plan, takes, shift = seen.night.plan, seen.night.views[-1].takes.usual, seen.shift[-1]
    ends = plan.place[promise.ends]
    done = seen.ends[:, np.searchsorted(seen.night.ends, ends)]
    last = seen.by_view(ends[np.argmax(done, axis=1)])[-1]
    weights = seen.weights_of_views()[-1]
    stand = seen.tonight.stand[plan.order[last]]
    is_on = (stand != Stand.WAITS) & (stand != Stand.FAILED)
    is_new = takes.runs[last] < MANY_RUNS
    runs = np.minimum(takes.runs[ends], MANY_RUNS).mean()
    return np.array([weights @ is_on, runs, weights @ is_new, weights @ shift[last]])
