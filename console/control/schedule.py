"""When a schedule runs: the instants at which its own scheduler really starts it, each dialect with its rule for DST.

"debian-cron"  Vixie's rule (cron.c of Debian 12; tests/lab/test_dst_real.py lives both nights): a job of fixed minute
               and hour that falls into the gap runs right after the jump (once for each of its minutes that were
               jumped over: one instant here), and once, the first time, in an overlap; one whose minute or hour
               begins with `*` skips the gap and runs in both hours of the overlap. `@reboot` has no instants. Day of
               month and day of week are an OR unless one of them begins with `*`.
"cronie"       Lines under CRON_TZ, in that zone. crond compares each minute of its own clock with that zone's
               (find_jobs of cronie's cron.c; not lived here): a line skips a gap there and runs twice in an overlap.
               Lines without it are as in "debian-cron", whose code it shares.
"busybox"      crond compares each minute that passes with the zone's clock (flag_starting_jobs of crond.c; not lived
               here): a line skips a gap and runs twice in an overlap.
"pg_cron"      The zone that its connector names: UTC up to 1.5, `cron.timezone` from 1.6. It counts real minutes and
               compares each with that zone's clock (ShouldRunTask of pg_cron.c), so that every job skips a gap and runs
               twice in an overlap. "N seconds" has no anchor that a poll could see: a grid from the epoch stands for
               it.
"airflow"      The source's own `next_at` first, then the expression after it. Fixed times in the gap are moved by its
               length, in an overlap the second counts (make_aware, CronMixin of Airflow 3).
"systemd"      `OnCalendar=` of a timer (`systemd_calendar`), in its own zone where it names one, else in the host's. A
               time in the gap is left out, of one that comes twice the first counts. What a timer does by the time
               since boot or since its last run is no clock: it has a cadence (`cadence`).
"pgagent"      The arrays of its schedules, written as `OnCalendar=` by its connector, by the zone of its database.
               A time in the gap is left out; of one that comes twice the second counts, since PostgreSQL reads it so
               (pga_next_schedule of pgagent--4.2.sql).
"prefect"      The source's own `next_at` first, then its cron expression. A time in the gap counts by the offset after
               it, so an hour early; of one that comes twice the first counts, hourly ones too (asked of Prefect 3.8.8).
"mysql_events" The grid of an interval from its STARTS, written as `OnCalendar=` by its connector, in the event's zone.
               The change of clocks is as for systemd (not lived here).
"dagster"      The source's own `next_at` first, then its cron expression. A time in the gap is moved to its end; of one
               that comes twice the second counts, of hourly ones both (asked of Dagster 1.13.27).
"kubernetes"   The expression in the CronJob's zone: every job skips a gap and runs twice in an overlap (asked of
               robfig/cron 3.0.1, which Kubernetes reads it with).
"none"         nothing runs by the clock.
Cron's expressions are read and stepped by cronsim, on naive local times: the zone's rule is applied here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from cronsim import CronSim, CronSimError

from connectors.contract import Schedule
from console.control.systemd_calendar import CalendarEvents, read, steps
from console.control.zones import after_gap, readings, zone_of

MOST = 10_000
"""Instants that one question gives at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_PAD = timedelta(hours=3)
"""A clock that moves by more is no DST change for cron either (cron.c: "more than three hours")."""
_LONG = timedelta(days=10)
"""Over longer spans the days are not shared."""
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SECONDS = re.compile(r"(\d{1,2}) +seconds?")
_DIALECTS = (
    "debian-cron",
    "pg_cron",
    "airflow",
    "systemd",
    "cronie",
    "busybox",
    "pgagent",
    "prefect",
    "mysql_events",
    "dagster",
    "github",
    "databricks",
    "kubernetes",
)


@dataclass(frozen=True)
class _Rule:
    """A schedule that can be stepped: five fields and a zone, or a plain interval."""

    dialect: str
    fields: str
    zone: tzinfo
    starred: bool
    """Minute or hour begins with `*` (Debian), every hour is covered (Airflow), or always (pg_cron): such jobs follow
    elapsed time."""
    every: int = 0
    """Seconds, for "N seconds"."""
    events: CalendarEvents | None = None
    """What a systemd timer says, in place of the fields."""


