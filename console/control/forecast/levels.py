"""The graph in layers, so that all finishes of one layer are computed at once, for all columns of the simulation.

Source: level-wise propagation, the k-th upstream of all jobs of a layer in one step; longest path in a directed
acyclic graph (Kelley & Walker 1959, critical path method)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from console.control.forecast.values import Floats, Rule, Truths, Whole


@dataclass(frozen=True, slots=True)
class Layer:
    """Jobs `jobs`, those with most upstreams first; `nth[k]`: the k-th upstream of the first `len(nth[k])` of them."""

    jobs: Whole
    nth: tuple[Whole, ...]
    ruled: tuple[tuple[int, Rule], ...] = ()
    """Those of its jobs that do not simply start after the last of their upstreams."""


def ancestors(upstreams: Sequence[Sequence[int]], ends: Iterable[int]) -> set[int]:
    """These and all that they wait for, directly or not."""
    found: set[int] = set()
    ahead = [int(each) for each in ends]
    while ahead:
        job = ahead.pop()
        if job not in found:
            found.add(job)
            ahead.extend(upstreams[job])
    return found


def layers(
    upstreams: Sequence[Sequence[int]], jobs: Iterable[int], rules: Mapping[int, Rule] | None = None
) -> tuple[Layer, ...]:
    """`jobs` must hold the upstreams of each of its jobs; upstream layers first. `rules`: by job, of those that have
    one. Without cycles: raises ValueError."""
    depth: dict[int, int] = {}
    for job in jobs:
        _deepen(upstreams, job, depth)
    deepest = max(depth.values(), default=-1)
    rooms: list[list[int]] = [[] for _ in range(deepest + 1)]
    for job, at in depth.items():
        rooms[at].append(job)
    return tuple(_layer(upstreams, room, rules or {}) for room in rooms)


def _deepen(upstreams: Sequence[Sequence[int]], job: int, depth: dict[int, int]) -> None:
    ahead, open_jobs = [job], set[int]()
    while ahead:
        at = ahead[-1]
        missing = [each for each in upstreams[at] if each not in depth]
        if at in depth or not missing:
            depth.setdefault(at, 1 + max((depth[each] for each in upstreams[at]), default=-1))
            open_jobs.discard(at)
            ahead.pop()
        elif at in open_jobs:
            raise ValueError(f"job {at} waits for itself: its upstreams form a loop; take one dependency out")
        else:
            open_jobs.add(at)
            ahead.extend(missing)


def _layer(upstreams: Sequence[Sequence[int]], room: list[int], rules: Mapping[int, Rule]) -> Layer:
    room = sorted(room, key=lambda job: (-len(upstreams[job]), job))
    most = len(upstreams[room[0]])
    nth = (np.array([upstreams[job][k] for job in room if len(upstreams[job]) > k]) for k in range(most))
    return Layer(np.array(room), tuple(nth), tuple((job, rules[job]) for job in room if job in rules))


def propagate(plan: Sequence[Layer], finish: Floats, waits: Truths, floor: Floats, takes: Floats) -> None:
    """Writes the finishes of the jobs for which `waits` is true into `finish` (jobs x columns), in place: the last
    upstream's finish, not before `floor` (by job), plus `takes` (jobs x columns). The others' must stand there."""
    for layer in plan:
        mine = waits[layer.jobs]
        if not mine.any():
            continue
        begun = np.repeat(floor[layer.jobs, None], finish.shape[1], axis=1).astype(finish.dtype)
        for upstream in layer.nth:
            part = begun[: len(upstream)]
            np.maximum(part, finish[upstream], out=part)
        jobs = layer.jobs[mine]
        finish[jobs] = begun[mine] + takes[jobs]
        for job, rule in layer.ruled:
            if waits[job]:
                finish[job] = rule.finish(finish, floor[job], takes[job])
