"""When the jobs of a plan start by their own clocks: what is waited for, and once more what would be run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.words import STARTING
from console.control.calendars import expects
from console.control.conditions import policies
from console.control.held import kept_back_by
from console.control.periods import business_date
from console.control.picture import Picture
from console.control.schedule import next_instant
from console.model.plans import WAIT, Step
from console.model.values import RunFacts


def starts_s(picture: Picture, run: RunFacts) -> float:
    """When it started, or its clock starts it, in seconds from now; 0 where nothing says so."""
    at = run.started_at or run.period_at
    return 0.0 if at is None or (run.started_at is None and at < picture.now) else (at - picture.now).total_seconds()


def with_own_starts(picture: Picture, steps: Sequence[Step], runs: Sequence[RunFacts]) -> tuple[Step, ...]:
    """The steps with the next start of each by its own clock, of the same business date, once what it reads was run
    again by its own clock too. `runs`: that they are of, in their order."""
    ends: dict[int, float | None] = {}
    told = []
    for step, run in zip(steps, runs, strict=True):
        above = [ends[place] for place in step.after]
        start = _again(picture, step, run, [each for each in above if each is not None]) if None not in above else None
        takes = step.expected_s
        ends[step.place] = None if start is None or takes is None else start + takes
        told.append(step if step.verb == WAIT else replace(step, again_s=start))
    return tuple(told)


def _again(picture: Picture, step: Step, run: RunFacts, above: Sequence[float]) -> float | None:
    if step.verb == WAIT:
        return max([step.starts_s, *above])
    job = picture.job(step.job_id)
    if step.verb not in STARTING or job.id in policies(picture):
        return None
    read = picture.now + timedelta(seconds=max([0.0, *above]))
    at: datetime | None = next_instant(job.schedule, read)
    if at is None or run.bd != business_date(at, None, job.zone, job.cutoff):
        return None
    counts = expects(picture.estate.declared.calendar(job.calendar), at, run.bd)
    kept = kept_back_by(picture.estate, job.id, at, picture.now)
    return (at - picture.now).total_seconds() if counts and not kept else None
