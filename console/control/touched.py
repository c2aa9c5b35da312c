"""What a change can touch: the parts of the estate that hang together, and those of them in which something changed.

Jobs hang together by dependencies, by a hold, as a task of its DAG, by a service that both deliver, by an open
incident, by a check that two services wait for, by what they blame as they fail, and by a target that does not answer.
A part judged alone is judged as it is within the whole: a property test holds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import rustworkx as rx

from console.control.shared import links
from console.model.values import Estate, IncidentFacts, TargetFacts


def changed_jobs(before: Estate, after: Estate) -> set[int] | None:
    """Jobs with a new fact since `before`; None where a change has no bounds: config, more time for a service, or which
    targets there are."""
    if (before.services, before.dependencies, before.settings) != (after.services, after.dependencies, after.settings):
        return None
    if (before.modes, before.extensions, before.declared) != (after.modes, after.extensions, after.declared):
        return None
    if before.declared != after.declared or _said(before) != _said(after):
        return None
    if before.jobs.keys() != after.jobs.keys() or before.targets.keys() != after.targets.keys():
        return None
    old_runs = {run.id: run for run in before.runs}
    found = {run.job_id for run in after.runs if old_runs.pop(run.id, None) != run}
    found |= {run.job_id for run in old_runs.values()}
    found |= {number for number, job in after.jobs.items() if before.jobs[number] != job}
    found |= {number for number, taken in after.durations.items() if before.durations.get(number) != taken}
    found |= {number for number, past in after.history.items() if before.history.get(number) is not past}
    found |= _below_checks(before, after)
    found |= {hold.job_id for hold in set(before.holds) ^ set(after.holds)}
    turned = {number for number, one in after.targets.items() if _health(one) != _health(before.targets[number])}
    return found | {job.id for job in after.jobs.values() if job.target_id in turned} if turned else found


def part_with(estate: Estate, job_ids: Iterable[int]) -> Estate:
    """All of the estate that hangs together with these jobs; the whole value where that is everything."""
    wanted = set(job_ids)
    jobs = {job_id for part in parts_of(estate) if not wanted.isdisjoint(part) for job_id in part}
    if len(jobs) == len(estate.jobs):
        return estate
    targets = {job.target_id for job_id, job in estate.jobs.items() if job_id in jobs}
    services = tuple(one for one in estate.services if not jobs.isdisjoint(one.terminals))
    ready = {name for service in services for name in service.ready}
    job_of = {run.id: run.job_id for run in estate.runs}
    return replace(
        estate,
        jobs={job_id: job for job_id, job in estate.jobs.items() if job_id in jobs},
        runs=tuple(run for run in estate.runs if run.job_id in jobs),
        durations={job_id: taken for job_id, taken in estate.durations.items() if job_id in jobs},
        dependencies=tuple(one for one in estate.dependencies if one.upstream_id in jobs),
        services=services,
        targets={number: one for number, one in estate.targets.items() if number in targets},
        incidents=tuple(one for one in estate.incidents if _is_about(one, jobs, targets, ready, job_of)),
        holds=tuple(one for one in estate.holds if one.job_id in jobs),
        history={job_id: past for job_id, past in estate.history.items() if job_id in jobs},
        findings=tuple(one for one in estate.findings if one.finding.job_id in jobs),
    )


def _below_checks(before: Estate, after: Estate) -> set[int]:
    """Jobs of services, and downstreams, for whose checks there is a new look."""
    looked = {
        key[0] for key in before.checks.keys() | after.checks.keys() if before.checks.get(key) != after.checks.get(key)
    }
    held = {one.downstream_id for one in after.dependencies if one.wants.check in looked}
    ends = (one for service in after.services if not looked.isdisjoint(service.ready) for one in service.terminals)
    return held.union(ends)


def _is_about(
    one: IncidentFacts, jobs: set[int], targets: set[int], ready: set[str], job_of: Mapping[int, int]
) -> bool:
    if one.shared:
        return any(job_of.get(each) in jobs for each in one.member_run_ids)
    if one.root_check:
        return one.root_check in ready
    return one.root_job_id in jobs or (one.root_job_id is None and one.root_target_id in targets)


def _said(estate: Estate) -> tuple[object, ...]:
    """What people and calendars say of alerts: it may concern every incident."""
    return estate.telling.acks, estate.telling.silences, estate.telling.shifts


def _health(target: TargetFacts) -> tuple[object, ...]:
    return target.failing_since, target.error, target.first_ok_at, target.lost


def parts_of(estate: Estate) -> list[set[int]]:
    """The ids of its jobs, by parts that hang together."""
    graph = rx.PyGraph[int, None](multigraph=False)
    places = dict(zip(estate.jobs, graph.add_nodes_from(list(estate.jobs)), strict=True))
    known = [(places[one], places[other]) for one, other in _links(estate) if one in places and other in places]
    graph.add_edges_from_no_data(known)
    return [{graph[place] for place in part} for part in rx.connected_components(graph)]


def _links(estate: Estate) -> Iterator[tuple[int, int]]:
    """Pairs of jobs that hang together."""
    for one in estate.dependencies:
        yield one.upstream_id, one.downstream_id
    for hold in estate.holds:
        if hold.upstream_id is not None and not hold.state.is_over:
            yield hold.upstream_id, hold.job_id
    for job in estate.jobs.values():
        if job.parent_id is not None:
            yield job.parent_id, job.id
    by_check: dict[str, list[int]] = {}
    for service in estate.services:
        yield from _chained(service.terminals)
        for name in service.ready:
            by_check.setdefault(name, []).extend(service.terminals)
    for terminals in by_check.values():
        yield from _chained(terminals)
    job_of = {run.id: run.job_id for run in estate.runs}
    for incident in estate.incidents:
        members = [job_of[number] for number in sorted(incident.member_run_ids) if number in job_of]
        yield from _chained([*([incident.root_job_id] if incident.root_job_id is not None else []), *members])
    for together in links(estate):
        yield from _chained(together)
    silent = {number for number, target in estate.targets.items() if target.failing_since is not None}
    silent |= {one.root_target_id for one in estate.incidents if one.root_target_id is not None}
    for number in sorted(silent):
        yield from _chained([job.id for job in estate.jobs.values() if job.target_id == number])


def _chained(job_ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    yield from pairwise(job_ids)
