"""Until when a start that is due is waited for: its grace, what was planned to be later, a maintenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from console.control.maintenance import of_job, starts_later
from console.durations import duration_words
from console.model.values import Estate, JobFacts


@dataclass(frozen=True, slots=True)
class GivenUp:
    """From when on a start that did not come is missed, and what puts that off, in words; empty without anything."""

    at: datetime
    words: str = ""


def given_up(estate: Estate, job: JobFacts, due: datetime, bd: date) -> GivenUp:
    """Of the job's start that is due then. In maintenance its grace begins with the end of that."""
    plain = due + job.grace
    if not (estate.declared.maintenance or estate.declared.exceptions):
        return GivenUp(plain)
    later, why = starts_later(estate.declared, job.name, bd)
    at = plain + later
    words = f"may start {duration_words(later.total_seconds())} later: {why}" if later else ""
    for moment in (due, at):
        quiet = of_job(estate, job, moment)
        if quiet is not None and quiet.until + job.grace > at:
            at, words = quiet.until + job.grace, quiet.words(job.zone)
    return GivenUp(at, words)
