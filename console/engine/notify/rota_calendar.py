"""The iCalendar text of a rota becomes shifts: its events with their repetitions, within a window of time.

An event that cannot be read is left out and named with its line; the others are used. Runs in a process of its own
(`connectors.sdk.parser_process`), as the libraries have no limit.
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from operator import itemgetter
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events
from icalendar.timezone import tzp

from console.domain.alert import OnCallShift
from console.domain.ids import instant, micros, name_key
from console.text.redact import NONE_KNOWN, sanitize

MAX_EVENTS = 5_000
"""Maximum shifts of one rota; a calendar with more is rejected."""
MAX_EVENTS_PER_DAY = 24
"""Maximum repetitions of an event per day."""
SERIES_SECONDS = 1.0
"""Processor time to find the repetitions of one event."""
RULE_PARTS = re.compile(
    "FREQ|UNTIL|COUNT|INTERVAL|WKST|BY(SECOND|MINUTE|HOUR|DAY|MONTHDAY|YEARDAY|WEEKNO|MONTH|SETPOS)", re.IGNORECASE
)
"""The parts of an RRULE (RFC 5545)."""
CALENDAR_SECONDS = 8.0
"""Processor time to find those of a calendar."""
NAME_LIMIT = 120
_zone_named: Callable[[str], tzinfo | None] = tzp.timezone
"""By an IANA name, by one of Windows, or by that of a VTIMEZONE that was read."""
DAY = timedelta(days=1)


class CalendarUnreadable(Exception):
    """Why a text is not a readable calendar."""


class _EventFault(Exception):
    """Why an event is left out."""

    def __init__(self, reason: str, name: str = "") -> None:
        """`name`: of the property that is wrong."""
        super().__init__(reason)
        self.name = name


class _TooSlow(BaseException):
    """The repetitions of an event take too long; no library catches it."""


def read_rota(text: str, people: Sequence[str], begins_us: int, ends_us: int) -> dict[str, Any]:
    """`read_calendar` with plain values, for a process."""
    try:
        shifts, left_out = read_calendar(text, people, instant(begins_us), instant(ends_us))
    except CalendarUnreadable as error:
        return {"error": str(error)}
    rows = [(shift.person, micros(shift.begins), micros(shift.ends)) for shift in shifts]
    return {"shifts": rows, "left_out": left_out}


def read_calendar(
    text: str, people: Sequence[str], begins: datetime, ends: datetime
) -> tuple[tuple[OnCallShift, ...], tuple[str, ...]]:
    """Shifts that overlap the window, by start, and the events that are left out, each with line and reason. On call is
    the first attendee, or the summary, that matches one of `people` (ignoring case), else the first attendee or summary
    as written; those who accepted come first. Rooms, resources and those who are only informed are not attendees, and
    who declined or delegated the shift is not on call. Raises CalendarUnreadable."""
    known = {name_key(name): name for name in people}
    shifts: list[OnCallShift] = []
    left_out: list[tuple[int, str]] = []
    readable, spent, slowest = 0, 0.0, (0.0, _Event())
    for calendar in _calendars(text):
        left_out += _left_out_zones(calendar)
        series: dict[str, list[_Event]] = {}
        for event in calendar.events:
            try:
                event.read(calendar.zone)
                series.setdefault(str(event.component.get("UID", id(event))), []).append(event)
            except Exception as error:  # noqa: BLE001 - any error of a parser of outside text means that it cannot be read
                left_out.append(event.left_out(error))
        for events in series.values():
            if spent > CALENDAR_SECONDS:
                _, text = slowest[1].left_out(_EventFault(f"they take {slowest[0]:.1f} s; begin them later", "RRULE"))
                raise CalendarUnreadable(
                    f"its repetitions take over {CALENDAR_SECONDS:g} s to find; the slowest: {text}"
                )
            began = process_time()
            try:
                occurrences = _occurrences(events, calendar, begins, ends)
                made = [_shift(occurrence, known, calendar.zone) for occurrence in occurrences]
            except CalendarUnreadable:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                left_out.append(events[0].left_out(error))
            else:
                readable += 1
                shifts += [shift for shift in made if shift is not None and shift.begins < ends and shift.ends > begins]
            cost = process_time() - began
            spent += cost
            slowest = max(slowest, (cost, events[0]), key=itemgetter(0))
            if len(shifts) > MAX_EVENTS:
                raise CalendarUnreadable(f"it has more than {MAX_EVENTS:,} shifts within {(ends - begins).days} days")
    reasons = tuple(text for _, text in sorted(left_out))
    if reasons and not readable:
        raise CalendarUnreadable(f"no event of it can be read: {reasons[0]}")
    return tuple(sorted(shifts, key=lambda shift: (shift.begins, shift.ends, shift.person))), reasons


_Lines = list[tuple[int, str]]
"""Lines of a component with their numbers."""


@dataclass
class _Event:
    """A VEVENT without its alarms."""

    lines: _Lines = field(default_factory=list)
    component: Any = None

    def read(self, zone: tzinfo | None) -> None:
        """Parses it. Raises _EventFault, and whatever the library raises."""
        self.component = icalendar.Event.from_ical("\r\n".join(line for _, line in self.lines) + "\r\n")
        for name, reason in self.component.errors:
            raise _EventFault(str(reason), str(name or ""))
        for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE"):
            for value in _listed(self.component.get(name)):
                zone_name = value.params.get("TZID")
                if zone_name and any(isinstance(at, datetime) and at.tzinfo is None for at in _times(value)):
                    raise _EventFault(f'unknown time zone "{zone_name}"', name)
        if "EXRULE" in self.component:
            raise _EventFault("it is not supported; write EXDATE", "EXRULE")
        if problem := _rule_fault(self.component):
            raise _EventFault(problem, "RRULE")
        begins, ends = self.component.start, self.component.end
        name = "DURATION" if "DURATION" in self.component else "DTEND"
        if _instant(ends, zone) < _instant(begins, zone):
            raise _EventFault("it ends before it begins", name)
        if _is_cancelled(self.component):
            return
        if ends == begins:
            raise _EventFault("it has no duration; add a DTEND or DURATION", name)
        if not _invited(self.component) and not _line(str(self.component.get("SUMMARY", ""))):
            raise _EventFault("it has no name; add a SUMMARY or ATTENDEE", "SUMMARY")

    def left_out(self, fault: Exception) -> tuple[int, str]:
        """Line and text: event "Team birthday" (line 15): DTSTART: Wrong date format 20230230."""
        names = {re.split("[;:]", line, maxsplit=1)[0].upper(): number for number, line in reversed(self.lines)}
        wrong = fault.name if isinstance(fault, _EventFault) else ""
        number = names.get(wrong, self.lines[0][0])
        title = next((line[len("SUMMARY:") :] for _, line in self.lines if line.upper().startswith("SUMMARY:")), "")
        subject = f'event "{_line(title)}"' if title else "an event"
        return number, f"{subject} (line {number}): {': '.join(filter(None, (wrong, _line(str(fault)).rstrip('.'))))}"


@dataclass
class _Calendar:
    """A VCALENDAR: its time zones, its events and the zone of times without one."""

    zones: list[_Lines] = field(default_factory=list)
    """VTIMEZONEs."""
    events: list[_Event] = field(default_factory=list)
    zone_name: str = ""
    """X-WR-TIMEZONE."""
    method: str = ""

    @property
    def zone(self) -> tzinfo | None:
        """X-WR-TIMEZONE, None if it is unknown; without it that of the only VTIMEZONE, else UTC."""
        try:
            return ZoneInfo(self.zone_name) if self.zone_name else self._only_zone
        except (KeyError, ValueError, OSError):
            return None

    @cached_property
    def _only_zone(self) -> tzinfo:
        names = {line[len("TZID:") :].strip() for lines in self.zones for _, line in lines if line.startswith("TZID:")}
        only = _zone_named(names.pop()) if len(names) == 1 else None
        return UTC if only is None else only


def _calendars(text: str) -> list[_Calendar]:
    """The calendars of the text that are not cancelled; other components are not read. Raises CalendarUnreadable."""
    calendars: list[_Calendar] = []
    path: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        is_folded = line.startswith((" ", "\t"))
        mark, _, name = ("", "", "") if is_folded else line.strip().upper().partition(":")
        if mark == "BEGIN":
            path.append(name)
            if path == ["VCALENDAR"]:
                calendars.append(_Calendar())
            elif path == ["VCALENDAR", "VEVENT"]:
                calendars[-1].events.append(_Event())
            elif path == ["VCALENDAR", "VTIMEZONE"]:
                calendars[-1].zones.append([])
        match path:
            case ["VCALENDAR"] if mark.partition(";")[0] == "X-WR-TIMEZONE":
                calendars[-1].zone_name = line.partition(":")[2].strip()
            case ["VCALENDAR"] if mark.partition(";")[0] == "METHOD":
                calendars[-1].method = name
            case ["VCALENDAR", "VTIMEZONE", *_]:
                calendars[-1].zones[-1].append((number, line))
            case ["VCALENDAR", "VEVENT"]:
                calendars[-1].events[-1].lines.append((number, line))
        if mark == "END" and (not path or path.pop() != name):
            raise CalendarUnreadable(f"not a readable calendar (line {number}: END:{_line(name)} without its BEGIN)")
    if path or not calendars:
        problem = f"it ends within {_line(path[-1])}" if path else "it has no BEGIN:VCALENDAR"
        raise CalendarUnreadable(f"not a readable calendar ({problem})")
    return [calendar for calendar in calendars if calendar.method != "CANCEL"]


def _left_out_zones(calendar: _Calendar) -> Iterator[tuple[int, str]]:
    """Makes each VTIMEZONE known to the library; yields line and text of those that cannot be read. An event in one of
    these is read if its zone is known by its name."""
    for lines in calendar.zones:
        text = ["BEGIN:VCALENDAR", *(line for _, line in lines), "END:VCALENDAR", ""]
        try:
            icalendar.Calendar.from_ical("\r\n".join(text))
        except Exception as error:  # noqa: BLE001 - any error of a parser of outside text means that it cannot be read
            yield lines[0][0], f"a VTIMEZONE (line {lines[0][0]}): {_line(str(error))}"


def _rule_fault(event: Any) -> str:
    """Why an event does not repeat as a shift does."""
    for rule in _listed(event.get("RRULE")):
        if unknown := [part for part in rule if not RULE_PARTS.fullmatch(part)]:
            return f'"{unknown[0]}" is not known; use FREQ, UNTIL, COUNT, INTERVAL, WKST or BY… of RFC 5545'
        if len(rule.get("UNTIL", ())) > 1:
            return "UNTIL has several values; write one"
        if any(interval < 1 for interval in rule.get("INTERVAL", ())):
            return "INTERVAL must be 1 or more"
        often = str(next(iter(rule.get("FREQ", ())), "")).upper() in ("SECONDLY", "MINUTELY")
        times = math.prod(len(rule.get(name, ())) or 1 for name in ("BYHOUR", "BYMINUTE", "BYSECOND"))
        if often or times > MAX_EVENTS_PER_DAY:
            return f"it repeats more than {MAX_EVENTS_PER_DAY} times a day, which is not a shift"
    return ""


def _occurrences(events: Sequence[_Event], calendar: _Calendar, begins: datetime, ends: datetime) -> list[Any]:
    """The occurrences of one series, at least those in the window. Raises as `_Event.read`, and CalendarUnreadable."""
    if len(events) == 1 and not {"RRULE", "RDATE"} & set(events[0].component):
        return [events[0].component]
    made = icalendar.Calendar()
    if calendar.zone_name and calendar.zone is not None:
        made.add("X-WR-TIMEZONE", calendar.zone_name)
    for event in events:
        made.add_component(event.component)
    try:
        _complete_times([event.component for event in events], calendar.zone)
        with _processor_limit(SERIES_SECONDS):
            occurrences = [
                occurrence
                for series in recurring_ical_events.of(made).series
                for occurrence in series.between(begins - DAY, ends + DAY)
            ]
            if len(occurrences) > MAX_EVENTS:
                raise CalendarUnreadable(f"it has more than {MAX_EVENTS:,} shifts within {(ends - begins).days} days")
            return [occurrence.as_component(keep_recurrence_attributes=False) for occurrence in occurrences]
    except _TooSlow:
        raise _EventFault("its repetitions take too long to find; begin them later", "RRULE") from None


def _complete_times(components: Sequence[Any], zone: tzinfo | None) -> None:
    """Gives the times that a series names the type of its DTSTART: the library takes a date for midnight UTC.
    Raises _EventFault."""
    start = next((some for some in components if "RECURRENCE-ID" not in some), components[0]).start
    for component in components:
        for rule in _listed(component.get("RRULE")):
            if "UNTIL" in rule:
                rule["UNTIL"] = [_until(until, start, zone) for until in rule["UNTIL"]]
        if isinstance(start, datetime):
            for value in [*_listed(component.get("RDATE")), *_listed(component.get("RECURRENCE-ID"))]:
                for at in getattr(value, "dts", [value]):
                    if isinstance(at.dt, date) and not isinstance(at.dt, datetime):
                        at.dt = datetime.combine(at.dt, start.timetz())


def _until(until: date | datetime, start: date | datetime, zone: tzinfo | None) -> date | datetime:
    """The last day of a series of days, in the zone of the calendar, or the last instant of one of times; a day that is
    named counts whole. Raises _EventFault."""
    last = until if isinstance(until, datetime) else datetime.combine(until, time.max)
    last = last.replace(year=min(last.year, 9998))  # so that every zone has it
    if not isinstance(start, datetime):
        # A day is also written as its first or last second in UTC.
        is_local = last.tzinfo is None or last.time() in (time(), time(23, 59, 59)) or zone is None
        day = (last if is_local else last.astimezone(zone)).date()
        if day < start:
            raise _EventFault(f"UNTIL={until:%Y%m%d} is before DTSTART; name a later day", "RRULE")
        return day
    if last.tzinfo is None:
        last = last.replace(tzinfo=start.tzinfo or zone)
    if last < (start if start.tzinfo else start.replace(tzinfo=zone)):
        raise _EventFault(f"UNTIL={until:%Y%m%d} is before DTSTART; name a later day", "RRULE")
    return last.astimezone(UTC).replace(microsecond=0)


@contextmanager
def _processor_limit(seconds: float) -> Iterator[None]:
    """Raises _TooSlow in the block after that much processor time. Only on the main thread."""

    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _shift(event: Any, people: Mapping[str, str], zone: tzinfo | None) -> OnCallShift | None:
    """The shift of an occurrence; None for one that is cancelled, or that everybody declined or delegated. `people`: by
    `name_key`."""
    begins, ends = _instant(event.start, zone), _instant(event.end, zone)
    if ends <= begins or _is_cancelled(event):
        return None
    invited = _invited(event)
    coming = [attendee for attendee in invited if _parameter(attendee, "PARTSTAT") not in ("DECLINED", "DELEGATED")]
    coming.sort(key=lambda attendee: _parameter(attendee, "PARTSTAT") != "ACCEPTED")
    if invited and not coming:
        return None
    declined = {name_key(name) for attendee in invited if attendee not in coming for name in _names(attendee)}
    names = [name for attendee in coming for name in _names(attendee)] + [_line(str(event.get("SUMMARY", "")))]
    names = [name for name in names if name and name_key(name) not in declined]
    person = next((people[name_key(name)] for name in names if name_key(name) in people), names[0] if names else "")
    return OnCallShift(person, begins, ends) if person else None


def _is_cancelled(event: Any) -> bool:
    return str(event.get("STATUS", "")).upper() == "CANCELLED"


def _invited(event: Any) -> list[Any]:
    """The attendees who are people and take part (RFC 5545, CUTYPE and ROLE)."""
    attendees = _listed(event.get("ATTENDEE"))
    people = (attendee for attendee in attendees if _parameter(attendee, "CUTYPE") not in ("ROOM", "RESOURCE"))
    return [attendee for attendee in people if _parameter(attendee, "ROLE") != "NON-PARTICIPANT"]


def _parameter(attendee: Any, name: str) -> str:
    return str(attendee.params.get(name, "")).upper()


def _names(attendee: Any) -> tuple[str, str, str]:
    """Name, address and the part before the @."""
    address = str(attendee).strip()
    address = address[len("mailto:") :] if address.lower().startswith("mailto:") else address
    return _line(str(attendee.params.get("CN", ""))), _line(address), _line(address.partition("@")[0])


def _times(value: Any) -> list[Any]:
    """Those of a property with one or several."""
    return [at.dt for at in getattr(value, "dts", [value])]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _line(text: str) -> str:
    return sanitize(text, NONE_KNOWN, NAME_LIMIT, on_one_line=True).strip()


def _instant(at: date | datetime, zone: tzinfo | None) -> datetime:
    """The instant in UTC; dates and times without a zone are in that of the calendar. Raises _EventFault."""
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    if at.tzinfo is None:
        if zone is None:
            raise _EventFault("its time zone is that of the calendar, and X-WR-TIMEZONE is unknown", "DTSTART")
        at = at.replace(tzinfo=zone)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise _EventFault("its time is out of range", "DTSTART") from None
