"""When a schedule starts a job: its instants under each scheduler's rules, its text, and learned cadences.

The rule of each dialect for clock changes:

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
               compares each with that zone's clock (ShouldRunTask of pg_cron.c), so that every job skips a gap and
               runs twice in an overlap. "N seconds" has no anchor that a poll could see: a grid from the epoch
               replaces it.
"airflow"      The source's own `next_at` first, then the expression after it. Fixed times in the gap are moved by its
               length, in an overlap the second counts (make_aware, CronMixin of Airflow 3).
"systemd"      `OnCalendar=` of a timer (`systemd_calendar`), in its own zone where it names one, else in the host's.
               A time in the gap is left out, of one that comes twice the first counts. A timer that counts from boot
               or from its last run has no clock but a cadence (`cadence`).
"pgagent"      The arrays of its schedules, written as `OnCalendar=` by its connector, by the zone of its database.
               A time in the gap is left out; of one that comes twice the second counts, since PostgreSQL reads it so
               (pga_next_schedule of pgagent--4.2.sql).
"prefect"      The source's own `next_at` first, then its cron expression. A time in the gap counts by the offset
               after it, so an hour early; of one that comes twice the first counts, hourly ones too (tested with
               Prefect 3.8.8).
"mysql_events" The grid of an interval from its STARTS, written as `OnCalendar=` by its connector, in the zone of
               the event. The change of clocks is as for systemd (not lived here).
"dagster"      The source's own `next_at` first, then its cron expression. A time in the gap is moved to its end; of
               one that comes twice the second counts, of hourly ones both (tested with Dagster 1.13.27).
"kubernetes"   The expression in the CronJob's zone: every job skips a gap and runs twice in an overlap (tested with
               robfig/cron 3.0.1, which Kubernetes reads it with).
"github", "databricks"  The source's own `next_at` first where it names one, then the expression in its zone: a time in
               the gap runs right after it, of one that comes twice the first counts (an assumption; not lived here).
"none"         Nothing runs by the clock.

Cron's expressions are read and stepped by cronsim, on naive local times: the zone's rule is applied here.

A job whose schedule cannot be read has a cadence, learned from its start times with a confidence: a time of day on
some weekdays, by the job's own clock, or an even interval. Neither needs every start: the interval is the median
one, the time of day the middle of the starts, and a weekday counts if the job ran on nearly all of them. A poor fit
gives no cadence, and nothing is expected of the job.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from statistics import median

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field
from cronsim.explain import Expression

from connectors.sdk.cron_syntax import single_steps
from connectors.sdk.records import Schedule
from console.timing.durations import TICK, format_duration
from console.timing.systemd_calendar import CalendarEvents, elapse_times, parse_on_calendar
from console.timing.zones import UTC_NAMES, after_gap, instant_at, local_readings, zone_of

MOST = 10_000
"""Instants that one question gives at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_PAD = timedelta(hours=3)
"""A larger change is not DST for cron either (cron.c: "more than three hours")."""
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
NO_SUCH_DAY = "never runs: no month of it has that day"
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
    """Events of a systemd timer, instead of the fields."""


def instants(schedule: Schedule, after: datetime, before: datetime) -> list[datetime]:
    """The instants with after < t <= before, aware UTC, in order, at most `MOST`; none for what `fault` refuses."""
    return _of(schedule, after.astimezone(UTC), before.astimezone(UTC))[:MOST]


def next_instant(schedule: Schedule, after: datetime) -> datetime | None:
    """The first instant after `after`; None without one within fifty years."""
    if schedule.next_at is not None and schedule.next_at > after:
        return schedule.next_at
    rule = _rule(schedule)
    return _nearest(rule, after.astimezone(UTC), forward=True) if isinstance(rule, _Rule) else None


def comes_again_within(schedule: Schedule, at: datetime, period: timedelta) -> bool:
    """Whether the next instant after `at` is less than `period` later."""
    following = next_instant(schedule, at)
    return following is not None and following - at < period


def last_instant(schedule: Schedule, until: datetime) -> datetime | None:
    """The last instant at or before `until`, by the expression; None without one within fifty years."""
    rule = _rule(schedule)
    return _nearest(rule, until.astimezone(UTC), forward=False) if isinstance(rule, _Rule) else None


def seen_instant(accepted: Schedule, seen: Schedule | None, due: datetime) -> datetime | None:
    """When the schedule seen at the source, not accepted yet, starts the run that the accepted one has at `due`; None
    where it does not. `due` where it did not change: `seen` None.

    Two instants belong together if each is the nearest of its schedule to the other, less than a day away. Of two
    equally near seen ones the later counts.
    """
    return due if seen is None else _counterpart(accepted, seen, due, accepted, is_later=True)


