"""Alerts about Headway itself: through store and outbox where they work, from memory where they do not.

An alert sent from memory is recorded in the store once it is usable again, and is not sent a second time; an engine
that dies before that has sent it, and the next one sends it again, once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.config.estate import Config
from console.domain.ids import micros
from console.domain.switches import Modes
from console.engine.notify.backoff import after_failure
from console.engine.notify.routing import current_modes, self_alert, shadow_report_line, to_shadow_route
from console.engine.notify.senders import Sender, SendResult, neutralise
from console.engine.supervisor.settings import route_url_sources
from console.store import alert_routing as rows
from console.store.alert_routing import DeliveryOutcome
from console.store.alerts import NewAlert
from console.store.db.database import Database
from console.store.errors import LeaseLost, StoreError
from console.text.cleaning import clean_line
from console.text.redact import mask_strictly
from console.timing.clock import real_now

log = structlog.get_logger("headway.engine")

STORE, OUTBOX, PARTS = "headway:store", "headway:outbox", "headway:parts"
_LASTS_SECONDS = {STORE: 20.0, OUTBOX: 0.0, PARTS: 0.0}
"""How long a problem lasts before it is reported; a worker has failed several times by then."""
RETRY_SECONDS = 3600.0
_TITLES = {
    STORE: "store unavailable: nothing is evaluated, no alert is written",
    OUTBOX: "the outbox keeps failing: no alert is sent",
    PARTS: "engine workers keep failing",
}
_RESOLVED = {STORE: "store available again", OUTBOX: "the outbox works again", PARTS: "all engine workers run again"}


class NotificationChannel(Protocol):
    """The means of notification that the monitor needs."""

    config: Config
    store: Database
    secrets: SecretStore
    send: Sender


@dataclass(slots=True)
class _UnrecordedAlert:
    """An alert sent from memory, one thread per URL, until the store takes over."""

    alert: NewAlert
    made: datetime
    urls: int
    outcomes: dict[int, DeliveryOutcome] = field(default_factory=dict)
    sending: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


class SelfMonitor:
    """Reports lasting problems of the engine to the default route; with everything in shadow mode, to the shadow
    route or only into the shadow report."""

    def __init__(self, lasts: Mapping[str, float] | None = None) -> None:
        self._lasts = lasts or _LASTS_SECONDS
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._kept: list[_UnrecordedAlert] = []
        self._modes: Modes | None = None
        """The modes as last read; None: never, and then it notifies."""
        self._unnoted: list[tuple[str, datetime]] = []
        """Shadow report lines that could not be written yet: line, time."""

    def look(self, parts: NotificationChannel, fence: int | None, troubles: Mapping[str, str]) -> None:
        """Reports problems that last and problems that ended. `troubles`: key -> text. Without a fence the store is
        not used."""
        now = time.monotonic()
        if fence is not None:
            self.know(parts)
            self._note(parts, fence)
            self._record(parts, fence)
        for key in [key for key in self._since if key not in troubles]:
            if key in self._told and (fence is None or self._kept):
                continue  # the end is reported only after the problem itself
            if self._told.pop(key, None) is not None and fence is not None:
                self._tell(parts, fence, key, "")
            del self._since[key]
        for key, words in troubles.items():
            since = self._since.setdefault(key, now)
            reported = self._told.get(key, -RETRY_SECONDS)
            if now - since >= self._lasts[key] and now - reported >= RETRY_SECONDS:
                self._told[key] = now
                self._tell(parts, fence, key, clean_line(parts.secrets.mask(words), 500))

    def know(self, parts: NotificationChannel) -> None:
        """Caches the shadow modes, for when the store is unavailable. Raises StoreError."""
        self._modes = current_modes(parts.store)

    def _tell(self, parts: NotificationChannel, fence: int | None, key: str, words: str) -> None:
        """Reports a problem, or, with empty `words`, its end."""
        route = parts.config.alerts.default_route
        made = real_now()
        title = _TITLES[key] if words else _RESOLVED[key]
        log.error("reporting a problem of the engine", trouble=title, words=words, route=route)
        if not route:
            return
        alert = _alert(route, key, title, words, parts.config.estate.name, made)
        if self._modes is not None and self._modes.nothing_is_live:
            shadow_route = parts.config.alerts.shadow_route
            if not shadow_route:
                self._unnoted.append((shadow_report_line(alert), made))
                if fence is not None:
                    self._note(parts, fence)
                return
            alert = to_shadow_route(alert, shadow_route)
        try:
            if fence is not None:
                if words and rows.notified_since(parts.store, key, micros(made - timedelta(seconds=RETRY_SECONDS))):
                    return
                if key != OUTBOX or not words:
                    rows.create_alert(parts.store, fence, route_url_sources(parts.config), alert, micros(made))
                    return
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("it leaves from memory", error=parts.secrets.mask(str(error)))
        self._send(parts, alert, made)

    def _send(self, parts: NotificationChannel, alert: NewAlert, made: datetime) -> None:
        urls = parts.config.routes[alert.route].urls
        kept = _UnrecordedAlert(alert, made, len(urls))
        self._kept.append(kept)
        for place in range(len(urls)):
            name = f"own alert {place}"
            threading.Thread(target=self._send_to, args=(parts, kept, place), name=name, daemon=True).start()

    def _send_to(self, parts: NotificationChannel, kept: _UnrecordedAlert, place: int) -> None:
        """Sends to one URL until it arrives, the store takes over, or it is too late."""
        route = parts.config.routes[kept.alert.route]
        tries, refusals = 0, 0
        while True:
            with kept.lock:
                if kept.over.is_set():
                    return
                kept.sending += 1
            tries += 1
            sent = self._send_once(parts, kept, place)
            refusals = refusals + 1 if sent.for_good else 0
            error = clean_line(parts.secrets.mask(sent.words), 300)
            with kept.lock:
                lost = sent.arrived is None or (place in kept.outcomes and kept.outcomes[place].maybe_arrived)
                kept.outcomes[place] = DeliveryOutcome(bool(sent.arrived), micros(real_now()), tries, error, lost)
                kept.sending -= 1
            found = after_failure(tries, refusals, real_now() - kept.made, route.give_up_after, random.random())
            if sent.arrived or found.wait is None or kept.over.wait(found.wait.total_seconds()):
                return

    def _send_once(self, parts: NotificationChannel, kept: _UnrecordedAlert, place: int) -> SendResult:
        route = parts.config.routes[kept.alert.route]
        title, body = kept.alert.title, kept.alert.plain_body if route.body == "link" else kept.alert.body
        if route.body == "masked":
            title, body = mask_strictly(title), mask_strictly(body)
        try:
            return parts.send(parts.secrets(route.urls[place]), neutralise(title), neutralise(body))
        except ConnectorError as error:
            return SendResult(False, str(error))
        except Exception as error:
            log.exception("sending an alert about Headway itself failed", route=kept.alert.route)
            return SendResult(None, type(error).__name__)

    def _note(self, parts: NotificationChannel, fence: int) -> None:
        """Writes pending shadow report lines."""
        while self._unnoted:
            line, made = self._unnoted[0]
            rows.record_note(parts.store, fence, line, micros(made), micros(made))
            self._unnoted.pop(0)

    def _record(self, parts: NotificationChannel, fence: int) -> None:
        """Moves alerts from memory into the store, with their outcomes; skips those being sent."""
        for kept in list(self._kept):
            with kept.lock:
                if kept.sending:
                    continue
                kept.over.set()
            urls, made = route_url_sources(parts.config), micros(kept.made)
            rows.record_offline_alert(parts.store, fence, urls, kept.alert, made, kept.outcomes)
            self._kept.remove(kept)


def _alert(route: str, key: str, title: str, words: str, estate: str, made: datetime) -> NewAlert:
    name = clean_line(estate)
    first = f"Headway, estate {name}: {title}."
    at = f"Sent at {made:%Y-%m-%d %H:%M:%S}Z."
    fix = "Fix: run headway status, then read the engine's log."
    plain = [first, "", at, *([fix] if words else [])]
    lines = [first, *([words] if words else []), *plain[1:]]
    alert = self_alert(route, key, f"[Headway] {name}: {title}", lines, plain)
    return replace(alert, version=1 if words else rows.RESOLVED)
