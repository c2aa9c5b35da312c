"""Business dates: which period a start belongs to, and which business date a period belongs to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from connectors.sdk.records import RunRecord, Schedule, instant_key
from console.timing.dialects import StartQueue
from console.timing.durations import TICK
from console.timing.schedule import accepted_instant, is_interval, last_instant, next_instant, start_queue
from console.timing.zones import date_in_window, zone_of

SLACK = timedelta(seconds=3)
"""A start this much before its instant is still its start: a log's stamp and the scheduler's clock differ."""

LATEST_START = timedelta(hours=25)
"""A start later than this after its instant belongs to another period, however rare the schedule: a manual start in
mid-month is not a late run of the first. A day and an hour, for the daily job in the long night of autumn."""

EARLIEST_START = timedelta(minutes=15)
"""Of a job that goes by a clock of its own: started so long before its instant, it is that instant's run."""
_OF_ITS_PERIOD = 4
"""... and at most this part of the time since the instant before."""
_RARE = timedelta(hours=1)
"""A start between two instants that lie closer together is late, rather than early, while the one before is free."""

_DATE_IN_NAME = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}([-T]\d{2}:\d{2})?(?!\d)")
"""As Dagster names its daily, weekly and hourly partitions, and other sources the instant of the data."""
_NEVER = datetime.max.replace(tzinfo=UTC)


def business_date_of(period_at: datetime, interval_start: datetime | None, zone: str, cutoff: time) -> date:
    """The local date of the data interval's start; without an interval, the date whose window holds `period_at`:
    from cutoff to cutoff, so that with noon 03:12 on the 20th is the 19th. Raises ValueError for an unknown zone."""
    if interval_start is not None:
        return interval_start.astimezone(zone_of(zone)).date()
    return date_in_window(period_at, zone_of(zone), cutoff)


def period_name_at(due: datetime, known_due: datetime, known_name: str, zone: str) -> str:
    """The name of the period that a schedule starts at `due`, where its start at `known_due` has `known_name`: the date
    and the hour in it are as far from the start by the clock of the zone. A name without digits is that of each start;
    from any other name none follows, and the result is empty."""
    local_due, known_local = (at.astimezone(zone_of(zone)).replace(tzinfo=None) for at in (due, known_due))
    dates = list(_DATE_IN_NAME.finditer(known_name))
    if len(dates) != 1:
        return "" if dates or any(map(str.isdigit, known_name)) else known_name
    [known] = dates
    days = timedelta(days=(local_due.date() - known_local.date()).days)
    form, later = (f"%Y-%m-%d{known[1][0]}%H:%M", local_due - known_local) if known[1] else ("%Y-%m-%d", days)
    try:
        named = datetime.strptime(known[0], form) + later  # noqa: DTZ007  (a name, by the clock of its zone)
    except (ValueError, OverflowError):
        return ""
    return known_name[: known.start()] + named.strftime(form) + known_name[known.end() :]


def start_window(schedule: Schedule, instant: datetime) -> timedelta:
    """How much later than that instant a start may still fulfil it: until the next one, at most LATEST_START."""
    following = next_instant(replace(schedule, next_at=None), instant)
    return LATEST_START if following is None else min(LATEST_START, following - instant)


class RunSpan(NamedTuple):
    """The time in which a run was open."""

    began: datetime
    ended: datetime | None
    """None where its source proves no end; the end of time while it is open."""

    @classmethod
    def of(cls, began: datetime, ended: datetime | None, is_open: bool) -> RunSpan:
        return cls(began, _NEVER if is_open else ended)


