"""Time zones: the one place that turns a wall-clock reading into an instant.

A local time that a clock change skips is read as the instant of the jump; one that occurs twice has two readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
UTC_NAMES = frozenset({"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu"})
"""IANA names of UTC."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name ("Europe/Berlin") or an offset ("+01:00"). Raises ValueError for any other word."""
    offset = _OFFSET.fullmatch(name)
    if offset:
        sign, hours, minutes = offset.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(ahead if sign == "+" else -ahead)
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as fault:
        raise ValueError(f'"{name}" is not a zone; write an IANA name such as Europe/Berlin, or +01:00') from fault


def local_readings(local: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The instants (UTC) at which a clock in `zone` shows the naive `local`: one; none in a gap; two in an overlap."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return (first,)
    return () if second < first else (first, second)


def after_gap(local: datetime, zone: tzinfo) -> datetime:
    """The instant (UTC) of the jump over the naive `local`, a time that never is: the first that the clock shows."""
    shown_after, shown_before = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    low, high = shown_after - timedelta(hours=3), shown_before + timedelta(hours=3)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def instant_at(local: datetime, zone: tzinfo) -> datetime:
    """The instant (UTC) of a naive local time: the first of two, and the jump itself for a time that never is."""
    shown = local_readings(local, zone)
    return shown[0] if shown else after_gap(local, zone)


def date_in_window(at: datetime, zone: tzinfo, cutoff: time) -> date:
    """The date whose window holds the instant; the window of a date opens at its `cutoff` and closes at the next. At
    the ends of the calendar it is the instant's own date."""
    try:
        return (
            at.astimezone(zone).replace(tzinfo=None)
            - timedelta(
                hours=cutoff.hour, minutes=cutoff.minute, seconds=cutoff.second, microseconds=cutoff.microsecond
            )
        ).date()
    except OverflowError:
        return at.date()


@lru_cache(maxsize=4096)
def business_window(day: date, zone: tzinfo, cutoff: time) -> tuple[datetime, datetime]:
    """The window of a business date: from its cutoff until just before the cutoff of the next day (UTC)."""
    return (
        instant_at(datetime.combine(day, cutoff), zone),
        instant_at(datetime.combine(day + timedelta(days=1), cutoff), zone),
    )


def time_in_window(day: date, at: time, zone: tzinfo, cutoff: time) -> datetime:
    """The instant (UTC) of a local time of day inside the window of `day`: 06:30 of the 19th is on the 20th."""
    on = day if at >= cutoff else day + timedelta(days=1)
    return instant_at(datetime.combine(on, at), zone)


def clock_change_dates(at: time, zone: tzinfo, first: date, days: int) -> Iterator[tuple[date, datetime, bool]]:
    """Of so many dates from `first` on those on which a clock in `zone` never shows that time, or shows it twice
    (True), with the instant (UTC) that counts for it there."""
    for day in _dates_of_changes(zone, first, days):
        local = datetime.combine(day, at)
        if len(shown := local_readings(local, zone)) != 1:
            yield day, instant_at(local, zone), bool(shown)


@lru_cache(maxsize=1024)
def _dates_of_changes(zone: tzinfo, first: date, days: int) -> tuple[date, ...]:
    """The dates, of so many from `first` on, at whose end a clock in `zone` has another offset than at their beginning.
    A config has thousands of times, in few zones."""
    midnights = [datetime.combine(first + timedelta(days=number), time(), zone) for number in range(days + 1)]
    return tuple(
        begin.date() for begin, end in pairwise(midnights) if begin.utcoffset() != end.replace(fold=1).utcoffset()
    )
