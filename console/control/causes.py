"""Root causes: which red runs explain which, what else they hurt, and which targets are themselves the cause.

A red run is a symptom of another when that one lies upstream of it on the same business date and was due or started
before the symptom was red. A task that failed is told with its DAG. What turned red on a target while it did not
answer, or below what that target has not run, belongs to the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from connectors.contract import State
from console.control.harm import Place, below, misread
from console.control.periods import business_date
from console.control.picture import Picture, red_since, when
from console.model.findings import Finding
from console.model.values import JobFacts, RunFacts, TargetFacts
from console.model.words import UNDELIVERED

MOST_THREATENED = 500
"""Members that have not started yet, per incident: beyond these only the services are told."""


@dataclass(slots=True)
class Group:
    """One root cause and the red runs that it explains."""

    bd: date
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
        return UNDELIVERED if self.awaits else ""

    def roots(self) -> list[RunFacts]:
        """The runs that nothing upstream explains."""
        return [self.root] if self.root is not None else self.causes

    def to_mend(self) -> list[int]:
        """The jobs whose owners can mend it: the one that loses the minutes where nothing failed, else the roots'."""
        return [self.lost_by] if self.lost_by is not None else [run.job_id for run in self.roots()]

    def holds(self, job_id: int | None, bd: date) -> bool:
        """True when this job is red here on that date."""
        return any(run.job_id == job_id and run.bd == bd for run in self.red)


def groups(picture: Picture) -> list[Group]:
    """The causes among what is red now by what lies upstream, and the targets that are one; oldest first."""
    red: dict[date, dict[int, list[RunFacts]]] = {}
    for job_id, runs in picture.red_jobs():
        if picture.graph.unit(job_id) != job_id:
            continue
        for run in runs:
            if run.state.is_red and picture.is_red_now(run):
                red.setdefault(run.bd, {}).setdefault(job_id, []).append(run)
    sick = [_of_target(picture, target) for target in sick_targets(picture)]
    found = _roots(picture, {bd: _less(picture, jobs, sick) for bd, jobs in red.items()})
    return sorted([*sick, *found], key=lambda group: (group.since, _name(picture, group)))


def sick_targets(picture: Picture) -> list[TargetFacts]:
    """Targets that fail for more polls than `stale_polls` and have something to run, or members of services."""
    settings, now = picture.estate.settings, picture.now
    failing = [
        each
        for each in picture.estate.targets.values()
        if each.failing_since is not None
        and _failing_for(each, each.failing_since, now) > settings.stale_polls * each.poll_every
    ]
    if not failing:
        return []
    needed = _busy_targets(picture)
    return [each for each in failing if each.id in needed]


def _failing_for(target: TargetFacts, since: datetime, now: datetime) -> timedelta:
    """How long it was looked at in vain: not while nobody looks, and after a pause it has to fail anew."""
    pause = target.pause
    if pause is None:
        return now - since
    if pause.lasts(now):
        return (pause.at or now) - since
    return now - max(since, pause.until)


def stale_below(picture: Picture, job_ids: Iterable[int], bd: date) -> list[RunFacts]:
    """Runs that are stale because of these jobs on that date, upstreams first; not where a later run of the job is
    good, nor what is stale for another cause alone, having read these jobs when they were good."""
    causes = set(job_ids)
    found: list[RunFacts] = []
    for job_id, days in _in_order(picture, below(picture, causes, bd)):
        runs = (run for day in days for run in picture.of_day(job_id, day))
        stale = [run for run in runs if is_stale_now(picture, run) and misread(picture, run, causes)]
        if stale:
            causes.add(job_id)
            found += stale
    return found


def _in_order(picture: Picture, places: Iterable[Place]) -> list[tuple[int, list[date]]]:
    """Each job with its dates, upstreams first."""
    days: dict[int, list[date]] = {}
    for job_id, day in sorted(places):
        days.setdefault(job_id, []).append(day)
    return [(job_id, days[job_id]) for job_id in picture.graph.ordered(days)]


def is_stale_now(picture: Picture, run: RunFacts) -> bool:
    """True when it is stale and no later run of the job is good; what is red is not told as stale too."""
    if run.state.is_red or not picture.is_stale(run):
        return False
    later = (each for each in reversed(picture.runs[run.job_id]) if when(each) > when(run))
    return not any(picture.is_green(each) for each in later)


