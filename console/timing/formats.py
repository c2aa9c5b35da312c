"""Instants and durations as text, always with a time zone: in reasons, titles, alerts, tables and logs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from console.timing.durations import format_duration
from console.timing.zones import zone_of


def local_time(at: datetime, zone: str, near: datetime | None = None) -> str:
    """ "03:12" in that zone, with its date where it is another than that of `near`: "19 Nov 03:12"."""
    local = _local(at, zone)
    if near is None or _local(near, zone).date() == local.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b %H:%M}"


def zoned_time(at: datetime, zone: str, near: datetime | None = None) -> str:
    """`clock` with its zone's label: "06:30 CET", "19 Nov 06:30 CET"."""
    return f"{local_time(at, zone, near)} {zone_label(at, zone)}"


def zone_label(at: datetime, zone: str) -> str:
    """ "CET": the zone's label at that time."""
    return _local(at, zone).tzname() or ""


def dated_time(at: datetime, zone: str) -> str:
    """ "2026-11-20 03:12 CET"."""
    local = _local(at, zone)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def _local(at: datetime, zone: str) -> datetime:
    """In that zone; in UTC at the ends of the calendar, where sources keep "never" and the zone's year would be 0 or
    10000."""
    try:
        return at.astimezone(zone_of(zone))
    except OverflowError:
        return at.astimezone(UTC)


_UTC_STAMP = re.compile(
    r"(?:(?<=start):|(?<![\w:]))(\d{4}-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d(?::[0-5]\d)?)(?:\.\d+)?(?:Z| UTC)\b"
)


def localized(text: str, shown: Callable[[datetime], str]) -> str:
    """The text with each of its UTC stamps ("2026-11-20T09:00:00Z") as `shown` writes it; a period key
    "start:2026-11-20T09:00:07Z" with a space before it."""

    def written(stamp: re.Match[str]) -> str:
        try:
            time = shown(datetime.fromisoformat(f"{stamp[1]}Z"))
        except (ValueError, OverflowError):  # "2026-02-30 10:00 UTC"
            return stamp[0]
        return f" {time}" if stamp[0].startswith(":") else time

    return _UTC_STAMP.sub(written, text)


def age_text(at: datetime | None, now: datetime) -> str:
    """ "12m ago"; "now" for what a clock ahead of ours reported; "–" for None."""
    if at is None:
        return "–"
    return f"{format_duration(now - at)} ago" if at <= now else "now"


def clock_text(at: datetime | None, zone: str | tzinfo | None = "UTC", near: datetime | None = None) -> str:
    """ "06:30 CET", with its day where that is another than that of `near`: "Sat 21 Nov 06:30 CET", of another year
    with that too; "–" for None. No zone is this machine's."""
    if at is None:
        return "–"
    of = ZoneInfo(zone) if isinstance(zone, str) else zone
    local = at.astimezone(of)
    today = local.date() if near is None else near.astimezone(of).date()
    day = "" if local.date() == today else "%a %-d %b " if local.year == today.year else "%a %-d %b %Y "
    return local.strftime(f"{day}%H:%M %Z")


def timestamp_text(at: datetime | None, zone: tzinfo | None = UTC) -> str:
    """ "2026-11-20 04:12:04 CET"; "–" for None. No zone is this machine's."""
    return "–" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def relative_time_text(at: datetime | None, now: datetime) -> str:
    """ "in 40m12s" or "12m ago"; "–" for None."""
    if at is None:
        return "–"
    seconds = (at - now).total_seconds()
    return f"in {format_duration(seconds)}" if seconds >= 0 else f"{format_duration(-seconds)} ago"
