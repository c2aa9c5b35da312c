"""What hangs below a job over all systems, and which red jobs above it are the cause: over any graph of steps.

Walks are iterative, visit each job once and end on cycles. The time is that of the jobs that are reached.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime

from connectors.words import State
from console.model.views.lineage import LineageRun, Read

Steps = Callable[[int], Iterable[int]]
"""A job's direct upstreams, or its direct downstreams."""


def neighbours(edges: Iterable[tuple[int, int]]) -> tuple[Mapping[int, list[int]], Mapping[int, list[int]]]:
    """(upstreams by job, downstreams by job) of edges (upstream, downstream), in their order."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for upstream, downstream in edges:
        above.setdefault(downstream, []).append(upstream)
        below.setdefault(upstream, []).append(downstream)
    return above, below


def blast_radius(job_id: int, below: Steps) -> dict[int, int]:
    """Everything downstream of the job, without itself: job -> how many steps away at least, nearest first."""
    found = {job_id: 0}
    ahead = [job_id]
    for each in ahead:
        for downstream in below(each):
            if downstream not in found:
                found[downstream] = found[each] + 1
                ahead.append(downstream)
    del found[job_id]
    return found


def root_causes(job_id: int, above: Steps, red: Container[int]) -> list[int]:
    """The red jobs that lie upstream of the job, or are it, and have no red job upstream of their own; nearest first.
    Those that only blame each other around a cycle are all named."""
    distance = {job_id: 0} | blast_radius(job_id, above)
    suspects = [each for each in distance if each in red]
    below: dict[int, list[int]] = {}
    for each in distance:
        for upstream in above(each):
            below.setdefault(upstream, []).append(each)
    symptoms: set[int] = set()
    ahead = list(suspects)
    for each in ahead:
        for downstream in below.get(each, ()):
            if downstream not in symptoms:
                symptoms.add(downstream)
                ahead.append(downstream)
    return [each for each in suspects if each not in symptoms] or suspects


def which_read(
    edges: Iterable[tuple[int, int]], runs: Mapping[int, Sequence[LineageRun]], names: Mapping[int, str]
) -> dict[tuple[int, int], Read]:
    """Edge (upstream, downstream) -> the newest run of the downstream that has started, and the run of the upstream
    that it read: the one that its source names, else by the times, the last one that had ended well when it started,
    None where there was none. `runs`: newest first. Of an upstream without any known run nothing is told."""
    found: dict[tuple[int, int], Read] = {}
    for upstream, downstream in edges:
        reader = next((run for run in runs.get(downstream, ()) if run.started is not None), None)
        if reader is None or reader.started is None:
            continue
        told = [key for job, key in reader.inputs if job in _called(names.get(upstream, ""))]
        if told:
            read = next((run for run in runs.get(upstream, ()) if run.period_key in told), None)
            found[upstream, downstream] = Read(reader, read, is_told=True)
        elif runs.get(upstream):
            found[upstream, downstream] = Read(reader, _there(runs[upstream], reader.started))
    return found


def _called(name: str) -> tuple[str, str]:
    """What a source may call a job: as we do, or without its system."""
    return name, name.partition("/")[2]


def _there(runs: Iterable[LineageRun], at: datetime) -> LineageRun | None:
    good = (State.SUCCEEDED, State.PARTIAL)
    done = [(run.ended, run) for run in runs if run.ended is not None and run.ended <= at and run.state in good]
    return max(done, key=lambda each: each[0], default=(at, None))[1]
