"""The five time fields of a crontab line, as Debian's cron reads them (entry.c of 3.0pl1): checked, matched, in words.

Source: crontab(5), and entry.c: a range is `*`, a number or number-number; a step follows only `*` or a range; names
stand for months and week days; a day field that begins with `*` never widens the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAY_WORDS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"
LOOK_BACK = timedelta(hours=3)  # how late a start may be logged: load, clock steps, the hour of a DST change


class BadField(ValueError):
    """cron would refuse this line; the text is cron's own word for it: "bad minute"."""


@dataclass(frozen=True, slots=True)
class Field:
    word: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS = (
    Field("bad minute", 0, 59),
    Field("bad hour", 0, 23),
    Field("bad day-of-month", 1, 31),
    Field("bad month", 1, 12, MONTHS),
    Field("bad day-of-week", 0, 7, DAYS),
)


@dataclass(frozen=True, slots=True)
class Times:
    """When a line is due: one set of numbers per field; 7 is Sunday as 0 is."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """True when both day fields are given: one of them is then enough."""

    def due(self, local: datetime) -> bool:
        """Whether the line is due in that local minute."""
        if local.minute not in self.minutes or local.hour not in self.hours or local.month not in self.months:
            return False
        by_day, by_weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (by_day or by_weekday) if self.either_day else (by_day and by_weekday)

    def minutes_since_due(self, local: datetime) -> int | None:
        """Minutes from the latest due minute to `local`; None where there is none within LOOK_BACK."""
        for back in range(int(LOOK_BACK.total_seconds()) // 60):
            if self.due(local - timedelta(minutes=back)):
                return back
        return None


def times(expression: str) -> Times | None:
    """The times of five fields or a nickname; None for @reboot. Raises BadField with cron's word."""
    if expression == REBOOT:
        return None
    parts = NICKNAMES.get(expression, expression).split()
    if len(parts) != len(FIELDS):
        raise BadField("bad time specifier")
    sets = [numbers(part, field) for part, field in zip(parts, FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in sets[4])
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    return Times(sets[0], sets[1], sets[2], sets[3], weekdays, either)


def numbers(text: str, field: Field) -> frozenset[int]:
    """The numbers that one field names. BadField where cron would refuse it."""
    found: set[int] = set()
    for item in text.split(","):
        body, slash, step_text = item.partition("/")
        first, last, is_range = _ends(body, field)
        step = 1
        if slash:
            if not is_range or not step_text.isascii() or not step_text.isdigit() or int(step_text) == 0:
                raise BadField(field.word)
            step = int(step_text[:9])
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _ends(body: str, field: Field) -> tuple[int, int, bool]:
    if body == "*":
        return field.low, field.high, True
    first_text, dash, last_text = body.partition("-")
    first = _number(first_text, field)
    last = _number(last_text, field) if dash else first
    if last < first:
        raise BadField(field.word)
    return first, last, bool(dash)


def _number(text: str, field: Field) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4:
        value = int(text)
    elif text.lower() in field.names:
        value = field.names.index(text.lower()) + (1 if field.names is MONTHS else 0)
    else:
        raise BadField(field.word)
    if not field.low <= value <= field.high:
        raise BadField(field.word)
    return value


# -- words -----------------------------------------------------------------------------------------------------
def words(expression: str) -> str:
    """The schedule for people: "daily at 03:10", "every 15 minutes"; the expression itself where words are long."""
    if expression == REBOOT:
        return "when cron starts"
    plain = NICKNAMES.get(expression, expression)
    minute, hour, day, month, weekday = plain.split()
    at = _clock(minute, hour)
    if at is None:
        return plain
    every_day = day.startswith("*") and weekday.startswith("*")
    if every_day and (day, month, weekday) == ("*", "*", "*"):
        return f"daily {at}" if at.startswith("at ") else at
    on = _days(day, month, weekday)
    return plain if on is None else f"{on} {at}"


def _clock(minute: str, hour: str) -> str | None:
    if hour == "*":
        return _within_hour(minute)
    if hour.startswith("*/") and hour[2:].isdigit() and minute.isdigit():
        return f"every {hour[2:]} hours at :{int(minute):02d}"
    hours, minutes = hour.split(","), minute.split(",")
    if not all(part.isdigit() for part in (*hours, *minutes)) or len(hours) * len(minutes) > 4:
        return None
    return "at " + ", ".join(f"{int(h):02d}:{int(m):02d}" for h in hours for m in minutes)


def _within_hour(minute: str) -> str | None:
    if minute in ("*", "*/1"):
        return "every minute"
    if minute.startswith("*/") and minute[2:].isdigit():
        return f"every {minute[2:]} minutes"
    if minute.isdigit():
        return f"hourly at :{int(minute):02d}"
    return None


def _days(day: str, month: str, weekday: str) -> str | None:
    if month != "*" or (day != "*" and weekday != "*"):
        return None
    if day != "*":
        return f"on day {day} of the month" if day.isdigit() else None
    return _weekdays(weekday.lower())


def _weekdays(text: str) -> str | None:
    first, dash, last = text.partition("-")
    if dash and _day_word(first) and _day_word(last):
        return f"{_day_word(first)}–{_day_word(last)}"
    named: Sequence[str | None] = [_day_word(part) for part in text.split(",")]
    return ", ".join(name for name in named if name) if all(named) else None


def _day_word(text: str) -> str | None:
    if text.isdigit() and int(text) <= 7:
        return DAY_WORDS[int(text) % 7]
    return DAY_WORDS[DAYS.index(text)] if text in DAYS else None
