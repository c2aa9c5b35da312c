"""What `headway lineage` and `headway blast` share: the jobs around one, the services below it, the cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from console.cli.common import count, until
from console.control.lineage import blast_radius, neighbours, root_causes
from console.model.views import ServiceView
from console.model.views.lineage import LineageJob, LineageView
from console.store.reads import Reads


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


def reach(reads: Reads, name: str, run: str = "") -> Reach:
    """Raises NotFound for a job or a run that is not there."""
    view = reads.lineage(reads.job(name).row.id, run)
    steps = neighbours(view.edges)[1]
    below = {view.job_id, *blast_radius(view.job_id, lambda each: steps.get(each, ()))}
    names = {service for service, ends in view.services.items() if not below.isdisjoint(ends)}
    hurt = [one for one in reads.services(view.bd or None) if one.name in names]
    return Reach(view, tuple(sorted(hurt, key=lambda one: (one.act_by or one.deadline, one.tier))), reads.now())


def state_of(job: LineageJob, now: datetime) -> str:
    """ "failed 28m ago", "planned in 4h12m"; "has not run"."""
    return f"{job.state} {until(job.at, now)}" if job.state else "has not run"


def cause_lines(of: Reach) -> Iterator[str]:
    """Where it is red, or what it hangs on is: the cause, in one step."""
    for one in of.causes:
        itself = " (itself)" if one.id == of.view.job_id else ""
        yield f"root cause  {one.name}{itself}  {state_of(one, of.now)}"


def by_system(jobs: Iterable[LineageJob]) -> list[tuple[str, list[LineageJob]]]:
    """The systems with most jobs first."""
    found: dict[str, list[LineageJob]] = {}
    for one in jobs:
        found.setdefault(one.system, []).append(one)
    return sorted(found.items(), key=lambda each: (-len(each[1]), each[0]))


def state_counts(jobs: Iterable[LineageJob]) -> str:
    """ "3 succeeded, 1 failed"."""
    counts = Counter(one.state or "not run" for one in jobs)
    return ", ".join(f"{number} {state}" for state, number in counts.most_common())


def summary(jobs: list[LineageJob]) -> str:
    """ "7 jobs on 3 systems"."""
    return f"{count(jobs, 'job')} on {count({one.system for one in jobs}, 'system')}"


def as_json(of: Reach, job: LineageJob, steps: int) -> dict[str, object]:
    """One job of the reach, `steps` away."""
    return {
        "job": job.name,
        "system": job.system,
        "steps": steps,
        "state": job.state or None,
        "at": job.at,
        "period_key": job.period_key or None,
        "is_red": job.is_red,
        "is_root_cause": job in of.causes,
        "is_critical": job.name in of.critical,
    }


def service_json(one: ServiceView) -> dict[str, object]:
    return {
        "service": one.name,
        "tier": one.tier,
        "bd": one.bd,
        "deadline": one.deadline if one.is_promised else None,
        "timeliness": one.timeliness,
        "act_by": one.act_by,
        "green_by": one.green_by,
        "delivered": one.delivered,
        "cause": one.cause or None,
    }