def moved_start(accepted: Schedule, seen: Schedule | None, seen_since: datetime | None, due: datetime) -> datetime:
    """When the clock starts the run that the accepted schedule has at `due`: by the changed schedule. A changed start
    that had passed when the change was seen comes at its next instant."""
    start = seen_instant(accepted, seen, due) or due
    if seen is not None and seen_since is not None and start < seen_since < due:
        return next_instant(seen, seen_since) or due
    return start


def start_of_run(accepted: Schedule, seen: Schedule | None, seen_since: datetime | None, due: datetime) -> datetime:
    """When the clock started the run due at `due`: `moved_start`, but `due` if both had passed when the change was
    seen."""
    start = moved_start(accepted, seen, seen_since, due)
    return due if seen_since is not None and max(start, due) < seen_since else start


def accepted_instant(accepted: Schedule, seen: Schedule, start: datetime) -> datetime | None:
    """The reverse of `seen_instant`: the accepted instant of the run that the seen schedule starts then."""
    return _counterpart(seen, accepted, start, accepted, is_later=False)


def _counterpart(
    schedule: Schedule, partner: Schedule, at: datetime, clock: Schedule, is_later: bool
) -> datetime | None:
    instant = _nearest_of(partner, at, clock, is_later)
    return instant if instant is not None and _nearest_of(schedule, instant, clock, not is_later) == at else None


def _nearest_of(schedule: Schedule, at: datetime, clock: Schedule, is_later: bool) -> datetime | None:
    """Its instant nearest to `at`, by the clock of that schedule; of two equally near the later or the earlier one."""
    rule, clock_rule = _rule(schedule), _rule(clock)
    if not isinstance(rule, _Rule) or not isinstance(clock_rule, _Rule):
        return None
    neighbors = [_nearest(rule, at, forward=False), _nearest(rule, at - TICK, forward=True)]
    distances = {instant: _distance(clock_rule, at, instant) for instant in neighbors if instant is not None}
    near = [instant for instant, distance in distances.items() if distance < _DAY]
    return min(near[::-1] if is_later else near, key=distances.__getitem__, default=None)


def _distance(rule: _Rule, at: datetime, instant: datetime) -> timedelta:
    """By the clock of the rule's zone, so that twelve hours stay twelve in the nights when it changes; less than an
    hour as it passes."""
    distance = abs(at - instant)
    return distance if distance < _HOUR else abs(_local(rule, at) - _local(rule, instant))


def schedule_fault(schedule: Schedule) -> str | None:
    """Why the schedule has no instants though it should: an expression or zone that cannot be read. None when well."""
    rule = _rule(schedule)
    return rule if isinstance(rule, str) else None


def unreadable_schedules(schedules: Iterable[tuple[str, Schedule]]) -> tuple[str, ...]:
    """A warning for each job by which no start can be expected. `schedules`: native id and schedule of each job."""
    return tuple(
        f"{name[:60]}: its schedule cannot be read: {fault[:200]}; no start is expected by it. Fix: correct it"
        for name, schedule in schedules
        if schedule.next_at is None and (fault := schedule_fault(schedule)) and not fault.endswith(NO_SUCH_DAY)
    )


def is_interval(schedule: Schedule) -> bool:
    """True for "N seconds": its starts drift, so that a single one of them cannot be expected at an instant."""
    rule = _rule(schedule)
    return isinstance(rule, _Rule) and rule.every > 0


def _of(schedule: Schedule, after: datetime, before: datetime) -> list[datetime]:
    rule = _rule(schedule)
    starts: list[datetime] = []
    if schedule.next_at is not None:
        starts = [schedule.next_at] if after < schedule.next_at <= before else []
        after = max(after, schedule.next_at)
    if isinstance(rule, _Rule) and after < before:
        starts += _grid(rule.every, after, before) if rule.every else _between(rule, after, before)
    return starts


def _between(rule: _Rule, after: datetime, before: datetime) -> list[datetime]:
    if before - after > _LONG:
        return _stepped(rule, after, before)
    starts: list[datetime] = []
    for day in range((after - _EPOCH).days, (before - _EPOCH).days + 1):
        starts.extend(instant for instant in _day(rule, day) if after < instant <= before)
        if len(starts) >= MOST:
            break
    return starts


def _stepped(rule: _Rule, after: datetime, before: datetime) -> list[datetime]:
    starts: set[datetime] = set()
    last = _local(rule, before) + _PAD
    for local in _steps(rule, _local(rule, after) - _PAD, forward=True):
        if local > last or len(starts) > MOST:
            break
        offset = _steady(rule.zone, local.date())
        shown = _all_readings(rule, local) if offset is None else ((local - offset).replace(tzinfo=UTC),)
        starts.update(instant for instant in shown if after < instant <= before)
    return sorted(starts)


