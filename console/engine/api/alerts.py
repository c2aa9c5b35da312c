"""Requests about alerts: acknowledge an incident, silence, rate an alert, test a route, retry parked deliveries.

The client has authorized the requester before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

from console.config.alerts import matcher_fault
from console.config.document import suggestion
from console.config.sections import Config
from console.domain.ids import MAX_AHEAD, instant, micros
from console.domain.request import RequestKind
from console.engine.api.server import ChangeHandlers, RequestFailed, RequestHandler, UnknownName, change_origin
from console.store import alert_responses, alert_routing, outbox
from console.store.alerts import TEST, NewAlert
from console.store.db.database import Database
from console.text.cleaning import clean_line
from console.text.message import table, text_of
from console.timing.clock import Clock
from console.timing.durations import format_duration
from console.timing.formats import timestamp_text
from console.timing.zones import zone_of

MAX_SILENCE = timedelta(days=90)
"""Longest silence; anything permanent belongs into the config."""


def route_test(route: str, by: str, estate: str, now: datetime, zone: tzinfo) -> NewAlert:
    """The test message of a route."""
    title, key = f'Test of route "{route}": nothing is wrong', f"headway:test:{route}:{micros(now)}"
    sent = [("Sent by", by), ("With", f"headway alert test {route}"), ("At", timestamp_text(now, zone))]
    body = text_of([["This shows that alerts arrive here."], table([*sent, ("Estate", estate)])])
    return NewAlert(route, TEST, title, body, key, title, body, urgent=True, waits=False)


class AlertResponseHandlers(ChangeHandlers):
    """Acknowledgements, silences and ratings."""

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {
            RequestKind.ACKNOWLEDGE: self.acknowledge,
            RequestKind.UNACKNOWLEDGE: self.unacknowledge,
            RequestKind.ADD_SILENCE: self.add_silence,
            RequestKind.EXPIRE_SILENCE: self.expire_silence,
            RequestKind.RATE_ALERT: self.rate,
        }

    def acknowledge(self, arguments: dict[str, Any]) -> dict[str, Any]:
        origin = change_origin(arguments, self.clock)
        until = _end(origin.now_us, float(arguments["seconds"]))
        number = int(arguments["incident_id"])
        key, keeps_later = str(arguments.get("key", "")), bool(arguments.get("keeps_later"))
        fence = arguments["fence"]
        self.finish(alert_responses.acknowledge(self.store, fence, number, until, origin, key, keeps_later))
        until = alert_responses.acknowledged_until(self.store, number)
        return {"incident": number, "until_us": until, "by": origin.by}

    def unacknowledge(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number, origin = int(arguments["incident_id"]), change_origin(arguments, self.clock)
        self.finish(alert_responses.end_acknowledgement(self.store, arguments["fence"], number, origin))
        return {"incident": number}

    def add_silence(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Adds a silence, from now or from a given time."""
        origin, matchers = change_origin(arguments, self.clock), dict(arguments["matchers"])
        if fault := matcher_fault(matchers):
            raise RequestFailed(fault)
        begins = int(arguments["from_us"] or origin.now_us)
        if begins > micros(instant(origin.now_us) + MAX_AHEAD):
            limit = f"say a time of at most {MAX_AHEAD.days} days from now"
            raise RequestFailed(f"from {instant(begins):%Y-%m-%d %H:%M} UTC: {limit}")
        until = _end(begins, float(arguments["seconds"]))
        number = alert_responses.add_silence(self.store, arguments["fence"], matchers, begins, until, origin)
        self.wake()
        return {"silence": number, "from_us": begins, "until_us": until}

    def expire_silence(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number = int(arguments["silence"])
        alert_responses.expire_silence(self.store, arguments["fence"], number, change_origin(arguments, self.clock))
        self.wake()
        return {"silence": number}

    def rate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number, useful = int(arguments["alert"]), bool(arguments["useful"])
        origin = change_origin(arguments, self.clock)
        alert_responses.rate_alert(self.store, arguments["fence"], number, useful, origin)
        self.wake()
        return {"alert": number, "useful": useful}


def _end(from_us: int, seconds: float) -> int:
    if not 0 < seconds <= MAX_SILENCE.total_seconds():
        limit = f"say a time above zero and of at most {MAX_SILENCE.days} days"
        raise RequestFailed(f"for {format_duration(max(seconds, 0))}: {limit}")
    return from_us + int(seconds * 1_000_000)


class AlertRouteHandlers:
    """Tests of routes and retries of parked deliveries. The client has authorized the requester."""

    def __init__(self, store: Database, clock: Clock, config: Config, wake: Callable[[], None]) -> None:
        """`wake`: wakes the outbox."""
        self._store, self._clock, self._wake = store, clock, wake
        self._urls = {name: tuple(url.text for url in route.urls) for name, route in config.routes.items()}
        self._estate, self._zone = clean_line(config.estate.name), zone_of(config.zone)

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {RequestKind.TEST_ALERT: self.test, RequestKind.RETRY_ALERTS: self.retry}

    def test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Queues a test message for each URL of a route; the id of the alert, by which its deliveries are found."""
        route, by = clean_line(str(arguments["route"])), clean_line(str(arguments["by"]))
        if route not in self._urls:
            raise UnknownName(f'no route "{route}". {suggestion(route, self._urls or ["add [routes.NAME]"])}')
        now = self._clock.now()
        alert = route_test(route, by, self._estate, now, self._zone)
        change = (micros(now), by, str(arguments.get("from", "")))
        alert_id = alert_routing.create_route_test(self._store, arguments["fence"], self._urls, alert, *change)
        self._wake()
        return {"alert": alert_id, "urls": list(self._urls[route]), "key": alert.dedup_key}

    def retry(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Makes one parked delivery, or all, due again; their ids."""
        delivery = None if arguments.get("delivery") is None else int(arguments["delivery"])
        by, origin = str(arguments["by"]), str(arguments.get("from", ""))
        retried = outbox.retry_parked(self._store, arguments["fence"], delivery, micros(self._clock.now()), by, origin)
        if not retried and delivery is None:
            raise RequestFailed("nothing is parked")
        if not retried:
            raise UnknownName(f"delivery {delivery} is not parked; headway alert lists what is")
        self._wake()
        return {"deliveries": retried}
