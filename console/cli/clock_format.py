"""Times as commands print them, all of one command in one time zone.

The zone is that of the service, or of the most urgent service of the incident, that the command shows; else the one
that all services share, else that of this machine. `--utc` prints UTC. Every time has its zone, or a heading that
names it; JSON is always UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from console.cli.exits import CommandError, Exit
from console.domain.text import Text, key_text, render
from console.timing import formats
from console.timing.durations import parse_duration
from console.timing.zones import instant_at, local_readings

WEEK = timedelta(days=7)
"""Beyond it the name of a weekday is ambiguous."""

_shared_zone = "UTC"
_in_utc = False
_in_heading = False


@contextmanager
def command_zone(in_utc: bool) -> Iterator[None]:
    """The display zone while a command runs; services add theirs when they are read."""
    global _shared_zone, _in_utc
    before, _shared_zone, _in_utc = (_shared_zone, _in_utc), "", in_utc
    try:
        yield
    finally:
        _shared_zone, _in_utc = before


@contextmanager
def one_zone() -> Iterator[None]:
    """All times in the same zone, which a heading names: they are without it."""
    global _in_heading
    _in_heading = True
    try:
        yield
    finally:
        _in_heading = False


def share_service_zone(zones: set[str]) -> None:
    """Times are printed in the one zone of these services, if it is one."""
    global _shared_zone
    _shared_zone = next(iter(zones)) if len(zones) == 1 else ""


def display_zone() -> tzinfo | None:
    """The zone in which times are printed; None: this machine's."""
    if _in_utc:
        return UTC
    try:
        return ZoneInfo(_shared_zone) if _shared_zone else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def instant_of_clock(shown: datetime) -> datetime:
    """The instant of a naive clock time in the display zone: the first of two; the clock change for one it skips."""
    zone = display_zone()
    return shown.astimezone(UTC) if zone is None else instant_at(shown, zone)


def instants_of_clock(shown: datetime) -> tuple[datetime, ...]:
    """Every instant with that clock time in the display zone, in order: one, or two where the clocks go back."""
    zone = display_zone()
    if zone is not None:
        return local_readings(shown, zone) or (instant_at(shown, zone),)
    first, second = (shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return (first,) if second <= first else (first, second)


def time_ago(length: str, now: datetime) -> datetime:
    """The instant so long before `now`, of an option `--since`. Raises CommandError."""
    try:
        since = now - parse_duration(length)
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"--since: {error}") from None
    except OverflowError:
        raise CommandError(Exit.USAGE, f'--since: "{length[:40]}" is longer than any calendar; write 14d') from None
    if since >= now:
        raise CommandError(Exit.USAGE, f'--since: "{length[:40]}" is not before now; write 14d')
    return since


def zone_name(now: datetime) -> str:
    """The display zone as a heading: "Europe/Berlin", "UTC", or this machine's "CET"."""
    return ("" if _in_utc else _shared_zone) or now.astimezone(display_zone()).strftime("%Z")


def timestamp(at: datetime | None) -> str:
    """ "2026-11-20 04:12:04 CET"; "–" for None."""
    return "–" if at is None else _written(at, ":%S")


def stamp(at: datetime) -> str:
    """ "2026-11-20 04:12 CET", with its seconds unless they are 0."""
    return _written(at, ":%S" if at.second else "")


def _written(at: datetime, seconds: str) -> str:
    zone = "" if _in_heading else " %Z"
    return f"{at.astimezone(display_zone()):%Y-%m-%d %H:%M{seconds}{zone}}"


def period(key: str) -> str:
    """The key of a period, with its instant as `stamp` prints it."""
    return render(key_text(key), stamp)


def in_display_zone(text: str) -> str:
    """The text with each of its UTC stamps as `stamp` prints it."""
    return formats.localized(text, stamp)


def clock_text(at: datetime | None, near: datetime | None = None) -> str:
    """ "06:30 CET", with the day if it is not that of `near`: "Sat 21 Nov 06:30 CET", and the year if it is another;
    "–" for None."""
    text = formats.clock_text(at, display_zone(), near)
    return text.rpartition(" ")[0] if at is not None and _in_heading else text


def clocked(text: Text, near: datetime | None) -> str:
    """The text with its times as `clock_text` prints them."""
    return render(text, partial(clock_text, near=near))


def dated_clock_text(at: datetime) -> str:
    """`clock_text` that always has the day, for a page that is read on another one."""
    return clock_text(at, near=at - timedelta(days=2))


def clock_cell(at: datetime | None, near: datetime) -> str:
    """A short `clock_text` for a cell: "06:30 CET", "Sat 06:30 CET", "28 Nov 06:30 CET"."""
    if at is None:
        return "–"
    local, today = at.astimezone(display_zone()), near.astimezone(display_zone()).date()
    far = "%-d %b " if local.year == today.year else "%Y-%m-%d "
    day = "" if local.date() == today else "%a " if abs(local.date() - today) < WEEK else far
    return local.strftime(f"{day}%H:%M" if _in_heading else f"{day}%H:%M %Z")


def local_clock_cell(at: datetime | None, near: datetime) -> str:
    """`clock_cell` without the zone, for a cell beside one that names it."""
    text = clock_cell(at, near)
    return text if at is None or _in_heading else text.rpartition(" ")[0]


def act_by_text(at: datetime | None, now: datetime, clock: Callable[[datetime, datetime], str] = clock_cell) -> str:
    """ "03:58 CET in 18m10s", "03:58 CET passed"; "–" for None."""
    if at is None:
        return "–"
    return f"{clock(at, now)} {formats.relative_time_text(at, now) if at > now else 'passed'}"


def until_text(at: datetime | None, now: datetime) -> str:
    """Relative time, with the day if it is another one: "in 14h (Sat 21 Nov)"."""
    if at is None or at.astimezone(display_zone()).date() == now.astimezone(display_zone()).date():
        return formats.relative_time_text(at, now)
    return f"{formats.relative_time_text(at, now)} ({at.astimezone(display_zone()):%a %-d %b})"