def assign_periods(
    records: Sequence[RunRecord],
    schedules: Mapping[str, Schedule],
    taken: Mapping[tuple[str, str], str],
    spans: Mapping[tuple[str, str], RunSpan] = MappingProxyType({}),
    waiting: Mapping[str, Collection[str]] = MappingProxyType({}),
    may_start_early: bool = False,
    seen: Mapping[str, Schedule] = MappingProxyType({}),
) -> list[RunRecord]:
    """The records in their order, each start without a period given one.

    `schedules`: native id -> accepted schedule. `taken`: (native id, period key) -> attempt key that started it, as
    stored. A start fulfils the oldest instant that its scheduler queued behind the job's run before it (`_queued`),
    else the latest accepted instant at or before it that no other attempt has taken, at most one period back; else it
    was started by hand and has its own key, "start:<instant>". `waiting`: native id -> keys of periods that are known
    to have no start. Any other may have been filled, unobserved, at its own time: a start in the second half of it, or
    of its day, is by hand unless its schedule allows that delay. Repeated records keep their period, and what executes
    another attempt again has that one's. Records with an action key stay as they are: the store knows which run the
    action repairs. At most one start per period, in whatever order polls bring them, gives the same periods; queued
    ones do where polls bring them in their order.

    `may_start_early`: as `ConnectorKind` has it; a start within EARLIEST_START before an instant then fulfils that one.
    `spans`: when those of `taken` were open, where their start is known. Where one started before its instant, a start
    on time joins it as a further attempt: the job was run by hand just before its clock started it.
    `seen`: native id -> schedule at its source, if it changed and is not accepted. A start nearer to an instant of that
    one fulfils the accepted instant of the same day (`timing.schedule.seen_instant`), or none. No start of such a job
    is early: a second one is a run by hand.
    """
    owners = dict(taken)
    early, runs = set[tuple[str, str]](), defaultdict[str, dict[str, RunSpan]](dict)
    for (job, period), span in spans.items():
        runs[job][period] = span
        if job not in seen and _is_early(span.began, _instant_of(period)):
            early.add((job, period))
    periods = {(job, attempt): key for (job, key), attempt in taken.items()}
    ordered = sorted(records, key=lambda record: (_moment(record) or _NEVER, record.job, record.attempt_key))
    for record in ordered:
        attempt = (record.job, record.attempt_key)
        if not _needs_period(record):
            continue
        repeated = ((record.job, earlier) for earlier in (record.attempt_key, *record.repeated))
        key = next((periods[earlier] for earlier in repeated if earlier in periods), None)
        if key is None:
            schedule, begun = (schedules.get(record.job), seen.get(record.job)), runs[record.job]
            key = _period(record, schedule, begun, owners, early, waiting.get(record.job, ()), may_start_early)
            owners.setdefault((record.job, key), record.attempt_key)
            if record.job not in seen and _is_early(_moment(record), _instant_of(key)):
                early.add((record.job, key))
        periods[attempt] = key
        if record.started_at is not None:
            runs[record.job][key] = RunSpan.of(record.started_at, record.ended_at, record.state.is_open)
    return [_with_period(record, periods) if _needs_period(record) else record for record in records]


def _is_early(started: datetime | None, instant: datetime | None) -> bool:
    return started is not None and instant is not None and started < instant - SLACK


def _needs_period(record: RunRecord) -> bool:
    return record.period_key is None and record.action_key is None


def _moment(record: RunRecord) -> datetime | None:
    return record.started_at or record.queued_at or record.ended_at


def _period(
    record: RunRecord,
    schedules: tuple[Schedule | None, Schedule | None],
    runs: Mapping[str, RunSpan],
    owners: Mapping[tuple[str, str], str],
    early: Collection[tuple[str, str]],
    waiting: Collection[str],
    may_start_early: bool,
) -> str:
    """`schedules`: the accepted one, and the one seen. `runs`: those of the job, by period."""
    (schedule, seen), started = schedules, _moment(record)
    if started is None:
        return f"attempt:{record.attempt_key}"
    if schedule is not None:
        accepted = _accepted_instants(schedule, seen, started, waiting, may_start_early)
        queued = _queued(schedule, started, runs) if seen is None else ()
        for instant in chain(queued, accepted):
            key = instant_key(instant)
            if owners.get((record.job, key), record.attempt_key) == record.attempt_key:
                return key
            if (record.job, key) in early and not _is_early(started, instant) and started - instant < EARLIEST_START:
                return key
    return f"start:{instant_key(started)}"


