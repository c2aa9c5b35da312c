"""Times and names as people read them in reasons, titles, keys and alerts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from console.clean import clean_line
from console.control.zones import zone_of

KEY_NAME_LIMIT = 300
_JOINTS = frozenset("@#~")
"""What holds the parts of a key together."""


def unmistakable(raw: str) -> str:
    """The name for a key: as it is where it can be shown so; else cleaned, with a digest of its bytes, so that names
    that look alike are two."""
    shown = clean_line(raw, KEY_NAME_LIMIT)
    if shown == raw and not _JOINTS & set(raw):
        return raw
    return f"{shown}~{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def clock(at: datetime, zone: str, near: datetime | None = None) -> str:
    """ "03:12" in that zone, with its date where it is another than that of `near`: "19 Nov 03:12"."""
    local = _local(at, zone)
    if near is None or _local(near, zone).date() == local.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b %H:%M}"


def moment(at: datetime, zone: str, near: datetime | None = None) -> str:
    """`clock` with its zone's label: "06:30 CET", "19 Nov 06:30 CET"."""
    return f"{clock(at, zone, near)} {_local(at, zone).tzname()}"


def dated(at: datetime, zone: str) -> str:
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
