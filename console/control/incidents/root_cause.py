"""Root causes: which red runs explain which, and what many jobs share: a target, host, database or credential.

A red run is a symptom of another when that one lies upstream on the same business date and was due or started
before the symptom was red. A failed task is reported with its DAG. What turned red on a target while it did not
answer, or below what that target has not run, belongs to the target.

Failing target: it answers, its jobs name no common cause, and nearly all fail at once. Conservative: at least five
of its jobs turned red close together, they are most of what ended there in that time, and next to nothing was red
there before, over enough runs to say so.

Shared root: many jobs (`shared_jobs`) close together (`shared_within`) whose failures have the same signature while
nothing lies upstream of them all. Later failures with that signature join; a job leaves when it is good, or fails
with another. Only what is recognized and named is a signature, so "exit 1" or "no such table" never groups
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from connectors.sdk.states import RunState
from console.control.snapshot.downstream import JobDate, affected_below, read_bad_input
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import (
    BURST_JOBS,
    Blame,
    FailureSignature,
    identity_blame,
    identity_name,
    run_identity,
    run_signature,
    target_label,
)
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import IncidentFacts, JobFacts, RunFacts, TargetFacts
from console.domain.finding import Finding
from console.domain.service import UNMET_PROMISE
from console.domain.settings import IncidentGrouping
from console.timing.business_dates import business_date_of
from console.timing.durations import format_duration

MOST_THREATENED = 500
"""Members that have not started yet, per incident: beyond these only the services are told."""


@dataclass(slots=True)
class RootCause:
    """One root cause and the red runs that it explains."""

    business_date: date
    since: datetime
    root: RunFacts | None
    """The root's latest red run of that date; repaired where an open incident still has red or stale followers."""
    target: TargetFacts | None
    red: list[RunFacts] = field(default_factory=list)
    """All of them, the root's own included."""
    check: str = ""
    """Name of the check that is the cause: then there is neither root nor target."""
    words: str = ""
    """What that check found."""
    finding: Finding | None = None
    """What a rule found of the root, where nothing is red and that is the cause."""
    shared: str = ""
    """The host, database or credential that is the root, as `control.signatures.identity` says it."""
    causes: list[RunFacts] = field(default_factory=list)
    """Of a shared root: the runs that blame it; the others are below them."""
    evidence: str = ""
    """Of a shared root: why it is one, in words."""
    awaits: tuple[tuple[str, date], ...] = ()
    """Service days that are lost though nothing failed: then the root is their terminal, whose run may not exist."""
    lost_by: int | None = None
    """Of such days: the job that loses the minutes; None where none stands out."""
    told_by: int | None = None
    """Of a shared root: the open incident that it is."""
    explains: tuple[int, ...] = ()
    """Open incidents that told service days as lost though nothing failed, and of which this is the cause after all."""

    @property
    def rule(self) -> str:
        """What found it, where nothing is red; else empty."""
        if self.finding is not None:
            return self.finding.rule.value
        return UNMET_PROMISE if self.awaits else ""

    def roots(self) -> list[RunFacts]:
        """The runs that nothing upstream explains."""
        return [self.root] if self.root is not None else self.causes

    def to_mend(self) -> list[int]:
        """The jobs whose owners can mend it: the one that loses the minutes where nothing failed, else the roots'."""
        return [self.lost_by] if self.lost_by is not None else [run.job_id for run in self.roots()]

    def holds(self, job_id: int | None, business_date: date) -> bool:
        """True when this job is red here on that date."""
        return any(run.job_id == job_id and run.business_date == business_date for run in self.red)


