"""The clock of each dialect: the grammar of the scheduler, how it steps an expression, its rule for clock changes.

Each class reads what its own scheduler reads and refuses only what that one refuses or what is named here; where the
scheduler's own parser runs, tests/lab/test_dialects_real.py compares both. Steps are naive local times; `readings`
makes them instants.

DebianCron    Vixie's rule (cron.c of Debian 12; tests/lab/test_dst_real.py lives both nights): a job of fixed minute
              and hour that falls into the gap runs right after the jump (once for each of its minutes that were
              jumped over: one instant here), and once, the first time, in an overlap; one whose minute or hour
              begins with `*` skips the gap and runs in both hours of the overlap. `@reboot` has no instants. Day of
              month and day of week are an OR unless one of them begins with `*`.
Cronie        Lines under CRON_TZ, in that zone. crond compares each minute of its own clock with that zone's
              (find_jobs of cronie's cron.c; not lived here): a line skips a gap there and runs twice in an overlap.
              Lines without it are as in "debian-cron", whose code it shares.
Busybox       crond compares each minute that passes with the zone's clock (flag_starting_jobs of crond.c; not lived
              here): a line skips a gap and runs twice in an overlap.
PgCron        The zone that its connector names: UTC up to 1.5, `cron.timezone` from 1.6. It counts real minutes and
              compares each with that zone's clock (ShouldRunTask of pg_cron.c), so that every job skips a gap and
              runs twice in an overlap. Text after a field's last number is skipped, as are words after the fifth;
              `$` is the last day of the month (entry.c of 1.6.7). "N seconds" has no anchor that a poll could see: a
              grid from the epoch replaces it. A range that runs backwards is read otherwise in each version: none. A
              start that is due while the job runs is queued (its README).
Airflow       croniter's grammar and steps, as in Airflow 2.10 to 3.3. Day of month and day of week are an OR unless
              one of them is exactly `*`. Fixed times in the gap are moved by its length, in an overlap the second
              counts (make_aware, CronMixin of Airflow 3). Of a DAG with one active run at most, a start that is due
              during a run is made once that has ended: without catchup the last one, with it each in its turn.
Prefect       croniter too. A time in the gap counts by the offset after it, so an hour early; of one that comes twice
              the first counts, hourly ones too (tested with Prefect 3.8.8).
Dagster       croniter too. A time in the gap is moved to its end; of one that comes twice the second counts, of hourly
              ones both (tested with Dagster 1.13.27).
Kubernetes    The expression in the CronJob's zone: every job skips a gap and runs twice in an overlap (tested with
              robfig/cron 3.0.1, which Kubernetes reads it with). With `concurrencyPolicy: Forbid` the last start that
              came due during a Job is made once that has ended (its documentation; not lived here).
GitHub        A time in the gap runs right after it, of one that comes twice the first counts (an assumption; not lived
              here).
Snowflake     `L` is the last day of the month, `5L` its last Friday. Every job skips a gap and runs twice in an
              overlap; day of month and day of week are an OR unless one of them begins with `*` (by its documentation).
DbtCloud      Always UTC; `L` is the last day of the month (by its documentation).
Databricks    Quartz (its CronExpression): seconds first, weekdays from 1 for Sunday, ranges that run on past their
              end, `L`, `L-3`, `LW`, `15W`, `6L`, `6#3`, years. The items of a list are read one by one, also where
              Quartz refuses a list of these. The change of clocks is as for GitHub.
Systemd       `OnCalendar=` of a timer (`systemd_calendar`), in its own zone where it names one, else in the host's.
              A time in the gap is left out, of one that comes twice the first counts. A timer that counts from boot
              or from its last run has no clock but a cadence. A timer that elapses while its service runs starts it
              once that has ended, without `DeferReactivation=` (systemd.timer(5)).
MySQLEvents   The grid of an interval from its STARTS, written as `OnCalendar=` by its connector, in the zone of
              the event. A time in the gap runs right after it (TIME_to_gmt_sec of tztime.cc), of one that comes twice
              the first counts.
PgAgent       The arrays of its schedules, written as `OnCalendar=` by its connector, by the zone of its database.
              A time in the gap is left out; of one that comes twice the second counts, since PostgreSQL reads it so
              (pga_next_schedule of pgagent--4.2.sql). A start that is due while the job runs is dropped.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import Enum
from heapq import merge
from itertools import groupby
from typing import ClassVar, Self

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from connectors.sdk.cron_syntax import (
    DAYS,
    MONTHS,
    NICKNAMES,
    croniter_hours,
    croniter_steps,
    nearest_weekday,
    single_steps,
)
from console.timing.systemd_calendar import CalendarEvents, elapse_times, parse_on_calendar
from console.timing.zones import after_gap, instant_at, local_readings, zone_of

_HOURS = timedelta(hours=3)
"""More than a clock change moves."""
_SECOND = timedelta(seconds=1)
_BEGIN = datetime(2026, 1, 1)  # noqa: DTZ001  naive on purpose: the zone is ours


class NoSuchDay(ValueError):
    """A valid expression without a day: 31 February."""

    def __init__(self) -> None:
        super().__init__("never runs: no month of it has that day")


class StartQueue(Enum):
    """The fate of starts that come due while a run of their job is open."""

    NONE = 0
    """It drops them, or starts another run beside it."""
    ONE = 1
    """Once the run has ended it starts one for all of them."""
    EACH = 2
    """Once the run has ended it starts one after the other, the oldest first."""


@dataclass(frozen=True, kw_only=True)
class DialectClock:
    """A schedule that can be stepped, by the rules of one dialect."""

    queue: ClassVar[StartQueue] = StartQueue.NONE
    zone: tzinfo
    fields: str = ""
    """The expression in five fields for people; empty where there are none."""
    every: int = 0
    """Seconds of an interval, which has no steps."""

    @classmethod
    def read(cls, text: str, zone: str) -> Self:
        """Raises ValueError for an expression or a zone that cannot be read; NoSuchDay for one that never runs."""
        raise NotImplementedError

    def steps(self, local: datetime, forward: bool) -> Iterator[datetime]:
        """The naive local times after `local`, in order; or those before it, the last one first."""
        raise NotImplementedError

    def readings(self, local: datetime) -> tuple[datetime, ...]:
        """The instants (UTC) at which the job of this local time starts."""
        shown = local_readings(local, self.zone)
        return shown[:1] if shown else (after_gap(local, self.zone),)


class EveryReading(DialectClock):
    """It compares each minute that passes with the zone's clock."""

    def readings(self, local: datetime) -> tuple[datetime, ...]:
        return local_readings(local, self.zone)


