"""A start that is due while its pool has no free slot: it waits, and its grace begins with the slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from console.control.given_up import GivenUp
from console.control.pools import pool_of, pools_of, slot_words
from console.model.pools import Pool
from console.model.values import Estate, JobFacts, RunFacts

SOONEST = timedelta(seconds=1)
"""After which a start without a grace is looked at again while no slot is free: always ahead of now."""


@dataclass(slots=True)
class FullPools:
    """What one evaluation knows of the pools; read when it is first asked."""

    estate: Estate
    runs: Mapping[int, Sequence[RunFacts]]
    """By job."""
    _members: dict[str, list[int]] | None = None
    _spans: dict[str, list[tuple[datetime, datetime | None, str]]] = field(default_factory=dict)
    """By pool: who had a slot, from when to when; None: still has it."""

    def put_off(self, job: JobFacts, over: GivenUp, now: datetime) -> GivenUp:
        """Until its grace is over at a moment at which its pool had a slot to give."""
        pool = pool_of(self.estate.declared, job) if over.at <= now else None
        while pool is not None and over.at <= now:
            holders = self._holding(pool, over.at)
            if len(holders) < pool.slots:
                break
            freed = min((end for end, _ in holders if end is not None and end <= now), default=None)
            words = f"waits for {slot_words(pool, [name for _, name in holders])}"
            at = now + max(job.grace, SOONEST) if freed is None else freed + job.grace
            over = GivenUp(at, words, leans=True)
        return over

    def _holding(self, pool: Pool, at: datetime) -> list[tuple[datetime | None, str]]:
        if pool.name not in self._spans:
            self._spans[pool.name] = list(self._of(pool))
        return [(end, name) for start, end, name in self._spans[pool.name] if start <= at and (end is None or end > at)]

    def _of(self, pool: Pool) -> Iterator[tuple[datetime, datetime | None, str]]:
        if self._members is None:
            self._members = pools_of(self.estate.declared, self.estate.jobs)
        for job_id in self._members.get(pool.name, ()):
            for run in self.runs.get(job_id, ()):
                if run.started_at is not None:
                    end = None if run.state.is_open else run.ended_at or run.started_at
                    yield run.started_at, end, self.estate.jobs[job_id].name