@lru_cache(maxsize=4096)
def _steady(zone: tzinfo, day: date) -> timedelta | None:
    """How far that zone's clock is ahead of UTC all day; None on a day on which that changes."""
    midnights = (datetime.combine(midnight_of, time(0)) for midnight_of in (day, day + _DAY))
    offsets = {midnight.replace(tzinfo=zone, fold=fold).utcoffset() for midnight in midnights for fold in (0, 1)}
    return offsets.pop() if len(offsets) == 1 else None


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
        days = sorted({(reading - _EPOCH).days for reading in _all_readings(rule, local)})
        near = [instant for day in days for near_day in (day - 1, day, day + 1) for instant in _day(rule, near_day)]
        fitting = sorted(instant for instant in near if (instant > at if forward else instant <= at))
        if fitting:
            return fitting[0] if forward else fitting[-1]
    return None


def _in_two_days(rule: _Rule, at: datetime, forward: bool) -> datetime | None:
    """As `_nearest`, for what runs at least daily: from the shared days alone."""
    today = (at - _EPOCH).days
    if forward:
        return next((instant for day in (today, today + 1) for instant in _day(rule, day) if instant > at), None)
    return next((instant for day in (today, today - 1) for instant in reversed(_day(rule, day)) if instant <= at), None)


@lru_cache(maxsize=16384)
def _day(rule: _Rule, day: int) -> tuple[datetime, ...]:
    """All instants of one UTC day (number since the epoch), in order: jobs share expressions, so days are shared."""
    start = _EPOCH + day * _DAY
    starts: set[datetime] = set()
    last = _local(rule, start + _DAY) + _PAD
    for local in _steps(rule, _local(rule, start) - _PAD, forward=True):
        if local > last:
            break
        starts.update(reading for reading in _all_readings(rule, local) if start <= reading < start + _DAY)
    return tuple(sorted(starts))


def _steps(rule: _Rule, local: datetime, forward: bool) -> Iterator[datetime]:
    if rule.events is not None:
        return elapse_times(rule.events, local, forward)
    return CronSim(rule.fields, local, reverse=not forward)


def _local(rule: _Rule, at: datetime) -> datetime:
    return at.astimezone(rule.zone).replace(tzinfo=None)


def _all_readings(rule: _Rule, local: datetime) -> tuple[datetime, ...]:
    shown = local_readings(local, rule.zone)
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
    text = expression.strip()
    if dialect == "none" or not text or text.lower() == "@reboot":
        return None
    if dialect not in _DIALECTS:
        return f'"{dialect}" is not a known dialect'
    if dialect in ("systemd", "pgagent", "mysql_events"):
        return _systemd_rule(dialect, text, zone)
    seconds = _SECONDS.fullmatch(text) if dialect == "pg_cron" else None
    if seconds:
        every = int(seconds[1])
        return _Rule(dialect, "", UTC, True, every) if every else f'"{expression}" never passes'
    return _cron_rule(dialect, text, zone)


def _systemd_rule(dialect: str, text: str, zone: str) -> _Rule | str:
    try:
        events = parse_on_calendar(text)
        return _Rule(dialect, "", zone_of(events.zone or zone), False, events=events)
    except ValueError as wrong:
        return f'"{text}" in {zone}: {wrong}'


def _cron_rule(dialect: str, text: str, zone: str) -> _Rule | str:
    fields = NICKNAMES.get(text.lower(), text)
    minute, hour, *rest = fields.split() if len(fields.split()) == 5 else ("", "")
    if not rest or "L" in (rest[0] + rest[2]).upper() or "#" in rest[2]:
        return f'"{text}" is not an expression of five fields'
    fields = single_steps(fields)
    try:
        where = zone_of(zone)
        stepped = CronSim(fields, datetime(2026, 1, 1))  # noqa: DTZ001  naive on purpose: the zone is ours
    except (CronSimError, ValueError) as wrong:
        return f'"{text}" in {zone}: {NO_SUCH_DAY if _has_no_day(rest, wrong) else wrong}'
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


def _has_no_day(fields: Sequence[str], error: Exception) -> bool:
    """Whether day, month and weekday are valid, but no month of theirs has that day: 31 February."""
    with suppress(CronSimError):
        if str(error) != Field.DAY.msg():
            return False
        CronSim(f"0 0 {fields[0]} * {fields[2]}", datetime(2026, 1, 1))  # noqa: DTZ001
        CronSim(f"0 0 * {fields[1]} *", datetime(2026, 1, 1))  # noqa: DTZ001
        return True
    return False


