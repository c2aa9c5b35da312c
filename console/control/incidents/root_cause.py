"""Root causes: which red runs explain which, and the target, host, database or credential that many jobs share.

A red run is a symptom of another if that one is upstream on the same business date and was due or started before the
symptom was red: its first run that failed with the same error as its latest. A failed task is reported with its DAG.
Runs that turned red on an unreachable target, or downstream of its missing runs, belong to the target. Unreachable
targets with one endpoint are one cause.

Failing target: it answers, its jobs name no common cause, and nearly all fail at once. Conservative: at least five of
its jobs turned red close together, they are most of the runs that ended there in that time, and next to nothing was
red there before, over enough runs to judge.

Shared root: many jobs (`shared_jobs`) close together (`shared_within`) whose failures have the same signature while
they have no common upstream cause. Later failures with that signature join; a job leaves when it is good, or fails
with another. Only recognized and named messages are signatures, so "exit 1" or "no such table" never groups anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import takewhile

from connectors.sdk.states import RunState
from console.control.snapshot.downstream import JobDate, affected_below, read_bad_input
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failing_targets import BURST_JOBS, MOST
from console.control.snapshot.failures import (
    Blame,
    FailureSignature,
    identity_blame,
    identity_name,
    run_identity,
    run_signature,
    target_label,
)
from console.control.snapshot.reachability import endpoint_key, outage_during
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import Estate, IncidentFacts, JobFacts, RunFacts, TargetFacts
from console.domain.finding import Finding
from console.domain.incident import FailureError
from console.domain.service import UNMET_PROMISE
from console.domain.settings import IncidentGrouping
from console.timing.business_dates import business_date_of
from console.timing.durations import TICK, format_duration

MAX_THREATENED = 500
"""Members per incident that have not started yet; beyond these only the services are listed."""


@dataclass(slots=True)
class RootCause:
    """One root cause and the red runs that it explains."""

    business_date: date
    since: datetime
    root: RunFacts | None
    """The root's latest red run of that date; repaired if an open incident still has red or stale followers."""
    target: TargetFacts | None
    """The first that failed, of several at one endpoint."""
    red: list[RunFacts] = field(default_factory=list)
    """All red runs, the root's own included."""
    check: str = ""
    """Name of the check that is the cause: then there is neither root nor target."""
    text: str = ""
    """Result of that check."""
    finding: Finding | None = None
    """Finding of the root, if that is the cause and nothing is red."""
    shared: str = ""
    """The host, database or credential that is the root, as `snapshot.failures` identifies it."""
    causes: list[RunFacts] = field(default_factory=list)
    """Runs that blame a shared root; the others are downstream of them."""
    evidence: str = ""
    """Why a shared root is one."""
    awaits: tuple[tuple[str, date], ...] = ()
    """Service days lost without a failure: then the root is their terminal, whose run may not exist."""
    lost_by: int | None = None
    """Job that loses the time of such days; None if none is clearly the cause."""
    incident_id: int | None = None
    """Open incident of a shared root."""
    explains: tuple[int, ...] = ()
    """Open incidents about lost service days that this cause explains."""
    beside: tuple[TargetFacts, ...] = ()
    """Other targets at the endpoint of the target that are unreachable."""

    @property
    def targets(self) -> tuple[TargetFacts, ...]:
        return (self.target, *self.beside) if self.target is not None else ()

    def is_about(self, target: TargetFacts | None) -> bool:
        """True for its targets, and for one at their endpoint that answers again."""
        if target is None or any(known.id == target.id for known in self.targets):
            return target is not None
        return target.failing_since is None and target.endpoint in map(_outage_key, self.targets)

    @property
    def rule(self) -> str:
        """Rule of the finding, if nothing is red; else empty."""
        if self.finding is not None:
            return self.finding.rule.value
        return UNMET_PROMISE if self.awaits else ""

    def roots(self) -> list[RunFacts]:
        """Runs that nothing upstream explains."""
        return [self.root] if self.root is not None else self.causes

    def job_ids_to_fix(self) -> list[int]:
        """Jobs whose owners can fix it: the one that loses the time if nothing failed, else the roots'."""
        return [self.lost_by] if self.lost_by is not None else [run.job_id for run in self.roots()]

    def holds(self, job_id: int | None, business_date: date) -> bool:
        """True if this job is red here on that date."""
        return any(run.job_id == job_id and run.business_date == business_date for run in self.red)


