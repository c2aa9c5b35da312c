"""Requests about alerts: acknowledge an incident, silence, test a route, retry parked deliveries.

The client has authorized the requester before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from console.config.document import suggestion
from console.domain.alert import MATCHERS
from console.domain.ids import MAX_AHEAD, instant, micros
from console.domain.message import CommandRef, Facts, Lines, Message
from console.engine.api.requests import Acknowledge, AddSilence, ExpireSilence, RetryAlerts, SendTest, Unacknowledge
from console.engine.api.server import AnsweringEngine, Caller, Handlers, RequestFailed, UnknownName
from console.engine.notify.paging import page_key
from console.store import alert_responses, alert_routing, outbox
from console.store.alerts import TEST, NewAlert
from console.store.db.lease import store_id
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import timestamp_text
from console.timing.zones import zone_of

MAX_SILENCE = timedelta(days=90)
"""Longest silence; anything permanent belongs into the config."""


def route_test(route: str, by: str, estate: str, now: datetime, zone: tzinfo) -> NewAlert:
    """The test message of a route."""
    sent = (("Sent by", by), ("With", CommandRef(f"headway alert test {route}")), ("At", timestamp_text(now, zone)))
    blocks = (Lines(("This shows that alerts arrive here.",)), Facts((*sent, ("Estate", estate))))
    message = Message((f'Test of route "{route}": nothing is wrong',), blocks)
    return NewAlert(route, TEST, message, f"headway:test:{route}:{micros(now)}", message, urgent=True, waits=False)


def acknowledge(engine: AnsweringEngine, request: Acknowledge, caller: Caller) -> dict[str, Any]:
    change, number = engine.change(caller, request.why), request.incident_id
    until, key, keeps_later = _end(change.now_us, request.seconds), request.key, request.keeps_later
    engine.finish(alert_responses.acknowledge(engine.store, caller.fence, number, until, change, key, keeps_later))
    until_us = alert_responses.acknowledged_until(engine.store, number)
    return {"incident": number, "until_us": until_us, "by": change.by}


def unacknowledge(engine: AnsweringEngine, request: Unacknowledge, caller: Caller) -> dict[str, Any]:
    number, change = request.incident_id, engine.change(caller, request.why)
    engine.finish(alert_responses.end_acknowledgement(engine.store, caller.fence, number, change))
    return {"incident": number}


def add_silence(engine: AnsweringEngine, request: AddSilence, caller: Caller) -> dict[str, Any]:
    """Adds a silence, from now or from a given time."""
    change, matchers = engine.change(caller, request.why), request.matchers
    if fault := _matcher_fault(matchers):
        raise RequestFailed(fault)
    begins = request.from_us or change.now_us
    if begins > micros(instant(change.now_us) + MAX_AHEAD):
        limit = f"say a time of at most {MAX_AHEAD.days} days from now"
        raise RequestFailed(f"from {instant(begins):%Y-%m-%d %H:%M} UTC: {limit}")
    until = _end(begins, request.seconds)
    number = alert_responses.add_silence(engine.store, caller.fence, matchers, begins, until, change)
    engine.wake_evaluator()
    return {"silence": number, "from_us": begins, "until_us": until}


def expire_silence(engine: AnsweringEngine, request: ExpireSilence, caller: Caller) -> dict[str, Any]:
    change = engine.change(caller, request.why)
    alert_responses.expire_silence(engine.store, caller.fence, request.silence, change)
    engine.wake_evaluator()
    return {"silence": request.silence}


def _matcher_fault(matchers: Mapping[str, str]) -> str:
    """Why the matchers are invalid; empty if valid."""
    wrong = [name for name in matchers if name not in MATCHERS]
    if wrong:
        return f'"{wrong[0]}" is not a matcher; known are {", ".join(MATCHERS)}'
    return "" if matchers else f"without a matcher it would match everything; name one of {', '.join(MATCHERS)}"


def _end(from_us: int, seconds: float) -> int:
    if not 0 < seconds <= MAX_SILENCE.total_seconds():
        limit = f"say a time above zero and of at most {MAX_SILENCE.days} days"
        raise RequestFailed(f"for {format_duration(max(seconds, 0))}: {limit}")
    return from_us + int(seconds * 1_000_000)


def test_route(engine: AnsweringEngine, request: SendTest, caller: Caller) -> dict[str, Any]:
    """Queues a test message for each URL of a route; the id of the alert, by which its deliveries are found."""
    config, store = engine.config, engine.store
    urls = {name: tuple(url.text for url in route.urls) for name, route in config.routes.items()}
    route, change = clean_line(request.route), engine.change(caller)
    if route not in urls:
        raise UnknownName(f'no route "{route}". {suggestion(route, urls or ["add [routes.NAME]"])}')
    estate, now = clean_line(config.estate.name), instant(change.now_us)
    alert = route_test(route, change.by, estate, now, zone_of(config.zone))
    alert_id = alert_routing.create_route_test(store, caller.fence, urls, alert, change)
    engine.wake_outbox()
    return {"alert": alert_id, "urls": list(urls[route]), "key": page_key(store_id(store), alert.dedup_key)}


def retry_alerts(engine: AnsweringEngine, request: RetryAlerts, caller: Caller) -> dict[str, Any]:
    """Makes one parked delivery, or all, due again; their ids."""
    delivery = request.delivery
    retried = outbox.retry_parked(engine.store, caller.fence, delivery, engine.change(caller))
    if not retried and delivery is None:
        raise RequestFailed("nothing is parked")
    if not retried:
        raise UnknownName(f"delivery {delivery} is not parked; headway alert lists what is")
    engine.wake_outbox()
    return {"deliveries": retried}


HANDLERS: Handlers = {
    Acknowledge: acknowledge, Unacknowledge: unacknowledge, AddSilence: add_silence, ExpireSilence: expire_silence,
    SendTest: test_route, RetryAlerts: retry_alerts,
}  # fmt: skip
