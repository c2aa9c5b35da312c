"""Incremental evaluation: the changed part of the estate, and the one cache passed from evaluation to evaluation.

Jobs of one component are connected by dependencies, as a task of its DAG, by a service or a check that several of
them deliver, or by the job from whose start a deadline counts; chains of services by a pool that they share; and for
a while by a hold, an open incident, what they blame as they fail, or an unreachable target. A component evaluated
alone gets the same decisions as within the whole estate.

`JobMemo` keeps the results of every rule about one job with that job's inputs. An entry is used while its
inputs are unchanged and its time limit has not passed. `SourceMemo` keeps values derived from histories. Results are
the same without the cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, pairwise
from math import inf
from operator import attrgetter
from typing import Generic, TypeVar

import rustworkx as rx

from console.control.snapshot.failing_targets import TargetEnds
from console.control.snapshot.failures import RedJob, red_jobs_of, target_label
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.pools import pools_of
from console.control.snapshot.reachability import endpoint_key, is_out_of_reach
from console.control.snapshot.runs import BEGINNING, NEVER, Freshness, run_time
from console.domain.decision import ExpectedRun, RunJudgement
from console.domain.estate import (
    DependencyFacts,
    Estate,
    EstateChanges,
    IncidentFacts,
    JobFacts,
    RunFacts,
    RunsByJob,
    ServiceFacts,
    TargetFacts,
    runs_by_job,
)
from console.domain.finding import Finding, StoredFinding
from console.domain.history import RunHistory
from console.domain.incident_record import CauseKind

MAX_CHANGED_JOBS = 5_000
"""More changed jobs than this have components nearly everywhere: the whole estate is evaluated, with the cache."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class SourceMemo(Generic[Value]):
    """Values by key, each computed again once an object that it was computed from is replaced."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[tuple[object, ...], Value]] = {}

    def get(self, key: Hashable, sources: tuple[object, ...], compute: Callable[[], Value]) -> Value:
        entry = self._entries.get(key)
        if entry is None or any(old is not new for old, new in zip(entry[0], sources, strict=True)):
            entry = self._entries[key] = (sources, compute())
        return entry[1]


TargetTimes = tuple[datetime | None, datetime | None]
"""Until when a target's starts are known, and when it last answered."""


@dataclass(slots=True)
class JobMemo:
    """The evaluation results of one job, with the inputs that they were computed from."""

    job: JobFacts
    runs: Sequence[RunFacts]
    """As the estate has them."""
    history: RunHistory | None
    target: object
    """State of its target, as of `_target_state`."""
    until: datetime
    """From then on time alone may change a result."""
    target_times: TargetTimes | None = None
    """Those of its target, if a result depends on the latest poll."""
    expected: tuple[ExpectedRun, ...] = ()
    withdrawn: tuple[int, ...] = ()
    next_at: datetime | None = None
    merged: Sequence[RunFacts] | None = None
    """Its runs with the expected ones."""
    findings: tuple[Finding, ...] | None = None
    next_finding_at: datetime | None = None
    """When time alone adds a finding."""
    freshness: tuple[Freshness, ...] | None = None
    """Of `merged`, one by one."""
    shrunk: tuple[object, ...] = ()
    """The runs whose output was known to be partial, and until when."""
    judgements: tuple[RunJudgement, ...] | None = None
    """Of a job that no service day reads."""

    def expire_at(self, moments: Iterable[datetime], now: datetime) -> None:
        """Ends the entry at the first of these moments that is ahead."""
        self.until = min((self.until, *(at for at in moments if at > now)))


