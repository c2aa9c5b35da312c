"""When a pgAgent job is due: its schedules' arrays as calendar events in systemd's words. Pure.

Each schedule is five arrays of booleans; minutes, hours, days, weekdays and months must all fit, an array without a
true means "every". That is what `OnCalendar=` says, one expression for each schedule; dialect "pgagent" of
control.schedule reads it. Source: pga_next_schedule in pgagent--4.2.sql.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from connectors.contract import Schedule

Row = dict[str, Any]
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
LAST_DAY = 31
"""Place of "last day of the month" in jscmonthdays."""
BOUNDED = "by schedules with a beginning to come, an end or exceptions: only the next start is known"


def schedule_of(schedules: Sequence[Row], zone: str, next_at: datetime | None) -> Schedule:
    """What the enabled schedules of one job come to. Exceptions, a beginning to come and an end are in the next start
    alone, which pgAgent itself computes; a start that was asked for by hand is none of the schedule's."""
    if not schedules:
        return Schedule("none")
    by_clock = next_at if next_at is not None and next_at.second == next_at.microsecond == 0 else None
    is_bounded = any(row["exceptions"] or row["until"] is not None or row["is_to_come"] for row in schedules)
    found = sorted({part for row in schedules for part in events(row)})
    expression = "" if is_bounded else ";".join(found)
    return Schedule("pgagent", expression, zone, BOUNDED if is_bounded else "; ".join(found), by_clock)


def events(row: Row) -> list[str]:
    """One schedule in systemd's words; two where it names the last day of a month beside others."""
    named = [name for name, on in zip(WEEKDAYS, row["weekdays"], strict=True) if on]
    weekdays = f"{','.join(named)} " if 0 < len(named) < len(WEEKDAYS) else ""
    time = f"{_numbers(row['hours'], 0)}:{_numbers(row['minutes'], 0)}:00"
    months, days = _numbers(row["months"], 1), row["monthdays"]
    dates = [f"*-{months}-{_numbers(days[:LAST_DAY], 1)}"] if any(days[:LAST_DAY]) or not days[LAST_DAY] else []
    dates += [f"*-{months}~1"] if days[LAST_DAY] else []
    return [f"{weekdays}{date} {time}" for date in dates]


def _numbers(flags: Sequence[bool], first: int) -> str:
    """ "5,20" for the places that are set; "*" for none or all."""
    found = [number for number, on in enumerate(flags, first) if on]
    return "*" if not found or len(found) == len(flags) else ",".join(map(str, found))
