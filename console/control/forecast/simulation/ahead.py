"""What a service day leaves to each job below it that runs or waits, from the samples that its P(late) comes from.

Source: slack and criticality of the critical path method, sample by sample (Van Slyke 1963); act-by as in `restart`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.look import Look, answer
from console.control.forecast.simulation.outcome import quantiles
from console.control.forecast.simulation.restart import kept_rows, restart
from console.control.forecast.simulation.slack import Slack
from console.control.forecast.simulation.sweep import CHUNK
from console.control.forecast.simulation.values import AT_ONCE, Floats, Promise, Truths, Whole

SHARES = (0.5, 0.8, 0.95)
MATTERS = 0.02
"""Share of the samples in which it decides a late finish, from which on a job's clocks are computed with the job done
now; below it, what else is late there counts for nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """Of one job; s, as the simulation counts them."""

    late: float
    decides: float
    finish: tuple[float, ...]
    """At SHARES."""
    slack: float
    """Infinite: its finish moves nothing."""
    begun_by: float | None
    green_by: float | None


def parts(seen: Look, promise: Promise, slack: Slack, jobs: Sequence[int], risk: float) -> list[Part]:
    """Of these jobs, all of which the service waits for, in their order. `risk`: as the samples count it. They are read
    from the first chunk, the service from all, and agree with it: none that is always done before it is likelier late
    or done later, and the one that is done with it in every sample is told as it is."""
    if not jobs:
        return []
    mine, place = np.array(jobs, np.intp), seen.night.plan.place
    rows = np.searchsorted(place[slack.jobs], place[mine])
    finish, latest, decides = seen.finish[0, place[mine]], slack.latest[rows], slack.decides[rows]
    done = seen.finish[0, place[promise.ends]].max(axis=0)
    late = done > promise.deadline
    takes = np.tile(seen.draws.takes(place[mine]), (1, CHUNK // seen.draws.columns))
    own = (np.isfinite(latest) & (finish > latest + AT_ONCE)) @ slack.weights
    begun, green = _clocks(latest, takes, late & ~decides, slack.weights, risk)
    alone = (decides & late) @ slack.weights
    for row in np.flatnonzero(alone >= MATTERS).tolist():
        begun[row], green[row] = restart(seen, promise, slack, [jobs[row]], risk) or (-np.inf, -np.inf)
    at = _quantiles(finish, slack.weights)
    outcome, told = seen.outcome(promise), answer(seen, promise).late
    whole = quantiles(outcome.finish, outcome.weights, np.array(SHARES))
    ahead, as_it = (finish <= done).all(axis=1), (finish == done).all(axis=1)
    at[ahead] = np.minimum(at[ahead], whole)
    at[as_it], own[as_it] = whole, told
    own = np.minimum(own, told)
    return [
        Part(
            float(own[row]), float(slack.critical[job]), tuple(at[row].tolist()), float(slack.seconds[job]),
            _known(begun[row]), _known(green[row]),
        )
        for row, job in enumerate(jobs)
    ]  # fmt: skip


def _clocks(latest: Floats, takes: Floats, lost: Truths, weights: Floats, risk: float) -> tuple[Floats, Floats]:
    """By job, the latest start and end with which P(late) stays within the risk. `lost`: where others make it late."""
    return (
        kept_rows(np.where(lost, -np.inf, latest - takes), weights, risk),
        kept_rows(np.where(lost, -np.inf, latest), weights, risk),
    )


def _quantiles(finish: Floats, weights: Floats) -> Floats:
    """Jobs x SHARES: the earliest finish that so many samples keep."""
    order = np.argsort(finish, axis=1, kind="stable")
    shares: Floats = np.cumsum(weights[order], axis=1)
    rows: Whole = np.arange(len(finish))
    found = [np.minimum((shares < share - 1e-6).sum(axis=1), finish.shape[1] - 1) for share in SHARES]
    return np.column_stack([finish[rows, order[rows, each]] for each in found])


def _known(at: float) -> float | None:
    return float(at) if np.isfinite(at) else None
