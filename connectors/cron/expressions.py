"""Times of a crontab line as Debian's cron reads them: fields, nicknames, and the text for people. Pure.

Source: crontab(5), and entry.c of cron 3.0pl1: a range is `*`, a number or number-number; a step follows only `*` or a
range; names stand for months and week days; a day field that begins with `*` never widens the other one. A range that
runs backwards has no numbers; text between a range and the next blank or comma is skipped, so that `*5` is `*`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from connectors.sdk.cron_syntax import DAYS, MONTHS, NICKNAMES

DAY_NAMES = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
REBOOT = "@reboot"
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MAX_DELAY = timedelta(hours=3)  # how late a start may be logged: load, clock steps, the hour of a DST change


class TimeFieldError(ValueError):
    """cron refuses this line; the text is cron's own: "bad minute"."""


@dataclass(frozen=True, slots=True)
class TimeField:
    message: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS = (
    TimeField("bad minute", 0, 59),
    TimeField("bad hour", 0, 23),
    TimeField("bad day-of-month", 1, 31),
    TimeField("bad month", 1, 12, MONTHS),
    TimeField("bad day-of-week", 0, 7, DAYS),
)


@dataclass(frozen=True, slots=True)
class TimeFields:
    """When a line is due: one set of numbers per field; 7 is Sunday as 0 is."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """True when both day fields are given: one of them is then enough."""

    @property
    def is_never(self) -> bool:
        """True where no day of any year fits, as on 31 February or with a range that runs backwards."""
        has_day = any(day <= LONGEST_MONTHS[month - 1] for month in self.months for day in self.days)
        fits = (has_day or self.weekdays) if self.either_day else (has_day and self.weekdays)
        return not (self.minutes and self.hours and self.months and fits)

    def due(self, local: datetime) -> bool:
        if local.minute not in self.minutes or local.hour not in self.hours or local.month not in self.months:
            return False
        by_day, by_weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (by_day or by_weekday) if self.either_day else (by_day and by_weekday)

    def minutes_since_due(self, local: datetime) -> int | None:
        """Minutes from the latest due minute to `local`; None where it is more than MAX_DELAY ago."""
        minutes = range(int(MAX_DELAY.total_seconds()) // 60)
        return next((back for back in minutes if self.due(local - timedelta(minutes=back))), None)


def split_fields(expression: str) -> list[str]:
    """The five fields of an expression that is not a nickname. Raises TimeFieldError."""
    parts = expression.split(" ")
    if len(parts) != len(FIELDS):
        raise TimeFieldError("bad time specifier")
    return parts


@lru_cache(maxsize=4096)
def read_times(expression: str) -> TimeFields | None:
    """The times of five fields or a nickname; None for @reboot. Raises TimeFieldError."""
    if expression == REBOOT:
        return None
    parts = split_fields(NICKNAMES.get(expression, expression))
    sets = [numbers(part, field) for part, field in zip(parts, FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in sets[4])
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    return TimeFields(sets[0], sets[1], sets[2], sets[3], weekdays, either)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """One item of a field: `*`, a number, or a range, with its step."""

    first: int
    last: int
    """Less than `first` where the range runs backwards: cron then takes no number of it."""
    step: int = 1
    is_star: bool = False

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1, self.step)

    def text(self, is_leading: bool) -> str:
        """Canonical text; a `*` counts as one for the day fields only where it leads its field."""
        if self.first == self.last:
            return str(self.first)
        body = "*" if self.is_star and is_leading else f"{self.first}-{self.last}"
        return body if self.step == 1 else f"{body}/{self.step}"


ITEM = re.compile(r"(?:(\*)|([a-z0-9]+)(?:(-)([a-z0-9]*))?)(?:(/)([a-z0-9]*))?", re.IGNORECASE | re.ASCII)
MAX_DIGITS = 999
"""MAX_TEMPSTR of cron.h."""


@lru_cache(maxsize=4096)
def read_ranges(text: str, field: TimeField) -> tuple[tuple[TimeRange, ...], str]:
    """The ranges of one field as cron reads them, and the rest of it, which cron skips. Raises TimeFieldError."""
    ranges: list[TimeRange] = []
    at = 0
    while True:
        item = ITEM.match(text, at)
        if item is None or (item[5] and not item[1] and not item[3]):
            raise TimeFieldError(field.message)
        first = field.low if item[1] else _number(item[2], field)
        last = field.high if item[1] else _number(item[4], field) if item[3] else first
        step = _integer(item[6], field) if item[5] else 1
        if step < 1:
            raise TimeFieldError(field.message)
        ranges.append(TimeRange(first, last, step, is_star=bool(item[1])))
        at = item.end()
        if text[at : at + 1] != ",":
            return tuple(ranges), text[at:]
        at += 1


@lru_cache(maxsize=4096)
def numbers(text: str, field: TimeField) -> frozenset[int]:
    """The numbers of one field. Raises TimeFieldError."""
    return frozenset(number for item in read_ranges(text, field)[0] for number in item.numbers)


def _number(text: str, field: TimeField) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + (1 if field.names is MONTHS else 0)
    value = _integer(text, field)
    if not field.low <= value <= field.high:
        raise TimeFieldError(field.message)
    return value


def _integer(text: str, field: TimeField) -> int:
    """As atoi() of C: a long, then its lower 32 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise TimeFieldError(field.message)
    return (min(int(text), 2**63 - 1) + 2**31) % 2**32 - 2**31


