"""What is expected of a job whose schedule nobody can read: its next start by what was learned, where that is sure.

It is one run at a time, made anew after each start; its evidence is never its source's own word. A job that an
upstream starts, that is paused, held or gone, or has not run for longer than is looked at, is expected by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.contract import Evidence, State, instant_key
from console.control.cadence import Cadence, learned
from console.control.calendars import expects
from console.control.given_up import given_up
from console.control.periods import business_date
from console.model.decisions import ExpectedRun
from console.model.values import Estate, JobFacts, RunFacts, TargetFacts

_SETTLES = timedelta(minutes=5)
"""After it even a source that proves no absence (AWS lists what it started a little later) has told of a start."""
_TRIES = 14
"""Starts ahead that are looked at for one that the job's calendar has."""


def cadence_of(estate: Estate, job: JobFacts) -> Cadence | None:
    """What was learned of the job; None where its schedule can be read, or there is too little to learn from."""
    history = estate.history.get(job.id)
    if job.schedule.dialect != "none" or job.parent_id is not None or history is None:
        return None
    return learned(history.at, job.zone)


@dataclass(frozen=True, slots=True)
class Usual:
    """The run that is expected next, planned or missed, and when it is given up."""

    run: ExpectedRun
    until: datetime


def next_run(estate: Estate, job: JobFacts, existing: Mapping[str, RunFacts], now: datetime) -> Usual | None:
    """What is expected of a job without a schedule; None where nothing is sure, and for every other job."""
    if job.schedule.dialect != "none" or job.gone_since is not None or job.paused_since is not None:
        return None
    cadence = cadence_of(estate, job)
    if cadence is None or not cadence.is_sure:
        return None
    last = _last_start(estate, job, existing.values())
    due = _next_due(estate, job, cadence, last)
    if due is None or due < now - estate.settings.lookback:
        return None
    bd = business_date(due, None, job.zone, job.cutoff)
    over = given_up(estate, job, due, bd)
    until = over.at + max(cadence.tolerance - job.grace, timedelta(0))
    seen = _seen_until(estate.targets.get(job.target_id))
    is_missed = until <= now and seen is not None and seen >= until
    reason = "; ".join(filter(None, (cadence.words, over.words)))
    state = State.MISSED if is_missed else State.PLANNED
    told = f"usually {reason}" if not is_missed else f"no run by what is usual: {reason}"
    return Usual(ExpectedRun(job.id, instant_key(due), due, bd, state, Evidence.INFERRED, told), until)


def _seen_until(target: TargetFacts | None) -> datetime | None:
    """Until when its starts would be known. Where the source proves nothing of that, a while before the last look: a
    cadence is inferred as well."""
    if target is None or target.last_ok_at is None:
        return None
    return target.seen_until or target.last_ok_at - _SETTLES


def _last_start(estate: Estate, job: JobFacts, runs: Iterable[RunFacts]) -> datetime:
    """Of any run, however it ended."""
    past = [datetime.fromtimestamp(estate.history[job.id].at[0], UTC)]
    return max([*past, *(run.first_started_at for run in runs if run.first_started_at is not None)])


def _next_due(estate: Estate, job: JobFacts, cadence: Cadence, last: datetime) -> datetime | None:
    calendar, at = estate.declared.calendar(job.calendar), last
    for _ in range(_TRIES):
        at = cadence.next_after(at)
        if expects(calendar, at, business_date(at, None, job.zone, job.cutoff)):
            return at.replace(second=0, microsecond=0)
    return None
