"""Instants of hosts with a wrong clock, corrected so that decisions can compare them with other hosts and with now.

The store keeps what each source reported, by its own clock, and the skew measured at the last poll. Durations need no
correction; a period's instant comes from the schedule and gets none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.sdk.states import RunEvidence
from console.domain.estate import JobFacts, RunFacts
from console.domain.ids import optional_instant
from console.store.db.session import Session

_MIN_INSTANT, _MAX_INSTANT = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
MIN_SKEW_SECONDS = 2
"""A smaller skew is within what asking for the time costs, and within what the rules allow two clocks to differ."""


def target_skews(session: Session) -> dict[int, timedelta]:
    """Target -> how far its clock is ahead, in whole seconds; without those that go right."""
    rows = session.rows("SELECT id, skew_s FROM target WHERE abs(skew_s) >= ?", (MIN_SKEW_SECONDS,))
    return {int(target_id): _skew(skew) for target_id, skew in rows}


def corrected_instant(at_us: int | None, skew_s: float | None) -> datetime | None:
    """What a source said (µs), by our clock. `skew_s`: as its target has it."""
    return _corrected(optional_instant(at_us), _skew(skew_s))


def correct_runs(
    runs: Iterable[tuple[int, RunFacts]], jobs: Mapping[int, JobFacts], ahead: Mapping[int, timedelta]
) -> Iterable[tuple[int, RunFacts]]:
    """The runs, (sort key, run), each with its target's skew taken out of what its source said. What a person asserted
    has our time already."""
    if not ahead:
        yield from runs
        return
    for sort_us, run in runs:
        job = jobs.get(run.job_id)
        skew = ahead.get(job.target_id) if job is not None and run.evidence is not RunEvidence.ASSERTED else None
        yield sort_us, run if skew is None else _shifted(run, skew)


def _shifted(run: RunFacts, skew: timedelta) -> RunFacts:
    return replace(
        run,
        first_started_at=_corrected(run.first_started_at, skew),
        started_at=_corrected(run.started_at, skew),
        ended_at=_corrected(run.ended_at, skew),
        queued_at=_corrected(run.queued_at, skew),
        successes=tuple((_shift(started, skew), _shift(ended, skew)) for started, ended in run.successes),
        ends=tuple((_shift(over, skew), state) for over, state in run.ends),
    )


def _skew(skew_s: float | None) -> timedelta:
    return timedelta(seconds=round(skew_s)) if skew_s is not None and abs(skew_s) >= MIN_SKEW_SECONDS else timedelta(0)


def _corrected(at: datetime | None, skew: timedelta) -> datetime | None:
    return None if at is None else _shift(at, skew)


def _shift(at: datetime, skew: timedelta) -> datetime:
    return at - skew if _MIN_INSTANT <= at <= _MAX_INSTANT else at
