"""What `headway lineage` and `headway blast` share: the jobs around one, the services below it, the cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from console.cli.common import count, until
from console.control.reach import Reach, services_below
from console.model.views import ServiceView
from console.model.views.lineage import LineageJob
from console.store.reads import Reads


def reach(reads: Reads, name: str, run: str = "") -> Reach:
    """Raises NotFound for a job or a run that is not there."""
    view = reads.lineage(reads.job(name).row.id, run)
    return Reach(view, services_below(view, view.job_id, reads.services(view.bd or None)), reads.now())


def state_of(job: LineageJob, now: datetime) -> str:
    """ "failed 28m ago", "planned in 48m, last succeeded 23h ago"; "has not run"."""
    last = f", last {job.before} {until(job.before_at, now)}" if job.before else ""
    return f"{job.state} {until(job.at, now)}{last}" if job.state else "has not run"


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
        "last_state": job.before or None,
        "last_at": job.before_at,
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