def upstream_causes(index: EstateIndex) -> list[RootCause]:
    """Causes among the red runs by their upstreams, and unreachable targets; oldest first."""
    red: dict[date, dict[int, list[RunFacts]]] = {}
    for job_id, runs in index.red_jobs():
        if index.graph.unit(job_id) != job_id:
            continue
        for run in runs:
            if run.state.is_red and index.is_red_now(run):
                red.setdefault(run.business_date, {}).setdefault(job_id, []).append(run)
    sick = [_of_targets(index, targets) for targets in unreachable_target_causes(index)]
    roots = _roots(index, {business_date: _without_explained(index, jobs, sick) for business_date, jobs in red.items()})
    return sorted([*sick, *roots], key=lambda group: (group.since, _name(index, group)))


def unreachable_target_causes(index: EstateIndex) -> list[list[TargetFacts]]:
    """Targets that fail for more polls than `stale_polls` and have something to run, or members of services. With one
    that is unreachable all at its endpoint that are, also where an incident about it is open and it answers again."""
    stale_polls, targets = index.estate.settings.stale_polls, index.estate.targets
    down = {
        _outage_key(target)
        for target in targets.values()
        if _failing_for(target, index.now) > stale_polls * target.poll_every
    }
    known = (targets.get(incident.root_target_id or 0) for incident in index.estate.incidents)
    down |= {target.endpoint for target in known if target is not None and target.failing_since is None}
    failing = [
        target for target in targets.values() if target.failing_since is not None and _outage_key(target) in down
    ]
    if not failing:
        return []
    members = set().union(*(index.graph.members(service.terminals) for service in index.estate.services))
    busy = {index.job(member).target_id for member in members if member in index.estate.jobs}
    for job_id, runs in index.runs.items():
        if any(run.state.is_open for run in runs):
            busy.add(index.job(job_id).target_id)
    places: dict[str | int, list[TargetFacts]] = {}
    for target in failing:
        if target.id in busy:
            places.setdefault(_outage_key(target), []).append(target)
    return list(places.values())


def _outage_key(target: TargetFacts) -> str | int:
    """Its endpoint, if it is unreachable. A target that answers with a fault is a cause of its own."""
    return endpoint_key(target) if target.error_kind == "unreachable" else target.id


def unreachable_from(estate: Estate) -> Iterator[datetime]:
    """When each failing target has failed for too many polls, unless it answers before."""
    for target in estate.targets.values():
        if target.failing_since is not None:
            since = max(target.failing_since, target.pause.until) if target.pause is not None else target.failing_since
            yield since + estate.settings.stale_polls * target.poll_every + TICK


def _failing_for(target: TargetFacts, now: datetime) -> timedelta:
    """How long polls failed; paused polling does not count. Negative if they do not fail."""
    since, pause = target.failing_since, target.pause
    if since is None:
        return timedelta(-1)
    if pause is None:
        return now - since
    if pause.lasts(now):
        return (pause.at or now) - since
    return now - max(since, pause.until)


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
        return FailureError.of(run.exit_code, run.message or ("" if run.state is RunState.FAILED else run.state.value))
    task = next((task for task in index.runs.get(tasks[0].id, ()) if task.period_key == run.period_key), run)
    return FailureError.of(task.exit_code, f"task {tasks[0].native_id}: {task.message}")


def is_lost_out_of_reach(index: EstateIndex, run: RunFacts) -> bool:
    """True for a start missed, or a run lost, while its target was out of reach: not an error of the job."""
    if run.state not in (RunState.MISSED, RunState.LOST):
        return False
    return outage_during(index.estate, index.job(run.job_id), red_since(run), index.now) is not None


