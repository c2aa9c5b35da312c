"""When an event is due: its interval from its STARTS, as calendar events in systemd's words if they can say it. Pure.

An event runs on the grid of its interval from STARTS, in its own zone, and catches nothing up. Dialect "mysql_events"
of control.schedule reads the expression.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.contract import Schedule

Row = dict[str, Any]
SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400, "WEEK": 604_800}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SEEN_ONE_BY_ONE = timedelta(minutes=10)
"""Of an event that keeps only its last start, and starts more often, some starts may never be seen."""
TOO_OFTEN = "too often to be seen start by start: only its last is kept"


def every(row: Row) -> timedelta | None:
    """The interval, where it is of one length."""
    try:
        return timedelta(seconds=int(str(row["interval_value"]).strip("'")) * SECONDS[str(row["interval_field"])])
    except (KeyError, ValueError, OverflowError):
        return None


def schedule_of(row: Row, zone: str, is_logged: bool, now: datetime) -> Schedule:
    """The schedule of one event; `zone` is an IANA name or an offset."""
    if row["execute_at"] is not None:
        return Schedule("mysql_events", "", zone, "once", _instant(row["execute_at"]))
    words = f"every {row['interval_value']} {str(row['interval_field']).lower()}"
    length = every(row)
    if not is_logged and length is not None and length < SEEN_ONE_BY_ONE:
        return Schedule("none", words=f"{words}, {TOO_OFTEN}")
    ends = _instant(row["ends"])
    if ends is not None and ends <= now:
        return Schedule("none", words=f"{words}, ended")
    starts = _instant(row["starts"])
    if starts is None:
        return Schedule("none", words=words)
    local = starts.astimezone(zone_of(zone))
    bounded = ends is not None or starts > now
    expression = "" if bounded else _expression(row, local)
    next_at = _next(starts, length, now) if not expression else None
    if ends is not None and next_at is not None and next_at > ends:
        next_at = None
    return Schedule("mysql_events", expression, zone, f"{words} from {local:%Y-%m-%d %H:%M:%S}", next_at)


def _expression(row: Row, at: datetime) -> str:
    """In systemd's words; empty for what they cannot say."""
    try:
        number = int(str(row["interval_value"]).strip("'"))
    except ValueError:
        return ""
    field = str(row["interval_field"])
    if number == 1 and field in ("DAY", "WEEK", "MONTH"):
        weekday = f"{WEEKDAYS[at.weekday()]} " if field == "WEEK" else ""
        day = str(at.day) if field == "MONTH" else "*"
        return f"{weekday}*-*-{day} {at:%H:%M:%S}" if field != "MONTH" or at.day <= 28 else ""
    if field == "HOUR" and 24 % number == 0:
        return f"*-*-* {_steps(at.hour, number, 24)}:{at:%M:%S}"
    if field == "MINUTE" and 60 % number == 0:
        return f"*-*-* *:{_steps(at.minute, number, 60)}:{at:%S}"
    if field == "SECOND" and 60 % number == 0:
        return f"*-*-* *:*:{_steps(at.second, number, 60)}"
    return ""


def _steps(at: int, step: int, end: int) -> str:
    return "*" if step == 1 else ",".join(str(number) for number in range(at % step, end, step))


def _next(starts: datetime, length: timedelta | None, now: datetime) -> datetime | None:
    if starts > now:
        return starts
    return starts + ((now - starts) // length + 1) * length if length else None


def zone_name(row: Row, about: Row, server_zone: str | None) -> str:
    """An event's zone as an IANA name or an offset; SYSTEM is the server's own."""
    named = str(row["time_zone"])
    if named != "SYSTEM":
        return named
    if server_zone:
        return server_zone
    system = str(about["system_zone"])
    if system in ("UTC", "GMT"):
        return "UTC"
    minutes = int(about["offset_seconds"] or 0) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name or an offset; UTC for what is neither."""
    if name[:1] in "+-" and name[1:].replace(":", "").isdigit():
        hours, _, minutes = name[1:].partition(":")
        span = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-span if name[0] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _instant(seconds: object) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(float(str(seconds)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
