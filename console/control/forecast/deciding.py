"""The chain of jobs that decides when a service is done, by how likely each of them does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.control.forecast.look import Look
from console.control.forecast.slack import Room
from console.control.forecast.values import Promise


def path(seen: Look, promise: Promise, left: Room, names: Sequence[int]) -> tuple[int, ...]:
    """The names of the chain of jobs that most likely decides, first to last; what decides nothing goes on with the
    upstream that is done last. Jobs of one name are steps of one."""
    finish, place = seen.finish[0], seen.night.plan.place

    def weight(job: int) -> tuple[float, float, int]:
        return float(left.critical[job]), float(np.median(finish[place[job]])), -job

    job = max(promise.ends.tolist(), key=weight)
    found = [names[job]]
    while above := _above(seen.night.graph.upstreams, names, job):
        job = max(above, key=weight)
        found.append(names[job])
    return tuple(reversed(found))


def _above(upstreams: Sequence[Sequence[int]], names: Sequence[int], job: int) -> set[int]:
    """The upstreams of all its steps."""
    found, ahead = set[int](), [job]
    while ahead:
        for each in upstreams[ahead.pop()]:
            (ahead.append if names[each] == names[job] else found.add)(each)
    return found
