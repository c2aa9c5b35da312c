"""Alerts about Headway itself: through store and outbox where they work, from memory where they do not.

An alert sent from memory is recorded in the store once it is usable again, and is not sent a second time; an engine
that dies before that has sent it, and the next one sends it again, once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.domain.alert import KIND_LABELS, AlertKind
from console.domain.ids import micros
from console.domain.message import CommandRef, Facts, Lines
from console.domain.switches import Modes
from console.engine.notify.backoff import after_failure
from console.engine.notify.channels import Channels
from console.engine.notify.outbox import as_repeat, page_of
from console.engine.notify.routing import current_modes, self_alert, shadow_report_line, to_shadow_route
from console.engine.notify.senders import Outgoing, SendResult, neutralise
from console.engine.supervisor.settings import route_url_sources
from console.engine.worker import STORE_LASTS_SECONDS
from console.store import alert_routing as rows
from console.store.alert_routing import DeliveryOutcome
from console.store.alerts import HEADWAY_RESOLVED, NewAlert
from console.store.db.database import Database
from console.store.errors import LeaseLost, StoreError
from console.store.outbox import DueDelivery
from console.text.cleaning import clean_line
from console.text.redact import sanitize
from console.timing.clock import real_now
from console.timing.formats import timestamp_text
from console.timing.zones import zone_of

log = structlog.get_logger("headway.engine")

STORE, OUTBOX, PARTS = "headway:store", "headway:outbox", "headway:parts"
_LASTS_SECONDS = {STORE: STORE_LASTS_SECONDS, OUTBOX: 0.0, PARTS: 0.0}
"""How long a problem lasts before it is reported; a worker has failed several times by then."""
RETRY_SECONDS = 3600.0
SECOND_SECONDS = 120.0
"""How long an engine without the lease waits before it notifies of its store where each copy is one more message, as
in a chat. Without a store it cannot know whether the engine with the lease lives and has notified: its message is
marked as a possible duplicate."""
SECOND = Lines(("May be a duplicate: the engine with the lease may have notified of this.",))
PROBLEM_TITLES = {
    STORE: "cannot send alerts, store unavailable",
    OUTBOX: "cannot send alerts, the outbox keeps failing",
    PARTS: "degraded, engine workers keep failing",
}
_RESOLVED = {STORE: "store available again", OUTBOX: "the outbox works again", PARTS: "all engine workers run again"}


class NotificationChannel(Protocol):
    """The means of notification that the monitor needs."""

    config: Config
    store: Database
    secrets: SecretStore
    channels: Channels


@dataclass(slots=True)
class _UnrecordedAlert:
    """An alert sent from memory, one thread per URL, until the store takes over."""

    alert: NewAlert
    made: datetime
    occasion: str
    """The key of the problem and its reminder: the same in each engine that notifies of it."""
    leads: bool
    """The engine had the lease when the store was last read."""
    outcomes: dict[int, DeliveryOutcome] = field(default_factory=dict)
    sending: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def notified_urls(self) -> set[int]:
        """Indexes of the URLs at which it may have arrived."""
        return {index for index, outcome in self.outcomes.items() if outcome.arrived or outcome.maybe_arrived}


class SelfMonitor:
    """Reports lasting problems of the engine to the default route; with everything in shadow mode, to the shadow
    route or only into the shadow report."""

    def __init__(self, lasts: Mapping[str, float] | None = None) -> None:
        self._lasts = lasts or _LASTS_SECONDS
        self._since: dict[str, float] = {}
        self._notified_at: dict[str, float] = {}
        self._reminders: dict[str, int] = {}
        self._offline: list[_UnrecordedAlert] = []
        self._modes: Modes | None = None
        """The modes as last read; None: never, and then it notifies."""
        self._pending_notes: list[tuple[str, datetime]] = []
        """Shadow report lines that could not be written yet: line, time."""
        self.lease_since: datetime | None = None
        """Since when the last engine that this one saw has had the lease. Each engine sees the same, and a store that
        is down outlasts it: mails of several engines about one outage have one Message-ID."""
        self.store_id = ""
        """The id of the store as last read: the mails of another one have other Message-IDs."""
        self.leads = True
        """False if another engine had the lease when the store was last read."""
        self._ends: list[_UnrecordedAlert] = []
        """Ends that an engine without the lease sends; a new problem of that kind stops them."""
        self._standby_since: float | None = None
        """Since when the store has been usable and another engine has its lease."""

    def report(
        self,
        channel: NotificationChannel,
        fence: int | None,
        troubles: Mapping[str, str],
        began: float | None = None,
        *,
        have_lasted: bool = False,
    ) -> None:
        """Reports problems that last and problems that ended. `troubles`: key -> text. Without a fence the store is
        not used. `began`: when the attempt that failed began, by `time.monotonic`: a locked store answers late.
        `have_lasted`: the caller has waited already."""
        now, self._standby_since = time.monotonic(), None
        if fence is not None:
            self.cache_modes(channel)
            self._write_notes(channel, fence)
            self._record(channel, fence)
        for key in [key for key in self._since if key not in troubles]:
            if key in self._notified_at and (fence is None or self._offline):
                continue  # the end is reported only after the problem itself
            if self._notified_at.pop(key, None) is not None:
                self._notify(channel, fence, key, "")
            del self._since[key]
        for key, text in troubles.items():
            since = self._since.setdefault(key, now if began is None else began)
            reported = self._notified_at.get(key)
            has_lasted = have_lasted or now - since >= self._lasts[key]
            if has_lasted and (reported is None or now - reported >= RETRY_SECONDS):
                self._notified_at[key] = now
                reason = sanitize(text, channel.secrets.mask, 500, on_one_line=True)
                self._notify(channel, fence, key, reason, reported is not None)

    def note_standby(self, channel: NotificationChannel, seconds: float) -> None:
        """Notes that another engine has the lease of a usable store: no problem is sent from memory any more. If that
        has been so for `seconds`, in which a dead engine is replaced, this one drops what it reported. It sends the end
        of what arrived, unless the store has a report whose end the engine with the lease sends, or has sent. Raises
        StoreError."""
        now = time.monotonic()
        problems = [unrecorded for unrecorded in self._offline if unrecorded.alert.version != HEADWAY_RESOLVED]
        if self._standby_since is None:
            self._standby_since = now
            for unrecorded in problems:
                unrecorded.ended.set()
                routed = channel.config.routes[unrecorded.alert.route].urls
                if len(unrecorded.notified_urls) < len(routed):  # it is reported again if it goes on
                    self._notified_at.pop(unrecorded.alert.dedup_key, None)
                    self._since.pop(unrecorded.alert.dedup_key, None)
        if now - self._standby_since < seconds or any(unrecorded.sending for unrecorded in problems):
            return
        ends: dict[str, set[int]] = {}
        for unrecorded in problems:
            key, made = unrecorded.alert.dedup_key, unrecorded.made
            reminded_us = micros(made - timedelta(seconds=RETRY_SECONDS))
            urls = unrecorded.notified_urls
            last = rows.last_alert(channel.store, key, reminded_us)
            if urls and (last is None or (last.version == HEADWAY_RESOLVED and last.made_us < micros(made))):
                ends.setdefault(key, set()).update(urls)
        for key, places in ends.items():
            self._notify(channel, None, key, "", places=places)
        self._ends = [unrecorded for unrecorded in self._offline if unrecorded.alert.version == HEADWAY_RESOLVED]
        for memory in (self._offline, self._pending_notes, self._since, self._notified_at):
            memory.clear()

    def cache_modes(self, channel: NotificationChannel) -> None:
        """Caches the shadow modes, for when the store is unavailable. Raises StoreError."""
        self._modes = current_modes(channel.store)

    def _notify(
        self,
        channel: NotificationChannel,
        fence: int | None,
        key: str,
        text: str,
        is_repeat: bool = False,
        places: Set[int] | None = None,
    ) -> None:
        """Reports a problem, or, with empty `text`, its end. `is_repeat`: it was reported and lasts. `places`: indexes
        of URLs that it is sent to from memory; None: all."""
        self._reminders[key] = self._reminders.get(key, 0) + 1 if is_repeat else 0
        route = channel.config.alerts.default_route
        made = real_now()
        title = PROBLEM_TITLES[key] if text else _RESOLVED[key]
        for end in self._ends if text else ():
            if end.alert.dedup_key == key:
                end.ended.set()
        log.error("reporting a problem of the engine", trouble=title, reason=text, route=route)
        if not route:
            return
        kind = AlertKind.REPEATED if is_repeat else AlertKind.OPENED if text else AlertKind.RECOVERED
        alert = _alert(route, key, kind, text, channel.config.estate.name, made, channel.config.zone)
        if self._modes is not None and self._modes.nothing_is_live:
            shadow_route = channel.config.alerts.shadow_route
            if not shadow_route:
                self._pending_notes.append((shadow_report_line(alert), made))
                if fence is not None:
                    self._write_notes(channel, fence)
                return
            alert = to_shadow_route(alert, shadow_route)
        try:
            if fence is not None:
                if text and rows.notified_since(channel.store, key, micros(made - timedelta(seconds=RETRY_SECONDS))):
                    return
                if key != OUTBOX or not text:
                    rows.create_alert(channel.store, fence, route_url_sources(channel.config), alert, micros(made))
                    return
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("it leaves from memory", error=sanitize(str(error), channel.secrets.mask))
        urls = range(len(channel.config.routes[alert.route].urls))
        self._send(channel, alert, made, [place for place in urls if places is None or place in places])

    def _send(self, channel: NotificationChannel, alert: NewAlert, made: datetime, places: Sequence[int]) -> None:
        occasion = f"{self.lease_since or made} {alert.version} {self._reminders.get(alert.dedup_key, 0)}"
        unrecorded = _UnrecordedAlert(alert, made, occasion, self.leads)
        self._offline.append(unrecorded)
        for place in places:
            name = f"own alert {place}"
            threading.Thread(target=self._send_to, args=(channel, unrecorded, place), name=name, daemon=True).start()

    def _send_to(self, channel: NotificationChannel, unrecorded: _UnrecordedAlert, place: int) -> None:
        """Sends to one URL until it arrives, the store takes over, or it is too late."""
        tries, refusals, is_lost = 0, 0, False
        if self._is_second(channel, unrecorded, place) and unrecorded.ended.wait(SECOND_SECONDS):
            return
        while True:
            with unrecorded.lock:
                if unrecorded.ended.is_set():
                    return
                unrecorded.sending += 1
            tries += 1
            sent = self._send_once(channel, unrecorded, place, is_lost)
            refusals, is_lost = refusals + 1 if sent.for_good else 0, is_lost or sent.arrived is None
            error = sanitize(sent.reason, channel.secrets.mask, 300, on_one_line=True)
            with unrecorded.lock:
                outcome = DeliveryOutcome(bool(sent.arrived), micros(real_now()), tries, error, is_lost)
                unrecorded.outcomes[place] = outcome
                unrecorded.sending -= 1
            if sent.arrived:
                return
            attempt = (tries, refusals, real_now() - unrecorded.made, random.random())
            retry = after_failure(*attempt, maybe_arrived=sent.arrived is None)
            why = f"{error} ({retry.why})" if retry.why else error
            log.warning("alert not sent", route=unrecorded.alert.route, url=place + 1, error=why)
            if retry.wait is None or unrecorded.ended.wait(retry.wait.total_seconds()):
                return

    def _send_once(
        self, channel: NotificationChannel, unrecorded: _UnrecordedAlert, place: int, is_repeat: bool
    ) -> SendResult:
        alert = unrecorded.alert
        route = channel.config.routes[alert.route]
        message = alert.plain if route.body == "link" else alert.message
        if is_repeat:
            message = as_repeat(message)
        elif self._is_second(channel, unrecorded, place):
            message, is_repeat = as_repeat(message, SECOND), True
        try:
            delivery = DueDelivery(
                0, alert.route, place, message, alert.dedup_key, 0, 0, is_repeat, kind=alert.kind, origin=alert.kind,
                made_us=micros(unrecorded.made), is_resolved=alert.version == HEADWAY_RESOLVED,
            )  # fmt: skip
            copy = (message.mapped(neutralise), page_of(delivery), self.store_id, unrecorded.occasion)
            return channel.channels.of(channel.secrets(route.urls[place])).send(Outgoing(delivery, *copy))
        except ConnectorError as error:
            return SendResult(False, str(error))
        except Exception as error:
            log.exception("sending an alert about Headway itself failed", route=alert.route)
            return SendResult(None, type(error).__name__)

    def _is_second(self, channel: NotificationChannel, unrecorded: _UnrecordedAlert, place: int) -> bool:
        """True for a problem that the engine with the lease sends too, where its receiver does not know the two as
        one."""
        alert = unrecorded.alert
        if unrecorded.leads or alert.dedup_key != STORE or alert.version == HEADWAY_RESOLVED:
            return False
        try:
            url = channel.secrets(channel.config.routes[alert.route].urls[place])
        except ConnectorError:
            return True
        return not channel.channels.of(url).traits.knows_copies

    def _write_notes(self, channel: NotificationChannel, fence: int) -> None:
        """Writes pending shadow report lines."""
        while self._pending_notes:
            line, made = self._pending_notes[0]
            rows.record_note(channel.store, fence, line, micros(made), micros(made))
            self._pending_notes.pop(0)

    def _record(self, channel: NotificationChannel, fence: int) -> None:
        """Moves alerts from memory into the store, with their outcomes; skips those being sent."""
        for unrecorded in list(self._offline):
            urls, made = route_url_sources(channel.config), micros(unrecorded.made)
            with unrecorded.lock:  # no send begins during the write; if that fails, sending from memory goes on
                if unrecorded.sending:
                    continue
                rows.record_offline_alert(channel.store, fence, urls, unrecorded.alert, made, unrecorded.outcomes)
                unrecorded.ended.set()
            self._offline.remove(unrecorded)


def _alert(route: str, key: str, kind: AlertKind, text: str, estate: str, made: datetime, zone: str) -> NewAlert:
    title = f"{KIND_LABELS[kind]}Headway {clean_line(estate)}: {PROBLEM_TITLES[key] if text else _RESOLVED[key]}"
    at = Lines((f"Sent at {timestamp_text(made, zone_of(zone))}.",))
    steps = (Facts((("Do", CommandRef("headway status")),)), Lines(("Then read the engine's log.",)))
    alert = self_alert(route, key, title, text, (*steps, at) if text else (at,))
    return replace(alert, version=1 if text else HEADWAY_RESOLVED)
