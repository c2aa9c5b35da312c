"""Lineage of a job over all systems: upstreams, downstreams, red root causes and affected services.

Traversals are iterative, visit each job once and end on cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from connectors.sdk.states import RunState
from console.domain.dependency import LineageJob, LineageRun, LineageView, RunInput
from console.domain.service import ServiceView

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
    distances = {job_id: 0}
    ahead = [job_id]
    for job in ahead:
        for downstream in below(job):
            if downstream not in distances:
                distances[downstream] = distances[job] + 1
                ahead.append(downstream)
    del distances[job_id]
    return distances


def red_root_causes(job_id: int, above: Steps, red: Container[int]) -> list[int]:
    """The red jobs that lie upstream of the job, or are it, and have no red job upstream of their own; nearest first.
    Those that only blame each other around a cycle are all named."""
    distance = {job_id: 0} | blast_radius(job_id, above)
    suspects = [job for job in distance if job in red]
    below: dict[int, list[int]] = {}
    for job in distance:
        for upstream in above(job):
            below.setdefault(upstream, []).append(job)
    symptoms: set[int] = set()
    ahead = list(suspects)
    for job in ahead:
        for downstream in below.get(job, ()):
            if downstream not in symptoms:
                symptoms.add(downstream)
                ahead.append(downstream)
    return [suspect for suspect in suspects if suspect not in symptoms] or suspects


def runs_read_by_edge(
    edges: Iterable[tuple[int, int]], runs: Mapping[int, Sequence[LineageRun]], names: Mapping[int, str]
) -> dict[tuple[int, int], RunInput]:
    """Edge (upstream, downstream) -> the newest started run of the downstream, and the upstream run that it read: the
    one that its source names, else the last good one at its start, None if there was none. `runs`: newest first.
    Edges from an upstream without runs are left out."""
    inputs: dict[tuple[int, int], RunInput] = {}
    for upstream, downstream in edges:
        reader = next((run for run in runs.get(downstream, ()) if run.started is not None), None)
        if reader is None or reader.started is None:
            continue
        named = [key for job, key in reader.inputs if job in _names_of(names.get(upstream, ""))]
        if named:
            read = next((run for run in runs.get(upstream, ()) if run.period_key in named), None)
            inputs[upstream, downstream] = RunInput(reader, read, is_reported=True)
        elif runs.get(upstream):
            inputs[upstream, downstream] = RunInput(reader, _last_good_run(runs[upstream], reader.started))
    return inputs


def _names_of(name: str) -> tuple[str, str]:
    return name, name.partition("/")[2]


def _last_good_run(runs: Iterable[LineageRun], at: datetime) -> LineageRun | None:
    good = (RunState.SUCCEEDED, RunState.PARTIAL)
    done = [(run.ended, run) for run in runs if run.ended is not None and run.ended <= at and run.state in good]
    return max(done, key=lambda pair: pair[0], default=(at, None))[1]


@dataclass(frozen=True)
class LineageReach:
    """One job, with all that lies above and below it."""

    view: LineageView
    services: tuple[ServiceView, ...]
    """That wait for it, the nearest deadline first."""
    now: datetime

    @cached_property
    def _steps(self) -> tuple[Mapping[int, list[int]], Mapping[int, list[int]]]:
        return neighbours(self.view.edges)

    def above(self, job_id: int) -> list[int]:
        return self._steps[0].get(job_id, [])

    def below(self, job_id: int) -> list[int]:
        return self._steps[1].get(job_id, [])

    @property
    def job(self) -> LineageJob:
        return self.view.jobs[self.view.job_id]

    @cached_property
    def upstream(self) -> dict[int, int]:
        """Job -> steps away, nearest first."""
        return blast_radius(self.view.job_id, self.above)

    @cached_property
    def downstream(self) -> dict[int, int]:
        return blast_radius(self.view.job_id, self.below)

    @cached_property
    def causes(self) -> list[LineageJob]:
        """The red jobs at the root of it: itself, or of what lies upstream."""
        red = {job.id for job in self.view.jobs.values() if job.is_red}
        return [self.view.jobs[cause] for cause in red_root_causes(self.view.job_id, self.above, red)]

    @cached_property
    def critical(self) -> frozenset[str]:
        """Names of the jobs on the critical path of a service that is not delivered yet."""
        return frozenset(name for service in self.services if service.delivered is None for name in service.path)

    def jobs(self, job_ids: Iterable[int]) -> list[LineageJob]:
        return [self.view.jobs[job_id] for job_id in job_ids]

    @cached_property
    def critical_edges(self) -> frozenset[tuple[int, int]]:
        """The steps (upstream, downstream) along those critical paths."""
        ids = {job.name: job.id for job in self.view.jobs.values()}
        pending = (service for service in self.services if service.delivered is None)
        paths = [[ids[name] for name in service.path if name in ids] for service in pending]
        return frozenset(step for path in paths for step in pairwise(path))

    @cached_property
    def service_of(self) -> dict[int, str]:
        """Job -> the first service, by tier and name, that lies below it or that it delivers."""
        service_by_job: dict[int, str] = {}
        for name, ends in self.view.services.items():
            for end in ends:
                for job in (end, *blast_radius(end, self.above)):
                    service_by_job.setdefault(job, name)
        return service_by_job


def services_below(view: LineageView, job_id: int, services: Iterable[ServiceView]) -> tuple[ServiceView, ...]:
    """Of these services those that wait for the job, the nearest deadline first."""
    steps = neighbours(view.edges)[1]
    below = {job_id, *blast_radius(job_id, lambda job: steps.get(job, ()))}
    names = {service for service, ends in view.services.items() if not below.isdisjoint(ends)}
    affected = [service for service in services if service.name in names]
    return tuple(sorted(affected, key=lambda service: (service.act_by or service.deadline, service.tier)))
