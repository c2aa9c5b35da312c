"""Roots that many jobs share: a host, a database or a credential that all of them blame as they fail, while nothing
lies upstream of them all.

Thresholds are conservative: so many different jobs (`shared_jobs`), this close together (`shared_within`), each with
words that name the same thing. Once told, what blames the same joins; what had failed for it stays until it is good,
or until it fails with other words: that is a cause of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.clean import clean_line
from console.control.causes import Group, failed_tasks, groups
from console.control.picture import Picture, red_since
from console.control.signatures import Blame, Signature, blame_of, identity, name_of, signature
from console.control.together import bursts, failing_targets, last_red
from console.durations import duration_words
from console.model.grouped import grouped
from console.model.grouping import Grouping
from console.model.values import Estate, IncidentFacts, JobFacts, RunFacts


def root_causes(picture: Picture) -> list[Group]:
    """All root causes of what is red now, oldest first."""
    return sorted(gathered(picture, groups(picture)), key=lambda group: group.since)


def gathered(picture: Picture, groups: Sequence[Group]) -> list[Group]:
    """The groups, those with a shared root as one; the others as they are, in their order."""
    left = list(groups)
    found: list[Group] = []
    for incident in picture.estate.incidents:
        if incident.shared and (mine := [one for one in left if _belongs(picture, incident, one)]):
            left = [one for one in left if one not in mine]
            found.append(_joined(picture, mine, incident.shared, incident.id))
    for shared in sorted(_blamed_by_many(picture, groups)):
        if ones := [one for one in left if blamed(picture, one) == shared]:
            left = [one for one in left if one not in ones]
            found.append(_joined(picture, ones, shared, None))
    for burst in bursts(picture, left):
        left = [one for one in left if one not in burst.groups]
        shared = f"{Blame.TARGET}:{_target_name(picture.estate, burst.target_id)}"
        found.append(_joined(picture, burst.groups, shared, None, burst.evidence))
    return [*found, *left]


def _blamed_by_many(picture: Picture, groups: Sequence[Group]) -> set[str]:
    """What enough red jobs blame, causes and symptoms: a symptom that says so itself is as good a witness, and which of
    them is the cause may be seen later."""
    said: dict[str, set[tuple[int, datetime]]] = {}
    for run in (run for group in groups for run in group.red):
        found = _signature(picture, run)
        shared = _identity(picture.estate, run, found) if found is not None else ""
        if shared:
            said.setdefault(shared, set()).add((run.job_id, red_since(run)))
    return {shared for shared, red in said.items() if are_many(red, picture.estate.declared.incidents)}


def blamed(picture: Picture, group: Group) -> str:
    """The identity of what the group's root blames; empty where it blames nothing that is known."""
    found = _signature(picture, group.root)
    return _identity(picture.estate, group.root, found) if found is not None and group.root is not None else ""


def was_tried_anew(picture: Picture, hurt: Iterable[RunFacts], group: Group, shared: str) -> bool:
    """True where it started on good data and failed with other words; of a target on which all fails, whatever it says,
    where it started after another had recovered."""
    root = group.root
    if root is None or root.started_at is None or picture.is_stale(root):
        return False
    if blame_of(shared) is not Blame.TARGET:
        return bool(root.message or root.tail) and blamed(picture, group) != shared
    good = [at for run in hurt if (at := picture.standing(run).good_at) is not None and not run.state.is_red]
    return bool(good) and root.started_at >= min(good)


def links(estate: Estate, reds: Mapping[int, Red], failing: Iterable[int]) -> Iterator[list[int]]:
    """The jobs that hang together because what they say blames the same, or blames what an open incident is about.
    `reds` and `failing`: of that estate."""
    found: dict[str, set[int]] = {}
    for incident in estate.incidents:
        if incident.shared:
            found.setdefault(incident.shared, set()).update(incident.member_job_ids)
    for job_id, one in reds.items():
        for shared in one.blames:
            found.setdefault(shared, set()).update({job_id, estate.jobs[job_id].parent_id or job_id})
    yield from (sorted(jobs) for jobs in found.values() if len(jobs) > 1)
    for target_id in failing:
        yield sorted(job.id for job in estate.jobs.values() if job.target_id == target_id)


def failing_of(estate: Estate, reds: Mapping[int, Red]) -> tuple[int, ...]:
    """The targets on which nearly everything may fail; `reds`: of that estate."""
    return tuple(failing_targets(estate, ((one.job, one.since) for one in reds.values())))


@dataclass(frozen=True, slots=True)
class Red:
    """What a red job was found to be, and of which runs and target."""

    runs: object
    job: JobFacts
    target: str
    blames: frozenset[str]
    """With words that are known here."""
    since: datetime
    """When the latest of its red runs became so."""