def upstream_causes(index: EstateIndex) -> list[RootCause]:
    """The causes among what is red now by what lies upstream, and the targets that are one; oldest first."""
    red: dict[date, dict[int, list[RunFacts]]] = {}
    for job_id, runs in index.red_jobs():
        if index.graph.unit(job_id) != job_id:
            continue
        for run in runs:
            if run.state.is_red and index.is_red_now(run):
                red.setdefault(run.business_date, {}).setdefault(job_id, []).append(run)
    sick = [_of_target(index, target) for target in unreachable_target_causes(index)]
    found = _roots(index, {business_date: _less(index, jobs, sick) for business_date, jobs in red.items()})
    return sorted([*sick, *found], key=lambda group: (group.since, _name(index, group)))


def unreachable_target_causes(index: EstateIndex) -> list[TargetFacts]:
    """Targets that fail for more polls than `stale_polls` and have something to run, or members of services."""
    settings, now = index.estate.settings, index.now
    failing = [
        each
        for each in index.estate.targets.values()
        if each.failing_since is not None
        and _failing_for(each, each.failing_since, now) > settings.stale_polls * each.poll_every
    ]
    if not failing:
        return []
    needed = _busy_targets(index)
    return [each for each in failing if each.id in needed]


def _failing_for(target: TargetFacts, since: datetime, now: datetime) -> timedelta:
    """How long it was looked at in vain: not while nobody looks, and after a pause it has to fail anew."""
    pause = target.pause
    if pause is None:
        return now - since
    if pause.lasts(now):
        return (pause.at or now) - since
    return now - max(since, pause.until)


def stale_below(index: EstateIndex, job_ids: Iterable[int], business_date: date) -> list[RunFacts]:
    """Runs that are stale because of these jobs on that date, upstreams first; not where a later run of the job is
    good, nor what is stale for another cause alone, having read these jobs when they were good."""
    causes = set(job_ids)
    found: list[RunFacts] = []
    for job_id, days in _in_order(index, affected_below(index, causes, business_date)):
        runs = (run for day in days for run in index.of_day(job_id, day))
        stale = [run for run in runs if is_stale_now(index, run) and read_bad_input(index, run, causes)]
        if stale:
            causes.add(job_id)
            found += stale
    return found


def _in_order(index: EstateIndex, places: Iterable[JobDate]) -> list[tuple[int, list[date]]]:
    """Each job with its dates, upstreams first."""
    days: dict[int, list[date]] = {}
    for job_id, day in sorted(places):
        days.setdefault(job_id, []).append(day)
    return [(job_id, days[job_id]) for job_id in index.graph.ordered(days)]


def is_stale_now(index: EstateIndex, run: RunFacts) -> bool:
    """True when it is stale and no later run of the job is good; what is red is not told as stale too."""
    if run.state.is_red or not index.is_stale(run):
        return False
    later = (each for each in reversed(index.runs[run.job_id]) if run_time(each) > run_time(run))
    return not any(index.is_green(each) for each in later)


def threatened_runs(
    index: EstateIndex, job_ids: Iterable[int], business_date: date
) -> list[tuple[int, str, int | None]]:
    """(job, period key, run id) of what will read a cause and has not started: one per job, upstreams first."""
    found: list[tuple[int, str, int | None]] = []
    for job_id, days in _in_order(index, affected_below(index, job_ids, business_date)):
        runs = [run for day in days for run in index.of_day(job_id, day)]
        ahead = [run for run in runs if run.state in (RunState.PLANNED, RunState.HELD)]
        if ahead:
            found.append((job_id, ahead[0].period_key, ahead[0].id or None))
        elif not runs:
            found.append((job_id, "", None))
        if len(found) == MOST_THREATENED:
            break
    return found


def unfinished_runs_on(index: EstateIndex, target_id: int, business_date: date | None = None) -> list[RunFacts]:
    """Runs on the target that are open, or due and not seen to start, in the order of their jobs."""
    found = []
    for job_id, runs in index.runs.items():
        if index.job(job_id).target_id != target_id or index.graph.unit(job_id) != job_id:
            continue
        found += [
            run
            for run in runs
            if run.state.is_open and run_time(run) <= index.now and business_date in (None, run.business_date)
        ]
    return found


