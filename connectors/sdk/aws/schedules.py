"""EventBridge Scheduler schedules: their targets and next starts, and the hold mark in their description. Pure.

Sources: EventBridge Scheduler User Guide, "Schedule types": fields and their wildcards, what a change of the clocks
skips and does not repeat, days of a rate as 24 hours, StartDate as the first occurrence of a rate; API reference,
GetSchedule and UpdateSchedule.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sdk.aws.values import AwsReply, instant
from connectors.sdk.contract import HOLD_MARK, HoldMark
from connectors.sdk.cron_syntax import nearest_weekday
from connectors.sdk.fields import digest
from connectors.sdk.states import SOURCE_SCHEDULE

AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
RATE = re.compile(r"rate\(([1-9]\d{0,5}) (minute|hour|day)s?\)")
_YEAR = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = {name: at for at, name in enumerate(_YEAR, 1)}
WEEKDAYS = {name: at for at, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
FURTHEST = timedelta(days=366 * 9)
"""Limit of the search: covers the 29th of February across the turn of most centuries."""
_ANY = ("*", "?")
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")


class ScheduleExpressionError(ValueError):
    """An expression without a computable instant."""


def unreadable(schedule: Mapping[str, Any], now: datetime) -> str:
    """Why its instants are unknown; empty where they are known."""
    try:
        next_start(schedule, now)
    except ScheduleExpressionError as error:
        return str(error)
    except (ValueError, KeyError, OSError):
        return f"{schedule.get('ScheduleExpression') or 'a schedule'} cannot be read"
    return ""


def next_start(schedule: Mapping[str, Any], now: datetime) -> datetime | None:
    """The first start after `now`; None without one. Raises ScheduleExpressionError, and ValueError, KeyError or
    OSError for an unreadable schedule."""
    expression = str(schedule.get("ScheduleExpression") or "")
    begins, ends = instant(schedule.get("StartDate")), instant(schedule.get("EndDate"))
    zone = ZoneInfo(str(schedule.get("ScheduleExpressionTimezone") or "UTC"))
    if (schedule.get("FlexibleTimeWindow") or {}).get("Mode") == "FLEXIBLE":
        raise ScheduleExpressionError(f"{expression} with a flexible time window names no instant")
    result = _next(expression, zone, begins, now)
    return None if result is None or (ends is not None and result > ends) else result


def _next(expression: str, zone: ZoneInfo, begins: datetime | None, now: datetime) -> datetime | None:
    if once := AT.fullmatch(expression):
        at = datetime.fromisoformat(once[1]).replace(tzinfo=zone).astimezone(UTC)
        return at if at > now else None
    if cron := CRON.fullmatch(expression):
        since = now if begins is None else max(now, begins - timedelta(microseconds=1))
        return next(_cron(cron.groups(), zone, since), None)
    rate = RATE.fullmatch(expression)
    if rate is None:
        raise ValueError(f"{expression} is not a schedule expression")
    if begins is None:
        raise ScheduleExpressionError(f"{expression} without a start date names no instant")
    every = timedelta(**{f"{rate[2]}s": int(rate[1])})
    return begins if begins > now else begins + ((now - begins) // every + 1) * every


def _cron(fields: Collection[str], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Every start after that, within FURTHEST of it or of the first year that is named."""
    minute, hour, days, month, weekdays, year = (field.upper() for field in fields)
    if days not in _ANY and weekdays not in _ANY:
        raise ValueError("a day of the month and a weekday at once")
    minutes, hours = sorted(_numbers(minute, 0, 59)), sorted(_numbers(hour, 0, 23))
    months, years = _numbers(month, 1, 12, MONTHS), _numbers(year, 1970, 2199)
    on = after.astimezone(zone).date()
    _is_on(days, weekdays, on)  # raises for an unreadable field, whatever the day
    until = max(on, date(min((item for item in years if item >= on.year), default=on.year), 1, 1)) + FURTHEST
    while on < until:
        if on.year not in years:
            on = date(on.year + 1, 1, 1)
            continue
        if on.month in months and _is_on(days, weekdays, on):
            for clock in (time(*pair) for pair in product(hours, minutes)):
                local = datetime.combine(on, clock, zone)
                at = local.astimezone(UTC)  # the first of the two where the clocks go back
                is_skipped = at.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None)
                if at > after and not is_skipped:
                    yield at
        on += timedelta(days=1)


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
        return day <= last and on == nearest_weekday(on.replace(day=day))
    return on.day in _numbers(part, 1, 31)


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
    numbers: set[int] = set()
    for part in field.split(","):
        read = _PART.fullmatch("*" if part == "?" else part)
        if read is None:
            raise ValueError(f"{part} is not part of a field")
        first = low if read[1] == "*" else _number(read[1], low, high, names)
        is_open = read[1] == "*" or read[3] is not None
        last = _number(read[2], low, high, names) if read[2] else high if is_open else first
        step = int(read[3] or 1)
        if last < first or step < 1:
            raise ValueError(f"{part} holds nothing")
        numbers.update(range(first, last + 1, step))
    return frozenset(numbers)


