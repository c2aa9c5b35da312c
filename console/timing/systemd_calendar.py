"""systemd calendar events (`OnCalendar=`): parsing, and the local times at which an expression elapses.

Source: systemd.time(7), "Calendar events", and calendarspec.c of systemd 252; each rule was checked against
`systemd-analyze calendar` (tests/timing/test_systemd_calendar.py). A weekday and a date must both match. "~"
counts days from the end of the month. A time that a clock change skips is left out; of one that comes twice the
first counts. Several expressions of one timer are joined with ";".
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from itertools import groupby, product

from console.timing.zones import zone_of

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  UTC, as a local time of that zone
_MICROS = 1_000_000
_FURTHEST = timedelta(days=366 * 41)
"""Beyond it nothing is sought: a weekday on the 29th of February comes back within 40 years."""
_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
}
_PART = re.compile(r"(\d{1,4})(?:\.\.(\d{1,4}))?(?:/(\d{1,4}))?", re.ASCII)
_SECOND = r"(\d{1,2}(?:\.\d{1,6})?)"
_SECONDS = re.compile(rf"{_SECOND}(?:\.\.{_SECOND})?(?:/{_SECOND})?", re.ASCII)
_INSTANT = re.compile(r"@(\d{1,11})", re.ASCII)
MAX_SECONDS = 6_000
"""Seconds of one minute in an expression: each hundredth. systemd takes microseconds."""
_DATE = re.compile(r"(?:(?P<year>[\d*,./]+)-)?(?P<month>[\d*,./]+)(?P<ends>[-~])(?P<day>[\d*,./]+)")
_TIME = re.compile(r"(?P<hour>[\d*,./]+):(?P<minute>[\d*,./]+)(?::(?P<second>[\d*,./]+))?")


@dataclass(frozen=True, slots=True)
class CalendarExpression:
    """One expression: the numbers that fit in each of its places."""

    weekdays: frozenset[int]
    """0 is Monday."""
    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    """From 1; where `from_end`, 1 is the last of the month."""
    from_end: bool
    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]
    """In microseconds."""

    def times(self, forward: bool) -> Iterator[time]:
        """In order, or the last one first."""
        for hour, minute, second in product(*(sorted(part, reverse=not forward) for part in self._clock)):
            yield time(hour, minute, second // _MICROS, second % _MICROS)

    @property
    def _clock(self) -> tuple[frozenset[int], ...]:
        return self.hours, self.minutes, self.seconds

    def fits(self, day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        number = last - day.day + 1 if self.from_end else day.day
        is_day = number in self.days and day.weekday() in self.weekdays
        return is_day and day.month in self.months and day.year in self.years


@dataclass(frozen=True, slots=True)
class CalendarEvents:
    """The expressions of one timer in one zone."""

    events: tuple[CalendarExpression, ...]
    zone: str
    """The zone that they name; empty where they name none."""


@lru_cache(maxsize=4096)
def parse_on_calendar(text: str) -> tuple[CalendarEvents, ...]:
    """Parsed expressions by their zone. Raises ValueError for anything that systemd would refuse."""
    parts = [_expression(part) for part in text.split(";") if part.strip()]
    if not parts:
        raise ValueError("it is empty")
    zones = dict.fromkeys(zone for _, zone in parts)
    return tuple(CalendarEvents(tuple(event for event, of in parts if of == zone), zone) for zone in zones)


def elapse_times(events: CalendarEvents, local: datetime, forward: bool) -> Iterator[datetime]:
    """The naive local times after `local`, in order; or those before it, the last one first."""
    step = _DAY if forward else -_DAY
    for number in range(_FURTHEST // _DAY):
        try:
            day = local.date() + number * step
        except OverflowError:
            return
        times = merge(*(event.times(forward) for event in events.events if event.fits(day)), reverse=not forward)
        for at, _ in groupby(datetime.combine(day, at) for at in times):
            if at > local if forward else at < local:
                yield at


def _expression(text: str) -> tuple[CalendarExpression, str]:
    parts, zone = _without_zone(text.split())
    if len(parts) == 1 and (match := _INSTANT.fullmatch(parts[0])) and zone in ("", "UTC"):
        return _expression(f"{_EPOCH + timedelta(seconds=int(match[1])):%Y-%m-%d %H:%M:%S} UTC")
    if len(parts) == 1 and parts[0].lower() in _SHORT:
        parts = _SHORT[parts[0].lower()].split()
    weekdays = frozenset(range(7))
    if parts and parts[0][:1].isalpha():
        weekdays = _weekdays(parts.pop(0))
        if not parts:
            parts = ["*-*-*"]
    on, at = _date_and_time(parts, text)
    from_end = on["ends"] == "~"
    return CalendarExpression(
        weekdays,
        _years(on["year"] or "*"),
        _numbers(on["month"], 1, 12),
        _numbers(on["day"], 1, 28 if from_end else 31, from_end),
        from_end,
        _numbers(at["hour"], 0, 23),
        _numbers(at["minute"], 0, 59),
        _seconds(at["second"] or "00"),
    ), zone


def _without_zone(parts: list[str]) -> tuple[list[str], str]:
    """The last word is a zone where it is one: "UTC" in any case, "CET", "Europe/Berlin"."""
    last = parts[-1] if parts else ""
    last = last.upper() if last.lower() == "utc" else last
    if not last[:1].isalpha():
        return parts, ""
    try:
        zone_of(last)
    except ValueError:
        if "/" in last:
            raise
        return parts, ""
    return parts[:-1], last


def _date_and_time(parts: list[str], text: str) -> tuple[re.Match[str], re.Match[str]]:
    on = _DATE.fullmatch(parts[0]) if parts else None
    rest = parts[1:] if on else parts
    at = _TIME.fullmatch(rest[0]) if rest else None
    if (on is None and at is None) or len(rest) != (1 if at else 0):
        raise ValueError(f'"{text.strip()}" is not a calendar event; write "Mon..Fri *-*-* 02:30:00"')
    every, midnight = _DATE.fullmatch("*-*-*"), _TIME.fullmatch("00:00:00")
    assert every is not None
    assert midnight is not None
    return on or every, at or midnight


def _weekdays(text: str) -> frozenset[int]:
    """ "Mon,Wed..Fri"; a range with a hyphen is its older form."""
    days: set[int] = set()
    for part in text.rstrip(",").split(","):
        first, _, last = part.replace("..", "-").partition("-")
        low, high = _weekday(first), _weekday(last or first)
        if high < low:
            raise ValueError(f'"{part}" ends before it begins')
        days.update(range(low, high + 1))
    return frozenset(days)


def _weekday(text: str) -> int:
    names = [name for name in _NAMES if text.lower() in (name, name[:3])]
    if not names:
        raise ValueError(f'"{text}" is not a day of the week')
    return _NAMES.index(names[0])


def _years(text: str) -> frozenset[int]:
    """Two digits are of this century up to 69, else of the last."""
    if text == "*":
        return frozenset(range(1970, 2200))
    return frozenset(year + (2000 if year < 70 else 1900 if year < 100 else 0) for year in _numbers(text, 0, 2199))


def _seconds(text: str) -> frozenset[int]:
    """Microseconds of "*", "0,30.25", "0/7.5"."""
    if text == "*":
        return frozenset(range(0, 60 * _MICROS, _MICROS))
    numbers: set[int] = set()
    for part in text.split(","):
        match = _SECONDS.fullmatch(part)
        if match is None:
            raise ValueError(f'"{part}" is neither a number nor a range of seconds')
        first, step = _micros(match[1]), _micros(match[3] or "1")
        last = _micros(match[2]) if match[2] else 60 * _MICROS - 1 if match[3] else first
        if not first <= last < 60 * _MICROS or step < 1 or (match[3] and first + step >= 60 * _MICROS):
            raise ValueError(f'"{part}" is not within 0 and 59')
        if (last - first) // step >= MAX_SECONDS:
            raise ValueError(f'"{part}" has more than {MAX_SECONDS:,} times in a minute')
        numbers.update(range(first, last + 1, step))
    return frozenset(numbers)


def _micros(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * _MICROS + int(fraction.ljust(6, "0") or 0)


def _numbers(text: str, low: int, high: int, from_end: bool = False) -> frozenset[int]:
    """ "*", "1,15", "9..17/2", "0/20". Days from the end of the month go on towards it: "~10/3" is 10, 7, 4, 1."""
    if text == "*":
        return frozenset(range(low, (31 if from_end else high) + 1))
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f'"{part}" is neither a number nor a range')
        first, step = int(match[1]), int(match[3] or 1)
        last = int(match[2]) if match[2] else high if match[3] and not from_end else first
        if not low <= first <= last <= high or step < 1 or (match[3] and first + step > high):
            raise ValueError(f'"{part}" is not within {low} and {high}')
        if from_end:
            numbers.update(range(last, (first if match[2] else low if match[3] else last) - 1, -step))
        else:
            numbers.update(range(first, last + 1, step))
    return frozenset(numbers)
