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
from console.config.sections import Config
from console.domain.alert import KIND_LABELS, AlertKind
from console.domain.ids import micros
from console.domain.switches import Modes
from console.engine.notify.backoff import after_failure
from console.engine.notify.mail import mail_thread, send_mail
from console.engine.notify.outbox import REPEAT_MARK, REPEAT_TEXT, send_unstored
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.routing import current_modes, self_alert, shadow_report_line, to_shadow_route
from console.engine.notify.senders import Sender, SendResult, neutralise, send_by_apprise
from console.engine.supervisor.settings import route_url_sources
from console.engine.worker import STORE_LASTS_SECONDS
from console.store import alert_routing as rows
from console.store.alert_routing import DeliveryOutcome
from console.store.alerts import HEADWAY_RESOLVED, NewAlert
from console.store.db.database import Database
from console.store.errors import LeaseLost, StoreError
from console.store.outbox import DueDelivery
from console.text.cleaning import clean_line, one_line
from console.text.message import quote, table
from console.text.redact import mask_strictly
from console.timing.clock import real_now
from console.timing.formats import timestamp_text
from console.timing.zones import zone_of

log = structlog.get_logger("headway.engine")

STORE, OUTBOX, PARTS = "headway:store", "headway:outbox", "headway:parts"
_LASTS_SECONDS = {STORE: STORE_LASTS_SECONDS, OUTBOX: 0.0, PARTS: 0.0}
"""How long a problem lasts before it is reported; a worker has failed several times by then."""
RETRY_SECONDS = 3600.0
_TITLES = {
    STORE: "no alerts, store unavailable",
    OUTBOX: "no alerts, the outbox keeps failing",
    PARTS: "degraded, engine workers keep failing",
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
    occasion: str
    """The key of the problem and its reminder: the same in each engine that notifies of it."""
    outcomes: dict[int, DeliveryOutcome] = field(default_factory=dict)
    sending: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


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
        now = time.monotonic()
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
            if (have_lasted or now - since >= self._lasts[key]) and (
                reported is None or now - reported >= RETRY_SECONDS
            ):
                self._notified_at[key] = now
                self._notify(channel, fence, key, one_line(channel.secrets.mask(text), 500), reported is not None)

    def cache_modes(self, channel: NotificationChannel) -> None:
        """Caches the shadow modes, for when the store is unavailable. Raises StoreError."""
        self._modes = current_modes(channel.store)

    def _notify(
        self, channel: NotificationChannel, fence: int | None, key: str, text: str, is_repeat: bool = False
    ) -> None:
        """Reports a problem, or, with empty `text`, its end. `is_repeat`: it was reported and lasts."""
        self._reminders[key] = self._reminders.get(key, 0) + 1 if is_repeat else 0
        route = channel.config.alerts.default_route
        made = real_now()
        title = _TITLES[key] if text else _RESOLVED[key]
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
            log.warning("it leaves from memory", error=channel.secrets.mask(str(error)))
        self._send(channel, alert, made)

    def _send(self, channel: NotificationChannel, alert: NewAlert, made: datetime) -> None:
        urls = channel.config.routes[alert.route].urls
        occasion = f"{self.lease_since or made} {alert.version} {self._reminders.get(alert.dedup_key, 0)}"
        unrecorded = _UnrecordedAlert(alert, made, occasion)
        self._offline.append(unrecorded)
        for place in range(len(urls)):
            name = f"own alert {place}"
            threading.Thread(target=self._send_to, args=(channel, unrecorded, place), name=name, daemon=True).start()

    def _send_to(self, channel: NotificationChannel, unrecorded: _UnrecordedAlert, place: int) -> None:
        """Sends to one URL until it arrives, the store takes over, or it is too late."""
        route = channel.config.routes[unrecorded.alert.route]
        tries, refusals = 0, 0
        while True:
            with unrecorded.lock:
                if unrecorded.ended.is_set():
                    return
                unrecorded.sending += 1
            tries += 1
            sent = self._send_once(channel, unrecorded, place)
            refusals = refusals + 1 if sent.for_good else 0
            error = clean_line(channel.secrets.mask(sent.reason), 300)
            with unrecorded.lock:
                lost = sent.arrived is None or (
                    place in unrecorded.outcomes and unrecorded.outcomes[place].maybe_arrived
                )
                unrecorded.outcomes[place] = DeliveryOutcome(bool(sent.arrived), micros(real_now()), tries, error, lost)
                unrecorded.sending -= 1
            attempt = (tries, refusals, real_now() - unrecorded.made, route.give_up_after, random.random())
            retry = after_failure(*attempt, maybe_arrived=sent.arrived is None)
            if sent.arrived or retry.wait is None or unrecorded.ended.wait(retry.wait.total_seconds()):
                return

    def _send_once(self, channel: NotificationChannel, unrecorded: _UnrecordedAlert, place: int) -> SendResult:
        alert = unrecorded.alert
        route = channel.config.routes[alert.route]
        title, body = alert.title, alert.plain_body if route.body == "link" else alert.body
        before = unrecorded.outcomes.get(place)
        is_repeat = before is not None and before.maybe_arrived
        if is_repeat:
            title, body = f"{title}{REPEAT_MARK}", f"{REPEAT_TEXT}{body}"
        if route.body == "masked":
            title, body = mask_strictly(title), mask_strictly(body)
        try:
            action = PageAction.RESOLVE if alert.version == HEADWAY_RESOLVED else PageAction.OPEN
            page = Page(alert.dedup_key, action)
            made_us, estate = micros(unrecorded.made), clean_line(channel.config.estate.name)
            about = (alert.dedup_key, 0, 0, is_repeat, "", alert.kind)
            delivery = DueDelivery(0, alert.route, place, title, body, *about, origin=alert.kind, made_us=made_us)
            url = channel.secrets(route.urls[place])
            if channel.send is send_by_apprise:
                key = f"{alert.dedup_key} {unrecorded.occasion}"
                thread = mail_thread(self.store_id, key, alert.route, 0, False, True)
                if (sent := send_mail(url, neutralise(title), neutralise(body), thread)) is not None:
                    return sent
            return send_unstored(url, delivery, page, estate, channel.send)
        except ConnectorError as error:
            return SendResult(False, str(error))
        except Exception as error:
            log.exception("sending an alert about Headway itself failed", route=alert.route)
            return SendResult(None, type(error).__name__)

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
    title = f"{KIND_LABELS[kind]}Headway {clean_line(estate)}: {_TITLES[key] if text else _RESOLVED[key]}"
    at = [f"Sent at {timestamp_text(made, zone_of(zone))}."]
    plain = [table([("Do", "headway status")]), ["Then read the engine's log."], at] if text else [at]
    alert = self_alert(route, key, title, [quote([text] if text else []), *plain], plain)
    return replace(alert, version=1 if text else HEADWAY_RESOLVED)