class CronsimClock(DialectClock):
    """Five fields, read and stepped by cronsim."""

    has_last_days: ClassVar[bool] = False
    """True if its scheduler reads `L` in the days."""

    @classmethod
    def read(cls, text: str, zone: str) -> Self:
        return cls._of(NICKNAMES.get(text.lower(), text), zone)

    @classmethod
    def _of(cls, fields: str, zone: str) -> Self:
        parts = fields.split()
        if len(parts) != 5 or ("L" in (parts[2] + parts[4]).upper() and not cls.has_last_days) or "#" in parts[4]:
            raise ValueError("it is not an expression of five fields")
        place = zone_of(zone)
        return cls(zone=place, fields=checked(single_steps(fields)))

    def steps(self, local: datetime, forward: bool) -> Iterator[datetime]:
        return CronSim(self.fields, local, reverse=not forward)


def checked(fields: str) -> str:
    """The same fields, five or six, where cronsim steps them. Raises ValueError as `DialectClock.read`."""
    try:
        CronSim(fields, _BEGIN)
    except CronSimError as fault:
        raise (NoSuchDay() if _has_no_day(fields.split()[-3:], fault) else ValueError(str(fault))) from fault
    return fields


def _has_no_day(days: Iterable[str], fault: Exception) -> bool:
    """Whether day, month and weekday are valid, but no month of theirs has that day."""
    day, month, weekday = days
    with suppress(CronSimError):
        if str(fault) != Field.DAY.msg():
            return False
        CronSim(f"0 0 {day} * {weekday}", _BEGIN)
        CronSim(f"0 0 * {month} *", _BEGIN)
        return True
    return False


