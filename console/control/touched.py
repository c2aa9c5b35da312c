"""What a change can touch: the parts of the estate that hang together, and those of them in which something changed.

Jobs hang together as `control.shape` tells, and for a while by a hold, by an open incident, by what they blame as they
fail, and by a target that does not answer. A part judged alone is judged as it is within the whole: a property test
holds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from itertools import chain as chained
from itertools import pairwise

from console.control.kept import Kept, kept_of, with_other_contexts
from console.control.shape import Shape, joined
from console.control.shared import links
from console.model.grouped import Runs, by_job
from console.model.values import Estate, IncidentFacts, TargetFacts

MANY = 5_000
"""More changed jobs than these have parts nearly everywhere: the whole is judged, of which most is remembered."""


def touched(before: Estate, after: Estate, known: Set[int] | None = None, kept: Kept | None = None) -> Estate:
    """What must be judged again since `before`: the part of `after` that hangs together with what changed, or all of
    it. `known` and `kept` as of `changed_jobs`."""
    changed = changed_jobs(before, after, known, kept)
    return after if changed is None or len(changed) > MANY else part_with(after, changed, kept)


def changed_jobs(
    before: Estate, after: Estate, known: Set[int] | None = None, kept: Kept | None = None
) -> set[int] | None:
    """Jobs with a new fact since `before`; None where a change has no bounds: config, more time for a service, or which
    jobs and targets there are. `known`: those whose facts, runs, durations or history may differ, from whoever read
    them; None: all are compared. `kept`: of `after`."""
    if _is_unbounded(before, after):
        return None
    looked_at = before.jobs.keys() | after.jobs.keys() if known is None else known
    if any((each in before.jobs) != (each in after.jobs) for each in looked_at):
        return None
    found = _with_other_facts(before, after, looked_at)
    found |= _below_checks(before, after) | with_other_contexts(before, after)
    if before.earlier is not after.earlier:
        found |= {run.job_id for run in set(before.earlier) ^ set(after.earlier)}
    found |= {hold.job_id for hold in set(before.holds) ^ set(after.holds)}
    turned = {number for number, one in after.targets.items() if _health(one) != _health(before.targets[number])}
    if not turned:
        return found
    shape = kept.shape if kept is not None else Shape(after)
    return found.union(*(shape.on_target(each) for each in turned))


def _is_unbounded(before: Estate, after: Estate) -> bool:
    if before.dependencies is not after.dependencies and before.dependencies != after.dependencies:
        return True
    if (before.services, before.settings) != (after.services, after.settings):
        return True
    if (before.modes, before.extensions) != (after.modes, after.extensions):
        return True
    if before.declared != after.declared or _said(before) != _said(after):
        return True
    return before.targets.keys() != after.targets.keys()


def _with_other_facts(before: Estate, after: Estate, job_ids: Iterable[int]) -> set[int]:
    was, now = by_job(before.runs), by_job(after.runs)
    return {
        each
        for each in job_ids
        if each in after.jobs
        and (
            was.get(each) != now.get(each)
            or before.jobs[each] != after.jobs[each]
            or before.durations.get(each) != after.durations.get(each)
            or before.history.get(each) is not after.history.get(each)
        )
    }


def part_with(estate: Estate, job_ids: Iterable[int], kept: Kept | None = None) -> Estate:
    """All of the estate that hangs together with these jobs; the whole value where that is everything. `kept`: of that
    estate."""
    kept = kept or kept_of(estate)
    shape = kept.shape
    explaining = _explaining(estate)
    parts = _hanging_together(estate, kept, {*job_ids, *_jobs_of(estate, shape, explaining)})
    ids = shape.jobs_of(parts)
    if len(ids) == len(estate.jobs):
        return estate
    jobs = {job_id: estate.jobs[job_id] for job_id in sorted(ids)}
    targets = {job.target_id for job in jobs.values()} | {one.root_target_id for one in explaining}
    services = tuple(one for one in estate.services if not ids.isdisjoint(one.terminals))
    ready = {name for service in services for name in service.ready}
    runs = by_job(estate.runs)
    beside = sorted(shape.sharing_with(ids) - ids)
    return replace(
        estate,
        jobs=jobs,
        beside={**estate.beside, **{job_id: (estate.jobs[job_id], runs.get(job_id, ())) for job_id in beside}},
        runs=Runs({job_id: runs[job_id] for job_id in jobs if job_id in runs}),
        durations={job_id: estate.durations[job_id] for job_id in jobs if job_id in estate.durations},
        dependencies=shape.edges_of(parts),
        services=services,
        targets={number: one for number, one in estate.targets.items() if number in targets},
        incidents=explaining or tuple(one for one in estate.incidents if _is_about(one, ids, targets, ready)),
        holds=tuple(one for one in estate.holds if one.job_id in ids),
        history={job_id: estate.history[job_id] for job_id in jobs if job_id in estate.history},
        earlier=tuple(run for run in estate.earlier if run.job_id in ids),
        findings=tuple(one for one in estate.findings if one.finding.job_id in ids),
    )


def _hanging_together(estate: Estate, kept: Kept, job_ids: Iterable[int]) -> set[int]:
    """The numbers of the shape's parts that hang together with these jobs."""
    shape = kept.shape
    found = shape.parts_with(job_ids)
    chains = [chain for chain in (shape.parts_with(each) for each in _passing(estate, kept)) if len(chain) > 1]
    while reached := [chain for chain in chains if not chain.isdisjoint(found) and not chain <= found]:
        found = found.union(*reached)
    return found