class EvaluationMemo:
    """Job memos by job; empty at first."""

    def __init__(self) -> None:
        self._entries: dict[int, JobMemo] = {}
        self._replaced: dict[int, JobMemo | None] = {}
        """The jobs with a new entry in this evaluation, each with its entry of the one before."""
        self._targets: dict[int, tuple[object, ...]] = {}
        self._target_times: dict[int, TargetTimes] = {}
        self._awaited: dict[int, dict[int, datetime]] = {}
        """Target -> job -> the earliest instant until which the target's starts must be known to change a result."""
        self._held: frozenset[int] = frozenset()
        self._now = BEGINNING
        self._is_running = False
        """From the start of an evaluation to its end, and after one that failed."""

    def begin(self, estate: Estate, now: datetime) -> None:
        """Starts an evaluation. After one that failed the memo is empty: results of a job may not have reached the jobs
        that read it."""
        if now < self._now or self._is_running:
            self._entries.clear()
            self._awaited.clear()
        self._now, self._is_running, self._replaced = now, True, {}
        self._held = frozenset(hold.job_id for hold in estate.holds)
        for number, target in estate.targets.items():
            state = _target_state(target, now, estate)
            if self._targets.get(number) != state:
                self._targets[number] = state
            self._target_times[number] = target.seen_until, target.last_ok_at

    def end(self) -> None:
        """Ends the evaluation: all results are complete."""
        self._is_running, self._replaced = False, {}

    def invalidate(self, job_ids: Iterable[int]) -> None:
        for job_id in job_ids:
            if (entry := self._entries.get(job_id)) is not None:
                entry.until = BEGINNING

    def entry_for(self, job: JobFacts, runs: Sequence[RunFacts], history: RunHistory | None) -> tuple[JobMemo, bool]:
        """The job's entry, and whether it is valid; else it is new and to be filled."""
        entry = self._entries.get(job.id)
        if entry is not None and self._now < entry.until and job.id not in self._held:
            same_runs = entry.runs is runs or entry.runs == runs
            same_job = entry.job is job or entry.job == job
            same_history = entry.history is history or entry.history == history
            same_target = entry.target is self._targets.get(job.target_id)
            same_times = entry.target_times in (None, self._target_times.get(job.target_id))
            if same_runs and same_job and same_history and same_target and same_times:
                return entry, True
        self._replaced[job.id] = entry
        if entry is not None and entry.job.target_id in self._awaited:
            self._awaited[entry.job.target_id].pop(job.id, None)
        until = BEGINNING if job.id in self._held or job.budget_cost is not None else NEVER
        new = self._entries[job.id] = JobMemo(job, runs, history, self._targets.get(job.target_id), until)
        return new, False

    def get(self, job_id: int) -> JobMemo | None:
        return self._entries.get(job_id)

    def last_evaluated(self, job_id: int) -> JobMemo | None:
        """The entry as the last evaluation left it; None if that had none."""
        return self._replaced[job_id] if job_id in self._replaced else self._entries.get(job_id)

    def depends_on_poll(self, entry: JobMemo, moments: Iterable[datetime]) -> None:
        """Makes the entry valid only until its target is polled again. `moments`: the past instants until which the
        target's starts must be known to change a result."""
        target_id, job_id = entry.job.target_id, entry.job.id
        entry.target_times = times = self._target_times.get(target_id)
        seen = _known_until(times) if times is not None else BEGINNING
        ahead = [at for at in moments if at > seen]
        if ahead:
            awaited = self._awaited.setdefault(target_id, {})
            awaited[job_id] = min(awaited.get(job_id, NEVER), *ahead)

    def reached_by(self, target: TargetFacts) -> Iterator[int]:
        """The jobs with an entry that waited until the starts of this target are known as far as they are now."""
        seen = _known_until((target.seen_until, target.last_ok_at))
        return (job_id for job_id, at in self._awaited.get(target.id, {}).items() if at <= seen)

    def has_new_output(self, job_id: int) -> bool:
        """True if the job's readers may see other runs than in the last evaluation."""
        if job_id not in self._replaced:
            return False
        entry, before = self._entries[job_id], self._replaced[job_id]
        if before is None or before.target is not entry.target or before.job != entry.job:
            return True
        if before.merged is None or entry.merged is None:
            return before.merged is not entry.merged
        pairs = zip(before.merged, entry.merged, strict=False)
        return len(before.merged) != len(entry.merged) or any(
            old is not new and _as_read(old) != _as_read(new) for old, new in pairs
        )


def _known_until(times: TargetTimes) -> datetime:
    seen_until, last_ok_at = times
    return seen_until or last_ok_at or BEGINNING


def _target_state(target: TargetFacts, now: datetime, estate: Estate) -> tuple[object, ...]:
    unseen = is_out_of_reach(target, now, estate.settings)
    return (
        target.failing_since, target.lost, target.unread, target.behind, target.ahead, target.first_ok_at,
        target.system, target.name, target.poll_every, unseen, target.last_ok_at if unseen else None,
        target.seen_until is None,
    )  # fmt: skip