def _queued(schedule: Schedule, started: datetime, runs: Mapping[str, RunSpan]) -> Iterator[datetime]:
    """The instants that came due while the last run before this start was queued or open, oldest first, if the
    scheduler starts a run for each. None where that run's end is not proven, since the queue may have ended with it,
    or where the latest instant came after its end: then the queue was empty."""
    if start_queue(schedule) is not StartQueue.EACH or is_interval(schedule):
        return
    before = max(((span.began, key) for key, span in runs.items() if span.began < started), default=None)
    latest = last_instant(schedule, started)
    if before is None or latest is None:
        return
    began, key = before
    due, ended = _instant_of(key) or began, runs[key].ended
    if ended is None or latest - SLACK > ended or started - due > LATEST_START:
        return
    while due < latest:
        due = next_instant(schedule, due) or latest
        yield due


def _accepted_instants(
    schedule: Schedule, seen: Schedule | None, started: datetime, waiting: Collection[str], may_start_early: bool
) -> list[datetime]:
    """The instants of the accepted schedule that this start may fulfil, best first. If the seen one has an instant
    nearer to the start, those that belong to its instants: perhaps none."""
    accepted = list(_fulfilled_by(schedule, started, waiting, may_start_early))
    changed = list(_fulfilled_by(seen, started, (), may_start_early)) if seen is not None else []
    if seen is None or not changed or (accepted and abs(started - accepted[0]) <= abs(started - changed[0])):
        return accepted
    belonging = (accepted_instant(schedule, seen, instant) for instant in changed)
    return [instant for instant in belonging if instant is not None and started - instant <= LATEST_START]


def _fulfilled_by(
    schedule: Schedule, started: datetime, waiting: Collection[str], may_start_early: bool
) -> Iterator[datetime]:
    """The instants that this start may fulfil, best first: one just ahead of it, and the last one before it. If its
    source names its next start, those in `waiting` are instants too, even if the expression has others."""
    until = started + SLACK
    instant = last_instant(schedule, until)
    if schedule.next_at is not None:
        instants = (instant, *map(_instant_of, waiting))
        instant = max((at for at in instants if at is not None and at <= until), default=None)
    if instant is not None and instant > started:
        yield instant
        instant = last_instant(schedule, instant - TICK)
    before = instant
    if before is not None:
        latest = start_window(schedule, before)
        unobserved = max(_RARE, latest / 2, schedule.window)
        if started - before > (latest if instant_key(before) in waiting else unobserved):
            before = None
    if not may_start_early or is_interval(schedule):
        ahead = None
    elif before is not None and started - before < EARLIEST_START:
        yield before  # the nearer one; most starts
        before, ahead = None, _ahead(schedule, started, instant)
    else:
        ahead = _ahead(schedule, started, instant)
    if ahead is not None and instant is not None and ahead - instant < _RARE:
        yield from (candidate for candidate in (before, ahead) if candidate is not None)
    else:
        yield from (candidate for candidate in (ahead, before) if candidate is not None)


def _ahead(schedule: Schedule, started: datetime, before: datetime | None) -> datetime | None:
    """The instant that this start is early for; None where none is near. `before`: the instant before."""
    ahead = next_instant(replace(schedule, next_at=None), started + SLACK)
    if ahead is None:
        return None
    most = EARLIEST_START if before is None else min(EARLIEST_START, (ahead - before) / _OF_ITS_PERIOD)
    return ahead if ahead - started <= most else None


def _with_period(record: RunRecord, periods: Mapping[tuple[str, str], str]) -> RunRecord:
    key = periods[record.job, record.attempt_key]
    return record.of_period(key, record.period_at or _instant_of(key))


def _instant_of(key: str) -> datetime | None:
    try:
        return datetime.fromisoformat(key).astimezone(UTC) if key.endswith("Z") else None
    except ValueError:
        return None
