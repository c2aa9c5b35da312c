"""Routing of alerts before delivery: alone or in a digest, on their route or its fallback; abandoned deliveries are
reported elsewhere.

While the whole estate is in shadow, alerts about Headway itself go to the shadow route, or are recorded only. As soon
as anything is live, they leave as usual.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from console.config.estate import RouteSettings
from console.control.alerts.content import WINDOW, PendingAlert, digest_text
from console.control.alerts.content import plan_digest as decide
from console.domain.ids import instant, micros, optional_instant
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
    first = f"Shadow mode: this would have been sent to {alert.route}.\n\n"
    return replace(
        alert,
        route=shadow_route,
        title=f"[shadow] {alert.title}",
        body=first + alert.body,
        plain_title=f"[shadow] {alert.plain_title}",
        plain_body=first + alert.plain_body,
    )


def shadow_report_line(alert: NewAlert) -> str:
    """The line of the alert in the shadow report."""
    return f"would have notified {alert.route}: {alert.title}"


log = structlog.get_logger("headway.outbox")

ROUTE_SECONDS = 1.0
"""Interval of checking for deliveries without success and for parked ones."""
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
    ) -> None:
        self._store = store
        self._clock = clock
        self._routes = routes
        self._default = default_route
        self._shadow = shadow_route
        self.words = {name: tuple(url.text for url in route.urls) for name, route in routes.items()}
        self._look_at = 0.0

    def step(self, fence: int) -> None:
        """Releases waiting alerts; once a second applies fallbacks and reports parked deliveries."""
        self._let_out(fence)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + ROUTE_SECONDS
            self._hand_over(fence)
            self._tell_parked(fence)

    def park_strays(self, fence: int) -> None:
        found = rows.park_strays(self._store, fence, self.words, micros(self._clock.now()))
        if found:
            log.error("alerts whose URL left the config were given up", deliveries=found)

    def given_up(self) -> dict[str, int]:
        """Number of parked deliveries per route."""
        return {delivery.route: delivery.count for delivery in rows.parked_deliveries(self._store)}

    def _let_out(self, fence: int) -> None:
        waiting = rows.pending_alerts(self._store)
        if not waiting:
            return
        now = self._clock.now()
        alone: list[int] = []
        digests: list[tuple[NewAlert, list[int]]] = []
        for route, group in groupby(sorted(waiting, key=lambda one: (one.route, one.id)), lambda one: one.route):
            limit = self._routes[route].max_per_minute if route in self._routes else len(waiting)
            let, digest = rows.released_since(self._store, route, micros(now - WINDOW))
            found = decide([_pending_alert(one) for one in group], let, optional_instant(digest), limit, now)
            alone += found.alone
            if found.together:
                digests.append((_digest(route, found.together, limit, now), [one.id for one in found.together]))
        if alone or digests:
            rows.release_alerts(self._store, fence, self.words, alone, digests, micros(now))
            failpoint("outbox.let_out")

    def _hand_over(self, fence: int) -> None:
        now = self._clock.now()
        found: list[tuple[int, NewAlert]] = []
        for name, route in self._routes.items():
            if not route.fallback:
                continue
            late = rows.undelivered_alerts(
                self._store, name, micros(now - route.fallback_after), micros(now - MAX_FALLBACK_AGE)
            )
            found += [(one.id, self._as_fallback(one, route)) for one in late]
        if found:
            rows.forward_to_fallback(self._store, fence, self.words, found, micros(now))
            log.warning("alerts were handed to a fallback route", alerts=[one for one, _ in found])

    def _as_fallback(self, alert: rows.UndeliveredAlert, route: RouteSettings) -> NewAlert:
        after = format_duration(route.fallback_after.total_seconds())
        line = f'Route "{alert.route}" has not accepted this in {after}; this route is its fallback.'
        last = f" Last answer: {alert.error}" if alert.error else ""
        return rows.as_fallback(alert, route.fallback, line + last, line)

    def _tell_parked(self, fence: int) -> None:
        """Reports parked deliveries, at most once an hour per route. Alerts about Headway itself are not reported
        again."""
        now = self._clock.now()
        for delivery in rows.parked_deliveries(self._store):
            since = micros(now - PARKED_REMINDER_INTERVAL)
            if delivery.news_us < since or rows.notified_since(self._store, parked_alert_key(delivery.route), since):
                continue
            wanted = self._routes[delivery.route].fallback if delivery.route in self._routes else ""
            told_at = wanted or self._default
            if told_at:
                shadow = self._shadow if self._shadow != delivery.route else ""
                notify_or_record(
                    self._store,
                    fence,
                    self.words,
                    _parked_alert(delivery, told_at),
                    shadow,
                    micros(now),
                    delivery.news_us,
                )


def parked_alert_key(route: str) -> str:
    return f"headway:parked:{route}"


def self_alert(route: str, key: str, title: str, lines: list[str], plain: list[str]) -> NewAlert:
    """An alert about Headway itself; nothing delays or suppresses it."""
    body, short = "\n".join(lines) + "\n", "\n".join(plain) + "\n"
    return NewAlert(route, HEADWAY, title, body, key, title, short, urgent=True, waits=False)


def _parked_alert(deliveries: rows.ParkedDeliveries, told_at: str) -> NewAlert:
    number = f"{deliveries.count} alert{'s' if deliveries.count > 1 else ''}"
    title = f'[Headway] {number} to route "{deliveries.route}" not delivered'
    first = f'{number} to route "{deliveries.route}" could not be delivered; Headway does not retry.'
    fix = ["", "List: headway alert", "Fix: repair the receiver, then send again: headway alert retry --parked"]
    lines = [first, f"Last answer: {deliveries.error}", *fix]
    return self_alert(told_at, parked_alert_key(deliveries.route), title, lines, [first, *fix])


def _pending_alert(alert: rows.WaitingAlert) -> PendingAlert:
    return PendingAlert(alert.id, instant(alert.made_us), alert.urgent, alert.incident, alert.title, alert.plain_title)


def _digest(route: str, together: tuple[PendingAlert, ...], limit: int, now: datetime) -> NewAlert:
    words = digest_text(together, limit)
    key = f"headway:digest:{route}:{micros(now)}"
    made = NewAlert(route, DIGEST, words.title, words.body, key, words.plain_title, words.plain_body)
    return replace(made, waits=False)