def reds_of(estate: Estate, before: Mapping[int, Red], known: Set[int] | None = None) -> Mapping[int, Red]:
    """The red jobs that are watched. `before`: as they were at another look; most are the same, and where all are it is
    the answer. `known`: the jobs that may differ from it; None: any."""
    runs = grouped(estate.runs)
    found = (
        {} if known is None else {each: one for each, one in before.items() if each in runs.red and each not in known}
    )
    names = {number: _target_name(estate, number) for number in estate.targets}
    for job_id in runs.red - found.keys():
        own, seen, job = runs.by_job[job_id], before.get(job_id), estate.jobs.get(job_id)
        if job is None:
            continue
        target = names.get(job.target_id, "")
        if seen is None or seen.runs is not own or seen.job is not job or seen.target != target:
            seen = Red(own, job, target, _blamed_by(estate, own), last_red(own))
        found[job_id] = seen
    is_same = len(found) == len(before) and all(before.get(each) is one for each, one in found.items())
    return before if is_same else found


def _blamed_by(estate: Estate, runs: Sequence[RunFacts]) -> frozenset[str]:
    red = [(run, said) for run in runs if run.state.is_red and (said := said_by(run)) is not None]
    named = {_identity(estate, run, said) for run, said in red if run.job_id in estate.jobs}
    return frozenset(named - {""})


def said_by(run: RunFacts) -> Signature | None:
    """What its message or the end of its log blames."""
    return signature(run.message) or signature(run.tail)


def are_many(red: Iterable[tuple[int, datetime]], rules: Grouping) -> bool:
    """True where enough different jobs turned red close together. `red`: job and since when."""
    ordered = sorted((since, job_id) for job_id, since in red)
    return any(
        len({job_id for since, job_id in ordered[place:] if since - start <= rules.shared_within}) >= rules.shared_jobs
        for place, (start, _) in enumerate(ordered)
    )


def _belongs(picture: Picture, incident: IncidentFacts, group: Group) -> bool:
    if group.root is None:
        return False
    if blamed(picture, group) == incident.shared or _fails_with(picture, incident, group):
        return True
    own = {run.id for run in group.red if run.job_id == group.root.job_id}
    hurt = incident.hurt_run_ids or frozenset()
    if not own & hurt:
        return False
    runs = [run for each in hurt if (run := picture.run_by_id(each)) is not None]
    return not was_tried_anew(picture, runs, group, incident.shared)


def _fails_with(picture: Picture, incident: IncidentFacts, group: Group) -> bool:
    """True for what fails on a target on which nearly everything does, not much later."""
    root, rules = group.root, picture.estate.declared.incidents
    if root is None or blame_of(incident.shared) is not Blame.TARGET:
        return False
    is_there = name_of(incident.shared) == _target_name(picture.estate, picture.job(root.job_id).target_id)
    return is_there and abs(group.since - incident.failed_since) <= rules.shared_within


def _joined(picture: Picture, groups: Sequence[Group], shared: str, told_by: int | None, evidence: str = "") -> Group:
    first = min(groups, key=lambda one: one.since)
    red = {(run.job_id, run.period_key): run for one in groups for run in one.red}
    causes = [one.root for one in groups if one.root is not None]
    evidence = evidence or _evidence(picture, [one for one in groups if blamed(picture, one) == shared])
    return Group(
        first.bd,
        first.since,
        None,
        None,
        list(red.values()),
        shared=shared,
        causes=causes,
        evidence=evidence,
        told_by=told_by,
    )


def _evidence(picture: Picture, groups: Sequence[Group]) -> str:
    """ "6 jobs on 2 systems failed within 4m with the same message: …"; empty for fewer than two."""
    roots = [one.root for one in groups if one.root is not None]
    if len({run.job_id for run in roots}) < 2:
        return ""
    systems = {picture.job(run.job_id).system for run in roots}
    span = max(map(red_since, roots)) - min(map(red_since, roots))
    first = min(groups, key=lambda one: (one.since, one.root.job_id if one.root else 0))
    said = _signature(picture, first.root)
    where = f"on {len(systems)} systems" if len(systems) > 1 else f"of {next(iter(systems))}"
    within = duration_words(max(span, timedelta(seconds=1)).total_seconds())
    words = said.words if said is not None else ""
    return f"{len({run.job_id for run in roots})} jobs {where} failed within {within} with the same message: {words}"


def _signature(picture: Picture, root: RunFacts | None) -> Signature | None:
    """Of the run, else of a task of it that failed."""
    if root is None:
        return None
    if (said := said_by(root)) is not None:
        return said
    tasks = (run for task in failed_tasks(picture, root) for run in picture.runs.get(task.id, ()))
    found = (said_by(run) for run in tasks if run.period_key == root.period_key and run.state.is_red)
    return next(filter(None, found), None)


def _identity(estate: Estate, run: RunFacts | None, said: Signature) -> str:
    job = estate.jobs.get(run.job_id) if run is not None else None
    return identity(said, _target_name(estate, job.target_id) if job is not None else "")


def _target_name(estate: Estate, target_id: int) -> str:
    target = estate.targets.get(target_id)
    return clean_line(f"{target.system}/{target.name}") if target is not None else ""