def instants(schedule: Schedule, after: datetime, before: datetime) -> list[datetime]:
    """The instants with after < t <= before, aware UTC, in order, at most `MOST`; none for what `fault` refuses."""
    return _of(schedule, after.astimezone(UTC), before.astimezone(UTC))[:MOST]


def next_instant(schedule: Schedule, after: datetime) -> datetime | None:
    """The first instant after `after`; None when there is none within fifty years."""
    if schedule.next_at is not None and schedule.next_at > after:
        return schedule.next_at
    rule = _rule(schedule)
    return _nearest(rule, after.astimezone(UTC), forward=True) if isinstance(rule, _Rule) else None


def last_instant(schedule: Schedule, until: datetime) -> datetime | None:
    """The last instant at or before `until`, by the expression; None when there is none within fifty years."""
    rule = _rule(schedule)
    return _nearest(rule, until.astimezone(UTC), forward=False) if isinstance(rule, _Rule) else None


def fault(schedule: Schedule) -> str | None:
    """Why the schedule has no instants though it should: an expression or zone that cannot be read. None when well."""
    rule = _rule(schedule)
    return rule if isinstance(rule, str) else None


def is_interval(schedule: Schedule) -> bool:
    """True for "N seconds": its starts drift, so that a single one of them cannot be expected at an instant."""
    rule = _rule(schedule)
    return isinstance(rule, _Rule) and rule.every > 0


def _of(schedule: Schedule, after: datetime, before: datetime) -> list[datetime]:
    rule = _rule(schedule)
    found: list[datetime] = []
    if schedule.next_at is not None:
        found = [schedule.next_at] if after < schedule.next_at <= before else []
        after = max(after, schedule.next_at)
    if isinstance(rule, _Rule) and after < before:
        found += _grid(rule.every, after, before) if rule.every else _between(rule, after, before)
    return found


def _between(rule: _Rule, after: datetime, before: datetime) -> list[datetime]:
    if before - after > _LONG:
        return _stepped(rule, after, before)
    found: list[datetime] = []
    for day in range((after - _EPOCH).days, (before - _EPOCH).days + 1):
        found.extend(each for each in _day(rule, day) if after < each <= before)
        if len(found) >= MOST:
            break
    return found


def _stepped(rule: _Rule, after: datetime, before: datetime) -> list[datetime]:
    """As by days, in one walk: no other job asks for just this."""
    found: set[datetime] = set()
    last = _local(rule, before) + _PAD
    for local in _steps(rule, _local(rule, after) - _PAD, forward=True):
        if local > last or len(found) > MOST:
            break
        offset = _steady(rule.zone, local.date())
        shown = _all_readings(rule, local) if offset is None else ((local - offset).replace(tzinfo=UTC),)
        found.update(each for each in shown if after < each <= before)
    return sorted(found)


@lru_cache(maxsize=4096)
def _steady(zone: tzinfo, day: date) -> timedelta | None:
    """How far that zone's clock is ahead of UTC all day; None on a day on which that changes."""
    midnights = (datetime.combine(each, time(0)) for each in (day, day + _DAY))
    found = {each.replace(tzinfo=zone, fold=fold).utcoffset() for each in midnights for fold in (0, 1)}
    return found.pop() if len(found) == 1 else None


