"""On-call calendars: read at intervals into the store; a failed read keeps the last one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.parser_process import parse_apart
from connectors.sdk.regular_file import read_regular_file
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, checked_origin
from console.config.alerts import RotaSettings
from console.control.alerts.routing import route_of_person
from console.domain.alert import AlertingSettings, OnCallShift, on_call
from console.domain.ids import instant, micros
from console.engine.keyed_executor import KeyedExecutor
from console.store import alert_routing as rows
from console.store.db.database import Database
from console.text.redact import sanitize
from console.timing.clock import Clock


class RotaParseError(Exception):
    """Why a text is not a readable calendar."""


class RotaCalendar(NamedTuple):
    shifts: tuple[OnCallShift, ...]
    left_out: tuple[str, ...]
    """Events that cannot be read, each with its line and the reason."""

    @property
    def problem(self) -> str:
        """The events that are left out, the first by name; empty if none is."""
        if not self.left_out:
            return ""
        further = len(self.left_out) - 1
        suffix = f", and {further} other event{'s' * (further != 1)} that headway check names" if further else ""
        return f"is read without {self.left_out[0]}{suffix}"


def read_rota(text: str, people: Sequence[str], begins: datetime, ends: datetime) -> RotaCalendar:
    """The calendar as `rota_calendar` reads it, in a process of its own. Raises RotaParseError, ParserEnded."""
    from console.engine.notify import rota_calendar  # noqa: PLC0415 - only where config has a rota

    read = parse_apart(rota_calendar.read_rota, text, list(people), micros(begins), micros(ends))
    if "error" in read:
        raise RotaParseError(read["error"])
    shifts = (OnCallShift(person, instant(begins), instant(ends)) for person, begins, ends in read["shifts"])
    return RotaCalendar(tuple(shifts), tuple(read["left_out"]))


LOOKBACK, AHEAD = timedelta(days=2), timedelta(days=28)
"""The window of stored shifts: before and after now."""

log = structlog.get_logger("headway.rota")

FETCH_SECONDS = 20.0
"""Per calendar."""
READS_AT_ONCE = 8
"""Calendars read at once: each takes a thread, and a process that parses it."""
LIMIT = 4 * 1024 * 1024
MESSAGE_LIMIT = 240
WEBCAL_SCHEMES = ("webcal", "webcals")
"""Links to subscribe to a calendar, which is served by https."""
REFRESH = timedelta(minutes=15)
"""Interval of reading a calendar."""
RETRY = timedelta(minutes=1)
"""The same after a failed read."""


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
        self._reads = KeyedExecutor(READS_AT_ONCE, "rota")
        self._due: dict[str, float] = {}
        """Rota -> monotonic time of its next read."""
        self._errors: dict[str, tuple[str, datetime]] = {}
        """Rota -> (error of the last read, since when)."""
        self._read_calendars: dict[str, RotaCalendar] = {}

    def step(self, fence: int) -> None:
        """Starts to read the calendars that are due, each on a thread of its own: a slow one delays no other."""
        self._reads.is_idle()  # forgets what has ended
        for name in self._rotas:
            if self._due.get(name, 0.0) <= monotonic():
                self._reads.take(name, partial(self._refresh, fence, name))

    def _refresh(self, fence: int, name: str) -> None:
        pause = RETRY if self._read(fence, name, self._rotas[name]) else REFRESH
        self._due[name] = monotonic() + pause.total_seconds()

    def close(self) -> None:
        """Starts no more reads."""
        self._reads.close()

    def trouble(self) -> str:
        """Unreadable calendars, and rotas without a known person on call."""
        now = self._clock.now()
        return "; ".join(filter(None, (self._trouble_of(name, now) for name in self._rotas)))

    def _trouble_of(self, name: str, now: datetime) -> str:
        if (failed := self._errors.get(name)) is not None:
            error, since = failed
            return f'rota "{name}" cannot be read since {since:%Y-%m-%d %H:%M:%S}Z: {error}'
        if name not in self._read_calendars:
            return ""
        calendar = self._read_calendars[name]
        problem = calendar.problem and f'rota "{name}" {self._line(calendar.problem)}'
        shift = on_call(calendar.shifts, now)
        if shift is None:
            return "; ".join(filter(None, [f'rota "{name}" has a gap: no one is on call', problem]))
        known = route_of_person(self._alerting, name, shift.person)
        unknown = "" if known else f'rota "{name}" names "{shift.person}", who is not in its people'
        return "; ".join(filter(None, [unknown, problem]))

    def _read(self, fence: int, name: str, rota: RotaSettings) -> bool:
        """Reads one calendar; True if it failed: then the last one stays in use, with its age."""
        now = self._clock.now()
        source = rota.ical if isinstance(rota.ical, str) else rota.ical.text
        try:
            calendar = read_calendar_of(rota, self._folder, self._secrets, now)
        except CALENDAR_ERRORS as error:
            reason = self._line(error_text(error))
            before = self._errors.get(name)
            self._errors[name] = (reason, before[1] if before is not None else now)
            stored = rows.record_rota_failure(self._store, fence, name, source, reason, micros(now))
            self._read_calendars.setdefault(name, RotaCalendar(stored, ()))
            if before is None or before[0] != reason:
                log.warning("a rota could not be read; the last one stays in use", rota=name, error=reason)
            return True
        if self._errors.pop(name, None) is not None:
            log.info("a rota can be read again", rota=name)
        before_problem = self._read_calendars[name].problem if name in self._read_calendars else ""
        if calendar.problem and calendar.problem != before_problem:
            log.warning("a rota is read without some events", rota=name, error=self._line(calendar.problem))
        self._read_calendars[name] = calendar
        written = json.dumps([[shift.person, micros(shift.begins), micros(shift.ends)] for shift in calendar.shifts])
        reading = rows.RotaReading(name, source, written, micros(now + AHEAD), self._line(calendar.problem))
        if rows.record_rota(self._store, fence, reading, micros(now)):
            self._changed()
        return False

    def _line(self, text: str) -> str:
        return sanitize(text, self._secrets.mask, MESSAGE_LIMIT, on_one_line=True)


def read_calendar_of(rota: RotaSettings, folder: Path, secrets: SecretStore, now: datetime) -> RotaCalendar:
    """The calendar of a rota around now. `folder`: of the config. Raises one of CALENDAR_ERRORS."""
    calendar = read_rota(rota_text(rota, folder, secrets), tuple(rota.people), now - LOOKBACK, now + AHEAD)
    shifts = (shift._replace(person=sanitize(shift.person, secrets.mask)) for shift in calendar.shifts)
    return calendar._replace(shifts=tuple(shifts))


CALENDAR_ERRORS = (RotaParseError, ConnectorError, OSError, ValueError)


def error_text(error: Exception) -> str:
    return f"{error.strerror or type(error).__name__}" if isinstance(error, OSError) else str(error)


def rota_text(rota: RotaSettings, folder: Path, secrets: SecretStore) -> str:
    """The text of the calendar. Raises one of CALENDAR_ERRORS."""
    if isinstance(rota.ical, str):
        content = read_regular_file(folder / Path(rota.ical).expanduser(), LIMIT)
    else:
        content = _fetch(secrets(rota.ical))
    if len(content) > LIMIT:
        raise RotaParseError(f"larger than {LIMIT // 1024 // 1024} MiB")
    return content.decode("utf-8-sig", "replace")


def _fetch(url: str) -> bytes:
    """The body of a GET from https, or http on this machine. Raises ConnectorError, ValueError, which name only the
    host: the rest of the URL gives access to the calendar."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme in WEBCAL_SCHEMES else parts.scheme
    try:
        origin = checked_origin(f"{scheme}://{parts.netloc}")
    except ValueError:
        raise ValueError("the address must be https or webcal, or http on this machine") from None
    endpoint = HttpEndpoint("the rota", origin)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        accept = {"Accept": "text/calendar, */*"}
        return endpoint.call("GET", path, Deadline(FETCH_SECONDS), headers=accept, shown="/…").body
    finally:
        endpoint.close()