def _as_read(run: RunFacts) -> tuple[object, ...]:
    return (
        run.id, run.period_key, run.business_date, run.state, run.evidence, run.attempt, run_time(run),
        run.first_started_at, run.started_at, run.ended_at, run.successes, run.ends,
    )  # fmt: skip


class EstateShape:
    """The lasting components of an estate, by number."""

    def __init__(self, estate: Estate) -> None:
        self._jobs, self._dependencies, self._services = estate.jobs, estate.dependencies, estate.services
        self._pools, self._endpoints = estate.declared.pools, estate.declared.endpoints
        self._endpoint_keys = {target.id: endpoint_key(target) for target in estate.targets.values()}
        self._targets_at: dict[str | int, list[int]] = {}
        for target_id, key in self._endpoint_keys.items():
            self._targets_at.setdefault(key, []).append(target_id)
        self._pool_jobs = pools_of(estate.declared, estate.jobs)
        self._pool_of = {job_id: name for name, jobs in self._pool_jobs.items() for job_id in jobs}
        self.components = _lasting_components(estate, self._pool_jobs.values())
        self._component_of = {job_id: number for number, jobs in enumerate(self.components) for job_id in jobs}
        self._edges: dict[int, list[DependencyFacts]] = {}
        for edge in estate.dependencies:
            if edge.upstream_id in self._component_of:
                self._edges.setdefault(self._component_of[edge.upstream_id], []).append(edge)
        self._on_target: dict[int, list[int]] = {}
        for job in estate.jobs.values():
            self._on_target.setdefault(job.target_id, []).append(job.id)
        self._services_in: dict[int, list[int]] = {}
        self._reading: dict[str, set[int]] = {}
        for place, service in enumerate(estate.services):
            components = self.components_with(service.terminals)
            for number in components:
                self._services_in.setdefault(number, []).append(place)
            for name in service.ready:
                self._reading.setdefault(name, set()).update(components)

    def is_of(self, estate: Estate) -> bool:
        """True if this estate has the same shape; cheap if it shares its values with the one before."""
        if estate.dependencies is not self._dependencies or estate.services is not self._services:
            return False
        if (estate.declared.pools, estate.declared.endpoints) != (self._pools, self._endpoints):
            return False
        return estate.jobs is self._jobs or _places(estate.jobs) == _places(self._jobs)

    def components_with(self, job_ids: Iterable[int]) -> set[int]:
        """The numbers of the components of these jobs."""
        return {self._component_of[job_id] for job_id in job_ids if job_id in self._component_of}

    def jobs_in(self, components: Iterable[int]) -> set[int]:
        return set[int]().union(*(self.components[number] for number in components))

    def edges_in(self, components: Iterable[int]) -> tuple[DependencyFacts, ...]:
        """The dependencies within these components, in order."""
        edges = [edge for number in components for edge in self._edges.get(number, ())]
        return tuple(sorted(edges, key=lambda edge: (edge.upstream_id, edge.downstream_id, edge.origin)))

    def sharing_pools_with(self, job_ids: Iterable[int]) -> set[int]:
        """The jobs that take slots of the same pools as these, themselves included."""
        pools = {self._pool_of[job_id] for job_id in job_ids if job_id in self._pool_of}
        return set[int]().union(*(self._pool_jobs[name] for name in pools))

    def services_in(self, components: Iterable[int]) -> tuple[ServiceFacts, ...]:
        """The services that these components deliver, in order."""
        places = {place for number in components for place in self._services_in.get(number, ())}
        return tuple(self._services[place] for place in sorted(places))

    def components_reading(self, check: str) -> Set[int]:
        """The numbers of the components with services that wait for the check."""
        return self._reading.get(check, set())

    def components_on(self, target_id: int) -> set[int]:
        """The numbers of the components with jobs of the target."""
        return self.components_with(self.on_target(target_id))

    def components_of_incident(self, incident: IncidentFacts) -> Set[int]:
        """The numbers of the components of its root, of all jobs on a target that is its root and at its endpoint, of
        its members, of services that wait for its check."""
        roots = () if incident.cause.job_id is None else (incident.cause.job_id,)
        components = self.components_with((*roots, *incident.member_job_ids))
        if incident.cause.target_id is not None:
            for target_id in self.at_endpoint_of(incident.cause.target_id):
                components |= self.components_on(target_id)
        cause = incident.cause
        return components | (self.components_reading(cause.subject) if cause.kind == CauseKind.CHECK else set())

    def at_endpoint_of(self, target_id: int) -> Sequence[int]:
        """The targets at its endpoint, itself included."""
        return self._targets_at.get(self.endpoint_key(target_id), [target_id])

    def endpoint_key(self, target_id: int) -> str | int:
        """As `reachability.endpoint_key`."""
        return self._endpoint_keys.get(target_id, target_id)

    def on_target(self, target_id: int) -> Sequence[int]:
        """The jobs of a target, in the order of the jobs."""
        return self._on_target.get(target_id, ())


