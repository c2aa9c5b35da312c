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

import structlog

from console.config.sections import RouteSettings
from console.config.templates import TemplateFault, render
from console.control.alerts.digest import WINDOW, digest_text, plan_digest
from console.domain.alert import SHADOW_LABEL
from console.domain.decision import Decisions, Notice
from console.domain.ids import micros, optional_instant
from console.domain.switches import Modes
from console.failpoints import failpoint
from console.store import alert_routing as rows
from console.store import switches
from console.store.alerts import DIGEST, HEADWAY, NewAlert
from console.store.db.database import Database
from console.text.cleaning import clean, clean_line
from console.text.message import MessageText, quote, table, text_of
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
        title=f"{SHADOW_LABEL}{alert.title}",
        body=first + alert.body,
        plain_title=f"{SHADOW_LABEL}{alert.plain_title}",
        plain_body=first + alert.plain_body,
    )


def shadow_report_line(alert: NewAlert) -> str:
    """The line of the alert in the shadow report."""
    return f"would have notified {alert.route}: {alert.title}"


log = structlog.get_logger("headway.outbox")

TITLE_LIMIT = 300


class RouteTemplates:
    """Renders notifications in their routes' own templates; Headway's text is used if that fails."""

    def __init__(self, routes: Mapping[str, RouteSettings]) -> None:
        self._templates = {
            name: route.template for name, route in routes.items() if route.template.subject or route.template.body
        }

    def render(self, decisions: Decisions) -> Decisions:
        """The decisions with rendered notifications."""
        if not self._templates:
            return decisions
        incidents = tuple(
            replace(incident, notices=tuple(map(self._notice, incident.notices))) if incident.notices else incident
            for incident in decisions.incidents
        )
        return replace(decisions, incidents=incidents)

    def _notice(self, notice: Notice) -> Notice:
        template = self._templates.get(notice.template)
        if template is None:
            return notice

        def title(values: Mapping[str, object]) -> str:
            return clean_line(render(template.subject, values), TITLE_LIMIT) if template.subject else ""

        def body(values: Mapping[str, object]) -> str:
            return clean(render(template.body, values)) if template.body else ""

        try:
            return replace(
                notice,
                title=title(notice.values) or notice.title,
                body=body(notice.values) or notice.body,
                plain_title=title(notice.plain_values) or notice.plain_title,
                plain_body=body(notice.plain_values) or notice.plain_body,
            )
        except TemplateFault as fault:
            log.error("template failed, sending Headway's own text", route=notice.route, error=str(fault))
            return notice


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
            limit = self._routes[route].max_per_minute if route in self._routes else len(waiting)
            released, digest_us = rows.released_since(self._store, route, micros(now - WINDOW))
            plan = plan_digest(list(group), released, optional_instant(digest_us), limit, now)
            alone += plan.alone
            if plan.together:
                digest = _digest_alert(route, digest_text(plan.together, limit, self._zone, self._link), now)
                digests.append((digest, [alert.id for alert in plan.together]))
        if alone or digests:
            rows.release_alerts(self._store, fence, self.url_sources, alone, digests, micros(now))
            failpoint("outbox.released")

    def _apply_fallbacks(self, fence: int) -> None:
        now = self._clock.now()
        forwarded: list[tuple[int, NewAlert]] = []
        for name, route in self._routes.items():
            if not route.fallback:
                continue
            until, since = micros(now - route.fallback_after), micros(now - MAX_FALLBACK_AGE)
            after = format_duration(route.fallback_after)
            for alert in rows.undelivered_alerts(self._store, name, until, since, route.fallback):
                line = f'Route "{alert.route}" has not confirmed this in {after}; this route is its fallback.'
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


def _digest_alert(route: str, text: MessageText, now: datetime) -> NewAlert:
    key, plain = f"headway:digest:{route}:{micros(now)}", (text.plain_title, text.plain_body)
    return NewAlert(route, DIGEST, text.title, text.body, key, *plain, waits=False)


def parked_alert_key(route: str) -> str:
    return f"headway:parked:{route}"


def self_alert(
    route: str, key: str, title: str, blocks: Sequence[Sequence[str]], plain: Sequence[Sequence[str]]
) -> NewAlert:
    """An alert about Headway itself; nothing delays or suppresses it."""
    body, short = text_of(blocks), text_of(plain)
    return NewAlert(route, HEADWAY, title, body, key, title, short, urgent=True, waits=False)


def _parked_alert(deliveries: rows.FailedDeliveries, route: str) -> NewAlert:
    number = f"{deliveries.count} alert{'s' if deliveries.count > 1 else ''}"
    title = f'{number} not delivered: route "{deliveries.route}"'
    next_steps = [
        ["Headway does not retry. Repair the receiver, then send again."],
        table([("Do", "headway alert retry --parked"), ("Open", "headway alert")]),
    ]
    return self_alert(
        route, parked_alert_key(deliveries.route), title, [quote([deliveries.error]), *next_steps], next_steps
    )
