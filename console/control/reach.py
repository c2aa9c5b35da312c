"""One job with all that lies above and below it over all systems: what screens and commands say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from console.control.lineage import blast_radius, neighbours, root_causes
from console.model.views import ServiceView
from console.model.views.lineage import LineageJob, LineageView


@dataclass(frozen=True)
class Reach:
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
        red = {each.id for each in self.view.jobs.values() if each.is_red}
        return [self.view.jobs[each] for each in root_causes(self.view.job_id, self.above, red)]

    @cached_property
    def critical(self) -> frozenset[str]:
        """Names of the jobs on the critical path of a service that is not delivered yet."""
        return frozenset(name for one in self.services if one.delivered is None for name in one.path)

    def jobs(self, job_ids: Iterable[int]) -> list[LineageJob]:
        return [self.view.jobs[each] for each in job_ids]

    @cached_property
    def critical_edges(self) -> frozenset[tuple[int, int]]:
        """The steps (upstream, downstream) along those critical paths."""
        ids = {job.name: job.id for job in self.view.jobs.values()}
        paths = [[ids[name] for name in one.path if name in ids] for one in self.services if one.delivered is None]
        return frozenset(step for path in paths for step in pairwise(path))

    @cached_property
    def service_of(self) -> dict[int, str]:
        """Job -> the first service, by tier and name, that lies below it or that it delivers."""
        found: dict[int, str] = {}
        for name, ends in self.view.services.items():
            for end in ends:
                for job in (end, *blast_radius(end, self.above)):
                    found.setdefault(job, name)
        return found


def services_below(view: LineageView, job_id: int, services: Iterable[ServiceView]) -> tuple[ServiceView, ...]:
    """Of these services those that wait for the job, the nearest deadline first."""
    steps = neighbours(view.edges)[1]
    below = {job_id, *blast_radius(job_id, lambda each: steps.get(each, ()))}
    names = {service for service, ends in view.services.items() if not below.isdisjoint(ends)}
    hurt = [one for one in services if one.name in names]
    return tuple(sorted(hurt, key=lambda one: (one.act_by or one.deadline, one.tier)))