def _explaining(estate: Estate) -> tuple[IncidentFacts, ...]:
    """What may explain another: all that is open, where config lets one incident explain another."""
    return estate.incidents if estate.declared.alerting.inhibit else ()


def _jobs_of(estate: Estate, shape: Shape, incidents: Iterable[IncidentFacts]) -> Iterator[int]:
    """The jobs that these incidents are about: a root, all on a target, all that blame the same, those of services that
    wait for a check."""
    checks: set[str] = set()
    for one in incidents:
        checks.add(one.root_check)
        yield from one.member_job_ids
        yield from () if one.root_job_id is None else (one.root_job_id,)
        yield from () if one.root_target_id is None else shape.on_target(one.root_target_id)
    for service in estate.services:
        yield from () if checks.isdisjoint(service.ready) else service.terminals


def _below_checks(before: Estate, after: Estate) -> set[int]:
    """Jobs of services, and downstreams, for whose checks there is a new look."""
    looked = {
        key[0] for key in before.checks.keys() | after.checks.keys() if before.checks.get(key) != after.checks.get(key)
    }
    if not looked:
        return set()
    held = {one.downstream_id for one in after.dependencies if one.wants.check in looked}
    ends = (one for service in after.services if not looked.isdisjoint(service.ready) for one in service.terminals)
    return held.union(ends)


def _is_about(one: IncidentFacts, jobs: set[int], targets: Set[int | None], ready: set[str]) -> bool:
    if one.shared:
        return not jobs.isdisjoint(one.member_job_ids)
    if one.root_check:
        return one.root_check in ready
    return one.root_job_id in jobs or (one.root_job_id is None and one.root_target_id in targets)


def _said(estate: Estate) -> tuple[object, ...]:
    """What people and calendars say of alerts: it may concern every incident."""
    return estate.telling.acks, estate.telling.silences, estate.telling.shifts


def _health(target: TargetFacts) -> tuple[object, ...]:
    return target.failing_since, target.error, target.first_ok_at, target.lost


def parts_of(estate: Estate, kept: Kept | None = None) -> list[set[int]]:
    """The ids of its jobs, by parts that hang together."""
    kept = kept or kept_of(estate)
    lasting = (link for part in kept.shape.parts() for link in pairwise(sorted(part)))
    passing = (link for chain in _passing(estate, kept) for link in pairwise(chain))
    return joined(estate.jobs, chained(lasting, passing))


def _passing(estate: Estate, kept: Kept) -> Iterator[Sequence[int]]:
    """Jobs that hang together for now: by a hold, by an open incident, by a target that does not answer."""
    shape = kept.shape
    for hold in estate.holds:
        if hold.upstream_id is not None and not hold.state.is_over:
            yield hold.upstream_id, hold.job_id
    for incident in estate.incidents:
        root = [incident.root_job_id] if incident.root_job_id is not None else []
        yield [each for each in (*root, *sorted(incident.member_job_ids)) if each in estate.jobs]
    yield from links(estate, kept.reds, kept.failing)
    silent = {number for number, target in estate.targets.items() if target.failing_since is not None}
    silent |= {one.root_target_id for one in estate.incidents if one.root_target_id is not None}
    for number in sorted(silent):
        yield shape.on_target(number)
    waiting = {number for number, held in estate.telling.held.items() if any(one.stage == "group" for one in held)}
    together = _jobs_of(estate, shape, (one for one in estate.incidents if one.id in waiting))
    yield [each for each in together if each in estate.jobs]
