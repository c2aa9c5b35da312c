"""When a schedule starts a job: its instants under each scheduler's rules, its text, and learned cadences.

`dialects` has the grammar and the stepping rule of each scheduler. Where its source names a job's next start
(`next_at`), that comes first, then the expression.

A job whose schedule cannot be read has a cadence, learned from its start times with a confidence: a time of day on
some weekdays, by the job's own clock, or an even interval. Neither needs every start: the interval is the median
one, the time of day the middle of the starts, and a weekday counts if the job ran on nearly all of them. A poor fit
gives no cadence, and nothing is expected of the job.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from statistics import median

from cronsim import CronSim, CronSimError
from cronsim.explain import Expression

from connectors.sdk.records import Schedule
from console.timing.dialects import DIALECTS, DialectClock, NoSuchDay, StartQueue
from console.timing.durations import TICK, format_duration
from console.timing.zones import UTC_NAMES, instant_at, zone_of

MOST = 10_000
"""Instants that one question gives at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_PAD = timedelta(hours=3)
"""A larger change is not DST for cron either (cron.c: "more than three hours")."""
_LONG = timedelta(days=10)
"""Over longer spans the days are not shared."""


@dataclass(frozen=True)
class _Fault:
    """Why a schedule has no instants."""

    text: str
    never_runs: bool


def instants(schedule: Schedule, after: datetime, before: datetime) -> list[datetime]:
    """The instants with after < t <= before, aware UTC, in order, at most `MOST`; none for what `fault` refuses."""
    return _of(schedule, after.astimezone(UTC), before.astimezone(UTC))[:MOST]


def next_instant(schedule: Schedule, after: datetime) -> datetime | None:
    """The first instant after `after`; None without one within fifty years."""
    if schedule.next_at is not None and schedule.next_at > after:
        return schedule.next_at
    rule = _rule(schedule)
    return _nearest(rule, after.astimezone(UTC), forward=True) if isinstance(rule, DialectClock) else None


def comes_again_within(schedule: Schedule, at: datetime, period: timedelta) -> bool:
    """Whether the next instant after `at` is less than `period` later."""
    following = next_instant(schedule, at)
    return following is not None and following - at < period


def last_instant(schedule: Schedule, until: datetime) -> datetime | None:
    """The last instant at or before `until`, by the expression; None without one within fifty years."""
    rule = _rule(schedule)
    return _nearest(rule, until.astimezone(UTC), forward=False) if isinstance(rule, DialectClock) else None


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
    if not isinstance(rule, DialectClock) or not isinstance(clock_rule, DialectClock):
        return None
    neighbors = [_nearest(rule, at, forward=False), _nearest(rule, at - TICK, forward=True)]
    distances = {instant: _distance(clock_rule, at, instant) for instant in neighbors if instant is not None}
    near = [instant for instant, distance in distances.items() if distance < _DAY]
    return min(near[::-1] if is_later else near, key=distances.__getitem__, default=None)


def _distance(rule: DialectClock, at: datetime, instant: datetime) -> timedelta:
    """By the clock of the rule's zone, so that twelve hours stay twelve in the nights when it changes; less than an
    hour as it passes."""
    distance = abs(at - instant)
    return distance if distance < _HOUR else abs(_local(rule, at) - _local(rule, instant))


def schedule_fault(schedule: Schedule) -> str | None:
    """Why the schedule has no instants though it should: an expression or zone that cannot be read. None when well."""
    rule = _rule(schedule)
    return rule.text if isinstance(rule, _Fault) else None


def expansion_fault(schedule: Schedule) -> str:
    """Why no start can be expected by the schedule, which its scheduler may well read; empty if starts can be, or if it
    has none."""
    rule = _rule(schedule)
    if schedule.next_at is not None or not isinstance(rule, _Fault) or rule.never_runs:
        return ""
    return f"Headway cannot expand its schedule: {rule.text[:200]}; no start is expected by it"


def unreadable_schedules(schedules: Iterable[tuple[str, Schedule]]) -> tuple[str, ...]:
    """A warning for each job by whose schedule no start can be expected. `schedules`: native id and schedule of each
    job."""
    return tuple(f"{name[:60]}: {fault}" for name, schedule in schedules if (fault := expansion_fault(schedule)))


def is_interval(schedule: Schedule) -> bool:
    """True for "N seconds": its starts drift, so that a single one of them cannot be expected at an instant."""
    rule = _rule(schedule)
    return isinstance(rule, DialectClock) and rule.every > 0


def start_queue(schedule: Schedule) -> StartQueue:
    rule = _rule(schedule)
    return rule.queue if isinstance(rule, DialectClock) else StartQueue.NONE