_CRON_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def schedule_text(schedule: Schedule) -> str:
    """Readable schedule with its zone; else the source's own text, else the bare expression."""
    text = schedule.expression.strip()
    if schedule.dialect == "none" or not text:
        return schedule.text or "no schedule"
    if text.lower() == "@reboot":
        return "when the host starts"
    if schedule_fault(schedule) is not None:
        return schedule.text or text
    if schedule.dialect in ("systemd", "pgagent", "mysql_events"):
        return schedule.text or text
    if is_interval(schedule):
        return f"every {text}"
    parts = text.strip()
    fields = NICKNAMES.get(parts.lower(), parts).split()
    zone = "UTC" if schedule.zone in UTC_NAMES else schedule.zone
    return f"{_often(fields) or _at(fields) or _explained(fields)} {zone}"


def _often(fields: list[str]) -> str:
    """A step is an even interval only where it divides the hour."""
    minute, hour, *days = fields
    if days != ["*", "*", "*"] or hour != "*":
        return ""
    if minute in ("*", "*/1"):
        return "every minute"
    step = minute.removeprefix("*/")
    if step != minute and step.isdigit() and int(step) < 60 and 60 % int(step) == 0:
        return f"every {int(step)} minutes"
    return f"hourly at :{int(minute):02d}" if minute.isdigit() else ""


