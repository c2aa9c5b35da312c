"""Whether a job's own clock makes a start of ours needless after its release: then one of the two would be too much."""

from __future__ import annotations

from datetime import datetime, timedelta

from console.control.schedule import next_instant
from console.model.values import JobFacts

BEGINS_WITHIN = timedelta(seconds=60)
"""What is sent may begin so much later: pg_cron starts a one-shot at its next minute (tests/lab)."""
FREQUENT = timedelta(minutes=10)
"""Of a job that runs as often, the newest period stands for those before it."""


def stands_in(job: JobFacts, kept_back: datetime, released: datetime, now: datetime) -> datetime | None:
    """The instant of its own clock after the release that stands for the start that was kept back; None where a start
    of ours would have begun before anything of its own is due.

    It stands in when it has passed already, when it comes within the time in which ours could begin (a minute, at least
    the job's grace), or when the job is frequent.
    """
    own = next_instant(job.schedule, max(kept_back, released))
    if own is None:
        return None
    if own <= now + max(BEGINS_WITHIN, job.grace):
        return own
    after = next_instant(job.schedule, own)
    return own if after is not None and after - own < FREQUENT else None