class DebianCron(CronsimClock):
    def readings(self, local: datetime) -> tuple[datetime, ...]:
        is_wild = any(field.startswith("*") for field in self.fields.split()[:2])
        return local_readings(local, self.zone) if is_wild else super().readings(local)


class Cronie(EveryReading, CronsimClock):
    pass


class Busybox(EveryReading, CronsimClock):
    pass


class Kubernetes(EveryReading, CronsimClock):
    pass


class KubernetesForbid(Kubernetes):
    queue = StartQueue.ONE


class GitHub(CronsimClock):
    pass


class Snowflake(EveryReading, CronsimClock):
    has_last_days = True


class DbtCloud(CronsimClock):
    has_last_days = True


class PgCron(EveryReading, CronsimClock):
    """Its launcher adds one to a job's `pendingRunCount` at each due minute, without a limit, and takes one off when it
    starts a run, one at a time. The number outlives the run, but not the launcher. An interval adds at most one.
    Source: pg_cron 1.6.7, src/pg_cron.c: StartPendingRuns, ManageCronTask, StartAllPendingRuns."""

    queue = StartQueue.EACH
    _SECONDS = re.compile(r"\s*\+?(\d{1,9})\s*seconds?\s*", re.ASCII | re.IGNORECASE)
    _NUMBER = r"(?:[0-9]+|[a-z]{3})(?![0-9a-z])"
    _ITEM = rf"(?:(?:\*|{_NUMBER}-{_NUMBER})(?:/[0-9]+(?![0-9a-z])|(?!/))|{_NUMBER}(?![-/]))"
    _LIST = re.compile(rf"{_ITEM}(?:,{_ITEM})*(?!,)", re.ASCII | re.IGNORECASE)

    @classmethod
    def read(cls, text: str, zone: str) -> Self:
        if match := cls._SECONDS.fullmatch(text):
            if not 0 < int(match[1]) < 60:
                raise ValueError("it never passes")
            return cls(zone=UTC, every=int(match[1]))
        first, *_ = text.split()
        parts = NICKNAMES.get(first, text).split()[:5]
        if len(parts) != 5:
            raise ValueError("it is not an expression of five fields")
        fields = ["L" if at == 2 and part == "$" else cls._field(part) for at, part in enumerate(parts)]
        return cls(zone=zone_of(zone), fields=checked(single_steps(" ".join(fields))))

    @classmethod
    def _field(cls, part: str) -> str:
        match = cls._LIST.match(part)
        if match is None:
            raise ValueError(f'"{part}" is not a list of numbers')
        return match[0]


@dataclass(frozen=True, kw_only=True)
class CroniterClock(DialectClock):
    """Read and stepped by croniter."""

    expression: str
    is_hourly: bool
    """True where it runs in every hour of a day: such jobs follow elapsed time."""

    @classmethod
    def read(cls, text: str, zone: str) -> Self:
        place = zone_of(zone)
        if next(croniter_steps(text, _BEGIN), None) is None:
            raise NoSuchDay
        fields = NICKNAMES.get(text.lower(), text)
        days = fields.split()[2:]
        is_plain = len(days) == 3 and "*" in (days[0], days[2])
        is_hourly = croniter_hours(text) == 24
        return cls(zone=place, expression=text, is_hourly=is_hourly, fields=fields if is_plain else "")

    def steps(self, local: datetime, forward: bool) -> Iterator[datetime]:
        return croniter_steps(self.expression, local, forward)


class Airflow(CroniterClock):
    def readings(self, local: datetime) -> tuple[datetime, ...]:
        shown = local_readings(local, self.zone)
        if self.is_hourly:
            return shown
        return shown[-1:] if shown else (local.replace(tzinfo=self.zone, fold=0).astimezone(UTC),)


class AirflowOneRun(Airflow):
    queue = StartQueue.ONE


class Dagster(CroniterClock):
    def readings(self, local: datetime) -> tuple[datetime, ...]:
        shown = local_readings(local, self.zone)
        if self.is_hourly:
            return shown
        return shown[-1:] if shown else (after_gap(local, self.zone),)


class Prefect(CroniterClock):
    def readings(self, local: datetime) -> tuple[datetime, ...]:
        shown = local_readings(local, self.zone)
        return shown[:1] if shown else (local.replace(tzinfo=self.zone, fold=1).astimezone(UTC),)