def _at(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    if not (minute.isdigit() and hour.isdigit() and month == "*"):
        return ""
    clock = f"{int(hour):02d}:{int(minute):02d}"
    if day == "*" and _is_all_week(weekday):
        return f"daily at {clock}"
    if day == "*":
        return f"{_weekdays_text(weekday)} at {clock}" if _weekdays_text(weekday) else ""
    return f"monthly on day {int(day)} at {clock}" if day.isdigit() and weekday == "*" else ""


def _is_all_week(weekday: str) -> bool:
    week = CronSim(f"0 0 * * {weekday}", datetime(2026, 1, 1)).weekdays  # noqa: DTZ001
    return {day % 7 for day in week if isinstance(day, int)} == set(range(7))


def _weekdays_text(text: str) -> str:
    """ "Mon-Fri" for "1-5" or "mon-fri"; empty for what is not a plain list or range of days."""
    names = []
    for part in text.replace(",", " , ").replace("-", " - ").split():
        if part.isdigit():
            names.append(_CRON_DAYS[int(part)])
        elif part.capitalize() in _CRON_DAYS or part in ",-":
            names.append(part.capitalize())
        else:
            return ""
    return "".join(names).replace(",", ", ")


def _explained(fields: list[str]) -> str:
    text = Expression(["0", *(field.upper() for field in fields)]).explain()
    return text[:1].lower() + text[1:]


ENOUGH_STARTS = 8
"""Starts that a cadence needs."""
ENOUGH_DAYS = 13
"""Two weeks: before, weekdays cannot be distinguished from chance."""
MIN_CONFIDENCE = 0.9
"""Share that must fit before anything is expected."""
CACHE_SIZE = 32_768
"""Cached cadences; each start of a job adds one."""

_NEARLY_ALL, _HARDLY_ANY = 0.75, 0.25
_SAME_TIME = timedelta(hours=2)
"""Starts of one time of day lie at most so far from its middle."""
_LEAST = timedelta(minutes=15)
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a job usually starts."""

    starts: int
    """On how many it rests."""
    fits: float
    """Share of what was seen that agrees: 0.97."""
    tolerance: timedelta
    """So much later than usual is still usual."""
    every: timedelta = timedelta(0)
    """The interval; none where it starts at a time of day."""
    at: time = time(0)
    """Time of day in `zone`, to the minute."""
    weekdays: tuple[int, ...] = ()
    """0 is Monday."""
    zone: str = "UTC"

    @property
    def is_sure(self) -> bool:
        """True where a start may be expected by it."""
        return self.fits >= MIN_CONFIDENCE

    @property
    def text(self) -> str:
        """ "every 15m", "Mon, Tue about 03:10 UTC"; and how sure: "(learned: 97% of 42 starts)"."""
        days = "daily" if len(self.weekdays) == 7 else ", ".join(_DAY_NAMES[weekday] for weekday in self.weekdays)
        usual = f"{days} about {self.at:%H:%M} {self.zone}"
        when = f"every {format_duration(self.every)}" if self.every else usual
        return f"{when} (learned: {self.fits:.0%} of {self.starts} starts)"

    def next_after(self, start: datetime) -> datetime:
        """When the start after that one is usual."""
        if self.every:
            return start + self.every
        zone = zone_of(self.zone)
        day = (start + self.tolerance).astimezone(zone).date()
        ahead = (day + number * _DAY for number in range(9))
        usual = (instant_at(datetime.combine(run, self.at), zone) for run in ahead if run.weekday() in self.weekdays)
        return next(instant for instant in usual if instant > start + self.tolerance)


def learn_cadence(starts: Sequence[int], zone: str) -> Cadence | None:
    """The shape that fits best; None where there are too few starts or neither fits half of them. `starts`: seconds
    since 1970, in any order."""
    return _learned(array("q", starts).tobytes(), zone) if len(starts) >= ENOUGH_STARTS else None


@lru_cache(maxsize=CACHE_SIZE)
def _learned(packed: bytes, zone: str) -> Cadence | None:
    """`packed`: as bytes the starts of a job take a fifth of what a tuple of them does."""
    ordered = sorted({start - start % 60 for start in array("q", packed)})
    if len(ordered) < ENOUGH_STARTS:
        return None
    seen = [datetime.fromtimestamp(start, UTC) for start in ordered]
    even = _by_interval(seen)
    if even is not None and even.is_sure:
        return even
    cadences = [cadence for cadence in (_by_weekday(seen, zone), even) if cadence is not None and cadence.fits > 0.5]
    return max(cadences, key=lambda cadence: cadence.fits, default=None)


def _by_interval(seen: Sequence[datetime]) -> Cadence | None:
    """Even intervals. A day or more between two starts is a matter of the calendar."""
    gaps = [(after - before).total_seconds() for before, after in pairwise(seen)]
    usual = median(gaps)
    if usual >= 20 * 3600:
        return None
    slack = max(120.0, usual / 10)
    fits = sum(abs(gap - usual) <= slack for gap in gaps) / len(gaps)
    every = timedelta(seconds=round(usual / 60) * 60)
    return Cadence(len(seen), fits, max(timedelta(seconds=usual / 2), timedelta(minutes=2)), every=every)


def _by_weekday(seen: Sequence[datetime], zone: str) -> Cadence | None:
    local = [start.astimezone(zone_of(zone)).replace(tzinfo=None) for start in seen]
    middle = _middle_of_day(local)
    away = [_from_usual(start, middle) for start in local]
    near = [start for start, far in zip(local, away, strict=True) if abs(far) <= _SAME_TIME]
    days = {(start - timedelta(hours=middle.hour - 12, minutes=middle.minute)).date() for start in near}
    if not days or (max(days) - min(days)).days < ENOUGH_DAYS:
        return None
    weekdays, agreed = _weekday_pattern(days)
    if not weekdays:
        return None
    fits = min(agreed, len(near) / len(local))
    late = max((far for far in away if abs(far) <= _SAME_TIME), default=timedelta(0))
    return Cadence(len(seen), fits, max(_LEAST, late * 1.5), at=middle, weekdays=weekdays, zone=zone)


def _middle_of_day(local: Sequence[datetime]) -> time:
    """The median time of day; around midnight too: the day is cut where the starts lie farthest apart."""
    minutes = sorted(start.hour * 60 + start.minute for start in local)
    gaps = [(after - before, after) for before, after in zip(minutes, [*minutes[1:], minutes[0] + 1440], strict=True)]
    cut = max(gaps)[1]
    middle = round(median((minute - cut) % 1440 for minute in minutes) + cut) % 1440
    return time(middle // 60, middle % 60)


def _from_usual(start: datetime, middle: time) -> timedelta:
    """How far from that time of day, the shorter way around midnight."""
    minutes = (start.hour * 60 + start.minute - middle.hour * 60 - middle.minute + 720) % 1440 - 720
    return timedelta(minutes=minutes)


def _weekday_pattern(days: set[date]) -> tuple[tuple[int, ...], float]:
    """The days of the week on nearly all of which it ran; and the share of all days that agree with that. Where one is
    neither nearly always nor hardly ever, nothing agrees."""
    first, last = min(days), max(days)
    length = (last - first).days + 1
    seen = Counter((first.weekday() + number) % 7 for number in range(length))
    ran = Counter(day.weekday() for day in days)
    shares = [ran[number] / max(1, seen[number]) for number in range(7)]
    if any(_HARDLY_ANY < share < _NEARLY_ALL for share in shares):
        return (), 0.0
    usual = tuple(number for number, share in enumerate(shares) if share >= _NEARLY_ALL)
    agree = sum(ran[number] if number in usual else seen[number] - ran[number] for number in range(7))
    return usual, agree / length