def _connected(jobs: Iterable[int], links: Iterable[tuple[int, int]]) -> list[set[int]]:
    graph = rx.PyGraph[int, None](multigraph=False)
    job_ids = list(jobs)
    places = dict(zip(job_ids, graph.add_nodes_from(job_ids), strict=True))
    graph.add_edges_from_no_data(
        [(places[start], places[end]) for start, end in links if start in places and end in places]
    )
    return [{graph[place] for place in component} for component in rx.connected_components(graph)]


def _lasting_components(estate: Estate, pools: Collection[Sequence[int]]) -> list[set[int]]:
    links = list(_lasting_links(estate))
    components = _connected(estate.jobs, links)
    if not pools:
        return components
    ends = {job_id for service in estate.services for job_id in service.terminals}
    promised = set[int]().union(*(jobs for jobs in components if not jobs.isdisjoint(ends)))
    links += [link for jobs in pools for link in pairwise(job_id for job_id in jobs if job_id in promised)]
    return _connected(estate.jobs, links)


def _lasting_links(estate: Estate) -> Iterator[tuple[int, int]]:
    for edge in estate.dependencies:
        yield edge.upstream_id, edge.downstream_id
    for job in estate.jobs.values():
        if job.parent_id is not None:
            yield job.parent_id, job.id
    by_check: dict[str, list[int]] = {}
    for service in estate.services:
        begins = service.promise.deadline.of_id
        yield from pairwise(service.terminals if begins is None else (begins, *service.terminals))
        for name in service.ready:
            by_check.setdefault(name, []).extend(service.terminals)
    for terminals in by_check.values():
        yield from pairwise(terminals)


def _places(jobs: Mapping[int, JobFacts]) -> list[tuple[object, ...]]:
    return [(job.id, job.parent_id, job.target_id, job.pool, job.slots) for job in jobs.values()]


@dataclass(frozen=True, slots=True)
class EvaluationCache:
    """The cache of one estate."""

    estate: Estate
    shape: EstateShape
    graph: DependencyGraph
    red_jobs: Mapping[int, RedJob]
    ends: TargetEnds
    """Of the latest snapshot."""
    failing: frozenset[int]
    """Targets on which nearly everything may fail."""
    memo: EvaluationMemo
    """Filled by evaluations of this estate and of its parts."""
    links: PassingLinks
    """Those of the latest snapshot."""


def build_cache(
    estate: Estate, before: EvaluationCache | None = None, known: EstateChanges | None = None
) -> EvaluationCache:
    """The cache for an estate. `before`: of an earlier snapshot, from which everything unchanged is taken over; the
    result is the same without it. `known`: all that may differ since then; None: anything."""
    if before is None or not before.shape.is_of(estate):
        shape = EstateShape(estate)
        red_jobs = red_jobs_of(estate, before.red_jobs if before is not None else {})
        graph, links = DependencyGraph(estate.jobs, estate.dependencies), PassingLinks(shape)
        ends = TargetEnds(estate)
        failing = ends.failing()
        links.update(estate, red_jobs, failing, None, estate.targets.keys())
        return EvaluationCache(estate, shape, graph, red_jobs, ends, failing, EvaluationMemo(), links)
    has_same_config = (before.estate.declared, before.estate.settings) == (estate.declared, estate.settings)
    memo = before.memo if has_same_config else EvaluationMemo()
    compared = estate.jobs.keys() if known is None else known.jobs
    memo.invalidate(jobs_with_changed_context(before.estate, estate, compared))
    polled = _polled_targets(before.estate, estate, known)
    is_renamed = any(target_label(before.estate, number) != target_label(estate, number) for number in polled)
    jobs = None if known is None or is_renamed else known.jobs
    red_jobs = red_jobs_of(estate, before.red_jobs, jobs)
    if has_same_config and jobs is not None:
        ends, targets = before.ends, before.ends.update(estate, jobs)
        failing = before.failing - targets | ends.failing(targets)
    else:
        ends = TargetEnds(estate)
        failing = ends.failing()
    before.links.update(estate, red_jobs, failing, jobs, polled)
    return EvaluationCache(estate, before.shape, before.graph, red_jobs, ends, failing, memo, before.links)


