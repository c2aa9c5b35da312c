"""A job that our own hold kept asleep while its schedule was accepted still runs by that schedule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from console.control.held import LINGERS
from console.model.holds import HoldFacts
from console.model.values import Estate, JobFacts

_TICK = timedelta(microseconds=1)


def woken(estate: Estate) -> Estate:
    """The estate, where a pause that was ours when a schedule was accepted counts from after that: only what was asleep
    by a person's hand is accepted as something that nothing starts."""
    if not estate.holds:
        return estate
    ours = dict(estate.jobs)
    for hold in estate.holds:
        job = ours.get(hold.job_id)
        if job is not None and job.accepted_at is not None and _kept_asleep(hold, job):
            ours[job.id] = replace(job, paused_since=job.accepted_at + _TICK)
    return replace(estate, jobs=ours) if ours != estate.jobs else estate


def _kept_asleep(hold: HoldFacts, job: JobFacts) -> bool:
    """True where it did so when the job's schedule was accepted."""
    if hold.kind == "found" or hold.placed_at is None or job.accepted_at is None or job.paused_since is None:
        return False
    ended = hold.ended_at + LINGERS if hold.ended_at is not None else job.accepted_at
    return job.paused_since <= job.accepted_at and hold.placed_at <= job.accepted_at <= ended
