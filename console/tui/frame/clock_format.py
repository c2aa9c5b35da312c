"""Times as people read them: a clock in a named zone, and durations of at most two units."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from console.timing.durations import format_duration


class CyclicChoice(StrEnum):
    """Choices that one key steps through."""

    def next(self) -> Self:
        choices = list(type(self))
        return choices[(choices.index(self) + 1) % len(choices)]


class ZoneMode(CyclicChoice):
    SERVICE = "service"
    MINE = "mine"
    UTC = "utc"


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


class ZonedClock:
    """Formats instants in the selected zone; `mine` is the user's own."""

    def __init__(self, mine: tzinfo | None = None) -> None:
        self.mode = ZoneMode.SERVICE
        self.mine = mine
        self.home = ""
        """The zone that all services share, or of the subject of a screen; empty, while the mode is `service`, for
        `mine`."""

    def at_home_in(self, zone: str) -> ZonedClock:
        """This clock on a screen about services of that zone."""
        clock = ZonedClock(self.mine)
        clock.mode, clock.home = self.mode, zone
        return clock

    def local(self, at: datetime) -> datetime:
        """`at` in the zone of the mode."""
        return at.astimezone(self._wall())

    def showing(self, shown: datetime) -> datetime:
        """The instant at which the clock shows this naive time."""
        wall = self._wall()
        return shown.astimezone() if wall is None else shown.replace(tzinfo=wall)

    def _wall(self) -> tzinfo | None:
        """The zone of the mode; None for this machine's."""
        if self.mode is ZoneMode.UTC:
            return UTC
        return zone_of(self.home) if self.mode is ZoneMode.SERVICE and self.home else self.mine

    def label(self, at: datetime) -> str:
        """The zone's short name at that instant: "CET"."""
        return self.local(at).strftime("%Z") or "UTC"

    def hm(self, at: datetime | None, now: datetime) -> str:
        """ "06:30"; with the weekday or the date more than a day away; "–" for none."""
        if at is None:
            return "–"
        local = self.local(at)
        away = abs(at - now)
        if away < timedelta(hours=24):
            return local.strftime("%H:%M")
        return local.strftime("%a %H:%M" if away < timedelta(days=6) else "%m-%d %H:%M")

    def due(self, at: datetime, now: datetime) -> str:
        """`hm` of a deadline; with its day if that is not today, so that tomorrow's is not read as one of today."""
        local = self.local(at)
        if local.date() != self.local(now).date() and abs(at - now) < timedelta(days=6):
            return local.strftime("%a %H:%M")
        return self.hm(at, now)

    def day(self, at: datetime | None, now: datetime) -> str:
        """ "06:30" today; "Sat 06:30" within six days; "30 Nov" farther away; "–" for none. At most 9 cells."""
        if at is None:
            return "–"
        local = self.local(at)
        if local.date() == self.local(now).date():
            return local.strftime("%H:%M")
        return local.strftime("%a %H:%M" if abs(at - now) < timedelta(days=6) else "%-d %b")

    def schedule(self, text: str, now: datetime) -> str:
        """A schedule in the selected zone, without it: "daily at 02:00" for "daily at 01:00 UTC"; the same text
        where the shift would change its days."""
        before, _, name = text.rpartition(" ")
        zone = zone_of(name)
        if not before or zone is UTC:  # it does not end in a zone
            return text
        shift = _offset(self.local(now)) - _offset(now.astimezone(zone))
        if not shift or before.startswith("every "):
            return before
        match = _CLOCK_TIME.fullmatch(before)
        if match is None:
            return text
        days, hour, minute = match.groups()
        at = int(hour or 0) * 60 + int(minute) + shift // timedelta(minutes=1)
        if hour is None:
            return f"{days}:{at % 60:02d}"
        return f"{days}{at // 60 % 24:02d}:{at % 60:02d}" if days == "daily at " or 0 <= at < 1440 else text

    def hms(self, at: datetime | None) -> str:
        return "–" if at is None else self.local(at).strftime("%H:%M:%S")

    def full(self, at: datetime | None) -> str:
        """ "2026-11-20 03:12:00 CET"."""
        return "–" if at is None else self.local(at).strftime("%Y-%m-%d %H:%M:%S %Z")


_CLOCK_TIME = re.compile(r"(.* at )(\d\d)?:(\d\d)")


def _offset(at: datetime) -> timedelta:
    return at.utcoffset() or timedelta(0)


def format_short(length: timedelta) -> str:
    """The span without seconds above a minute: "40m", "3h12m"."""
    text = format_duration(length)
    return text if "m" not in text or not text.endswith("s") else text[: text.index("m") + 1]


def format_signed(length: timedelta) -> str:
    """ "+1h22m" or "-12m"."""
    text = format_short(length)
    return text if text.startswith("-") else f"+{text}"
