"""Dependencies that the clock contradicts: a downstream that starts before its upstream of the same business date.

Usually the cut-off is meant otherwise: with noon, a job at 14:00 belongs to the night that follows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from console.clean import clean_line
from console.control.expected import expects_nothing
from console.control.schedule import instants
from console.control.words import clock
from console.control.zones import date_in_window, window, zone_of
from console.model.values import Estate, JobFacts
from console.model.wants import Condition, Period


def backwards(estate: Estate, now: datetime) -> Iterator[str]:
    """One sentence for each dependency of which every start of the upstream lies after every start of the downstream,
    on the business date of `now`."""
    for edge in estate.dependencies:
        if edge.wants.period is not Period.SAME or edge.wants.condition is Condition.FAILURE:
            continue
        upstream, downstream = estate.jobs.get(edge.upstream_id), estate.jobs.get(edge.downstream_id)
        if upstream is None or downstream is None or expects_nothing(upstream) or expects_nothing(downstream):
            continue
        day = date_in_window(now, zone_of(downstream.zone), downstream.cutoff)
        feeds, reads = _starts(upstream, day), _starts(downstream, day)
        if feeds and reads and min(feeds) > max(reads):
            yield _words(upstream, min(feeds), downstream, max(reads))


def _starts(job: JobFacts, day: date) -> list[datetime]:
    opens, closes = window(day, zone_of(job.zone), job.cutoff)
    return [at for at in instants(job.schedule, opens, closes) if at < closes]


def _words(upstream: JobFacts, feeds: datetime, downstream: JobFacts, reads: datetime) -> str:
    starts, due = clock(reads, downstream.zone), clock(feeds, upstream.zone)
    return (
        f"{clean_line(downstream.name)} starts {starts}, before {clean_line(upstream.name)} of the same business date"
        f" ({due}): each of its runs counts as a stale read. Move the cutoff of {clean_line(downstream.system)} and"
        f" {clean_line(upstream.system)} (now {downstream.cutoff:%H:%M}), so that both belong to one date in this"
        " order, or remove the dependency."
    )