def _roots(index: EstateIndex, red: Mapping[date, dict[int, list[RunFacts]]]) -> list[RootCause]:
    """Causes among the red jobs of each date, the oldest date first and from the sources down: a cause is found
    before its symptoms, also before those that read it on a later date."""
    owners: dict[JobDate, list[RootCause]] = {}
    causes: list[RootCause] = []
    for business_date in sorted(red):
        for job_id in index.graph.ordered(red[business_date]):
            runs = red[business_date][job_id]
            for owner in owners.get((job_id, business_date), ()):
                owner.red.extend(runs)
            if (job_id, business_date) in owners:
                continue
            group = RootCause(business_date, min(red_since(run) for run in runs), runs[-1], None, list(runs))
            causes.append(group)
            begun = min(run_time(run) for run in runs)
            below = affected_below(index, [job_id], business_date) - {(job_id, business_date)}
            for place in sorted(place for place in below if place[0] in red.get(place[1], ())):
                if _fails_since(index, red[place[1]][place[0]]) >= begun:
                    owners.setdefault(place, []).append(group)
    return causes


def _fails_since(index: EstateIndex, runs: Sequence[RunFacts]) -> datetime:
    """When the job first failed with the error that its latest red run has."""
    if len(runs) == 1:
        return red_since(runs[0])
    error = run_error(index, runs[-1])
    streak = takewhile(lambda run: not run_error(index, run).differs_from(error), reversed(runs))
    return min(map(red_since, streak))


def _of_targets(index: EstateIndex, targets: Sequence[TargetFacts]) -> RootCause:
    target, *beside = sorted(targets, key=lambda failing: (failing.failing_since or index.now, failing.id))
    since = target.failing_since or index.now
    zoned = next((job for job in index.estate.jobs.values() if job.target_id == target.id), None)
    business_date = business_date_of(since, None, zoned.zone, zoned.cutoff) if zoned is not None else since.date()
    return RootCause(business_date, since, None, target, beside=tuple(beside))


def _without_explained(
    index: EstateIndex, jobs: dict[int, list[RunFacts]], sick: Sequence[RootCause]
) -> dict[int, list[RunFacts]]:
    """Red jobs of one date without those that an unreachable target explains: they go to its group."""
    remaining = dict(jobs)
    for group in sick:
        for job_id in _explained(index, group, remaining):
            group.red.extend(remaining.pop(job_id))
    return remaining


def _explained(index: EstateIndex, group: RootCause, jobs: dict[int, list[RunFacts]]) -> list[int]:
    dates = {runs[0].business_date for runs in jobs.values()}
    explained = dict[int, None]()
    for target in group.targets:
        waiting = {run.job_id for run in unfinished_runs_on(index, target.id) if run.business_date in dates}
        downstream = set().union(*(index.graph.descendants(unfinished) for unfinished in waiting))
        for job_id, runs in jobs.items():
            is_below = index.job(job_id).target_id == target.id or job_id in downstream
            if is_below and max(map(red_since, runs)) >= (target.failing_since or group.since):
                explained[job_id] = None
    return list(explained)


def _name(index: EstateIndex, group: RootCause) -> str:
    if group.root is not None:
        return index.job(group.root.job_id).name
    return group.shared or f"{group.target.system}/{group.target.name}" if group.target else ""


USUAL = 0.05
"""Share of the runs that ended there before that may be red."""
KNOWN = 20
"""Runs that must have ended there before: fewer do not show what is usual."""


@dataclass(frozen=True, slots=True)
class TargetBurst:
    """Causes of one target that belong together, and the evidence."""

    target_id: int
    groups: list[RootCause]
    evidence: str


def target_bursts(index: EstateIndex, groups: Sequence[RootCause]) -> list[TargetBurst]:
    """Bursts in the order of the targets' ids."""
    by_target: dict[int, list[RootCause]] = {}
    for group in groups:
        if group.root is not None and group.finding is None and group.root.ended_at is not None:
            by_target.setdefault(index.job(group.root.job_id).target_id, []).append(group)
    if index.estate.failing is not None:
        by_target = {target_id: known for target_id, known in by_target.items() if target_id in index.estate.failing}
    bursts = (_burst(index, target_id, by_target[target_id]) for target_id in sorted(by_target))
    return [burst for burst in bursts if burst is not None]