def _polled_targets(before: Estate, after: Estate, known: EstateChanges | None) -> Set[int]:
    """The targets that may differ."""
    if before.targets is after.targets:
        return frozenset()
    return before.targets.keys() | after.targets.keys() if known is None else known.targets


def jobs_with_changed_context(before: Estate, after: Estate, known: Set[int]) -> set[int]:
    """Of these jobs those with a run whose cost is known to be another."""
    if before.costs is after.costs:
        return set()
    by_job = runs_by_job(before.runs), runs_by_job(after.runs)
    return {
        job_id
        for job_id in known
        for run in chain.from_iterable(runs.get(job_id, ()) for runs in by_job)
        if before.costs.get(run.id) != after.costs.get(run.id)
    }


def _differing(before: Mapping[Key, object], after: Mapping[Key, object]) -> set[Key]:
    if before is after or before == after:
        return set()
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def part_to_evaluate(
    before: Estate,
    after: Estate,
    known: EstateChanges | None = None,
    cache: EvaluationCache | None = None,
    due: Iterable[int] = (),
) -> Estate:
    """The components of `after` that changed since `before`, and those of the jobs `due`; or all of it. `known` and
    `cache` as of `changed_jobs`."""
    changed = changed_jobs(before, after, known, cache)
    if changed is None or len(changed) > MAX_CHANGED_JOBS:
        return after
    return part_with(after, changed.union(due), cache)


SLICE_JOBS = 5_000
"""Jobs of a slice. An estate with fewer is one slice, and evaluated as a whole."""


class TimeSlices:
    """The components of a shape in slices of similar size, each with the time of its next evaluation. Time alone then
    costs the evaluation of one slice after the other, not of the whole estate."""

    def __init__(self, shape: EstateShape) -> None:
        self.shape = shape
        self.slices: list[list[int]] = [[]]
        """A job of each component, by slice."""
        size = 0
        for jobs in shape.components:
            if size >= SLICE_JOBS:
                self.slices.append([])
                size = 0
            self.slices[-1].append(min(jobs))
            size += len(jobs)
        firsts = (shape.components_with(jobs) for jobs in self.slices)
        self._slice_of = {number: place for place, numbers in enumerate(firsts) for number in numbers}
        self._due = [0.0] * len(self.slices)

    @property
    def is_several(self) -> bool:
        return len(self.slices) > 1

    @property
    def next_at(self) -> float:
        """When the first slice is due; never if it is the only one."""
        return min(self._due) if self.is_several else inf

    def due_jobs(self, at: float) -> Sequence[int]:
        """A job of each component of the slice that is due first; none if none is due by then."""
        return self.slices[self._due.index(self.next_at)] if self.next_at <= at else ()

    def evaluated(
        self, part: Estate, due: Sequence[int], change_at: float, latest: float, is_whole: bool = False
    ) -> None:
        """`due`: the slice in the part, or nothing; it is next due when time alone may change a decision of the part,
        and at `latest`, as is each slice of a whole estate. Slices with other components of the part are due at
        `change_at` too, if not before."""
        for place in {self._slice_of[number] for number in self.shape.components_with(part.jobs)}:
            is_evaluated = is_whole or self.slices[place] is due
            self._due[place] = min(latest if is_evaluated else self._due[place], change_at)


