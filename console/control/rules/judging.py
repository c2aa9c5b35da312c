"""All rules over all jobs, and what differs from what the store has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from console.control.moments import BEGINNING, NEVER
from console.control.picture import Picture, when
from console.control.remembered import Found as Kept
from console.control.rules.look import Look
from console.control.rules.order import RULES
from console.control.rules.unjudged import unjudged
from console.control.rules.waits import may_be_stuck
from console.control.rules.wishes import Wishes
from console.model.findings import Finding, FindingChange, Rule, Severity
from console.model.values import JobFacts

OVER = "it holds no longer"
UNWATCHED = "its job is watched no more"
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Found:
    """What holds now, and when time alone will add to it."""

    findings: Sequence[Finding]
    """By job, then in the order of the rules."""
    next_at: datetime | None


def findings(picture: Picture) -> Found:
    """What holds now. Of a job on which no rule may speak, what was found before stays as it is."""
    wishes = Wishes(picture)
    known = _known(picture)
    found: list[Finding] = []
    ahead: list[datetime] = []
    maintained = bool(picture.estate.declared.maintenance)
    for job in picture.estate.jobs.values():
        kept = picture.memory.get(job.id) if picture.memory is not None else None
        is_kept = kept is not None and kept.findings is not None
        if (maintained or not is_kept) and unjudged(picture, job):
            found += known.get(job.id, ())
            continue
        if kept is None or kept.findings is None:
            kept = _judged(picture, job, wishes, kept)
        found += kept.findings or ()
        if kept.ahead is not None:
            ahead.append(kept.ahead)
    return Found(found, min(ahead, default=None))


def _judged(picture: Picture, job: JobFacts, wishes: Wishes, kept: Kept | None) -> Kept:
    """What the rules find of it, and until when they find the same."""
    kept = kept if kept is not None else Kept(job, (), None, None, NEVER)
    if job.parent_id is not None and not any(map(may_be_stuck, picture.runs.get(job.id, ()))):
        kept.findings = ()  # of tasks nothing else is asked
        return kept
    look = Look.of(picture, job, wishes)
    every = list(_of(look))
    kept.findings = tuple(one for one in every if one.since <= picture.now)
    later = [one.since for one in every if one.since > picture.now]
    kept.ahead = min(later, default=None)
    late = look.wish(Rule.LATE_START)
    grace = timedelta(seconds=late.floor if late.declared is None else late.declared)
    due = [when(run) for run in look.due]
    kept.lasts_until((*later, *due, *(at + grace + _TICK for at in due)), picture.now)
    if look.proofs and picture.memory is not None:
        picture.memory.leans_on_looks(kept)
    if picture.graph.is_on_loop(picture.graph.unit(job.id)):
        kept.until = BEGINNING  # what supersedes a run there rests on what the others read
    return kept


def changes(picture: Picture, found: Sequence[Finding]) -> tuple[FindingChange, ...]:
    """What is to be written: new ones, those that read otherwise, and those that are over."""
    stored = {one.finding.key: one for one in picture.estate.findings}
    decided: list[FindingChange] = []
    for one in {each.key: each for each in found}.values():
        before = stored.pop(one.key, None)
        if before is None or before.finding != one:
            decided.append(FindingChange(before.id if before is not None else None, one))
    gone = picture.estate.jobs.keys()
    decided += [
        FindingChange(one.id, one.finding, OVER if one.finding.job_id in gone else UNWATCHED) for one in stored.values()
    ]
    return tuple(sorted(decided, key=lambda one: (one.finding.job_id, one.finding.rule, one.finding.period_key)))


def _of(look: Look) -> Iterator[Finding]:
    job, wishes = look.job, look.wishes
    for entry in RULES:
        if job.parent_id is not None and not entry.of_tasks:
            continue
        for one in entry.find(look):
            if look.wish(entry.rule).on:
                yield replace(one, severity=Severity.ALERT) if wishes.tells(entry.rule, job) else one


def _known(picture: Picture) -> dict[int, list[Finding]]:
    found: dict[int, list[Finding]] = {}
    for one in picture.estate.findings:
        found.setdefault(one.finding.job_id, []).append(one.finding)
    return found
