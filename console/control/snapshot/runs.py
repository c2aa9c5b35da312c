"""One run: its key, its place in time, whether it has started, and its freshness as a value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from connectors.sdk.states import STARTING, PeriodKind, RunState
from console.domain.estate import JobFacts, RepairFacts, RunFacts
from console.domain.run import CLOCK_SKEW
from console.domain.text import Text, mapped
from console.text.cleaning import clean_line
from console.timing.schedule import is_interval

RunKey = tuple[int, str]
"""A run by job and period key: it may have no id yet."""

UNORDERED = (PeriodKind.NAME, PeriodKind.ALL)
"""Kinds of periods of which none is later than another."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def run_key(run: RunFacts) -> RunKey:
    return run.job_id, run.period_key


def run_time(run: RunFacts) -> datetime:
    """Its place among the runs of its job: the period's instant, else the first start, else the first sight."""
    return run.period_at or run.first_started_at or run.started_at or run.ended_at or run.observed_at or BEGINNING


def covers_period(later: RunFacts, run: RunFacts) -> bool:
    """True if a success of `later`, which comes after `run` in the order of their job, repairs `run`: it is of the same
    name or of all periods, or, where neither has a name, not of an earlier date. A start that did not come is of the
    period that earlier starts of its schedule show; where they show none, the run of a named one does not answer it.
    The same in SQL: `console.store.run_periods`."""
    if later.period_kind is PeriodKind.ALL:
        return True
    if run.period_kind in UNORDERED or later.period_kind is PeriodKind.NAME:
        return run.period_name != "" and later.period_name == run.period_name
    is_dated = PeriodKind.DATE in (run.period_kind, later.period_kind)
    return not is_dated or later.business_date >= run.business_date


def known_period_name(run: RunFacts) -> str:
    """The period as its source names it; empty also for a start whose partition is unknown."""
    return run.period_name if has_started(run) else run.own_period


def is_of_same_work(known: RunFacts, run: RunFacts) -> bool:
    """True if `known` did the work of `run`, for whatever date: both have the same name or none, or it did all."""
    return known.period_kind is PeriodKind.ALL or known.period_name == run.period_name


def lookback_time(run: RunFacts) -> datetime:
    """The moment from which it looks back at its upstreams: its period; of a rerun, its start."""
    return run.started_at if run.attempt > 1 and run.started_at is not None else run_time(run)


def success_or_attempt_start(run: RunFacts) -> datetime:
    """The start of its first known success, else of its latest attempt."""
    return next((began for began, _ in success_spans(run)), None) or run.started_at or run_time(run)


def red_since(run: RunFacts) -> datetime:
    """When it became red: its end; where none is known its start, or its due instant if it never started."""
    return run.ended_at or max(run_time(run), run.started_at or BEGINNING)


def began_after(started: datetime, needed: datetime | None) -> bool:
    """True when what was needed was there by that start; `needed` None: nothing was."""
    return needed is None or needed <= BEGINNING or (needed < NEVER and started + CLOCK_SKEW >= needed)


def success_spans(run: RunFacts) -> Sequence[tuple[datetime, datetime]]:
    """Start and end of each success of it that is known, oldest first."""
    if run.successes:
        return run.successes
    if run.state is not RunState.SUCCEEDED:
        return ()
    ended = run.ended_at or run.started_at or run_time(run)
    return ((run.started_at or ended, ended),)


def completed_at(run: RunFacts) -> datetime | None:
    """When it had first run to an end, however that was; None for what is still to end, or never came."""
    if run.ends:
        return min(ended for ended, _ in run.ends)
    if run.state.is_open or run.state is RunState.MISSED or (run.state is RunState.UNKNOWN and run.ended_at is None):
        return None
    return run.ended_at or run_time(run)


def round_up_to_minute(at: datetime) -> datetime:
    """Rounded up to the minute, so that a value from now on does not change with every evaluation."""
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + _MINUTE


class Freshness(NamedTuple):
    """Of one run."""

    good_at: datetime | None
    """The end of its first clean success; None without one."""
    stale: bool
    partial: str = ""
    """Its partial input; empty without one."""
    whole_at: datetime | None = None
    """The end of its first clean success that was whole too, where it was not always so."""
    tainted: str = ""
    """Its partial input before `whole_at`."""


UNREAD = Freshness(None, stale=False)
"""Of a run that reads nothing; of one in a loop that would read itself through others."""

_WITHOUT_START = (RunState.PLANNED, RunState.HELD, RunState.MISSED)


def has_no_clock(job: JobFacts) -> bool:
    """True where nothing runs by the clock: no schedule, never accepted, or asleep when it was accepted."""
    if job.schedule.dialect == "none" or job.accepted_at is None or is_interval(job.schedule):
        return True
    return job.paused_since is not None and job.paused_since <= job.accepted_at


def has_started(run: RunFacts) -> bool:
    """True when the source has a row of it; false for what only a schedule demands."""
    return run.attempt > 0 or run.state not in _WITHOUT_START


def is_under_way(run: RunFacts) -> bool:
    """True from its start to its end."""
    return run.state.is_open and has_started(run)


def is_repeated(run: RunFacts, repair: RepairFacts | None) -> bool:
    """True while the restart that was sent for the run is in progress: its own attempt has not ended. The action itself
    is settled a little later."""
    if repair is None or not repair.in_flight or repair.verb not in STARTING:
        return False
    return run.state.is_open or run.started_at is None or run.started_at + CLOCK_SKEW < repair.sent_at


def cleaned(text: Text, limit: int) -> Text:
    """The text with each part from outside cleaned, on one line."""
    return mapped(text, partial(clean_line, limit=limit))