def changed_jobs(
    before: Estate, after: Estate, known: EstateChanges | None = None, cache: EvaluationCache | None = None
) -> set[int] | None:
    """Jobs with a new fact since `before`; None if a change affects any job: config, an extension, or which jobs and
    targets exist. An acknowledgement, plan, silence or shift concerns one job of each component of its incidents.
    `known`: all that may differ; None: everything is compared. `cache`: of `after`; with it also the jobs that waited
    for what a poll now proves."""
    if _estate_wide(before) != _estate_wide(after):
        return None
    compared = before.jobs.keys() | after.jobs.keys() if known is None else known.jobs
    polled = _polled_targets(before, after, known)
    if any((job_id in before.jobs) != (job_id in after.jobs) for job_id in compared):
        return None
    if any((number in before.targets) != (number in after.targets) for number in polled):
        return None
    changed = _with_other_facts(before, after, compared)
    changed |= _reading_changed_checks(before, after) | jobs_with_changed_context(before, after, compared)
    if before.earlier is not after.earlier:
        changed |= {run.job_id for run in set(before.earlier) ^ set(after.earlier)}
    changed |= {hold.job_id for hold in set(before.holds) ^ set(after.holds)}
    changed |= {cancel.job_id for _, cancel in before.cancels.items() ^ after.cancels.items()}
    changed |= {repair.job_id for _, repair in before.repairs.items() ^ after.repairs.items()}
    changed |= {approval.job_id for _, approval in before.approvals.items() ^ after.approvals.items()}
    changed |= {job_id for _, (_, job_id) in before.open_actions.items() ^ after.open_actions.items()}
    changed |= {job_id for _, job_id in before.planned_restarts.items() ^ after.planned_restarts.items()}
    changed |= {job_id for _, job_id in before.planned_repairs.items() ^ after.planned_repairs.items()}
    targets = [(before.targets[number], after.targets[number]) for number in polled if number in after.targets]
    if cache is not None:
        changed.update(*(cache.memo.reached_by(target) for _, target in targets))
    with_other_health = [target.id for old, target in targets if _health(old) != _health(target)]
    with_other_responses = _incidents_with_other_responses(before, after)
    if not with_other_health and not with_other_responses:
        return changed
    shape = cache.shape if cache is not None else EstateShape(after)
    for components in map(shape.components_of_incident, with_other_responses):
        if not components:
            return None
        changed.update(min(shape.components[number]) for number in components)
    return changed.union(*map(shape.on_target, with_other_health))


def _estate_wide(estate: Estate) -> tuple[object, ...]:
    """Facts that may concern every job."""
    return (
        estate.dependencies, estate.services, estate.settings, estate.modes, estate.extensions, estate.declared,
    )  # fmt: skip


def _incidents_with_other_responses(before: Estate, after: Estate) -> Sequence[IncidentFacts]:
    """The open incidents with another acknowledgement or plan; all of them if a silence or an on-call shift differs."""
    old, new = before.notifications, after.notifications
    with_response = _differing(old.acks, new.acks) | _differing(before.plans_by_incident, after.plans_by_incident)
    concern_all = (old.silences, old.shifts) != (new.silences, new.shifts)
    if not with_response and not concern_all:
        return ()
    incidents = (*before.incidents, *after.incidents)
    return [incident for incident in incidents if concern_all or incident.id in with_response]


def _health(target: TargetFacts) -> tuple[TargetFacts, bool]:
    """The target without what each poll changes, and whether it is stopped."""
    return replace(target, last_ok_at=None, seen_until=None), target.is_stopped


def _with_other_facts(before: Estate, after: Estate, job_ids: Iterable[int]) -> set[int]:
    old_runs, new_runs = runs_by_job(before.runs), runs_by_job(after.runs)
    return {
        job_id
        for job_id in job_ids
        if job_id in after.jobs
        and (
            old_runs.get(job_id) != new_runs.get(job_id)
            or before.jobs[job_id] != after.jobs[job_id]
            or before.durations.get(job_id) != after.durations.get(job_id)
            or before.history.get(job_id) is not after.history.get(job_id)
        )
    }


def _reading_changed_checks(before: Estate, after: Estate) -> set[int]:
    """Terminals of services, and downstreams, whose checks have new results."""
    names = {name for name, _ in _differing(before.checks, after.checks)}
    if not names:
        return set()
    downstreams = {edge.downstream_id for edge in after.dependencies if edge.wants.check in names}
    return downstreams.union(*(service.terminals for service in after.services if not names.isdisjoint(service.ready)))