def _number(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> int:
    number = (names or {}).get(text)
    if number is None and text.isascii() and text.isdigit():
        number = int(text[:5])
    if number is None or not low <= number <= high:
        raise ValueError(f"{text} is not from {low} to {high}")
    return number


UPDATABLE = frozenset({
    "Name", "GroupName", "ScheduleExpression", "StartDate", "EndDate", "Description", "ScheduleExpressionTimezone",
    "State", "KmsKeyArn", "Target", "FlexibleTimeWindow", "ActionAfterCompletion",
})  # fmt: skip
READ_ONLY = frozenset({"Arn", "CreationDate", "LastModificationDate", "ResponseMetadata"})
DESCRIPTION_CHARACTERS = 512
ZONES_APART = timedelta(hours=14)


def full_name(schedule: Mapping[str, Any]) -> str:
    """ "default/nightly": group and name."""
    return "/".join(place(schedule))


def place(schedule: Mapping[str, Any]) -> tuple[str, str]:
    """Group and name."""
    return str(schedule.get("GroupName") or "default"), str(schedule.get("Name"))


def target_of(schedule: Mapping[str, Any]) -> str:
    """ARN of what it starts; "" where it names none."""
    return str((schedule.get("Target") or {}).get("Arn") or "")


def machine_of(schedule: Mapping[str, Any]) -> str:
    """ARN of the state machine that it starts, without version or alias; "" for other targets."""
    parts = target_of(schedule).split(":")
    return ":".join(parts[:7]) if parts[2:3] == ["states"] and parts[5:6] == ["stateMachine"] else ""


def mark_in(schedule: Mapping[str, Any]) -> HoldMark | None:
    return HoldMark.read(str(schedule.get("Description") or ""))


def is_enabled(schedule: Mapping[str, Any]) -> bool:
    return str(schedule.get("State")) == "ENABLED"


def is_over(schedule: Mapping[str, Any], now: datetime) -> bool:
    """True when its end or its only instant has certainly passed."""
    end, once = instant(schedule.get("EndDate")), _only_instant(schedule)
    return any(at is not None and at < now for at in (end, once and once + ZONES_APART))


def turn_before(schedule: Mapping[str, Any], now: datetime, until: datetime) -> str:
    """A unique event between now and `until`: "begins", "ends" or "starts its only time"; "" without one."""
    once = _only_instant(schedule)
    if once is not None and once - ZONES_APART <= until:
        return "starts its only time"
    begins, ends = instant(schedule.get("StartDate")), instant(schedule.get("EndDate"))
    if begins is not None and now < begins <= until:
        return "begins"
    return "ends" if ends is not None and ends <= until else ""


def _only_instant(schedule: Mapping[str, Any]) -> datetime | None:
    """Of a one-time schedule, as if its zone were UTC."""
    once = AT.fullmatch(str(schedule.get("ScheduleExpression") or ""))
    try:
        return datetime.fromisoformat(once[1]).replace(tzinfo=UTC) if once else None
    except ValueError:
        return None


def with_mark(schedule: Mapping[str, Any], mark: HoldMark) -> AwsReply:
    """The fields that hold it: disabled, everything else as it is."""
    description = str(schedule.get("Description") or "")
    return fields(schedule) | {
        "State": "DISABLED",
        "Description": f"{description} {mark.text}" if description else mark.text,
    }


def without_mark(schedule: Mapping[str, Any], enable: bool = True) -> AwsReply:
    """The fields that release it: the description without the hold mark; enabled, or with its present state."""
    cached = {name: value for name, value in fields(schedule).items() if name != "Description"}
    description = plain(schedule)
    return cached | ({"State": "ENABLED"} if enable else {}) | ({"Description": description} if description else {})


def plain(schedule: Mapping[str, Any]) -> str:
    description = str(schedule.get("Description") or "")
    match = HOLD_MARK.search(description)
    return description[: match.start()].removesuffix(" ") + description[match.end() :] if match else description


def fields(schedule: Mapping[str, Any]) -> AwsReply:
    """The fields for UpdateSchedule, which resets every missing one."""
    return {name: value for name, value in schedule.items() if name not in READ_ONLY and value is not None}


def unknown_fields(schedule: Mapping[str, Any]) -> list[str]:
    """Names of fields that UpdateSchedule does not know here: they would be lost."""
    return sorted(set(schedule) - UPDATABLE - READ_ONLY)


def seen(schedule: Mapping[str, Any]) -> str:
    """A digest of all editable fields; it reveals no input."""
    return digest(_flat(fields(schedule)))


def _flat(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _flat(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_flat(item) for item in value]
    at = instant(value)
    return at.isoformat() if at else value


def schedule_text(schedules: Sequence[Mapping[str, Any]]) -> str:
    """ "EventBridge Scheduler: cron(15 4 * * ? *) Europe/Berlin". Our holds do not change it."""
    parts = []
    for schedule in schedules:
        expression = str(schedule.get("ScheduleExpression") or full_name(schedule))
        zone = "" if expression.startswith("rate(") else f" {schedule.get('ScheduleExpressionTimezone') or 'UTC'}"
        window = schedule.get("FlexibleTimeWindow") or {}
        within = f" within {window.get('MaximumWindowInMinutes')} min" if window.get("Mode") == "FLEXIBLE" else ""
        is_off = not is_enabled(schedule) and mark_in(schedule) is None
        parts.append(f"{expression}{zone}{within}{' (disabled)' if is_off else ''}")
    return f"{SOURCE_SCHEDULE}{'; '.join(parts)}" if parts else ""


def next_instant(schedules: Sequence[Mapping[str, Any]], now: datetime) -> datetime | None:
    """The first start after `now` by any of them, holds aside. None without one, and where any is `unreadable`."""
    try:
        starts = [next_start(item, now) for item in schedules if is_enabled(item) or mark_in(item) is not None]
    except (ValueError, KeyError, OSError):
        return None
    return min((at for at in starts if at is not None), default=None)


def is_paused(schedules: Sequence[Mapping[str, Any]]) -> bool:
    """True when schedules start it and all of them are disabled."""
    return bool(schedules) and not any(is_enabled(schedule) for schedule in schedules)
