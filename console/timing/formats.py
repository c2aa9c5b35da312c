"""Instants and durations as text, always with a time zone: in reasons, titles, alerts, tables and logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta, tzinfo
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


_ZONED = re.compile(r"(?:(\d{4}-\d\d-\d\d|\d{1,2} [A-Z][a-z]{2}) )?(?<!:)(\d\d:\d\d) ([A-Za-z]{1,6}|[+-]\d{2,4})\b")


def in_zone(text: str, zone: str, to: str, now: datetime) -> str:
    """The text with each time that `zoned_time` wrote for `zone` as one of zone `to`. A time without a date is near
    now; it gets none."""
    if zone == to:
        return text

    def shown(at: datetime, is_dated: bool) -> str:
        return zoned_time(at, to, now if is_dated else None)

    return clocks_in(text, (zone,), now, shown)


def clocks_in(text: str, zones: Collection[str], now: datetime, shown: Callable[[datetime, bool], str]) -> str:
    """The text with each time that `zoned_time` or `dated_time` wrote for one of the zones as `shown` writes it, which
    takes the instant and whether the text has its date. A time of another zone is unchanged."""

    def moved(time: re.Match[str]) -> str:
        read = (_read(time[1], time[2], time[3], zone, now) for zone in zones if zone)
        at = next((at for at in read if at is not None), None)
        return time[0] if at is None else shown(at, bool(time[1]))

    return _ZONED.sub(moved, text)


def _read(day: str | None, clock: str, label: str, zone: str, now: datetime) -> datetime | None:
    """The instant next to now that a clock of the zone shows so; None if it never does."""
    near, instants = _local(now, zone), list[datetime]()
    dates = [f"{near + timedelta(days=offset):%Y-%m-%d}" for offset in (0, -1, 1)]
    if day:
        dates = [day] if "-" in day else [f"{year} {day}" for year in (near.year, near.year - 1, near.year + 1)]
    for date in dates:
        try:
            form = "%Y-%m-%d %H:%M" if "-" in date else "%Y %d %b %H:%M"
            local = datetime.strptime(f"{date} {clock}", form).replace(tzinfo=zone_of(zone))
        except ValueError:  # 29 Feb
            continue
        instants += [local, local.replace(fold=1)]
    return min((at for at in instants if at.tzname() == label), key=lambda at: abs(at - now), default=None)


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


def rough_duration(length: timedelta) -> str:
    """ "8 min", "3 h 20 min", "2 d 4 h": for people, in full minutes; "under 1 min"."""
    minutes = round(abs(length).total_seconds() // 60)
    if minutes < 1:
        return "under 1 min"
    hours, rest = divmod(minutes, 60)
    days, hours_of_day = divmod(hours, 24)
    parts = [(days, "d"), (hours_of_day, "h")] if days else [(hours, "h"), (rest, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


_UTC_STAMP = re.compile(
    r"(?:(?<=start):|(?<![\w:]))(\d{4}-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d(?::[0-5]\d)?)(?:\.\d+)?(?:Z| UTC)\b"
)


def localized(text: str, shown: Callable[[datetime], str]) -> str:
    """The text with each of its UTC stamps ("2026-11-20T09:00:00Z") as `shown` writes it, full minutes without
    seconds; a period key "start:2026-11-20T09:00:07Z" with a space before it."""

    def written(stamp: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(f"{stamp[1]}Z")
            time = shown(at) if at.second else re.sub(r"(:\d\d):00(?!\d)", r"\1", shown(at))
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