def _burst(index: EstateIndex, target_id: int, groups: Sequence[RootCause]) -> TargetBurst | None:
    rules = index.estate.declared.incidents
    last = max(group.since for group in groups)
    near = [group for group in groups if last - group.since <= rules.shared_within]
    if len({group.root.job_id for group in near if group.root is not None}) < max(BURST_JOBS, rules.shared_jobs):
        return None
    first = min(group.since for group in near)
    ended = [run for run in runs_on_target(index, target_id) if run.ended_at is not None and not run.state.is_open]
    meanwhile = [run for run in ended if first <= red_since(run) <= last]
    before = [run for run in ended if red_since(run) < first]
    red, red_before = _red(meanwhile), _red(before)
    if red < MOST * len(meanwhile) or len(before) < KNOWN or red_before > USUAL * len(before):
        return None
    span = format_duration(max(last - first, timedelta(seconds=1)).total_seconds())
    evidence = f"{red} of the {len(meanwhile)} runs that ended on it within {span} failed"
    return TargetBurst(target_id, near, f"{evidence}; of the {len(before)} runs before, {red_before} had failed")


def _red(runs: Sequence[RunFacts]) -> int:
    return sum(run.state.is_red for run in runs)


def root_causes(index: EstateIndex) -> list[RootCause]:
    """All root causes of red runs, oldest first."""
    return sorted(merge_shared_roots(index, upstream_causes(index)), key=lambda group: group.since)


def merge_shared_roots(index: EstateIndex, groups: Sequence[RootCause]) -> list[RootCause]:
    """The groups, with each shared root as one; the others unchanged, in their order."""
    remaining = list(groups)
    merged: list[RootCause] = []
    for incident in index.estate.incidents:
        if incident.shared and (members := [group for group in remaining if _belongs(index, incident, group)]):
            remaining = [group for group in remaining if group not in members]
            merged.append(_joined(index, members, incident.shared, incident.id))
    for shared in sorted(_blamed_by_many(index, groups)):
        if ones := [group for group in remaining if blamed_identity(index, group) == shared]:
            remaining = [group for group in remaining if group not in ones]
            merged.append(_joined(index, ones, shared, None))
    for burst in target_bursts(index, remaining):
        remaining = [group for group in remaining if group not in burst.groups]
        shared = f"{Blame.TARGET}:{target_label(index.estate, burst.target_id)}"
        merged.append(_joined(index, burst.groups, shared, None, burst.evidence))
    return [*merged, *remaining]


def _blamed_by_many(index: EstateIndex, groups: Sequence[RootCause]) -> set[str]:
    """Identities that enough red jobs blame, causes and symptoms: a symptom that reports it counts as well."""
    blamed: dict[str, set[tuple[int, datetime]]] = {}
    for run in (run for group in groups for run in group.red):
        signature = _signature(index, run)
        shared = run_identity(index.estate, run, signature) if signature is not None else ""
        if shared:
            blamed.setdefault(shared, set()).add((run.job_id, red_since(run)))
    return {shared for shared, red in blamed.items() if is_burst(red, index.estate.declared.incidents)}


def blamed_identity(index: EstateIndex, group: RootCause) -> str:
    """Identity that the group's root blames; empty if it blames none."""
    signature = _signature(index, group.root)
    return run_identity(index.estate, group.root, signature) if signature is not None and group.root is not None else ""


def has_own_error(index: EstateIndex, group: RootCause, run: RunFacts) -> bool:
    """True for a symptom whose message or log names a cause, and another one than its root's. A further run of a
    root's job is not one."""
    is_symptom = run.job_id not in {root.job_id for root in group.roots()}
    signature = _signature(index, run) if run.state.is_red and is_symptom else None
    identity = run_identity(index.estate, run, signature) if signature is not None else ""
    return bool(identity) and identity not in (group.shared, blamed_identity(index, group))


