"""Where a run stands in time: what a run is known by, when it counts as due, and from where it looks back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from connectors.contract import State
from console.model.values import RunFacts

Key = tuple[int, str]
"""A run by job and period key: it may have no id yet."""

CLOCKS = timedelta(seconds=2)
"""Two systems' clocks differ by as much without anybody having read stale data."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def key_of(run: RunFacts) -> Key:
    return run.job_id, run.period_key


def when(run: RunFacts) -> datetime:
    """Its place among the runs of its job: the period's instant, else the first start, else the first sight."""
    return run.period_at or run.first_started_at or run.started_at or run.ended_at or run.observed_at or BEGINNING


def anchor(run: RunFacts) -> datetime:
    """The moment from which it looks back at its upstreams: its period; of a rerun, its start."""
    return run.started_at if run.attempt > 1 and run.started_at is not None else when(run)


def red_since(run: RunFacts) -> datetime:
    """When it became red: its end, or its due instant where it never started."""
    return run.ended_at or when(run)


def began_after(started: datetime, needed: datetime | None) -> bool:
    """True when what was needed was there by that start; `needed` None: nothing was."""
    return needed is None or needed <= BEGINNING or (needed < NEVER and started + CLOCKS >= needed)


def successes(run: RunFacts) -> Sequence[tuple[datetime, datetime]]:
    """Start and end of each success of it that is known, oldest first."""
    if run.successes:
        return run.successes
    if run.state is not State.SUCCEEDED:
        return ()
    ended = run.ended_at or run.started_at or when(run)
    return ((run.started_at or ended, ended),)


def completed_at(run: RunFacts) -> datetime | None:
    """When it had first run to an end, however that was; None for what is still to end, or never came."""
    if run.ends:
        return min(ended for ended, _ in run.ends)
    if run.state.is_open or run.state is State.MISSED or (run.state is State.UNKNOWN and run.ended_at is None):
        return None
    return run.ended_at or when(run)


def up(at: datetime) -> datetime:
    """To the full minute: what is counted from now on must not change with every look."""
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + _MINUTE
