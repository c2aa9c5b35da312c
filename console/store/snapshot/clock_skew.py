"""Instants of hosts with a wrong clock, corrected for comparison with other hosts and with now.

The store keeps instants by the source's own clock, and the skew measured at the last poll. Durations and scheduled
instants need no correction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import overload

from connectors.sdk.states import RunEvidence
from console.domain.estate import JobFacts, RunFacts
from console.domain.ids import optional_instant
from console.store.db.session import Session

_MIN_INSTANT, _MAX_INSTANT = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
MIN_SKEW_SECONDS = 2
"""A smaller skew is within measurement error, and within what the rules tolerate."""

_SKEWED = "SELECT t.id, t.skew_s FROM {targets} WHERE abs(t.skew_s) >= ?"
_STEP_SECONDS = 10
"""A step so coarse that the jitter of polls does not make every job of the target be evaluated again."""


def target_skews(session: Session, target_ids: Set[int] | None) -> dict[int, timedelta]:
    """Target -> how far its clock is ahead, in whole seconds; only of skewed ones. `target_ids`: None for all."""
    if target_ids is None:
        rows = session.rows(_SKEWED.format(targets="target t"), (MIN_SKEW_SECONDS,))
    else:
        of_these = _SKEWED.format(targets="{keys} JOIN target t ON t.id = k.a")
        rows = session.by_keys(of_these, sorted(target_ids), (MIN_SKEW_SECONDS,))
    return {int(row.id): _skew(row.skew_s) for row in rows}


def clock_behind(skew_s: float | None) -> timedelta:
    """How far a target's clock is behind ours, rounded up to steps of 10 s; zero below one step."""
    behind = -(skew_s or 0.0)
    return timedelta(seconds=math.ceil(behind / _STEP_SECONDS) * _STEP_SECONDS if behind >= _STEP_SECONDS else 0)


def clock_ahead(skew_s: float | None) -> timedelta:
    """How far a target's clock is ahead of ours at most, in steps of 10 s: one more than it was measured at."""
    return timedelta(seconds=(round((skew_s or 0.0) / _STEP_SECONDS) + 1) * _STEP_SECONDS)


def corrected_instant(at_us: int | None, skew_s: float | None) -> datetime | None:
    """An instant by the source's clock (µs), by our clock. `skew_s`: of its target."""
    return _shift(optional_instant(at_us), _skew(skew_s))


def correct_runs(
    runs: Iterable[tuple[int, RunFacts]], jobs: Mapping[int, JobFacts], ahead: Mapping[int, timedelta]
) -> Iterable[tuple[int, RunFacts]]:
    """The runs, (sort key, run), with their target's skew subtracted; asserted ones are by our clock already."""
    if not ahead:
        yield from runs
        return
    for sort_us, run in runs:
        job = jobs.get(run.job_id)
        skew = ahead.get(job.target_id) if job is not None and run.evidence is not RunEvidence.ASSERTED else None
        corrected = run
        if skew is not None:
            corrected = replace(
                run,
                first_started_at=_shift(run.first_started_at, skew),
                started_at=_shift(run.started_at, skew),
                ended_at=_shift(run.ended_at, skew),
                queued_at=_shift(run.queued_at, skew),
                successes=tuple((_shift(started, skew), _shift(ended, skew)) for started, ended in run.successes),
                ends=tuple((_shift(ended, skew), state) for ended, state in run.ends),
            )
        yield sort_us, corrected


def _skew(skew_s: float | None) -> timedelta:
    return timedelta(seconds=round(skew_s)) if skew_s is not None and abs(skew_s) >= MIN_SKEW_SECONDS else timedelta(0)


@overload
def _shift(at: datetime, skew: timedelta) -> datetime: ...
@overload
def _shift(at: datetime | None, skew: timedelta) -> datetime | None: ...
def _shift(at: datetime | None, skew: timedelta) -> datetime | None:
    """Out-of-range instants of a broken source stay."""
    return at - skew if at is not None and _MIN_INSTANT <= at <= _MAX_INSTANT else at
