"""Which jobs decide a service's finish, and how likely each of them: the critical path, column by column.

Source: criticality index (Van Slyke 1963): the share of the columns in which a job is on the longest path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from console.control.forecast.look import Look
from console.control.forecast.outcome import mixed
from console.control.forecast.slack import EVEN
from console.control.forecast.values import Promise, Stand, Truths


def critical(seen: Look, promise: Promise) -> dict[int, float]:
    """Job -> the probability that the finish is decided by it; only jobs of which there is any. With a job that waits
    decides what it waits for."""
    weights = mixed(seen.outcomes(promise)).weights
    found: dict[int, list[Truths]] = {}
    for view in range(len(seen.drawn)):
        for job, where in _deciders(seen, promise, view).items():
            found.setdefault(job, [np.zeros(finish.shape[1], bool) for finish in seen.finishes])[view] = where
    return {job: float(np.concatenate(where) @ weights) for job, where in found.items()}


def path(seen: Look, promise: Promise, decides: Mapping[int, float], names: Sequence[int]) -> tuple[int, ...]:
    """The names of the chain of jobs that most likely decides, first to last; what decides nothing goes on with the
    upstream that is done last. Jobs of one name are steps of one."""
    finish = seen.finishes[0]

    def weight(job: int) -> tuple[float, float, int]:
        return decides.get(job, 0.0), float(np.median(finish[job])), -job

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


def _deciders(seen: Look, promise: Promise, view: int) -> dict[int, Truths]:
    """Jobs and the columns in which they decide: down from the ends, the later layers first."""
    finish, draws = seen.finishes[view], seen.drawn[view].draws
    last = finish[promise.ends].max(axis=0)
    found: dict[int, Truths] = {int(end): finish[end] >= last - EVEN for end in promise.ends}
    for layer in reversed(seen.night.plan):
        rules = dict(layer.ruled)
        for job in (int(each) for each in layer.jobs if int(each) in found):
            if not found[job].any() or seen.tonight.stand[job] != Stand.WAITS:
                continue
            takes = draws.waits[job] + draws.takes[job]
            rule = rules.get(job)
            above = rule.deciders(finish, takes) if rule is not None else _last(seen, view, job)
            for upstream, where in above:
                mine = found[job] & where
                if mine.any():
                    found[upstream] = found[upstream] | mine if upstream in found else mine
    return {job: where for job, where in found.items() if where.any()}


def _last(seen: Look, view: int, job: int) -> Iterator[tuple[int, Truths]]:
    """The upstreams for which the job waits longest: nothing else does, where it waits for the clock."""
    finish, draws = seen.finishes[view], seen.drawn[view].draws
    start = finish[job] - draws.waits[job] - draws.takes[job]
    for upstream in seen.night.graph.upstreams[job]:
        yield upstream, finish[upstream] >= start - EVEN
