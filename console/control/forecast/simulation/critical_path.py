"""The chain of jobs that decides when a service is done, by how likely each of them does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.control.forecast.simulation.look import Look
from console.control.forecast.simulation.slack import Slack
from console.control.forecast.simulation.values import Promise


def critical_path(seen: Look, promise: Promise, slack: Slack, names: Sequence[int]) -> tuple[int, ...]:
    """The names of the chain of jobs that most likely decides, first to last; what decides nothing goes on with the
    upstream that is done last, what mostly waits for a slot where it decides with the job that it gets it from. Jobs of
    one name are steps of one."""
    finish, place = seen.finish[0], seen.night.plan.place

    def weight(job: int) -> tuple[float, float, int]:
        return float(slack.critical[job]), float(np.median(finish[place[job]])), -job

    job = max(promise.ends.tolist(), key=weight)
    found = [names[job]]
    while True:
        steps, above = _steps(seen.night.graph.upstreams, names, job)
        held = {holder for step in steps if (holder := _holder(seen, slack, step)) is not None}
        ahead = [each for each in held or above if names[each] not in found]
        if not ahead:
            return tuple(reversed(found))
        job = max(ahead, key=weight)
        found.append(names[job])


def _holder(seen: Look, slack: Slack, job: int) -> int | None:
    """Whose end most often frees its slot where it decides; None where it mostly does not wait for one then."""
    queued, plan = seen.queued, seen.night.plan
    row = np.flatnonzero(queued.places == plan.place[job])
    if not len(row):
        return None
    freed_by, weights = queued.freed_by[row[0]], slack.weights * slack.decides_at(job)
    waits = freed_by >= 0
    if not waits.any() or 2 * weights[waits].sum() <= weights.sum():
        return None
    return int(plan.order[np.bincount(freed_by[waits], weights[waits]).argmax()])


def _steps(upstreams: Sequence[Sequence[int]], names: Sequence[int], job: int) -> tuple[list[int], set[int]]:
    """All its steps, and their upstreams."""
    steps, found = [job], set[int]()
    for step in steps:
        for each in upstreams[step]:
            (steps.append if names[each] == names[job] else found.add)(each)
    return steps, found