def failed_tasks(index: EstateIndex, run: RunFacts) -> list[JobFacts]:
    """The tasks of a DAG's run that are red: those that failed themselves before those that these blocked, by id."""
    found = []
    for task in index.tasks_of(run.job_id):
        red = [one for one in index.runs.get(task.id, ()) if one.period_key == run.period_key and one.state.is_red]
        if red:
            found.append((all(one.state is RunState.BLOCKED for one in red), task.id, task))
    return [task for _, _, task in sorted(found, key=lambda each: each[:2])]


def _roots(index: EstateIndex, red: Mapping[date, dict[int, list[RunFacts]]]) -> list[RootCause]:
    """The causes among the red jobs of each date, the oldest date first and from the sources down: a cause is found
    before its symptoms, also before those that read it on a later date."""
    owners: dict[JobDate, list[RootCause]] = {}
    found: list[RootCause] = []
    for business_date in sorted(red):
        for job_id in index.graph.ordered(red[business_date]):
            runs = red[business_date][job_id]
            for owner in owners.get((job_id, business_date), ()):
                owner.red.extend(runs)
            if (job_id, business_date) in owners:
                continue
            group = RootCause(business_date, min(red_since(run) for run in runs), runs[-1], None, list(runs))
            found.append(group)
            begun = min(run_time(run) for run in runs)
            hurt = {
                place for place in affected_below(index, [job_id], business_date) if place[0] in red.get(place[1], ())
            }
            for place in sorted(hurt - {(job_id, business_date)}):
                if max(map(red_since, red[place[1]][place[0]])) >= begun:
                    owners.setdefault(place, []).append(group)
    return found


def _of_target(index: EstateIndex, target: TargetFacts) -> RootCause:
    since = target.failing_since or index.now
    zoned = next((job for job in index.estate.jobs.values() if job.target_id == target.id), None)
    business_date = business_date_of(since, None, zoned.zone, zoned.cutoff) if zoned is not None else since.date()
    return RootCause(business_date, since, None, target)


def _less(index: EstateIndex, jobs: dict[int, list[RunFacts]], sick: Sequence[RootCause]) -> dict[int, list[RunFacts]]:
    """The red jobs of one date without those that a sick target explains: they go to its group."""
    left = dict(jobs)
    for group in sick:
        for job_id in _explained(index, group, left):
            group.red.extend(left.pop(job_id))
    return left


def _explained(index: EstateIndex, group: RootCause, jobs: dict[int, list[RunFacts]]) -> list[int]:
    if group.target is None:
        return []
    dates = {runs[0].business_date for runs in jobs.values()}
    waiting = {
        run.job_id for business_date in dates for run in unfinished_runs_on(index, group.target.id, business_date)
    }
    below = set().union(*(index.graph.descendants(each) for each in waiting))
    return [
        job_id
        for job_id, runs in jobs.items()
        if (index.job(job_id).target_id == group.target.id or job_id in below)
        and max(red_since(run) for run in runs) >= group.since
    ]


def _busy_targets(index: EstateIndex) -> set[int]:
    """Targets with open or due runs, or with members of services."""
    members = set().union(*(index.graph.members(each.terminals) for each in index.estate.services))
    busy = {index.job(each).target_id for each in members if each in index.estate.jobs}
    for job_id, runs in index.runs.items():
        if any(run.state.is_open for run in runs):
            busy.add(index.job(job_id).target_id)
    return busy


def _name(index: EstateIndex, group: RootCause) -> str:
    if group.root is not None:
        return index.job(group.root.job_id).name
    return group.shared or f"{group.target.system}/{group.target.name}" if group.target else ""


MOST = 0.8
"""Share of what ended on the target meanwhile that is red."""
USUAL = 0.05
"""Share of what ended there before that may be red."""
KNOWN = 20
"""Runs that ended there before, at least: fewer say nothing of what is usual."""


