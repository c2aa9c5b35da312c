"""Times and durations as people read them in reasons, titles and alerts."""

from __future__ import annotations

from datetime import datetime

from console.control.zones import zone_of


def clock(at: datetime, zone: str, near: datetime | None = None) -> str:
    """ "03:12" in that zone, with its date where it is another than that of `near`: "19 Nov 03:12"."""
    local = at.astimezone(zone_of(zone))
    if near is None or near.astimezone(zone_of(zone)).date() == local.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b %H:%M}"


def moment(at: datetime, zone: str) -> str:
    """ "06:30 CET": the time of day with its zone's label."""
    local = at.astimezone(zone_of(zone))
    return f"{local:%H:%M} {local.tzname()}"


def dated(at: datetime, zone: str) -> str:
    """ "2026-11-20 03:12 CET"."""
    local = at.astimezone(zone_of(zone))
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"
