"""Lineage and blast radius: the jobs around one job over all systems, the services below it, the cause."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from console.cli.arguments import JOB_HELP, whole_number
from console.cli.clock_format import act_by_text, clock_cell, clock_text, local_clock_cell
from console.cli.commands import JSON, Handler, flag, option
from console.cli.output import Part, Table, ValueColumn, counted, print_result, table
from console.cli.reader import fresh_store_reader
from console.cli.runs import named_job
from console.control.explain.lineage import LineageReach, runs_read_by_edge
from console.domain.dependency import LineageJob, RunInput
from console.domain.service import ServiceView, status_label
from console.engine.api.documents import (
    DEFAULT_DEPTH,
    job_reach,
    lineage_document,
    lineage_job_document,
    reach_document,
)
from console.timing.formats import relative_time_text


def job_state_text(job: LineageJob, now: datetime) -> str:
    """ "failed 28m ago", "planned in 48m, last succeeded 23h ago"; "no run"."""
    last = f", last {job.before} {relative_time_text(job.before_at, now)}" if job.before else ""
    when = f" {relative_time_text(job.at, now)}" if job.at is not None else ""
    return f"{job.state}{when}{last}" if job.state else "no run"


def cause_lines(of: LineageReach) -> Iterator[str]:
    """The root causes of the job's state, one a line."""
    for cause in of.causes:
        itself = " (itself)" if cause.id == of.view.job_id else ""
        yield f"root cause  {cause.name}{itself}  {job_state_text(cause, of.now)}"


def by_system(jobs: Iterable[LineageJob]) -> list[tuple[str, list[LineageJob]]]:
    """The systems with most jobs first."""
    groups: dict[str, list[LineageJob]] = {}
    for job in jobs:
        groups.setdefault(job.system, []).append(job)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def state_counts(jobs: Iterable[LineageJob]) -> str:
    """ "3 succeeded, 1 failed"."""
    counts = Counter(job.state or "no run" for job in jobs)
    return ", ".join(f"{number} {state}" for state, number in counts.most_common())


def reach_summary(jobs: list[LineageJob]) -> str:
    """ "7 jobs on 3 systems"."""
    return f"{counted(jobs, 'job')} on {counted({job.system for job in jobs}, 'system')}"


RunInputs = Mapping[tuple[int, int], RunInput]
"""By edge, as `runs_read_by_edge` returns it."""
MAX_LINES = 40
"""More jobs upstream or downstream are counted by system; only red, critical and causing ones are named."""


