"""Dependencies that cannot do what their mode says, because nobody knows when their downstream starts next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from console.clean import clean_line
from console.control.expected import expects_nothing
from console.control.graph import Graph
from console.control.schedule_words import in_words
from console.control.waits import met
from console.model.values import Estate, JobFacts
from console.model.words import HoldState, Mode


def unheld(estate: Estate) -> Iterator[str]:
    """One sentence for each downstream in mode hold, or in mode trigger beside its own clock, of which no next start is
    known."""
    graph = Graph(estate.jobs, estate.dependencies)
    for edge in estate.dependencies:
        job = estate.jobs.get(graph.unit(edge.downstream_id)) if edge.downstream_id in estate.jobs else None
        if edge.mode is Mode.OBSERVE or job is None or job.gone_since is not None or job.paused_since is not None:
            continue
        if not expects_nothing(job) or job.schedule.next_at is not None:
            continue
        until = met(estate.jobs, [edge]) or "its upstream is good"
        words = _words(edge.mode, clean_line(job.name), until, _clock(job))
        if words:
            yield words


def refused(estate: Estate, job_id: int, due: datetime | None, now: datetime) -> str:
    """Why the last try to hold that start came to nothing; empty where none was made, or a later one holds.
    `due`: None where only its source names it: what is to come."""
    tries = [
        one
        for one in estate.holds
        if one.job_id == job_id and one.due_at is not None and one.place is not None
        if one.due_at == due or (due is None and one.due_at > now)
    ]
    failed = [one for one in tries if one.state is HoldState.FAILED]
    if not failed or any(one.state not in (HoldState.FAILED, HoldState.PLACING) for one in tries):
        return ""
    return max(failed, key=lambda one: one.ended_at or now).words


def _words(mode: Mode, name: str, until: str, clock: str) -> str:
    """Empty where there is nothing to say: a job without a clock is triggered, and needs no hold."""
    unknown = f"{clock}, and its next start is not known" if clock else "it has no clock"
    if mode is Mode.HOLD:
        mend = "Hold it by hand, or give it a clock that names its starts." if clock else "Its mode can be trigger."
        return f"{name} cannot be held until {until}: {unknown}. {mend}"
    if not clock:
        return ""
    return (
        f"{name} is started when {until}, and by its own clock as well: {unknown}, so it is not kept back."
        " Take its clock away, or the mode trigger."
    )


def _clock(job: JobFacts) -> str:
    """Its clock in words, as its source tells it; empty where it has none."""
    return clean_line(in_words(job.schedule)) if job.schedule.has_clock else ""