def _of(schedule: Schedule, after: datetime, before: datetime) -> list[datetime]:
    rule = _rule(schedule)
    starts: list[datetime] = []
    if schedule.next_at is not None:
        starts = [schedule.next_at] if after < schedule.next_at <= before else []
        after = max(after, schedule.next_at)
    if isinstance(rule, DialectClock) and after < before:
        starts += _grid(rule.every, after, before) if rule.every else _between(rule, after, before)
    return starts


def _between(rule: DialectClock, after: datetime, before: datetime) -> list[datetime]:
    if before - after > _LONG:
        return _stepped(rule, after, before)
    starts: list[datetime] = []
    for day in range((after - _EPOCH).days, (before - _EPOCH).days + 1):
        starts.extend(instant for instant in _day(rule, day) if after < instant <= before)
        if len(starts) >= MOST:
            break
    return starts


def _stepped(rule: DialectClock, after: datetime, before: datetime) -> list[datetime]:
    starts: set[datetime] = set()
    last = _local(rule, before) + _PAD
    for local in rule.steps(_local(rule, after) - _PAD, forward=True):
        if local > last or len(starts) > MOST:
            break
        offset = _steady(rule.zone, local.date())
        shown = rule.readings(local) if offset is None else ((local - offset).replace(tzinfo=UTC),)
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


def _nearest(rule: DialectClock, at: datetime, forward: bool) -> datetime | None:
    if rule.every:
        step = timedelta(seconds=rule.every)
        return _EPOCH + ((at - _EPOCH) // step + (1 if forward else 0)) * step
    soon = _in_two_days(rule, at, forward)
    if soon is not None:
        return soon
    for local in rule.steps(_local(rule, at) + (-_PAD if forward else _PAD), forward):
        days = sorted({(reading - _EPOCH).days for reading in rule.readings(local)})
        near = [instant for day in days for near_day in (day - 1, day, day + 1) for instant in _day(rule, near_day)]
        fitting = sorted(instant for instant in near if (instant > at if forward else instant <= at))
        if fitting:
            return fitting[0] if forward else fitting[-1]
    return None


def _in_two_days(rule: DialectClock, at: datetime, forward: bool) -> datetime | None:
    """As `_nearest`, for what runs at least daily: from the shared days alone."""
    today = (at - _EPOCH).days
    if forward:
        return next((instant for day in (today, today + 1) for instant in _day(rule, day) if instant > at), None)
    return next((instant for day in (today, today - 1) for instant in reversed(_day(rule, day)) if instant <= at), None)


@lru_cache(maxsize=16384)
def _day(rule: DialectClock, day: int) -> tuple[datetime, ...]:
    """All instants of one UTC day (number since the epoch), in order: jobs share expressions, so days are shared."""
    start = _EPOCH + day * _DAY
    starts: set[datetime] = set()
    last = _local(rule, start + _DAY) + _PAD
    for local in rule.steps(_local(rule, start) - _PAD, forward=True):
        if local > last:
            break
        starts.update(reading for reading in rule.readings(local) if start <= reading < start + _DAY)
    return tuple(sorted(starts))


def _local(rule: DialectClock, at: datetime) -> datetime:
    return at.astimezone(rule.zone).replace(tzinfo=None)


def _rule(schedule: Schedule) -> DialectClock | _Fault | None:
    return _read(schedule.dialect, schedule.expression, schedule.zone)


@lru_cache(maxsize=65536)
def _read(dialect: str, expression: str, zone: str) -> DialectClock | _Fault | None:
    text = expression.strip()
    if dialect == "none" or not text or text.lower() == "@reboot":
        return None
    if dialect not in DIALECTS:
        return _Fault(f'"{dialect}" is not a known dialect', never_runs=False)
    try:
        return DIALECTS[dialect].read(text, zone)
    except ValueError as fault:
        return _Fault(f'"{text}" in {zone}: {fault}', isinstance(fault, NoSuchDay))


_CRON_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def schedule_text(schedule: Schedule) -> str:
    """Readable schedule with its zone; else the source's own text, else the bare expression."""
    text = schedule.expression.strip()
    if schedule.dialect == "none" or not text:
        return schedule.text or "no schedule"
    if text.lower() == "@reboot":
        return "when the host starts"
    rule = _rule(schedule)
    if isinstance(rule, DialectClock) and rule.every:
        return f"every {text}"
    if not isinstance(rule, DialectClock) or not rule.fields:
        return schedule.text or text
    fields = rule.fields.split()
    zone = "UTC" if schedule.zone in UTC_NAMES else schedule.zone
    return f"{_often(fields) or _at(fields) or _explained(fields) or text} {zone}"


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
    try:
        week = CronSim(f"0 0 * * {weekday}", datetime(2026, 1, 1)).weekdays  # noqa: DTZ001
    except CronSimError:  # `fri-sun`, for others
        return False
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
    """The words of cronsim; empty where it does not read the fields."""
    try:
        text = Expression(["0", *(field.upper() for field in fields)]).explain()
    except (CronSimError, ValueError):
        return ""
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