def was_retried(index: EstateIndex, affected: Iterable[RunFacts], group: RootCause, shared: str) -> bool:
    """True if it started on good data and failed with another message; on a failing target, with any message, if it
    started after another job had recovered."""
    root = group.root
    if root is None or root.started_at is None or index.is_stale(root):
        return False
    if identity_blame(shared) is not Blame.TARGET:
        return bool(root.message or root.tail) and blamed_identity(index, group) != shared
    good = [at for run in affected if (at := index.freshness(run).good_at) is not None and not run.state.is_red]
    return bool(good) and root.started_at >= min(good)


def is_burst(red: Iterable[tuple[int, datetime]], rules: IncidentGrouping) -> bool:
    """True if enough different jobs turned red close together. `red`: job and since when."""
    ordered = sorted((since, job_id) for job_id, since in red)
    return any(
        len({job_id for since, job_id in ordered[place:] if since - start <= rules.shared_within}) >= rules.shared_jobs
        for place, (start, _) in enumerate(ordered)
    )


def _belongs(index: EstateIndex, incident: IncidentFacts, group: RootCause) -> bool:
    if group.root is None:
        return False
    if blamed_identity(index, group) == incident.shared or _fails_with(index, incident, group):
        return True
    own = {run.id for run in group.red if run.job_id == group.root.job_id}
    affected = incident.affected_run_ids or frozenset()
    if not own & affected:
        return False
    runs = [run for run_id in affected if (run := index.run_by_id(run_id)) is not None]
    return not was_retried(index, runs, group, incident.shared)


def _fails_with(index: EstateIndex, incident: IncidentFacts, group: RootCause) -> bool:
    root, rules = group.root, index.estate.declared.incidents
    if root is None or identity_blame(incident.shared) is not Blame.TARGET:
        return False
    is_there = identity_name(incident.shared) == target_label(index.estate, index.job(root.job_id).target_id)
    return is_there and abs(group.since - incident.failed_since) <= rules.shared_within


def _joined(
    index: EstateIndex, groups: Sequence[RootCause], shared: str, incident_id: int | None, evidence: str = ""
) -> RootCause:
    first = min(groups, key=lambda group: group.since)
    red = {(run.job_id, run.period_key): run for group in groups for run in group.red}
    causes = [group.root for group in groups if group.root is not None]
    evidence = evidence or _evidence(index, [group for group in groups if blamed_identity(index, group) == shared])
    return RootCause(
        first.business_date,
        first.since,
        None,
        None,
        list(red.values()),
        shared=shared,
        causes=causes,
        evidence=evidence,
        incident_id=incident_id,
    )


def _evidence(index: EstateIndex, groups: Sequence[RootCause]) -> str:
    """ "6 jobs on 2 systems failed within 4m with the same message: …"; empty for fewer than two."""
    roots = [group.root for group in groups if group.root is not None]
    if len({run.job_id for run in roots}) < 2:
        return ""
    systems = {index.job(run.job_id).system for run in roots}
    span = max(map(red_since, roots)) - min(map(red_since, roots))
    first = min(groups, key=lambda group: (group.since, group.root.job_id if group.root else 0))
    signature = _signature(index, first.root)
    where = f"on {len(systems)} systems" if len(systems) > 1 else f"of {next(iter(systems))}"
    within = format_duration(max(span, timedelta(seconds=1)).total_seconds())
    text = signature.text if signature is not None else ""
    return f"{len({run.job_id for run in roots})} jobs {where} failed within {within} with the same message: {text}"


def _signature(index: EstateIndex, root: RunFacts | None) -> FailureSignature | None:
    if root is None:
        return None
    if (signature := run_signature(root)) is not None:
        return signature
    tasks = (run for task in failed_tasks(index, root) for run in index.runs.get(task.id, ()))
    signatures = (run_signature(run) for run in tasks if run.period_key == root.period_key and run.state.is_red)
    return next(filter(None, signatures), None)
