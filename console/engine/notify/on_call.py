"""On-call calendars: read at intervals into the store; a failed read keeps the last one.

An iCalendar text becomes shifts: its events with their repetitions, within a window of time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, checked_origin
from console.config.alerts import RotaSettings
from console.control.alerts.routing import route_of_person
from console.domain.alert import AlertingSettings, OnCallShift, on_call
from console.domain.ids import micros
from console.store import alert_routing as rows
from console.store.db.database import Database
from console.text.cleaning import clean_line
from console.timing.clock import Clock

MAX_EVENTS = 5_000
"""Maximum shifts of one rota; a calendar with more is rejected."""
MAX_EVENTS_PER_DAY = 24
"""Maximum repetitions of an event per day: a rule per second would exhaust memory before it is counted."""
NAME_LIMIT = 120


class RotaParseError(Exception):
    """Why a text is not a readable calendar."""


def parse_shifts(text: str, people: Sequence[str], begins: datetime, ends: datetime) -> tuple[OnCallShift, ...]:
    """Shifts that overlap the window, by start. On call is the first attendee, or the summary, that matches one of
    `people` (ignoring case), else the first attendee or summary as written. Raises RotaParseError."""
    import icalendar  # noqa: PLC0415 - only where config has a rota
    import recurring_ical_events  # noqa: PLC0415

    try:
        calendar = icalendar.Calendar.from_ical(text)
        _refuse_floods(calendar)
        occurrences: list[Any] = []
        for series in recurring_ical_events.of(calendar).series:
            occurrences += series.between(begins, ends)
            if len(occurrences) > MAX_EVENTS:
                raise RotaParseError(f"it has more than {MAX_EVENTS:,} shifts within {(ends - begins).days} days")
        events = [occurrence.as_component(keep_recurrence_attributes=False) for occurrence in occurrences]
        shifts = [shift for event in events if (shift := _shift(event, people)) is not None]
    except RotaParseError:
        raise
    except Exception as error:  # noqa: BLE001 - any error of a parser of outside text means that it cannot be read
        raise RotaParseError(f"not a readable calendar ({type(error).__name__})") from None
    overlapping = [shift for shift in shifts if shift.begins < ends and shift.ends > begins]
    return tuple(sorted(overlapping, key=lambda shift: (shift.begins, shift.ends, shift.person)))


def _refuse_floods(calendar: Any) -> None:
    """Raises RotaParseError for an event that repeats too often."""
    for event in calendar.walk("VEVENT"):
        rules = event.get("RRULE", [])
        for rule in rules if isinstance(rules, list) else [rules]:
            often = str(next(iter(rule.get("FREQ", ())), "")).upper() in ("SECONDLY", "MINUTELY")
            times = math.prod(len(rule.get(name, ())) or 1 for name in ("BYHOUR", "BYMINUTE", "BYSECOND"))
            if often or times > MAX_EVENTS_PER_DAY:
                raise RotaParseError(
                    f"an event repeats more than {MAX_EVENTS_PER_DAY} times a day, which is not a shift"
                )


def _shift(event: Any, people: Sequence[str]) -> OnCallShift | None:
    begins, ends = _instant(event.start), _instant(event.end)
    if ends <= begins or str(event.get("STATUS", "")).upper() == "CANCELLED":
        return None
    names = [name for name in _names(event) if name]
    known = {name.casefold(): name for name in people}
    person = next((known[name.casefold()] for name in names if name.casefold() in known), names[0] if names else "")
    return OnCallShift(person, begins, ends) if person else None


def _names(event: Any) -> Iterator[str]:
    """Attendee names, addresses and the part before the @, then the summary."""
    attendees = event.get("ATTENDEE", [])
    for attendee in attendees if isinstance(attendees, list) else [attendees]:
        address = str(attendee).strip()
        address = address[len("mailto:") :] if address.lower().startswith("mailto:") else address
        yield from (_line(str(attendee.params.get("CN", ""))), _line(address), _line(address.partition("@")[0]))
    yield _line(str(event.get("SUMMARY", "")))


def _line(text: str) -> str:
    return clean_line(text, NAME_LIMIT).strip()


def _instant(at: date | datetime) -> datetime:
    """The instant in UTC; dates and times without a zone count as UTC."""
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)


LOOKBACK, AHEAD = timedelta(days=2), timedelta(days=28)
"""The window of stored shifts: before and after now."""

log = structlog.get_logger("headway.rota")

FETCH_SECONDS = 20.0
"""Per calendar."""
SLOW_SECONDS = 10.0
"""Time after which a step reads no further calendar."""
LIMIT = 4 * 1024 * 1024
MESSAGE_LIMIT = 160
RETRY = timedelta(minutes=1)


class RotaReader:
    """Reads the on-call calendars of the config."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        rotas: Mapping[str, RotaSettings],
        alerting: AlertingSettings,
        folder: Path,
        secrets: SecretStore,
        changed: Callable[[], None],
    ) -> None:
        """`folder`: of the config; relative calendar paths start there."""
        self._store, self._clock, self._rotas, self._alerting = store, clock, rotas, alerting
        self._folder, self._secrets, self._changed = folder, secrets, changed
        self._due: dict[str, float] = {}
        """Rota -> monotonic time of its next read."""
        self._errors: dict[str, tuple[str, datetime]] = {}
        """Rota -> (error of the last read, since when)."""
        self._shifts: dict[str, tuple[OnCallShift, ...]] = {}

    def step(self, fence: int) -> None:
        """Reads the calendars that are due, the longest overdue first. One that is slow leaves the others to the next
        step: the thread would seem to hang."""
        began = monotonic()
        for name in sorted(self._rotas, key=lambda name: self._due.get(name, 0.0)):
            if monotonic() - began >= SLOW_SECONDS or self._due.get(name, 0.0) > began:
                return
            rota = self._rotas[name]
            pause = min(RETRY, rota.refresh_every) if self._read(fence, name, rota) else rota.refresh_every
            self._due[name] = monotonic() + pause.total_seconds()

    def trouble(self) -> str:
        """Unreadable calendars, and rotas without a known person on call."""
        now = self._clock.now()
        return "; ".join(filter(None, (self._trouble_of(name, now) for name in self._rotas)))

    def _trouble_of(self, name: str, now: datetime) -> str:
        if (failed := self._errors.get(name)) is not None:
            error, since = failed
            return f'rota "{name}" cannot be read since {since:%Y-%m-%d %H:%M:%S}Z: {error}'
        if name not in self._shifts:
            return ""
        shift = on_call(self._shifts[name], now)
        if shift is None:
            return f'rota "{name}" has a gap: no one is on call'
        known = route_of_person(self._alerting, name, shift.person)
        return "" if known else f'rota "{name}" names "{shift.person}", who is not in its people'

    def _read(self, fence: int, name: str, rota: RotaSettings) -> bool:
        """Reads one calendar; True if it failed: then the last one stays in use, with its age."""
        now = self._clock.now()
        source = rota.ical if isinstance(rota.ical, str) else rota.ical.text
        try:
            shifts = parse_shifts(self._text(rota), tuple(rota.people), now - LOOKBACK, now + AHEAD)
        except (RotaParseError, ConnectorError, OSError, ValueError) as error:
            text = f"{error.strerror or type(error).__name__}" if isinstance(error, OSError) else str(error)
            text = clean_line(self._secrets.mask(text), MESSAGE_LIMIT)
            before = self._errors.get(name)
            self._errors[name] = (text, before[1] if before is not None else now)
            stored = rows.record_rota_failure(self._store, fence, name, source, text, micros(now))
            self._shifts.setdefault(name, stored)
            if before is None or before[0] != text:
                log.warning("a rota could not be read; the last one stays in use", rota=name, error=text)
            return True
        if self._errors.pop(name, None) is not None:
            log.info("a rota can be read again", rota=name)
        self._shifts[name] = shifts
        written = json.dumps([[shift.person, micros(shift.begins), micros(shift.ends)] for shift in shifts])
        reading = rows.RotaReading(name, source, written, micros(now + AHEAD))
        if rows.record_rota(self._store, fence, reading, micros(now)):
            self._changed()
        return False

    def _text(self, rota: RotaSettings) -> str:
        if isinstance(rota.ical, str):
            with (self._folder / Path(rota.ical).expanduser()).open("rb") as file:
                content = file.read(LIMIT + 1)
        else:
            content = _fetch(self._secrets(rota.ical))
        if len(content) > LIMIT:
            raise RotaParseError(f"larger than {LIMIT // 1024 // 1024} MiB")
        return content.decode("utf-8-sig", "replace")


def _fetch(url: str) -> bytes:
    """The body of a GET from https, or http on this machine. Raises ConnectorError, ValueError, which name only the
    host: the rest of the URL gives access to the calendar."""
    parts = urlsplit(url)
    try:
        origin = checked_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        raise ValueError("the address must be https, or http on this machine") from None
    endpoint = HttpEndpoint("the rota", origin)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        accept = {"Accept": "text/calendar, */*"}
        return endpoint.call("GET", path, Deadline(FETCH_SECONDS), headers=accept, shown="/…").body
    finally:
        endpoint.close()
