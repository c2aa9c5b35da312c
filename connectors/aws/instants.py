"""When a schedule of EventBridge Scheduler starts its target next. Pure.

Source: EventBridge Scheduler User Guide, "Schedule types": fields and their wildcards, what a change of the clocks
skips and does not repeat, days of a rate as 24 hours, StartDate as the first occurrence of a rate.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.aws.values import instant

AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
RATE = re.compile(r"rate\(([1-9]\d{0,5}) (minute|hour|day)s?\)")
_YEAR = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = {name: at for at, name in enumerate(_YEAR, 1)}
WEEKDAYS = {name: at for at, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
FURTHEST = timedelta(days=366 * 9)
"""Beyond it nothing is sought: the 29th of February across the turn of most centuries."""
_ANY = ("*", "?")
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")


class NoInstant(ValueError):
    """It starts its target at no instant that can be known."""


def unreadable(schedule: Mapping[str, Any], now: datetime) -> str:
    """Why no instant of it can be known; empty where it can."""
    try:
        next_of(schedule, now)
    except NoInstant as error:
        return str(error)
    except (ValueError, KeyError, OSError):
        return f"{schedule.get('ScheduleExpression') or 'a schedule'} cannot be read"
    return ""


def next_of(schedule: Mapping[str, Any], now: datetime) -> datetime | None:
    """The first start after `now`; None without one. Raises NoInstant, and ValueError, KeyError or OSError for what
    cannot be read."""
    expression = str(schedule.get("ScheduleExpression") or "")
    begins, ends = instant(schedule.get("StartDate")), instant(schedule.get("EndDate"))
    zone = ZoneInfo(str(schedule.get("ScheduleExpressionTimezone") or "UTC"))
    if (schedule.get("FlexibleTimeWindow") or {}).get("Mode") == "FLEXIBLE":
        raise NoInstant(f"{expression} with a flexible time window names no instant")
    found = _next(expression, zone, begins, now)
    return None if found is None or (ends is not None and found > ends) else found


def _next(expression: str, zone: ZoneInfo, begins: datetime | None, now: datetime) -> datetime | None:
    if once := AT.fullmatch(expression):
        at = datetime.fromisoformat(once[1]).replace(tzinfo=zone).astimezone(UTC)
        return at if at > now else None
    if cron := CRON.fullmatch(expression):
        since = now if begins is None else max(now, begins - timedelta(microseconds=1))
        return next(_cron(cron.groups(), zone, since), None)
    rate = RATE.fullmatch(expression)
    if rate is None:
        raise ValueError(f"{expression} is no expression")
    if begins is None:
        raise NoInstant(f"{expression} without a start date names no instant")
    every = timedelta(**{f"{rate[2]}s": int(rate[1])})
    return begins if begins > now else begins + ((now - begins) // every + 1) * every


def _cron(fields: Collection[str], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Every start after that, within FURTHEST of it or of the first year that is named."""
    minute, hour, days, month, weekdays, year = (each.upper() for each in fields)
    if days not in _ANY and weekdays not in _ANY:
        raise ValueError("a day of the month and a weekday at once")
    minutes, hours = sorted(_numbers(minute, 0, 59)), sorted(_numbers(hour, 0, 23))
    months, years = _numbers(month, 1, 12, MONTHS), _numbers(year, 1970, 2199)
    on = after.astimezone(zone).date()
    _is_on(days, weekdays, on)  # what cannot be read is told whatever the day is
    until = max(on, date(min((one for one in years if one >= on.year), default=on.year), 1, 1)) + FURTHEST
    while on < until:
        if on.year not in years:
            on = date(on.year + 1, 1, 1)
            continue
        if on.month in months and _is_on(days, weekdays, on):
            clocks = (time(one, other) for one in hours for other in minutes)
            yield from (at for clock in clocks if (at := _instant(on, clock, zone)) is not None and at > after)
        on += timedelta(days=1)


def _instant(on: date, clock: time, zone: ZoneInfo) -> datetime | None:
    """None where the clocks jump over it; the first of the two where they go back."""
    local = datetime.combine(on, clock, tzinfo=zone)
    at = local.astimezone(UTC)
    return at if at.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None) else None


def _is_on(days: str, weekdays: str, on: date) -> bool:
    in_month = days in _ANY or any(_is_day(part, on) for part in days.split(","))
    return (weekdays in _ANY or any(_is_weekday(part, on) for part in weekdays.split(","))) and in_month


def _is_day(part: str, on: date) -> bool:
    """ "L" the last day, "LW" the last working day, "15W" the working day nearest to the 15th, within the month."""
    last = monthrange(on.year, on.month)[1]
    if part == "L":
        return on.day == last
    if part.endswith("W"):
        day = last if part == "LW" else _number(part[:-1], 1, 31)
        return day <= last and on.day == _working_day(on, day, last)
    return on.day in _numbers(part, 1, 31)


def _working_day(on: date, day: int, last: int) -> int:
    weekday = on.replace(day=day).isoweekday()
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 7:
        return day + 1 if day < last else day - 2
    return day


def _is_weekday(part: str, on: date) -> bool:
    """1 is Sunday. "L" Saturday, "6L" the last Friday of the month, "3#2" its second Tuesday."""
    today = on.isoweekday() % 7 + 1
    if part == "L":
        return today == 7
    if part.endswith("L"):
        named = _number(part[:-1], 1, 7, WEEKDAYS)
        return today == named and on.day + 7 > monthrange(on.year, on.month)[1]
    if "#" in part:
        name, _, nth = part.partition("#")
        named, which = _number(name, 1, 7, WEEKDAYS), _number(nth, 1, 5)
        return today == named and (on.day - 1) // 7 + 1 == which
    return today in _numbers(part, 1, 7, WEEKDAYS)


def _numbers(field: str, low: int, high: int, names: Mapping[str, int] | None = None) -> frozenset[int]:
    """ "1,3-5", "0/20", "*", "MON-FRI"."""
    found: set[int] = set()
    for part in field.split(","):
        read = _PART.fullmatch("*" if part == "?" else part)
        if read is None:
            raise ValueError(f"{part} is no part of a field")
        first = low if read[1] == "*" else _number(read[1], low, high, names)
        is_open = read[1] == "*" or read[3] is not None
        last = _number(read[2], low, high, names) if read[2] else high if is_open else first
        step = int(read[3] or 1)
        if last < first or step < 1:
            raise ValueError(f"{part} holds nothing")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> int:
    number = (names or {}).get(text)
    if number is None and text.isascii() and text.isdigit():
        number = int(text[:5])
    if number is None or not low <= number <= high:
        raise ValueError(f"{text} is not from {low} to {high}")
    return number