def threatened_by(picture: Picture, job_ids: Iterable[int], bd: date) -> list[tuple[int, str, int | None]]:
    """(job, period key, run id) of what will read a cause and has not started: one per job, upstreams first."""
    found: list[tuple[int, str, int | None]] = []
    for job_id, days in _in_order(picture, below(picture, job_ids, bd)):
        runs = [run for day in days for run in picture.of_day(job_id, day)]
        ahead = [run for run in runs if run.state in (State.PLANNED, State.HELD)]
        if ahead:
            found.append((job_id, ahead[0].period_key, ahead[0].id or None))
        elif not runs:
            found.append((job_id, "", None))
        if len(found) == MOST_THREATENED:
            break
    return found


def unfinished_on(picture: Picture, target_id: int, bd: date | None = None) -> list[RunFacts]:
    """Runs on the target that are open, or due and not seen to start, in the order of their jobs."""
    found = []
    for job_id, runs in picture.runs.items():
        if picture.job(job_id).target_id != target_id or picture.graph.unit(job_id) != job_id:
            continue
        found += [run for run in runs if run.state.is_open and when(run) <= picture.now and bd in (None, run.bd)]
    return found


def failed_tasks(picture: Picture, run: RunFacts) -> list[JobFacts]:
    """The tasks of a DAG's run that are red: those that failed themselves before those that these blocked, by id."""
    found = []
    for task in picture.tasks_of(run.job_id):
        red = [one for one in picture.runs.get(task.id, ()) if one.period_key == run.period_key and one.state.is_red]
        if red:
            found.append((all(one.state is State.BLOCKED for one in red), task.id, task))
    return [task for _, _, task in sorted(found, key=lambda each: each[:2])]


def _roots(picture: Picture, red: Mapping[date, dict[int, list[RunFacts]]]) -> list[Group]:
    """The causes among the red jobs of each date, the oldest date first and from the sources down: a cause is found
    before its symptoms, also before those that read it on a later date."""
    owners: dict[Place, list[Group]] = {}
    found: list[Group] = []
    for bd in sorted(red):
        for job_id in picture.graph.ordered(red[bd]):
            runs = red[bd][job_id]
            for owner in owners.get((job_id, bd), ()):
                owner.red.extend(runs)
            if (job_id, bd) in owners:
                continue
            group = Group(bd, min(red_since(run) for run in runs), runs[-1], None, list(runs))
            found.append(group)
            begun = min(when(run) for run in runs)
            hurt = {place for place in below(picture, [job_id], bd) if place[0] in red.get(place[1], ())}
            for place in sorted(hurt - {(job_id, bd)}):
                if max(map(red_since, red[place[1]][place[0]])) >= begun:
                    owners.setdefault(place, []).append(group)
    return found


def _of_target(picture: Picture, target: TargetFacts) -> Group:
    since = target.failing_since or picture.now
    zoned = next((job for job in picture.estate.jobs.values() if job.target_id == target.id), None)
    bd = business_date(since, None, zoned.zone, zoned.cutoff) if zoned is not None else since.date()
    return Group(bd, since, None, target)


def _less(picture: Picture, jobs: dict[int, list[RunFacts]], sick: Sequence[Group]) -> dict[int, list[RunFacts]]:
    """The red jobs of one date without those that a sick target explains: they go to its group."""
    left = dict(jobs)
    for group in sick:
        for job_id in _explained(picture, group, left):
            group.red.extend(left.pop(job_id))
    return left


def _explained(picture: Picture, group: Group, jobs: dict[int, list[RunFacts]]) -> list[int]:
    if group.target is None:
        return []
    dates = {runs[0].bd for runs in jobs.values()}
    waiting = {run.job_id for bd in dates for run in unfinished_on(picture, group.target.id, bd)}
    below = set().union(*(picture.graph.descendants(each) for each in waiting))
    return [
        job_id
        for job_id, runs in jobs.items()
        if (picture.job(job_id).target_id == group.target.id or job_id in below)
        and max(red_since(run) for run in runs) >= group.since
    ]


def _busy_targets(picture: Picture) -> set[int]:
    """Targets with open or due runs, or with members of services."""
    members = set().union(*(picture.graph.members(each.terminals) for each in picture.estate.services))
    busy = {picture.job(each).target_id for each in members if each in picture.estate.jobs}
    for job_id, runs in picture.runs.items():
        if any(run.state.is_open for run in runs):
            busy.add(picture.job(job_id).target_id)
    return busy


def _name(picture: Picture, group: Group) -> str:
    if group.root is not None:
        return picture.job(group.root.job_id).name
    return group.shared or f"{group.target.system}/{group.target.name}" if group.target else ""
