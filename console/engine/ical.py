"""Who is on call, read from an iCalendar text: its events with their repetitions, in a window of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from console.clean import clean_line
from console.model.alerting import Shift

MOST = 5_000
"""Shifts of one rota that are kept; more are refused, for nobody can tell which of them count."""
MOST_A_DAY = 24
"""Times that one event may come back in a day: a rule by the second would fill the memory before it is counted."""
NAME_LIMIT = 120


class UnreadableRota(Exception):
    """Why it is no calendar that can be read."""


def shifts_of(text: str, people: Sequence[str], begins: datetime, ends: datetime) -> tuple[Shift, ...]:
    """The shifts that touch the window, by their beginning. Who has one is the first attendee, or the summary, that is
    among `people` in whichever case; else its first attendee or summary, as the calendar has it. Raises
    UnreadableRota."""
    import icalendar  # noqa: PLC0415 - only where config has a rota
    import recurring_ical_events  # noqa: PLC0415

    try:
        calendar = icalendar.Calendar.from_ical(text)
        _refuse_floods(calendar)
        found = [_shift(one, people) for one in _events(recurring_ical_events.of(calendar).series, begins, ends)]
    except UnreadableRota:
        raise
    except Exception as error:  # noqa: BLE001 - outside text in the hands of a parser: whatever it raises is its fault
        raise UnreadableRota(f"it is no calendar that can be read ({type(error).__name__})") from None
    wanted = [one for one in found if one is not None and one.begins < ends and one.ends > begins]
    return tuple(sorted(wanted, key=lambda one: (one.begins, one.ends, one.person)))


def _refuse_floods(calendar: Any) -> None:
    """Raises UnreadableRota for an event that comes back more often than any shift does."""
    for event in calendar.walk("VEVENT"):
        rules = event.get("RRULE", [])
        for rule in rules if isinstance(rules, list) else [rules]:
            often = str(next(iter(rule.get("FREQ", ())), "")).upper() in ("SECONDLY", "MINUTELY")
            times = math.prod(len(rule.get(name, ())) or 1 for name in ("BYHOUR", "BYMINUTE", "BYSECOND"))
            if often or times > MOST_A_DAY:
                raise UnreadableRota(f"an event in it comes back more than {MOST_A_DAY} times a day, which is no shift")


def _events(series: Sequence[Any], begins: datetime, ends: datetime) -> list[Any]:
    """Every event of the window, each repetition by itself. Raises UnreadableRota beyond MOST."""
    found: list[Any] = []
    for one in series:
        found += one.between(begins, ends)
        if len(found) > MOST:
            raise UnreadableRota(f"it has more than {MOST:,} shifts within {(ends - begins).days} days")
    return [one.as_component(keep_recurrence_attributes=False) for one in found]


def _shift(event: Any, people: Sequence[str]) -> Shift | None:
    begins, ends = _instant(event.start), _instant(event.end)
    if ends <= begins or str(event.get("STATUS", "")).upper() == "CANCELLED":
        return None
    names = [name for name in _names(event) if name]
    known = {name.casefold(): name for name in people}
    person = next((known[name.casefold()] for name in names if name.casefold() in known), names[0] if names else "")
    return Shift(person, begins, ends) if person else None


def _names(event: Any) -> Iterator[str]:
    """Attendees by name, address and the part before the @, then the summary."""
    attendees = event.get("ATTENDEE", [])
    for one in attendees if isinstance(attendees, list) else [attendees]:
        address = str(one).strip()
        address = address[len("mailto:") :] if address.lower().startswith("mailto:") else address
        yield from (_line(str(one.params.get("CN", ""))), _line(address), _line(address.partition("@")[0]))
    yield _line(str(event.get("SUMMARY", "")))


def _line(text: str) -> str:
    return clean_line(text, NAME_LIMIT).strip()


def _instant(at: date | datetime) -> datetime:
    """A whole day is that of UTC; a time without a zone too."""
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)


LOOKBACK, AHEAD = timedelta(days=2), timedelta(days=28)
"""The window of shifts that are kept: before now, and after."""
