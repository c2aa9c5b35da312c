"""On whose wall a command tells its times: one rule for all of them, the console's own.

What belongs to a service stands in that service's zone. All else stands in the zone that all services share, or, where
they share none, in this machine's. `--utc` puts everything into UTC. Each time carries its zone, or stands beside one
that does or under a line that names it; JSON is UTC always.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from console.control import stamps
from console.control.zones import instant_at, readings

A_WEEK = timedelta(days=7)
"""From which on the name of a weekday means two days."""

_shared = "UTC"
_in_utc = False


@contextmanager
def of_command(in_utc: bool) -> Iterator[None]:
    """While a command runs, with --utc or without; it knows nothing of services until it reads them."""
    global _shared, _in_utc
    before, _shared, _in_utc = (_shared, _in_utc), "", in_utc
    try:
        yield
    finally:
        _shared, _in_utc = before


def hang(zones: set[str]) -> None:
    """These are the zones of the store's services."""
    global _shared
    _shared = next(iter(zones)) if len(zones) == 1 else ""


def zone_for(own: str = "") -> tzinfo | None:
    """The zone in which a time of a service with this zone is told, by default one of no service; None: this
    machine's."""
    if _in_utc:
        return UTC
    name = own or _shared
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def instant(shown: datetime) -> datetime:
    """When the wall of `zone_for` shows that naive time: the first of two; the jump itself for one that never is."""
    zone = zone_for()
    return shown.astimezone(UTC) if zone is None else instant_at(shown, zone)


def instants(shown: datetime) -> tuple[datetime, ...]:
    """Every instant at which that wall shows that naive time, the first first: one, or two where the clocks go back."""
    zone = zone_for()
    if zone is not None:
        return readings(shown, zone) or (instant_at(shown, zone),)
    first, second = (shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return (first,) if second <= first else (first, second)


def zone_name(now: datetime, own: str = "") -> str:
    """`zone_for` as a heading: "Europe/Berlin", "UTC", or this machine's "CET"."""
    name = "" if _in_utc else own or _shared
    return name or now.astimezone(zone_for()).strftime("%Z")


def stamp(at: datetime | None) -> str:
    """ "2026-11-20 04:12:04 CET", "2026-11-20 03:12:04Z"; "–" for None."""
    return stamps.stamp(at, zone_for())


def clock_words(at: datetime | None, zone: str = "", near: datetime | None = None) -> str:
    """ "06:30 CET", with its day where that is another than that of `near`: "Sat 21 Nov 06:30 CET", of another year
    with that too; "–" for None. `zone`: of the service that it belongs to."""
    return stamps.clock_words(at, zone_for(zone), near)


def cell_clock(at: datetime | None, zone: str, near: datetime) -> str:
    """`clock_words` for a cell beside which "in 14h" stands: "06:30 CET", "Sat 06:30 CET", "28 Nov 06:30 CET"."""
    if at is None:
        return "–"
    local, today = at.astimezone(zone_for(zone)), near.astimezone(zone_for(zone)).date()
    far = "%-d %b " if local.year == today.year else "%Y-%m-%d "
    day = "" if local.date() == today else "%a " if abs(local.date() - today) < A_WEEK else far
    return local.strftime(f"{day}%H:%M %Z")


def day_words(at: datetime | None, now: datetime) -> str:
    """`until`, with the day where it is another one: "in 14h (Sat 21 Nov)"."""
    if at is None or at.astimezone(zone_for()).date() == now.astimezone(zone_for()).date():
        return stamps.until(at, now)
    return f"{stamps.until(at, now)} ({at.astimezone(zone_for()):%a %-d %b})"