def _grid(every: int, after: datetime, before: datetime) -> list[datetime]:
    step = timedelta(seconds=every)
    first = _EPOCH + ((after - _EPOCH) // step + 1) * step
    count = min(MOST, max(0, (before - first) // step + 1))
    return [first + number * step for number in range(count)]


def _nearest(rule: _Rule, at: datetime, forward: bool) -> datetime | None:
    if rule.every:
        step = timedelta(seconds=rule.every)
        return _EPOCH + ((at - _EPOCH) // step + (1 if forward else 0)) * step
    soon = _in_two_days(rule, at, forward)
    if soon is not None:
        return soon
    for local in _steps(rule, _local(rule, at) + (-_PAD if forward else _PAD), forward):
        days = sorted({(each - _EPOCH).days for each in _all_readings(rule, local)})
        near = [each for day in days for near_day in (day - 1, day, day + 1) for each in _day(rule, near_day)]
        fitting = sorted(each for each in near if (each > at if forward else each <= at))
        if fitting:
            return fitting[0] if forward else fitting[-1]
    return None


def _in_two_days(rule: _Rule, at: datetime, forward: bool) -> datetime | None:
    """As `_nearest`, for what runs at least daily: from the shared days alone."""
    today = (at - _EPOCH).days
    if forward:
        return next((each for day in (today, today + 1) for each in _day(rule, day) if each > at), None)
    return next((each for day in (today, today - 1) for each in reversed(_day(rule, day)) if each <= at), None)


@lru_cache(maxsize=16384)
def _day(rule: _Rule, day: int) -> tuple[datetime, ...]:
    """All instants of one UTC day (number since the epoch), in order: jobs share expressions, so days are shared."""
    start = _EPOCH + day * _DAY
    found: set[datetime] = set()
    last = _local(rule, start + _DAY) + _PAD
    for local in _steps(rule, _local(rule, start) - _PAD, forward=True):
        if local > last:
            break
        found.update(each for each in _all_readings(rule, local) if start <= each < start + _DAY)
    return tuple(sorted(found))


def _steps(rule: _Rule, local: datetime, forward: bool) -> Iterator[datetime]:
    if rule.events is not None:
        return steps(rule.events, local, forward)
    return CronSim(rule.fields, local, reverse=not forward)


def _local(rule: _Rule, at: datetime) -> datetime:
    return at.astimezone(rule.zone).replace(tzinfo=None)


def _all_readings(rule: _Rule, local: datetime) -> tuple[datetime, ...]:
    """The instants at which the scheduler starts what is due at this local time."""
    shown = readings(local, rule.zone)
    if rule.starred or len(shown) == 1:
        return shown
    if rule.dialect in ("systemd", "mysql_events"):
        return shown[:1]
    if rule.dialect == "pgagent":
        return shown[-1:]
    if rule.dialect == "prefect":
        return shown[:1] if shown else (local.replace(tzinfo=rule.zone, fold=1).astimezone(UTC),)
    if rule.dialect == "dagster":
        return shown[-1:] if shown else (after_gap(local, rule.zone),)
    if rule.dialect == "airflow":
        return shown[-1:] if shown else (local.replace(tzinfo=rule.zone, fold=0).astimezone(UTC),)
    return shown[:1] if shown else (after_gap(local, rule.zone),)


def _rule(schedule: Schedule) -> _Rule | str | None:
    return _read(schedule.dialect, schedule.expression, schedule.zone)


@lru_cache(maxsize=65536)
def _read(dialect: str, expression: str, zone: str) -> _Rule | str | None:
    """The rule; words when it cannot be read; None when nothing runs by the clock."""
    text = expression.strip()
    if dialect == "none" or not text or text.lower() == "@reboot":
        return None
    if dialect not in _DIALECTS:
        return f'"{dialect}" is no dialect that is known here'
    if dialect in ("systemd", "pgagent", "mysql_events"):
        return _systemd_rule(dialect, text, zone)
    seconds = _SECONDS.fullmatch(text) if dialect == "pg_cron" else None
    if seconds:
        every = int(seconds[1])
        return _Rule(dialect, "", UTC, True, every) if every else f'"{expression}" never passes'
    return _cron_rule(dialect, text, zone)


def _systemd_rule(dialect: str, text: str, zone: str) -> _Rule | str:
    try:
        events = read(text)
        return _Rule(dialect, "", zone_of(events.zone or zone), False, events=events)
    except ValueError as wrong:
        return f'"{text}" in {zone}: {wrong}'


def _cron_rule(dialect: str, text: str, zone: str) -> _Rule | str:
    fields = NICKNAMES.get(text.lower(), text)
    minute, hour, *rest = fields.split() if len(fields.split()) == 5 else ("", "")
    if not rest or "L" in (rest[0] + rest[2]).upper() or "#" in rest[2]:
        return f'"{text}" is not an expression of five fields'
    try:
        where = zone_of(zone)
        stepped = CronSim(fields, datetime(2026, 1, 1))  # noqa: DTZ001  naive on purpose: the zone is ours
    except (CronSimError, ValueError) as wrong:
        return f'"{text}" in {zone}: {wrong}'
    starred = {
        "debian-cron": minute.startswith("*") or hour.startswith("*"),
        "airflow": len(stepped.hours) == 24,
        "pg_cron": True,
        "cronie": True,
        "busybox": True,
        "prefect": False,
        "github": False,
        "databricks": False,
        "kubernetes": True,
        "dagster": len(stepped.hours) == 24,
    }
    return _Rule(dialect, fields, where, starred[dialect])
