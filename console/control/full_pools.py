"""A start that is due while its pool has no free slot: it waits, and its grace begins with the slot."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from console.clean import clean_line
from console.control.given_up import GivenUp
from console.control.pools import has_slot, pool_of, pools_of, slot_words
from console.control.words import moment
from console.model.pools import Pool
from console.model.values import Estate, JobFacts, RunFacts

SOONEST = timedelta(seconds=1)
"""After which a start without a grace is looked at again while no slot is free: always ahead of now."""
_Span = tuple[datetime, datetime | None, str]
"""From when to when a job had a slot; None: still has it."""


@dataclass(slots=True)
class FullPools:
    """What one evaluation knows of the pools; read when it is first asked."""

    estate: Estate
    runs: Mapping[int, Sequence[RunFacts]]
    """Of the estate, by job."""
    now: datetime
    _members: dict[str, list[int]] | None = None
    _used: dict[str, _Used] = field(default_factory=dict)
    """By pool."""
    _put_off: dict[tuple[Pool, datetime, timedelta, str], GivenUp | None] = field(default_factory=dict)
    """What is due at one moment, with one grace, waits alike; told in a zone."""

    def put_off(self, job: JobFacts, over: GivenUp) -> GivenUp:
        """Until its grace is over at a moment at which its pool had a slot to give."""
        pool = pool_of(self.estate.declared, job) if over.at <= self.now else None
        if pool is None:
            return over
        key = pool, over.at, job.grace, job.zone
        if key not in self._put_off:
            self._put_off[key] = self._waits(*key)
        return self._put_off[key] or over

    def _waits(self, pool: Pool, at: datetime, grace: timedelta, zone: str) -> GivenUp | None:
        """None where the pool had a slot to give then."""
        used, full, free = self._used_of(pool), None, None
        while at <= self.now and used.slots_at(at) >= pool.slots:
            full, freed = at, used.freed_after(at)
            free = freed if freed is not None and freed <= self.now else None
            at = self.now + max(grace, SOONEST) if free is None else free + grace
        if full is None:
            return None
        if free is not None:
            return GivenUp(at, f"{clean_line(pool.name)} had a free slot at {moment(free, zone, self.now)}", leans=True)
        return GivenUp(at, f"waits for {slot_words(pool, used.names_at(full))}", leans=True)

    def _used_of(self, pool: Pool) -> _Used:
        if pool.name not in self._used:
            self._used[pool.name] = _Used.of(list(self._spans(pool)))
        return self._used[pool.name]

    def _spans(self, pool: Pool) -> Iterator[_Span]:
        jobs, beside = self.estate.jobs, self.estate.beside
        if self._members is None:
            others = {job_id: job for job_id, (job, _) in beside.items()}
            self._members = pools_of(self.estate.declared, {**jobs, **others} if others else jobs)
        for job_id in sorted(self._members.get(pool.name, ())):
            job, runs = (jobs[job_id], self.runs.get(job_id, ())) if job_id in jobs else beside[job_id]
            for run in runs:
                yield from _spans_of(run, clean_line(job.name))


def _spans_of(run: RunFacts, name: str) -> Iterator[_Span]:
    """Of its first attempt and of its latest: of those between nobody knows when they began."""
    if run.started_at is None:
        return
    if run.first_started_at is not None and run.first_started_at < run.started_at and run.ends:
        yield run.first_started_at, max(run.first_started_at, min(run.ends[0][0], run.started_at)), name
    yield run.started_at, None if has_slot(run) else max(run.ended_at or run.started_at, run.started_at), name


@dataclass(frozen=True, slots=True)
class _Used:
    """Who had slots of one pool, and when."""

    spans: Sequence[_Span]
    starts: Sequence[datetime]
    """Ascending."""
    ended: Sequence[tuple[datetime, datetime]]
    """Ends that are over, ascending, each with its start."""
    ends: Sequence[datetime]
    """The same without their starts."""

    @staticmethod
    def of(spans: Sequence[_Span]) -> _Used:
        ended = sorted((end, start) for start, end, _ in spans if end is not None)
        return _Used(spans, sorted(start for start, _, _ in spans), ended, [end for end, _ in ended])

    def slots_at(self, at: datetime) -> int:
        """How many were taken."""
        return bisect_right(self.starts, at) - bisect_right(self.ends, at)

    def freed_after(self, at: datetime) -> datetime | None:
        """When the first of those that were taken then was free; None while all of them are taken."""
        later = range(bisect_right(self.ends, at), len(self.ended))
        return next((self.ended[place][0] for place in later if self.ended[place][1] <= at), None)

    def names_at(self, at: datetime) -> list[str]:
        """Of the jobs that had them, one for each."""
        return [name for start, end, name in self.spans if start <= at and (end is None or end > at)]
