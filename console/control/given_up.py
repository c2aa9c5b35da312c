"""Until when a start that is due is waited for: its grace, how late it usually starts, what was planned to be later, a
maintenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.control.maintenance import of_job, starts_later
from console.durations import duration_words
from console.model.history import History
from console.model.values import Estate, JobFacts

LATEST, FEWEST = 20, 5
"""Starts that are looked at, and how many there must be."""
STEP = timedelta(minutes=5)
"""In which `awaited_for` counts what is usual."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """From when on a start that did not come is missed, and what puts that off, in words; empty without anything."""

    at: datetime
    words: str = ""
    leans: bool = False
    """The next look at its source may put it off further."""


def given_up(estate: Estate, job: JobFacts, due: datetime, bd: date) -> GivenUp:
    """Of the job's start that is due then. In maintenance its grace begins with the end of that."""
    slow = _usually_later(estate.history.get(job.id), job.grace)
    plain = due + job.grace + slow
    words = f"usually starts {duration_words(slow.total_seconds())} later" if slow else ""
    if not (estate.declared.maintenance or estate.declared.exceptions):
        return GivenUp(plain, words)
    later, why = starts_later(estate.declared, job.name, bd)
    at = plain + later
    words = f"may start {duration_words(later.total_seconds())} later: {why}" if later else words
    for moment in (due, at):
        quiet = of_job(estate, job, moment)
        if quiet is not None and quiet.until + job.grace > at:
            at, words = quiet.until + job.grace, quiet.words(job.zone)
    return GivenUp(at, words)


def awaited_for(estate: Estate, job: JobFacts) -> timedelta:
    """How long its starts are waited for, without what is planned: in whole steps of time, so that many jobs are alike
    in it."""
    slow = _usually_later(estate.history.get(job.id), job.grace)
    return job.grace + -(-slow // STEP) * STEP


def _usually_later(history: History | None, grace: timedelta) -> timedelta:
    """By how much, in the middle of its latest starts (one that waits for a slot each night); nothing where that is
    well within its grace."""
    known = sorted(delay for delay in history.delays[:LATEST] if delay >= 0) if history is not None else []
    if len(known) < FEWEST:
        return timedelta(0)
    usual = timedelta(seconds=round(known[(len(known) - 1) // 2]))
    return usual if usual > grace / 2 else timedelta(0)