def part_with(estate: Estate, job_ids: Iterable[int], cache: EvaluationCache | None = None) -> Estate:
    """The components of the estate with these jobs; the estate itself if these are all. `cache`: of that estate."""
    cache = cache or build_cache(estate)
    shape, links = cache.shape, cache.links
    components = links.connected_with(shape.components_with(job_ids))
    ids = shape.jobs_in(components)
    if len(ids) == len(estate.jobs):
        return estate
    jobs = {job_id: estate.jobs[job_id] for job_id in sorted(ids)}
    closed = tuple(sorted(links.closed.within(components), key=attrgetter("id")))
    incidents = tuple(sorted(links.incidents.within(components), key=attrgetter("id")))
    roots = {known.cause.target_id for known in (*incidents, *closed) if known.cause.target_id is not None}
    targets = roots.union(*(shape.at_endpoint_of(number) for number in {job.target_id for job in jobs.values()}))
    runs, earlier = runs_by_job(estate.runs), links.earlier
    beside = sorted(shape.sharing_pools_with(ids) - ids)
    return replace(
        estate,
        jobs=jobs,
        failing=cache.failing,
        beside={**estate.beside, **{job_id: (estate.jobs[job_id], runs.get(job_id, ())) for job_id in beside}},
        runs=RunsByJob({job_id: runs[job_id] for job_id in jobs if job_id in runs}),
        durations={job_id: estate.durations[job_id] for job_id in jobs if job_id in estate.durations},
        dependencies=shape.edges_in(components),
        services=shape.services_in(components),
        targets={number: estate.targets[number] for number in sorted(targets) if number in estate.targets},
        incidents=incidents,
        closed=closed,
        holds=tuple(hold for hold in estate.holds if hold.job_id in ids),
        history={job_id: estate.history[job_id] for job_id in jobs if job_id in estate.history},
        earlier=tuple(run for job_id in jobs for run in earlier.get(job_id, ())),
        findings=tuple(sorted(links.findings.within(components), key=attrgetter("id"))),
    )


_NOWHERE = (-1,)
"""Place of facts that concern no component."""


class FactsByComponent(Generic[Value]):
    """Facts by the components that they concern. An update places new facts only, known by their identity."""

    def __init__(self, components_of: Callable[[Value], Set[int]]) -> None:
        self._components_of = components_of
        self._facts: Collection[Value] = ()
        self._placed: dict[int, tuple[Value, Set[int]]] = {}
        self._at: dict[int, dict[int, Value]] = {}

    def update(self, facts: Collection[Value]) -> tuple[list[Value], list[Value]]:
        """(facts that ended, new facts) since the last update."""
        if facts is self._facts:
            return [], []
        by_identity = dict(zip(map(id, facts), facts, strict=True))
        ended = [self._placed.pop(key) for key in self._placed.keys() - by_identity.keys()]
        for fact, components in ended:
            for number in components or _NOWHERE:
                del self._at[number][id(fact)]
        new = [by_identity[key] for key in by_identity.keys() - self._placed.keys()]
        for fact in new:
            self._placed[id(fact)] = fact, self._components_of(fact)
            for number in self._placed[id(fact)][1] or _NOWHERE:
                self._at.setdefault(number, {})[id(fact)] = fact
        self._facts = facts
        return [fact for fact, _ in ended], new

    @property
    def are_all_placed(self) -> bool:
        """False if a fact concerns no component: only an evaluation of the whole estate has it."""
        return not self.within(_NOWHERE)

    def within(self, components: Iterable[int]) -> Collection[Value]:
        """The facts that concern any of these components."""
        facts: dict[int, Value] = {}
        for number in components:
            facts |= self._at.get(number, {})
        return facts.values()


