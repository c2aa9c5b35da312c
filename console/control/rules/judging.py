"""All rules over all jobs, and what differs from what the store has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.control.picture import Picture
from console.control.rules.look import Look
from console.control.rules.order import RULES
from console.control.rules.unjudged import unjudged
from console.control.rules.wishes import Wishes
from console.model.findings import Finding, FindingChange, Severity
from console.model.values import JobFacts

OVER = "it holds no longer"
UNWATCHED = "its job is watched no more"


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
    for job in picture.estate.jobs.values():
        if unjudged(picture, job):
            found += known.get(job.id, ())
            continue
        for one in _of(picture, job, wishes):
            if one.since <= picture.now:
                found.append(one)
            else:
                ahead.append(one.since)
    return Found(found, min(ahead, default=None))


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


def _of(picture: Picture, job: JobFacts, wishes: Wishes) -> Iterator[Finding]:
    look = Look.of(picture, job, wishes)
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