@dataclass(frozen=True, slots=True)
class TargetBurst:
    """One target's causes that belong together, and why, in words."""

    target_id: int
    groups: list[RootCause]
    evidence: str


def target_bursts(index: EstateIndex, groups: Sequence[RootCause]) -> list[TargetBurst]:
    """The targets whose causes are one; in the order of their ids."""
    by_target: dict[int, list[RootCause]] = {}
    for one in groups:
        if one.root is not None and one.finding is None and one.root.ended_at is not None:
            by_target.setdefault(index.job(one.root.job_id).target_id, []).append(one)
    found = (_burst(index, target_id, by_target[target_id]) for target_id in sorted(by_target))
    return [one for one in found if one is not None]


def _burst(index: EstateIndex, target_id: int, groups: Sequence[RootCause]) -> TargetBurst | None:
    rules = index.estate.declared.incidents
    last = max(one.since for one in groups)
    near = [one for one in groups if last - one.since <= rules.shared_within]
    if len({one.root.job_id for one in near if one.root is not None}) < max(BURST_JOBS, rules.shared_jobs):
        return None
    first = min(one.since for one in near)
    ended = _ended_on(index, target_id)
    meanwhile = [run for run in ended if first <= red_since(run) <= last]
    before = [run for run in ended if red_since(run) < first]
    red, red_before = _red(meanwhile), _red(before)
    if red < MOST * len(meanwhile) or len(before) < KNOWN or red_before > USUAL * len(before):
        return None
    span = format_duration(max(last - first, timedelta(seconds=1)).total_seconds())
    words = f"{red} of {len(meanwhile)} runs that ended there within {span} failed; of those before {red_before} of"
    words += f" {len(before)}"
    return TargetBurst(target_id, near, words)


def _ended_on(index: EstateIndex, target_id: int) -> list[RunFacts]:
    """Runs of the target's own jobs, tasks left out, that have ended."""
    return [
        run
        for job_id, runs in index.runs.items()
        if index.job(job_id).target_id == target_id and index.graph.unit(job_id) == job_id
        for run in runs
        if run.ended_at is not None and not run.state.is_open
    ]


def _red(runs: Sequence[RunFacts]) -> int:
    return sum(run.state.is_red for run in runs)


def root_causes(index: EstateIndex) -> list[RootCause]:
    """All root causes of what is red now, oldest first."""
    return sorted(merge_shared_roots(index, upstream_causes(index)), key=lambda group: group.since)


def merge_shared_roots(index: EstateIndex, groups: Sequence[RootCause]) -> list[RootCause]:
    """The groups, those with a shared root as one; the others as they are, in their order."""
    left = list(groups)
    found: list[RootCause] = []
    for incident in index.estate.incidents:
        if incident.shared and (mine := [one for one in left if _belongs(index, incident, one)]):
            left = [one for one in left if one not in mine]
            found.append(_joined(index, mine, incident.shared, incident.id))
    for shared in sorted(_blamed_by_many(index, groups)):
        if ones := [one for one in left if blamed_identity(index, one) == shared]:
            left = [one for one in left if one not in ones]
            found.append(_joined(index, ones, shared, None))
    for burst in target_bursts(index, left):
        left = [one for one in left if one not in burst.groups]
        shared = f"{Blame.TARGET}:{target_label(index.estate, burst.target_id)}"
        found.append(_joined(index, burst.groups, shared, None, burst.evidence))
    return [*found, *left]


def _blamed_by_many(index: EstateIndex, groups: Sequence[RootCause]) -> set[str]:
    """What enough red jobs blame, causes and symptoms: a symptom that says so itself is as good a witness, and which of
    them is the cause may be seen later."""
    said: dict[str, set[tuple[int, datetime]]] = {}
    for run in (run for group in groups for run in group.red):
        found = _signature(index, run)
        shared = run_identity(index.estate, run, found) if found is not None else ""
        if shared:
            said.setdefault(shared, set()).add((run.job_id, red_since(run)))
    return {shared for shared, red in said.items() if is_burst(red, index.estate.declared.incidents)}