def run_lineage(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        reach = job_reach(reads, named_job(reads, arguments.name).row.id, arguments.run)
        runs = reads.lineage.latest_runs(reach.view.jobs) if arguments.reads else {}
    inputs = runs_read_by_edge(reach.view.edges, runs, {job.id: job.name for job in reach.view.jobs.values()})
    document = lineage_document(reach, arguments.up, arguments.down)
    lines = lineage_lines(reach, arguments.up, arguments.down)
    if not arguments.reads:
        return print_result(arguments, document, lines)
    with_inputs = {**document, "reads": list(_inputs_document(reach, inputs))}
    return print_result(arguments, with_inputs, lines, _input_lines(reach, inputs))


def _inputs_document(reach: LineageReach, inputs: RunInputs) -> Iterator[dict[str, object]]:
    for (upstream, downstream), (run, read, is_reported) in inputs.items():
        yield {
            "upstream": reach.view.jobs[upstream].name,
            "downstream": reach.view.jobs[downstream].name,
            "business_date": run.business_date,
            "started": run.started,
            "read_business_date": read.business_date if read else None,
            "read_ended": read.ended if read else None,
            "stale_read": run.stale_read,
            "from": "source" if is_reported else "times",
        }


def _input_lines(reach: LineageReach, inputs: RunInputs) -> Iterator[str]:
    yield ""
    for (upstream, downstream), (run, read, is_reported) in inputs.items():
        name = reach.view.jobs[upstream].name
        source = f"{name} of {read.business_date}" if read else f"no run of {name}"
        stale = "; stale: read too early" if run.stale_read else ""
        inferred = "" if is_reported else " (inferred)"
        yield f"{reach.view.jobs[downstream].name} of {run.business_date} read {source}{stale}{inferred}"


def lineage_lines(reach: LineageReach, up: int, down: int) -> Iterator[str]:
    """Upstream as a tree that reads towards the job, the job, downstream as a tree."""
    if reach.view.business_date:
        yield f"business date {reach.view.business_date}"
    for service in reach.services:
        act_by = f", act by {act_by_text(service.act_by, reach.now)}" if service.act_by else ""
        due = f"due {clock_text(service.deadline, reach.now)}, " if service.is_promised else ""
        yield f"service     {service.name}  {due}{status_label(service)}{act_by}"
    yield from cause_lines(reach)
    yield ""
    yield from _side_lines(reach, "upstream", reach.upstream, reach.above, up)
    yield _job_line(reach, "> ", reach.job)
    yield from _side_lines(reach, "downstream", reach.downstream, reach.below, down)
    for dataset in reach.view.datasets:
        age = relative_time_text(dataset.seen, reach.now)
        yield f"{'writes' if dataset.is_output else 'reads':10}  {dataset.dataset}  {age}, by {dataset.producer}"
    for facet in reach.view.facets:
        yield f"{facet.name}  {facet.text}  {relative_time_text(facet.seen, reach.now)}, by {facet.producer}"


def _side_lines(
    reach: LineageReach, label: str, steps: dict[int, int], neighbors: Callable[[int], list[int]], depth: int
) -> Iterator[str]:
    if not steps:
        yield f"{label}: none"
        return
    near = [job_id for job_id, away in steps.items() if away <= depth]
    yield f"{label}: {reach_summary(reach.jobs(steps))}"
    yield from (
        _count_lines(reach, near, steps) if len(near) > MAX_LINES else _tree_lines(reach, steps, neighbors, depth)
    )
    if len(steps) > len(near):
        yield f"  {len(steps) - len(near)} more beyond {depth} step{'s' * (depth != 1)}"


def _count_lines(reach: LineageReach, near: list[int], steps: dict[int, int]) -> Iterator[str]:
    jobs = reach.jobs(near)
    for system, members in by_system(jobs):
        yield f"  {system}: {counted(members, 'job')}: {state_counts(members)}"
    named = [job for job in jobs if _job_mark(reach, job) != " "]
    for job in named[:MAX_LINES]:
        yield _job_line(reach, f"  {steps[job.id]:>2} ", job)
    if len(named) > MAX_LINES:
        yield f"  and {len(named) - MAX_LINES} more; --json lists all"


def _tree_lines(
    reach: LineageReach, away: dict[int, int], neighbors: Callable[[int], list[int]], depth: int
) -> Iterator[str]:
    """Each job once, where it is nearest; elsewhere only its name."""
    drawn: set[int] = set()
    stack = [("", job_id, 1, is_last) for job_id, is_last in _mark_last(neighbors(reach.view.job_id))] if depth else []
    while stack:
        inset, job_id, steps, is_last = stack.pop()
        job, branch = reach.view.jobs[job_id], "`- " if is_last else "|- "
        if job_id in drawn or steps != away.get(job_id):
            yield f"  {inset}{branch}  {job.name} (see step {away.get(job_id, 0)})"
            continue
        drawn.add(job_id)
        yield _job_line(reach, f"  {inset}{branch}", job)
        if steps < depth:
            below = inset + ("   " if is_last else "|  ")
            stack += [(below, neighbor, steps + 1, ends) for neighbor, ends in _mark_last(neighbors(job_id))]


def _mark_last(job_ids: list[int]) -> list[tuple[int, bool]]:
    """Each item in reverse order, as for a stack, and whether it is the last one."""
    return [(job_id, place == 0) for place, job_id in enumerate(reversed(job_ids))]


def _job_line(reach: LineageReach, inset: str, job: LineageJob) -> str:
    return f"{inset}{_job_mark(reach, job)} {job.name}  {job_state_text(job, reach.now)}"


def _job_mark(reach: LineageReach, job: LineageJob) -> str:
    if job in reach.causes:
        return "!"
    if job.is_red:
        return "x"
    return "*" if job.name in reach.critical else " "


MAX_NAMED_JOBS = 20
"""Jobs that are printed by name; more are counted by system."""


def run_blast(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        reach = job_reach(reads, named_job(reads, arguments.name).row.id)
    parts: list[Part] = [_blast_heading(reach)]
    if reach.services:
        parts += [[""], affected_service_table(reach.services, reach.now)]
    if reach.downstream:
        parts += [[""], affected_system_table(reach), ["", *_named_jobs(reach)]]
    return print_result(arguments, blast_document(reach), *parts)


def blast_document(reach: LineageReach) -> dict[str, object]:
    """The document of `--json`: services first, then jobs, nearest first."""
    return {
        **reach_document(reach),
        "systems": {system: len(jobs) for system, jobs in by_system(reach.jobs(reach.downstream))},
        "jobs": [lineage_job_document(reach, reach.view.jobs[job], steps) for job, steps in reach.downstream.items()],
    }


def affected_service_table(services: Sequence[ServiceView], now: datetime) -> Table:
    def deadline(service: ServiceView) -> str:
        if not service.is_promised:
            return "–"
        return f"{clock_cell(service.deadline, now)} ({relative_time_text(service.deadline, now)})"

    return table(
        services,
        ValueColumn("service", lambda service: service.name, 12),
        ValueColumn("tier", lambda service: str(service.tier), drop=3),
        ValueColumn("deadline", deadline),
        ValueColumn("status", status_label),
        ValueColumn("act by", lambda service: act_by_text(service.act_by, now, local_clock_cell)),
        ValueColumn("cause", lambda service: service.cause, 14, middle=True),
    )


def affected_system_table(reach: LineageReach) -> Table:
    return table(
        by_system(reach.jobs(reach.downstream)),
        ValueColumn("system", lambda group: group[0], 12, middle=True),
        ValueColumn("jobs", lambda group: str(len(group[1]))),
        ValueColumn("failed", lambda group: str(sum(job.is_red for job in group[1]))),
        ValueColumn("latest runs", lambda group: state_counts(group[1]), 14),
    )


def _blast_heading(reach: LineageReach) -> Iterator[str]:
    yield f"{reach.job.name}  {job_state_text(reach.job, reach.now)}"
    yield from cause_lines(reach)
    jobs = reach.jobs(reach.downstream)
    yield f"downstream  {reach_summary(jobs) if jobs else 'no job'}; affects {counted(reach.services, 'service')}"


def _named_jobs(reach: LineageReach) -> Iterator[str]:
    for job_id, steps in list(reach.downstream.items())[:MAX_NAMED_JOBS]:
        job = reach.view.jobs[job_id]
        yield f"  {steps:>2}  {job.name}  {job_state_text(job, reach.now)}"
    if len(reach.downstream) > MAX_NAMED_JOBS:
        yield f"  and {len(reach.downstream) - MAX_NAMED_JOBS} more; --json lists all"


HANDLERS = {
    "lineage": Handler(
        run_lineage,
        option("name", JOB_HELP, "JOB"),
        option("--up", f"levels upstream ({DEFAULT_DEPTH})", "N", type=whole_number, default=DEFAULT_DEPTH),
        option("--down", f"levels downstream ({DEFAULT_DEPTH})", "N", type=whole_number, default=DEFAULT_DEPTH),
        option("--run", "period key or number of a run: show its business date", "KEY", default=""),
        flag("--reads", "show runs with the upstream run that each one read"),
        JSON,
        epilog="! root cause   x red   * on the critical path of a service",
    ),
    "blast": Handler(run_blast, option("name", JOB_HELP, "JOB"), JSON),
}