class PassingLinks:
    """Facts that connect the components of one shape for now: holds, incidents, common blames of red jobs, targets that
    fail or do not answer. Passed from one snapshot to the next; an update reads new and ended facts only."""

    def __init__(self, shape: EstateShape) -> None:
        self._shape = shape
        self.incidents = FactsByComponent[IncidentFacts](shape.components_of_incident)
        self.closed = FactsByComponent[IncidentFacts](shape.components_of_incident)
        self.findings = FactsByComponent[StoredFinding](lambda stored: shape.components_with([stored.finding.job_id]))
        self.earlier: Mapping[int, Sequence[RunFacts]] = {}
        """Earlier runs by job."""
        self._earlier: object = None
        self._red_jobs: Mapping[int, RedJob] = {}
        self._hubs: dict[int, Counter[Hashable]] = {}
        """Component -> what connects it with others, each with the number of facts that say so; `_joined`: reverse."""
        self._joined: dict[Hashable, Counter[int]] = {}
        self._passing: dict[Hashable, Set[int]] = {}
        """Components that holds and waiting alerts connected at the last update."""
        self._silent = frozenset[int]()
        """Targets that are impaired; `_connecting`: with those on which nearly everything may fail."""
        self._connecting = frozenset[int]()

    def update(
        self,
        estate: Estate,
        red_jobs: Mapping[int, RedJob],
        failing: frozenset[int],
        known: Set[int] | None,
        polled: Set[int],
    ) -> None:
        """`known`: the jobs whose red runs may differ since the last update; None: any. `polled`: the targets that may
        differ."""
        ended, new = self.incidents.update(estate.incidents)
        for count, incidents in ((-1, ended), (1, new)):
            for incident in incidents:
                self._connect(("incident", incident.id), self._shape.components_of_incident(incident), count)
                if incident.cause.shared:
                    members = self._shape.components_with(incident.member_job_ids)
                    self._connect(incident.cause.shared, members, count)
        self.closed.update(estate.closed)
        self.findings.update(estate.findings)
        if estate.earlier is not self._earlier:
            self.earlier, self._earlier = runs_by_job(estate.earlier), estate.earlier
        if red_jobs is not self._red_jobs:
            for job_id in known if known is not None else self._red_jobs.keys() | red_jobs.keys():
                components = self._shape.components_with([job_id])
                for red_job, count in ((self._red_jobs.get(job_id), -1), (red_jobs.get(job_id), 1)):
                    for identity in red_job.blames if red_job is not None else ():
                        self._connect(identity, components, count)
            self._red_jobs = red_jobs
        self._update_passing(estate)
        self._update_targets(estate, failing, polled)

    def connected_with(self, components: Iterable[int]) -> set[int]:
        """These components and all that are connected with them, over any number of links."""
        reached, seen = set(components), set[Hashable]()
        frontier = list(reached)
        while frontier:
            for hub in self._hubs.get(frontier.pop(), {}).keys() - seen:
                seen.add(hub)
                frontier += self._joined[hub].keys() - reached
                reached |= self._joined[hub].keys()
        return reached

    def _update_targets(self, estate: Estate, failing: frozenset[int], polled: Set[int]) -> None:
        targets = [target for number in polled if (target := estate.targets.get(number)) is not None]
        self._silent = self._silent - polled | {target.id for target in targets if target.is_impaired}
        connecting = failing | self._silent
        for number in connecting ^ self._connecting:
            components = self._shape.components_on(number)
            self._connect(("target", self._shape.endpoint_key(number)), components, 1 if number in connecting else -1)
        self._connecting = connecting

    def _update_passing(self, estate: Estate) -> None:
        """Links by holds."""
        passing: dict[Hashable, Set[int]] = {
            ("hold", hold.key): self._shape.components_with((hold.upstream_id, hold.job_id))
            for hold in estate.holds
            if hold.upstream_id is not None and not hold.state.is_over
        }
        for hub in self._passing.keys() | passing.keys():
            old, new = self._passing.get(hub, frozenset()), passing.get(hub, frozenset())
            if old != new:
                self._connect(hub, old, -1)
                self._connect(hub, new, 1)
        self._passing = passing

    def _connect(self, hub: Hashable, components: Iterable[int], count: int) -> None:
        joined = self._joined.setdefault(hub, Counter())
        for number in components:
            hubs = self._hubs.setdefault(number, Counter())
            joined[number] += count
            hubs[hub] += count
            if not joined[number]:
                del joined[number], hubs[hub]


def components_of(estate: Estate, cache: EvaluationCache | None = None) -> list[set[int]]:
    """The ids of its jobs, by components that are connected now."""
    cache = cache or build_cache(estate)
    remaining, groups = set(range(len(cache.shape.components))), list[set[int]]()
    while remaining:
        group = cache.links.connected_with({remaining.pop()})
        remaining -= group
        groups.append(cache.shape.jobs_in(group))
    return groups
