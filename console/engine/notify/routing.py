"""Routing of alerts before delivery: alone or in a digest, on their route or its fallback; parked deliveries are
reported to another route.

While the whole estate is in shadow, alerts about Headway itself go to the shadow route, or are recorded only. As soon
as anything is live, they leave as usual.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

import structlog

from console.config.alerts import RouteSettings
from console.control.alerts.digest import GATHER, WINDOW, digest_message, plan_digest
from console.domain.alert import SHADOW_LABEL, PendingAlert
from console.domain.ids import micros, optional_instant
from console.domain.message import Block, CommandRef, Facts, Lines, Message, Quote, title_text
from console.domain.switches import Modes
from console.failpoints import failpoint
from console.store import alert_routing as rows
from console.store import switches
from console.store.alerts import DIGEST, HEADWAY, NewAlert
from console.store.db.database import Database
from console.timing.clock import Clock
from console.timing.durations import format_duration


def current_modes(store: Database) -> Modes:
    """The present shadow modes. Raises StoreError."""
    with store.read() as session:
        return switches.load_modes(session)


def notify_or_record(
    store: Database, fence: int, routes: rows.Routes, alert: NewAlert, shadow_route: str, now_us: int, since_us: int
) -> None:
    """Creates an alert about Headway itself. In shadow mode it is recorded at most once since `since_us`. Raises
    LeaseLost, StoreError."""
    if not current_modes(store).nothing_is_live:
        rows.create_alert(store, fence, routes, alert, now_us)
    elif shadow_route:
        rows.create_alert(store, fence, routes, to_shadow_route(alert, shadow_route), now_us)
    else:
        rows.record_note(store, fence, shadow_report_line(alert), since_us, now_us)


def to_shadow_route(alert: NewAlert, shadow_route: str) -> NewAlert:
    """The alert, addressed to the shadow route."""
    first = Lines((f"Shadow mode: this would have been sent to {alert.route}.",))
    message, plain = (text.titled(SHADOW_LABEL).below(first) for text in (alert.message, alert.plain))
    return replace(alert, route=shadow_route, message=message, plain=plain)


def shadow_report_line(alert: NewAlert) -> str:
    """The line of the alert in the shadow report."""
    return f"would have notified {alert.route}: {title_text(alert.message.title)}"


log = structlog.get_logger("headway.outbox")

ROUTE_SECONDS = 1.0
"""Interval of checking for deliveries without success and for parked ones."""
ALERTS_PER_MINUTE = 10
"""More alerts of a route than this in a minute are sent as one digest; the first of a tier-1 service never waits."""
FALLBACK_AFTER = timedelta(minutes=2)
"""How long the URLs of a route have to accept an alert before its fallback gets it too."""
MAX_FALLBACK_AGE = timedelta(hours=48)
"""Alerts older than this are not sent to a fallback that is configured later."""
PARKED_REMINDER_INTERVAL = timedelta(hours=1)
"""Minimum time between two alerts about parked deliveries of one route."""


class AlertRouter:
    """Routes alerts before the outbox claims them, in transactions of its own."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        routes: Mapping[str, RouteSettings],
        default_route: str,
        shadow_route: str,
        zone: str,
        link: str = "",
    ) -> None:
        """`zone`: of the times in digests; `link`: where `Open` leads."""
        self._store, self._clock, self._routes = store, clock, routes
        self._default, self._shadow, self._zone, self._link = default_route, shadow_route, zone, link
        self.url_sources = {name: tuple(url.text for url in route.urls) for name, route in routes.items()}
        self._check_at = 0.0

    def step(self, fence: int) -> None:
        """Releases waiting alerts; once a second applies fallbacks and reports parked deliveries."""
        self._release(fence)
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + ROUTE_SECONDS
            self._apply_fallbacks(fence)
            self._report_parked(fence)

    def park_strays(self, fence: int) -> None:
        strays = rows.park_strays(self._store, fence, self.url_sources, micros(self._clock.now()))
        if strays:
            log.error("alerts whose URL left the config were abandoned", deliveries=strays)

    def parked_deliveries(self) -> list[rows.FailedDeliveries]:
        return rows.parked_deliveries(self._store)

    def retried_deliveries(self) -> list[rows.FailedDeliveries]:
        return rows.retried_deliveries(self._store)

    def _release(self, fence: int) -> None:
        """Releases waiting alerts, each alone while its route's limit allows, then in one digest per route."""
        now, alone = self._clock.now(), list[int]()
        digests: list[tuple[NewAlert, list[int]]] = []
        waiting = sorted(rows.pending_alerts(self._store), key=lambda alert: (alert.route, alert.id))
        for route, group in groupby(waiting, lambda alert: alert.route):
            limit = ALERTS_PER_MINUTE if route in self._routes else len(waiting)
            released, digest_us = rows.released_since(self._store, route, micros(now - WINDOW), micros(now))
            plan = plan_digest(list(group), released, optional_instant(digest_us), limit, now)
            alone += plan.alone
            digests += [self._digest(route, plan.together, now)] if plan.together else []
        ends = rows.due_ends(self._store, micros(now + GATHER))
        by_route = {route: list(group) for route, group in groupby(ends, attrgetter("route"))}
        digests += [
            self._digest(*pair, now) for pair in by_route.items() if len(pair[1]) > 1 and pair[0] in self._routes
        ]
        if alone or digests:
            rows.release_alerts(self._store, fence, self.url_sources, alone, digests, micros(now))
            failpoint("outbox.released")

    def _digest(self, route: str, alerts: Sequence[PendingAlert], now: datetime) -> tuple[NewAlert, list[int]]:
        """The digest of these alerts of a route, due when the last of them is, and their ids."""
        message, short = self.digest_texts(alerts)
        due = max((alert.due_at for alert in alerts if alert.due_at is not None), default=None)
        key, due_us = f"headway:digest:{route}:{micros(due or now)}", micros(due) if due is not None else 0
        digest = NewAlert(route, DIGEST, message, key, short, waits=False, not_before_us=due_us)
        return digest, [alert.id for alert in alerts]

    def digest_texts(self, alerts: Sequence[PendingAlert]) -> tuple[Message, Message]:
        """The message of a digest of these alerts, and the same without text from outside."""
        texts = (alerts, ALERTS_PER_MINUTE, self._zone, self._link)
        return digest_message(*texts), digest_message(*texts, plain=True)

    def _apply_fallbacks(self, fence: int) -> None:
        now = self._clock.now()
        forwarded: list[tuple[int, NewAlert]] = []
        for name, route in self._routes.items():
            if not route.fallback:
                continue
            until, since = micros(now - FALLBACK_AFTER), micros(now - MAX_FALLBACK_AGE)
            for alert in rows.undelivered_alerts(self._store, name, until, since, route.fallback):
                line = unconfirmed_text(alert.route, FALLBACK_AFTER)
                last = f" Last answer: {alert.error}" if alert.error else ""
                forwarded.append((alert.id, rows.as_fallback(alert, route.fallback, line + last, line)))
        if forwarded:
            rows.forward_to_fallback(self._store, fence, self.url_sources, forwarded, micros(now))
            log.warning("alerts were handed to a fallback route", alerts=[alert_id for alert_id, _ in forwarded])

    def _report_parked(self, fence: int) -> None:
        """Reports parked deliveries, at most once an hour per route. Alerts about Headway itself are not reported
        again."""
        now = self._clock.now()
        for delivery in rows.parked_deliveries(self._store):
            since = micros(now - PARKED_REMINDER_INTERVAL)
            if delivery.news_us < since or rows.notified_since(self._store, parked_alert_key(delivery.route), since):
                continue
            fallback = self._routes[delivery.route].fallback if delivery.route in self._routes else ""
            if recipient := fallback or self._default:
                shadow = self._shadow if self._shadow != delivery.route else ""
                alert, times = _parked_alert(delivery, recipient), (micros(now), delivery.news_us)
                notify_or_record(self._store, fence, self.url_sources, alert, shadow, *times)


def unconfirmed_text(route: str, after: timedelta) -> str:
    return f'Route "{route}" has not confirmed this in {format_duration(after)}; this route is its fallback.'


def parked_alert_key(route: str) -> str:
    return f"headway:parked:{route}"


def self_alert(route: str, key: str, title: str, error: str, blocks: tuple[Block, ...]) -> NewAlert:
    """An alert about Headway itself; nothing delays or suppresses it. `error`: text from outside."""
    plain = Message((title,), blocks)
    message = plain.below(Quote((error,))) if error else plain
    return NewAlert(route, HEADWAY, message, key, plain, urgent=True, waits=False)


def _parked_alert(deliveries: rows.FailedDeliveries, route: str) -> NewAlert:
    number = f"{deliveries.count} alert{'s' if deliveries.count > 1 else ''}"
    title = f'{number} not delivered: route "{deliveries.route}"'
    next_steps = (
        Lines(("Repair the receiver, then send again.",)),
        Facts((("Do", CommandRef("headway alert retry --parked")), ("Open", CommandRef("headway alert")))),
    )
    return self_alert(route, parked_alert_key(deliveries.route), title, deliveries.error, next_steps)
