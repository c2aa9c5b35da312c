"""Reads the calendars of who is on call, every so often, into the store; a try that fails keeps what was read last."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from connectors.contract import ConnectorError
from connectors.secrets import SecretStore
from connectors.transport.http import Deadline, HttpDoor, checked_origin
from console.clean import clean_line
from console.clock import Clock
from console.config.alerting import RotaSettings
from console.control.alerts.rota import route_of
from console.engine.ical import AHEAD, LOOKBACK, UnreadableRota, shifts_of
from console.model.alerting import Alerting, Shift, on_call
from console.model.ids import micros
from console.store import rotas as rows
from console.store.open import Store

log = structlog.get_logger("headway.rota")

SECONDS = 20.0
"""For one calendar."""
LIMIT = 4 * 1024 * 1024
WORDS_LIMIT = 160
RETRY = timedelta(minutes=1)


class Rotas:
    """All rotas of the config."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rotas: Mapping[str, RotaSettings],
        alerting: Alerting,
        beside: Path,
        secrets: SecretStore,
        changed: Callable[[], None],
    ) -> None:
        self._store, self._clock, self._rotas = store, clock, rotas
        self._alerting = alerting
        self._beside = beside
        """The folder in which a calendar's file is looked for."""
        self._secrets = secrets
        self._changed = changed
        self._due: dict[str, float] = {}
        """Rota -> time.monotonic() when it is read again."""
        self._errors: dict[str, tuple[str, datetime]] = {}
        """Rota -> (why its last try failed, since when)."""
        self._shifts: dict[str, tuple[Shift, ...]] = {}

    def step(self, fence: int) -> None:
        """Reads what is due."""
        for name, rota in self._rotas.items():
            if time.monotonic() >= self._due.get(name, 0.0):
                failed = self._read(fence, name, rota)
                pause = min(RETRY, rota.refresh_every) if failed else rota.refresh_every
                self._due[name] = time.monotonic() + pause.total_seconds()

    def trouble(self) -> str:
        """Calendars that cannot be read, and rotas with nobody on call whom config knows."""
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
            return f'rota "{name}" has a gap: nobody is on call'
        known = route_of(self._alerting, name, shift.person)
        return "" if known else f'rota "{name}" names "{shift.person}", who is not in its people'

    def _read(self, fence: int, name: str, rota: RotaSettings) -> bool:
        """True where it failed; then what was read last goes on, with its age."""
        now = self._clock.now()
        source = rota.ical if isinstance(rota.ical, str) else rota.ical.words
        try:
            shifts = shifts_of(self._text(rota), tuple(rota.people), now - LOOKBACK, now + AHEAD)
        except (UnreadableRota, ConnectorError, OSError, ValueError) as error:
            words = clean_line(self._secrets.mask(_words(error)), WORDS_LIMIT)
            before = self._errors.get(name)
            self._errors[name] = (words, before[1] if before is not None else now)
            self._remember(name, rows.failed(self._store, fence, name, source, words, micros(now)))
            if before is None or before[0] != words:
                log.warning("a rota could not be read; the last one goes on", rota=name, error=words)
            return True
        if self._errors.pop(name, None) is not None:
            log.info("a rota can be read again", rota=name)
        self._shifts[name] = shifts
        written = json.dumps([[one.person, micros(one.begins), micros(one.ends)] for one in shifts])
        if rows.read(self._store, fence, rows.Read(name, source, written, micros(now + AHEAD)), micros(now)):
            self._changed()
        return False

    def _remember(self, name: str, kept: tuple[Shift, ...]) -> None:
        """What an engine before this one had read counts for the gaps that are told."""
        self._shifts.setdefault(name, kept)

    def _text(self, rota: RotaSettings) -> str:
        if isinstance(rota.ical, str):
            with (self._beside / Path(rota.ical).expanduser()).open("rb") as file:
                found = file.read(LIMIT + 1)
        else:
            found = _fetched(self._secrets(rota.ical))
        if len(found) > LIMIT:
            raise UnreadableRota(f"it is longer than {LIMIT // 1024 // 1024} MiB")
        return found.decode("utf-8-sig", "replace")


def _fetched(url: str) -> bytes:
    """What a GET gives, from https, or http on this machine. Raises ConnectorError, ValueError; neither tells more of
    the address than its host: whoever knows the rest may read the calendar."""
    parts = urlsplit(url)
    try:
        origin = checked_origin(f"{parts.scheme}://{parts.netloc}", plain_http=False)
    except ValueError:
        raise ValueError("its address is neither https, nor http on this machine") from None
    door = HttpDoor("the rota", origin)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        accept = {"Accept": "text/calendar, */*"}
        return door.call("GET", path, Deadline(SECONDS), headers=accept, shown="/…").body
    finally:
        door.close()


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}"
    return str(error)
