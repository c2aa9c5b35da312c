"""Instants and spans in words, for lines that are read later and elsewhere: each says its zone."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from console.durations import duration_words


def since_words(at: datetime | None, now: datetime) -> str:
    """ "12m ago"; "–" for None."""
    return "–" if at is None else f"{duration_words((now - at).total_seconds())} ago"


def clock_words(at: datetime | None, zone: str | tzinfo | None = "UTC", near: datetime | None = None) -> str:
    """ "06:30 CET", with its day where that is another than that of `near`: "Sat 21 Nov 06:30 CET", of another year
    with that too; "–" for None. No zone is this machine's."""
    if at is None:
        return "–"
    of = ZoneInfo(zone) if isinstance(zone, str) else zone
    local = at.astimezone(of)
    today = local.date() if near is None else near.astimezone(of).date()
    day = "" if local.date() == today else "%a %-d %b " if local.year == today.year else "%a %-d %b %Y "
    return local.strftime(f"{day}%H:%M %Z")


def stamp(at: datetime | None, zone: tzinfo | None = UTC) -> str:
    """ "2026-11-20 03:12:04Z", elsewhere "2026-11-20 04:12:04 CET"; "–" for None. No zone is this machine's."""
    if at is None:
        return "–"
    local = at.astimezone(zone)
    name = local.tzname()
    return f"{local:%Y-%m-%d %H:%M:%S}{'Z' if name == 'UTC' else f' {name}'}"


def until(at: datetime | None, now: datetime) -> str:
    """ "in 40m12s" or "12m ago"; "–" for None."""
    if at is None:
        return "–"
    seconds = (at - now).total_seconds()
    return f"in {duration_words(seconds)}" if seconds >= 0 else f"{duration_words(-seconds)} ago"