def blamed_identity(index: EstateIndex, group: RootCause) -> str:
    """The identity of what the group's root blames; empty where it blames nothing that is known."""
    found = _signature(index, group.root)
    return run_identity(index.estate, group.root, found) if found is not None and group.root is not None else ""


def was_tried_anew(index: EstateIndex, hurt: Iterable[RunFacts], group: RootCause, shared: str) -> bool:
    """True where it started on good data and failed with other words; of a target on which all fails, whatever it says,
    where it started after another had recovered."""
    root = group.root
    if root is None or root.started_at is None or index.is_stale(root):
        return False
    if identity_blame(shared) is not Blame.TARGET:
        return bool(root.message or root.tail) and blamed_identity(index, group) != shared
    good = [at for run in hurt if (at := index.freshness(run).good_at) is not None and not run.state.is_red]
    return bool(good) and root.started_at >= min(good)


def is_burst(red: Iterable[tuple[int, datetime]], rules: IncidentGrouping) -> bool:
    """True where enough different jobs turned red close together. `red`: job and since when."""
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
    hurt = incident.hurt_run_ids or frozenset()
    if not own & hurt:
        return False
    runs = [run for each in hurt if (run := index.run_by_id(each)) is not None]
    return not was_tried_anew(index, runs, group, incident.shared)


def _fails_with(index: EstateIndex, incident: IncidentFacts, group: RootCause) -> bool:
    """True for what fails on a target on which nearly everything does, not much later."""
    root, rules = group.root, index.estate.declared.incidents
    if root is None or identity_blame(incident.shared) is not Blame.TARGET:
        return False
    is_there = identity_name(incident.shared) == target_label(index.estate, index.job(root.job_id).target_id)
    return is_there and abs(group.since - incident.failed_since) <= rules.shared_within


def _joined(
    index: EstateIndex, groups: Sequence[RootCause], shared: str, told_by: int | None, evidence: str = ""
) -> RootCause:
    first = min(groups, key=lambda one: one.since)
    red = {(run.job_id, run.period_key): run for one in groups for run in one.red}
    causes = [one.root for one in groups if one.root is not None]
    evidence = evidence or _evidence(index, [one for one in groups if blamed_identity(index, one) == shared])
    return RootCause(
        first.business_date,
        first.since,
        None,
        None,
        list(red.values()),
        shared=shared,
        causes=causes,
        evidence=evidence,
        told_by=told_by,
    )


def _evidence(index: EstateIndex, groups: Sequence[RootCause]) -> str:
    """ "6 jobs on 2 systems failed within 4m with the same message: …"; empty for fewer than two."""
    roots = [one.root for one in groups if one.root is not None]
    if len({run.job_id for run in roots}) < 2:
        return ""
    systems = {index.job(run.job_id).system for run in roots}
    span = max(map(red_since, roots)) - min(map(red_since, roots))
    first = min(groups, key=lambda one: (one.since, one.root.job_id if one.root else 0))
    said = _signature(index, first.root)
    where = f"on {len(systems)} systems" if len(systems) > 1 else f"of {next(iter(systems))}"
    within = format_duration(max(span, timedelta(seconds=1)).total_seconds())
    words = said.words if said is not None else ""
    return f"{len({run.job_id for run in roots})} jobs {where} failed within {within} with the same message: {words}"


def _signature(index: EstateIndex, root: RunFacts | None) -> FailureSignature | None:
    """Of the run, else of a task of it that failed."""
    if root is None:
        return None
    if (said := run_signature(root)) is not None:
        return said
    tasks = (run for task in failed_tasks(index, root) for run in index.runs.get(task.id, ()))
    found = (run_signature(run) for run in tasks if run.period_key == root.period_key and run.state.is_red)
    return next(filter(None, found), None)