@dataclass(frozen=True)
class _MonthDay:
    """A day of every month that has it."""

    number: int
    """From 1; the last day is 0, the one before it -1."""
    on_weekday: bool
    """True for the weekday of the month that is nearest."""

    def is_day(self, day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        number = self.number if self.number > 0 else last + self.number
        if not 1 <= number <= last:
            return False
        named = day.replace(day=number)
        return day == (nearest_weekday(named) if self.on_weekday else named)


class _QuartzSteps(CronSim):
    """cronsim with days of the month that it does not read; those of its own expression count where there are none."""

    def __init__(self, fields: str, days: frozenset[_MonthDay], local: datetime, forward: bool = True) -> None:
        super().__init__(fields, local, reverse=not forward)
        self._month_days = days

    def match_dom(self, d: date) -> bool:
        return any(item.is_day(d) for item in self._month_days) if self._month_days else super().match_dom(d)


@dataclass(frozen=True, kw_only=True)
class Quartz(DialectClock):
    with_seconds: str
    """Six fields for cronsim."""
    days: frozenset[_MonthDay]
    """Empty where cronsim reads the days."""
    years: tuple[int, ...]
    """In order; empty for every year."""

    _RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
    _BEYOND_CRONSIM = re.compile("L-|[0-9]W", re.ASCII)
    _MONTH_DAY = re.compile(r"(?:L(?:-([0-9]{1,2}))?|([0-9]{1,2}))(W?)", re.ASCII)
    _PART = re.compile(r"(\*|[0-9A-Z]*)(?:-([0-9A-Z]+))?(?:/([0-9]+))?", re.ASCII)

    @classmethod
    def read(cls, text: str, zone: str) -> Self:
        place = zone_of(zone)
        parts = text.upper().split()
        if len(parts) not in (6, 7):
            raise ValueError("it is not a Quartz expression of six or seven fields")
        if not {"*", "?"} & {parts[3], parts[5]}:
            raise ValueError("Quartz takes a day of the month or a day of the week, not both")
        years = {year for part in parts[6:] if part != "*" for item in part.split(",") for year in cls._part(item, 6)}
        days = frozenset[_MonthDay]()
        if cls._BEYOND_CRONSIM.search(parts[3]):
            days = frozenset(day for item in parts[3].split(",") for day in cls._month_days(item))
            parts[3] = "*"
        fields = checked(" ".join(cls._field(part, number) for number, part in enumerate(parts[:6])))
        if days and next(_QuartzSteps(fields, days, _BEGIN), None) is None:
            raise NoSuchDay
        second, _, five = fields.partition(" ")
        is_plain = second == "0" and not days and not years
        return cls(zone=place, with_seconds=fields, days=days, years=tuple(sorted(years)), fields=five * is_plain)

    def steps(self, local: datetime, forward: bool) -> Iterator[datetime]:
        return self._in_years(local, forward) if self.years else self._from(local, forward)

    def _in_years(self, local: datetime, forward: bool) -> Iterator[datetime]:
        for year in self.years if forward else reversed(self.years):
            begin, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001  naive on purpose: the zone is ours
            if local < end if forward else local > begin:
                start = max(local, begin - _SECOND) if forward else min(local, end)
                for at in self._from(start, forward):
                    if not begin <= at < end:
                        break
                    yield at

    def _from(self, local: datetime, forward: bool) -> Iterator[datetime]:
        return _QuartzSteps(self.with_seconds, self.days, local, forward)

    @classmethod
    def _field(cls, part: str, number: int) -> str:
        """The field for cronsim."""
        if part in ("*", "?"):
            return "*"
        items = {text for item in part.split(",") for text in cls._items(item, number)}
        return ",".join(sorted(items, key=lambda text: text.zfill(2)))

    @classmethod
    def _items(cls, item: str, number: int) -> Iterator[str]:
        if number == 3 and item in ("L", "LW"):
            yield item
        elif number == 5 and item == "L":
            yield "6"
        elif number == 5 and (match := re.fullmatch(r"([A-Z0-9]+?)(L|#[1-5])", item)):
            yield f"{cls._number(match[1], number) - 1}{match[2]}"
        else:
            yield from (str(value - (number == 5)) for value in cls._part(item, number))

    @classmethod
    def _month_days(cls, item: str) -> Iterator[_MonthDay]:
        if match := cls._MONTH_DAY.fullmatch(item):
            number = cls._number(match[2], 3) if match[2] else -int(match[1] or 0)
            yield _MonthDay(number, on_weekday=bool(match[3]))
        else:
            yield from (_MonthDay(value, on_weekday=False) for value in cls._part(item, 3))

    @classmethod
    def _part(cls, part: str, number: int) -> Iterator[int]:
        """The numbers of one item. A range whose end is below its begin goes on past the highest number."""
        low, high = cls._RANGES[number]
        match = cls._PART.fullmatch(part)
        if match is None or not part:
            raise ValueError(f'"{part}" is not a number or range of Quartz that is expanded here')
        first = low if match[1] in ("", "*") else cls._number(match[1], number)
        is_open = match[1] in ("", "*") or (match[3] and not match[2])
        last = high if is_open else cls._number(match[2] or match[1], number)
        step = int(match[3] or 1)
        if not 0 < step <= high:
            raise ValueError(f'"{part}" is not within {low} and {high}')
        span = high - low + 1
        for value in range(first, (last if last >= first else last + span) + 1, step):
            yield (value - low) % span + low

    @classmethod
    def _number(cls, text: str, number: int) -> int:
        names = {4: MONTHS, 5: DAYS}.get(number, ())
        low, high = cls._RANGES[number]
        if text.lower() in names:
            return names.index(text.lower()) + 1
        if not (text.isdigit() and low <= int(text) <= high):
            raise ValueError(f'"{text}" is not within {low} and {high}')
        return int(text)


@dataclass(frozen=True, kw_only=True)
class Systemd(DialectClock):
    """It is stepped in the zone of its expressions, in UTC where they have several."""

    queue = StartQueue.ONE
    events: tuple[tuple[tzinfo, CalendarEvents], ...]

    @classmethod
    def read(cls, text: str, zone: str) -> Self:
        events = tuple((zone_of(part.zone or zone), part) for part in parse_on_calendar(text))
        return cls(zone=UTC if len(events) > 1 else events[0][0], events=events)

    def steps(self, local: datetime, forward: bool) -> Iterator[datetime]:
        if len(self.events) == 1:
            return elapse_times(self.events[0][1], local, forward)
        parts = (self._steps_in(zone, events, local, forward) for zone, events in self.events)
        return (at for at, _ in groupby(merge(*parts, reverse=not forward)))

    def _steps_in(self, zone: tzinfo, events: CalendarEvents, at: datetime, forward: bool) -> Iterator[datetime]:
        """The same of the expressions in one zone, in UTC."""
        local = at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
        for time in elapse_times(events, local - _HOURS if forward else local + _HOURS, forward):
            for instant in local_readings(time, zone)[:1]:
                step = instant.replace(tzinfo=None)
                if step > at if forward else step < at:
                    yield step

    def readings(self, local: datetime) -> tuple[datetime, ...]:
        return local_readings(local, self.zone)[:1]


class MySQLEvents(Systemd):
    queue = StartQueue.NONE

    def readings(self, local: datetime) -> tuple[datetime, ...]:
        return (instant_at(local, self.zone),)


class PgAgent(Systemd):
    queue = StartQueue.NONE

    def readings(self, local: datetime) -> tuple[datetime, ...]:
        return local_readings(local, self.zone)[-1:]


DIALECTS: dict[str, type[DialectClock]] = {
    "debian-cron": DebianCron,
    "cronie": Cronie,
    "busybox": Busybox,
    "pg_cron": PgCron,
    "airflow": Airflow,
    "airflow-one-run": AirflowOneRun,
    "prefect": Prefect,
    "dagster": Dagster,
    "kubernetes": Kubernetes,
    "kubernetes-forbid": KubernetesForbid,
    "github": GitHub,
    "snowflake": Snowflake,
    "dbt_cloud": DbtCloud,
    "databricks": Quartz,
    "quartz": Quartz,
    "systemd": Systemd,
    "mysql_events": MySQLEvents,
    "pgagent": PgAgent,
}
