"""The runs of causes and incidents: failed ones, stale ones below them, and those that have not started yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from connectors.sdk.states import RunState
from console.control.incidents.causes.cause import Cause
from console.control.snapshot.downstream import JobDate, affected_below, read_bad_input
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import failure_signature
from console.control.snapshot.reachability import outage_during
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import IncidentFacts, JobFacts, RunFacts
from console.domain.failure import FailureSignature
from console.domain.incident import FailureError
from console.domain.incident_record import RootRun
from console.text.normalize import constant_part

MAX_THREATENED = 500
"""Members per incident that have not started yet; beyond these only the services are listed."""


def red_units(index: EstateIndex) -> dict[date, dict[int, list[RunFacts]]]:
    """The red runs of each date by job; those of tasks count with their DAG."""
    red: dict[date, dict[int, list[RunFacts]]] = {}
    for job_id, runs in index.red_jobs():
        if index.graph.unit(job_id) == job_id:
            for run in runs:
                if run.state.is_red and index.is_red_now(run):
                    red.setdefault(run.business_date, {}).setdefault(job_id, []).append(run)
    return red


def stale_below(index: EstateIndex, job_ids: Iterable[int], business_date: date) -> list[RunFacts]:
    """Runs that are stale because of these jobs on that date, upstreams first; without runs whose job had a later
    good run, and runs that read these jobs when they were good."""
    causes = set(job_ids)
    stale_runs: list[RunFacts] = []
    for job_id, days in _in_order(index, affected_below(index, causes, business_date)):
        runs = (run for day in days for run in index.of_day(job_id, day))
        stale = [run for run in runs if is_stale_now(index, run) and read_bad_input(index, run, causes)]
        if stale:
            causes.add(job_id)
            stale_runs += stale
    return stale_runs


def _in_order(index: EstateIndex, places: Iterable[JobDate]) -> list[tuple[int, list[date]]]:
    days: dict[int, list[date]] = {}
    for job_id, day in sorted(places):
        days.setdefault(job_id, []).append(day)
    return [(job_id, days[job_id]) for job_id in index.graph.ordered(days)]


def is_stale_now(index: EstateIndex, run: RunFacts) -> bool:
    """True if it is stale, not red, and no later run of the job is good."""
    if run.state.is_red or not index.is_stale(run):
        return False
    return not any(map(index.is_green, index.later_runs(run)))


def threatened_runs(
    index: EstateIndex, job_ids: Iterable[int], business_date: date
) -> list[tuple[int, str, int | None]]:
    """(job, period key, run id) of runs that will read a cause and have not started: one per job, upstreams first."""
    threatened: list[tuple[int, str, int | None]] = []
    for job_id, days in _in_order(index, affected_below(index, job_ids, business_date)):
        runs = [run for day in days for run in index.of_day(job_id, day)]
        ahead = [run for run in runs if run.state in (RunState.PLANNED, RunState.HELD)]
        if ahead:
            threatened.append((job_id, ahead[0].period_key, ahead[0].id or None))
        elif not runs:
            threatened.append((job_id, "", None))
        if len(threatened) == MAX_THREATENED:
            break
    return threatened


def unfinished_runs_on(index: EstateIndex, target_id: int) -> list[RunFacts]:
    """Runs on the target that are open, or due and not seen to start, in the order of their jobs."""
    return [run for run in runs_on_target(index, target_id) if run.state.is_open and run_time(run) <= index.now]


def runs_on_target(index: EstateIndex, target_id: int) -> Iterator[RunFacts]:
    """All runs of the target's jobs, without those of tasks, by job."""
    for job_id, runs in index.runs.items():
        if index.job(job_id).target_id == target_id and index.graph.unit(job_id) == job_id:
            yield from runs


def failed_tasks(index: EstateIndex, run: RunFacts) -> list[JobFacts]:
    """Red tasks of a DAG run: those that failed before those that were blocked, by id."""
    tasks = []
    for task in index.tasks_of(run.job_id):
        states = [task_run.state for task_run in index.runs.get(task.id, ()) if task_run.period_key == run.period_key]
        red = [state for state in states if state.is_red]
        if red:
            tasks.append((all(state is RunState.BLOCKED for state in red), task.id, task))
    return [task for _, _, task in sorted(tasks, key=lambda item: item[:2])]


def run_error(index: EstateIndex, run: RunFacts) -> FailureError:
    """Its own error, else that of its first failed task."""
    if run.message or run.exit_code is not None or not (tasks := failed_tasks(index, run)):
        return FailureError(
            run.exit_code, constant_part(run.message or run.state.value * (run.state is not RunState.FAILED))
        )
    task = next((task for task in index.runs.get(tasks[0].id, ()) if task.period_key == run.period_key), run)
    return FailureError(task.exit_code, constant_part(f"task {tasks[0].native_id}: {task.message}"))


def run_failure(index: EstateIndex, run: RunFacts) -> FailureSignature:
    """The signature of its failure: by the log of its first failed task, else its own, else by their messages."""
    job = index.job(run.job_id)
    task = next(iter(failed_tasks(index, run)), job)
    failed = next((own for own in index.runs.get(task.id, ()) if own.period_key == run.period_key), run)
    target = index.estate.targets.get(job.target_id)
    return failure_signature(
        job.kind,
        run.state,
        run.exit_code if failed.exit_code is None else failed.exit_code,
        failed.tail or run.tail or failed.message or run.message,
        task.native_id.removeprefix(f"{job.native_id}."),
        target.name if target is not None else "",
    )


def is_lost_out_of_reach(index: EstateIndex, run: RunFacts) -> bool:
    """True for a start missed, or a run lost, while its target was out of reach: not an error of the job."""
    if run.state not in (RunState.MISSED, RunState.LOST):
        return False
    return outage_during(index.estate, index.job(run.job_id), red_since(run), index.now) is not None


def root_run_of(index: EstateIndex, incident: IncidentFacts) -> RunFacts | None:
    """The incident's root run; None for a target, or if it is out of view."""
    root = incident.cause.root
    if not isinstance(root, RootRun):
        return None
    return next((run for run in index.runs.get(root.job_id, ()) if run.period_key == root.period_key), None)


def affected_runs(index: EstateIndex, incident: IncidentFacts) -> list[RunFacts]:
    """Current state of the runs that were notified as root, red, stale or repaired."""
    runs = map(index.run_by_id, sorted(incident.affected_run_ids))
    return [run for run in runs if run is not None]


def retried_runs(index: EstateIndex, incident: IncidentFacts) -> list[RunFacts]:
    """Its affected runs that are queued or running again."""
    return [run for run in affected_runs(index, incident) if run.state.is_open]


def stale_runs(index: EstateIndex, cause: Cause, incident: IncidentFacts | None) -> list[RunFacts]:
    """Runs that the cause left stale and that still are; upstreams first."""
    job_ids = [run.job_id for run in cause.red]
    job_ids += [cause.root.job_id] if cause.root is not None else []
    notified = affected_runs(index, incident) if incident is not None else []
    # A red run has a cause of its own; a stale one is a cause only where its own cause is part of this incident.
    job_ids += [run.job_id for run in notified if not index.is_red_now(run) and not index.is_stale(run)]
    days = sorted({cause.business_date, *(run.business_date for run in cause.roots())})
    while True:
        stale = [run for business_date in days for run in stale_below(index, job_ids, business_date)]
        looped = {run.job_id for run in stale}.difference(job_ids)
        if not looped:
            return stale
        job_ids += sorted(looped)  # a loop leads back to its first jobs
