"""Instants of hosts whose clocks are off, as decisions may compare them with those of other hosts and with now.

The store keeps what each source said, by its own clock, and how far that clock was off when it was last asked.
Durations need no correction; a period's instant is the schedule's word and gets none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.contract import Evidence
from console.model.ids import maybe_instant
from console.model.values import JobFacts, RunFacts
from console.store.wire import Wire

_BEGINNING, _END = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LEAST_SECONDS = 2
"""A smaller skew is within what asking for the time costs, and within what the rules allow two clocks to differ."""


def skews(lines: Wire) -> dict[int, timedelta]:
    """Target -> how far its clock is ahead, in whole seconds; without those that go right."""
    rows = lines.rows("SELECT id, skew_s FROM target WHERE abs(skew_s) >= ?", (LEAST_SECONDS,))
    return {int(target_id): _ahead(skew) for target_id, skew in rows}


def our_instant(at_us: int | None, skew_s: float | None) -> datetime | None:
    """What a source said (µs), by our clock. `skew_s`: as its target has it."""
    return _right(maybe_instant(at_us), _ahead(skew_s))


def on_our_clock(
    runs: Iterable[tuple[int, RunFacts]], jobs: Mapping[int, JobFacts], ahead: Mapping[int, timedelta]
) -> Iterable[tuple[int, RunFacts]]:
    """The runs, (sort key, run), each with its target's skew taken out of what its source said. What a person asserted
    has our time already."""
    if not ahead:
        yield from runs
        return
    for sort_us, run in runs:
        job = jobs.get(run.job_id)
        skew = ahead.get(job.target_id) if job is not None and run.evidence is not Evidence.ASSERTED else None
        yield sort_us, run if skew is None else _shifted(run, skew)


def _shifted(run: RunFacts, skew: timedelta) -> RunFacts:
    return replace(
        run,
        first_started_at=_right(run.first_started_at, skew),
        started_at=_right(run.started_at, skew),
        ended_at=_right(run.ended_at, skew),
        queued_at=_right(run.queued_at, skew),
        successes=tuple((_moved(started, skew), _moved(ended, skew)) for started, ended in run.successes),
        ends=tuple((_moved(over, skew), state) for over, state in run.ends),
    )


def _ahead(skew_s: float | None) -> timedelta:
    return timedelta(seconds=round(skew_s)) if skew_s is not None and abs(skew_s) >= LEAST_SECONDS else timedelta(0)


def _right(at: datetime | None, skew: timedelta) -> datetime | None:
    return None if at is None else _moved(at, skew)


def _moved(at: datetime, skew: timedelta) -> datetime:
    """The year 9999 of a source that tells nonsense stays."""
    return at - skew if _BEGINNING <= at <= _END else at
