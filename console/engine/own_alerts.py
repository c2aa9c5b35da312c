"""Alerts about Headway itself: told through store and outbox where they work, from memory where they do not.

What leaves from memory is written into the store once it can be used again, and then sent by nobody a second time; an
engine that dies before that has told it, and the next one tells it again, under the same key.
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

from connectors.contract import ConnectorError
from connectors.secrets import SecretStore
from console.clean import clean_line
from console.clock import real_now
from console.config import Config
from console.control.masks import mask_strictly
from console.control.retries import after_failure
from console.engine.own_shadow import in_shadow, modes_in, would_have_told
from console.engine.routing import own_alert
from console.engine.sending import Sender, Sent, neutralise
from console.model.ids import micros
from console.model.modes import Modes
from console.store import routing as rows
from console.store.alert_rows import NewAlert
from console.store.errors import LeaseLost, StoreError
from console.store.open import Store
from console.store.routing import Outcome

log = structlog.get_logger("headway.engine")

STORE, OUTBOX, PARTS = "headway:store", "headway:outbox", "headway:parts"
_LASTS_SECONDS = {STORE: 20.0, OUTBOX: 0.0, PARTS: 0.0}
"""How long a trouble lasts before it is told; a part has broken several times by then."""
AGAIN_SECONDS = 3600.0
_TITLES = {
    STORE: "the store cannot be used: nothing is evaluated, no alert is written",
    OUTBOX: "the outbox keeps breaking: no alert is sent",
    PARTS: "parts of the engine keep breaking",
}
_OVER = {
    STORE: "the store can be used again",
    OUTBOX: "the outbox works again",
    PARTS: "all parts of the engine work again",
}


class Told(Protocol):
    """What of the engine's parts is needed to tell."""

    config: Config
    store: Store
    secrets: SecretStore

    @property
    def send(self) -> Sender: ...


@dataclass(slots=True)
class _Kept:
    """An alert that leaves from memory, a thread for each URL, until the store takes it over."""

    alert: NewAlert
    made: datetime
    urls: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    sending: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


class OwnAlerts:
    """Remembers which trouble lasts since when, and tells it to the default route; while the whole estate is in shadow,
    to the shadow route, or into the shadow report alone."""

    def __init__(self, lasts: Mapping[str, float] | None = None) -> None:
        self._lasts = lasts or _LASTS_SECONDS
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._kept: list[_Kept] = []
        self._modes: Modes | None = None
        """As they were read last; None: never, and then it is told."""
        self._unnoted: list[tuple[str, datetime]] = []
        """What would have been told while nothing could be written: line, when."""

    def look(self, parts: Told, fence: int | None, troubles: Mapping[str, str]) -> None:
        """Tells what lasts and what is over. `troubles`: key -> words. Without a fence the store is not touched."""
        now = time.monotonic()
        if fence is not None:
            self.know(parts)
            self._note(parts, fence)
            self._record(parts, fence)
        for key in [one for one in self._since if one not in troubles]:
            if key in self._told and (fence is None or self._kept):
                continue  # that it is over is told after the trouble itself
            if self._told.pop(key, None) is not None and fence is not None:
                self._tell(parts, fence, key, "")
            del self._since[key]
        for key, words in troubles.items():
            since = self._since.setdefault(key, now)
            due = now - since >= self._lasts[key] and now - self._told.get(key, -AGAIN_SECONDS) >= AGAIN_SECONDS
            if due:
                self._told[key] = now
                self._tell(parts, fence, key, clean_line(parts.secrets.mask(words), 500))

    def know(self, parts: Told) -> None:
        """Reads what is in shadow, for when it cannot be read. Raises StoreError."""
        self._modes = modes_in(parts.store)

    def _tell(self, parts: Told, fence: int | None, key: str, words: str) -> None:
        """`words` empty: it is over."""
        route = parts.config.alerts.default_route
        made = real_now()
        title = _TITLES[key] if words else _OVER[key]
        log.error("trouble of our own is told", trouble=title, words=words, route=route)
        if not route:
            return
        alert = _alert(route, key, title, words, parts.config.estate.name, made)
        if self._modes is not None and self._modes.nothing_is_live:
            shadow_route = parts.config.alerts.shadow_route
            if not shadow_route:
                self._unnoted.append((would_have_told(alert), made))
                if fence is not None:
                    self._note(parts, fence)
                return
            alert = in_shadow(alert, shadow_route)
        try:
            if fence is not None:
                if words and rows.told_since(parts.store, key, micros(made - timedelta(seconds=AGAIN_SECONDS))):
                    return
                if key != OUTBOX or not words:
                    rows.tell(parts.store, fence, _words(parts), alert, micros(made))
                    return
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("it leaves from memory", error=parts.secrets.mask(str(error)))
        self._send(parts, alert, made)

    def _send(self, parts: Told, alert: NewAlert, made: datetime) -> None:
        urls = parts.config.routes[alert.route].urls
        kept = _Kept(alert, made, len(urls))
        self._kept.append(kept)
        for place in range(len(urls)):
            name = f"own alert {place}"
            threading.Thread(target=self._send_to, args=(parts, kept, place), name=name, daemon=True).start()

    def _send_to(self, parts: Told, kept: _Kept, place: int) -> None:
        """Until the receiver has it, the store takes over, or it is too late."""
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
                kept.outcomes[place] = Outcome(bool(sent.arrived), micros(real_now()), tries, error, lost)
                kept.sending -= 1
            found = after_failure(tries, refusals, real_now() - kept.made, route.give_up_after, random.random())
            if sent.arrived or found.wait is None or kept.over.wait(found.wait.total_seconds()):
                return

    def _send_once(self, parts: Told, kept: _Kept, place: int) -> Sent:
        route = parts.config.routes[kept.alert.route]
        title, body = kept.alert.title, kept.alert.plain_body if route.body == "link" else kept.alert.body
        if route.body == "masked":
            title, body = mask_strictly(title), mask_strictly(body)
        try:
            return parts.send(parts.secrets(route.urls[place]), neutralise(title), neutralise(body))
        except ConnectorError as error:
            return Sent(False, str(error))
        except Exception as error:
            log.exception("an alert of our own broke", route=kept.alert.route)
            return Sent(None, type(error).__name__)

    def _note(self, parts: Told, fence: int) -> None:
        """Into the store, what a shadow kept from being told."""
        while self._unnoted:
            line, made = self._unnoted[0]
            rows.note(parts.store, fence, line, micros(made), micros(made))
            self._unnoted.pop(0)

    def _record(self, parts: Told, fence: int) -> None:
        """Into the store, what left and what still has to; while something is on the wire, later."""
        for kept in list(self._kept):
            with kept.lock:
                if kept.sending:
                    continue
                kept.over.set()
            rows.record_told(parts.store, fence, _words(parts), kept.alert, micros(kept.made), kept.outcomes)
            self._kept.remove(kept)


def _words(parts: Told) -> dict[str, tuple[str, ...]]:
    return {name: tuple(url.words for url in route.urls) for name, route in parts.config.routes.items()}


def _alert(route: str, key: str, title: str, words: str, estate: str, made: datetime) -> NewAlert:
    name = clean_line(estate)
    first = f"Headway of the estate {name}: {title}."
    at = f"Told at {made:%Y-%m-%d %H:%M:%S}Z."
    mend = "See: headway status, and the engine's log."
    plain = [first, "", at, *([mend] if words else [])]
    lines = [first, *([words] if words else []), *plain[1:]]
    return replace(own_alert(route, key, f"[Headway] {name}: {title}", lines, plain), version=1 if words else rows.OVER)