def is_plain(text: str, field: TimeField) -> bool:
    """Whether every reader of cron expressions takes this field for the same. Raises TimeFieldError."""
    ranges, skipped = read_ranges(text, field)
    if skipped or any(len(digits) > 4 for digits in re.findall(r"[0-9]+", text)):
        return False
    items = zip(ranges, text.split(","), strict=True)
    return all(item.first < item.last or (item.first == item.last and "/" not in written) for item, written in items)


@lru_cache(maxsize=4096)
def plain_field(text: str, field: TimeField) -> str:
    """The field in the syntax that every reader knows; "" where cron takes no number of it. Raises TimeFieldError."""
    if is_plain(text, field):
        return text
    ranges = read_ranges(text, field)[0]
    taken = ((number, item) for number, item in enumerate(ranges) if item.numbers)
    return ",".join(item.text(is_leading=number == 0) for number, item in taken)


@lru_cache(maxsize=4096)
def plain_expression(expression: str) -> str:
    """The five fields with the meaning that they have to cron, in the syntax that every reader knows; an expression
    that never runs, and @reboot, unchanged. Raises TimeFieldError."""
    times = read_times(expression)
    if times is None or times.is_never or expression in NICKNAMES:
        return expression
    parts = [plain_field(part, field) for part, field in zip(expression.split(" "), FIELDS, strict=True)]
    return " ".join(part or "*" for part in parts)  # an empty day field leaves the other one, as * does


@lru_cache(maxsize=4096)
def schedule_text(expression: str) -> str:
    """The schedule for people: "daily at 03:10", "every 15 minutes"; the expression itself for a complex one."""
    if expression == REBOOT:
        return "when cron starts"
    plain = NICKNAMES.get(expression, expression)
    times = read_times(plain)
    if times is not None and times.is_never:
        return f"never runs: {plain}"
    plain = plain_expression(plain)
    minute, hour, day, month, weekday = plain.split(" ")
    at = _clock(minute, hour)
    if at is None:
        return plain
    if times is not None and len(times.weekdays) == 7 and day.startswith("*"):
        weekday = "*"
    if (day, month, weekday) == ("*", "*", "*"):
        return f"daily {at}" if at.startswith("at ") else at
    on = _days(day, month, weekday)
    return plain if on is None else f"{on} {at}"


def _clock(minute: str, hour: str) -> str | None:
    """The time of day for people. Only a step that divides its hour or day is even: `*/45` runs at :00 and :45."""
    minutes, hours = (sorted(numbers(text, field)) for text, field in zip((minute, hour), FIELDS, strict=False))
    if len(hours) == 24:
        if len(minutes) == 60:
            return "every minute"
        if interval := _interval(minutes, 60):
            return f"every {interval} minutes"
        return "hourly at " + ", ".join(f":{number:02d}" for number in minutes) if len(minutes) <= 4 else None
    if len(minutes) == 1 and (interval := _interval(hours, 24)):
        return f"every {interval} hours at :{minutes[0]:02d}"
    if len(hours) * len(minutes) > 4:
        return None
    return "at " + ", ".join(f"{h:02d}:{m:02d}" for h in hours for m in minutes)


def _interval(values: list[int], length: int) -> int:
    """The even distance between at least three values that begin at 0 and fill `length`; 0 without one."""
    step = length // len(values)
    return step if len(values) > 2 and values == list(range(0, length, step)) else 0


def _days(day: str, month: str, weekday: str) -> str | None:
    if month != "*" or (day != "*" and weekday != "*"):
        return None
    if day != "*":
        return f"on day {day} of the month" if day.isdigit() else None
    first, dash, last = weekday.lower().partition("-")
    if dash and _day_name(first) and _day_name(last):
        return f"{_day_name(first)}–{_day_name(last)}"
    names = [_day_name(part) for part in weekday.lower().split(",")]
    return ", ".join(name for name in names if name) if all(names) else None


def _day_name(text: str) -> str | None:
    if text.isdigit() and int(text) <= 7:
        return DAY_NAMES[int(text) % 7]
    return DAY_NAMES[DAYS.index(text)] if text in DAYS else None
