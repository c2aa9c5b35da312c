"""Tells a route, each Monday, which alerts of the week before were noise."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import structlog

from console.clock import Clock
from console.engine.own_shadow import tell_or_note
from console.model.ids import micros
from console.model.noise import noise_lines
from console.store import routing as rows
from console.store.alert_rows import NOISE, NewAlert
from console.store.noise import noise_since
from console.store.open import Store
from console.store.wire import wire

log = structlog.get_logger("headway.outbox")

WEEK = timedelta(days=7)
AT = time(7)
"""UTC, on Mondays."""
LATE = timedelta(days=2)
"""An engine that was away that long on Monday does not tell it any more."""


class WeeklyNoise:
    """`route`: who is told; empty: nobody. While all is in shadow `shadow_route` is, or it is only recorded."""

    def __init__(self, store: Store, clock: Clock, route: str, routes: rows.Routes, shadow_route: str = "") -> None:
        self._store, self._clock, self._route, self._routes = store, clock, route, routes
        self._shadow_route = shadow_route
        self._told = ""
        """The week that needs no further look."""

    def step(self, fence: int) -> None:
        """Tells the week that is over, once."""
        now = self._clock.now()
        until = monday_before(now)
        key = f"headway:noise:{until - WEEK:%G-W%V}"
        if not self._route or now - until > LATE or key == self._told:
            return
        if not rows.told_since(self._store, key, micros(until)):
            report = self._report(key, until)
            tell_or_note(self._store, fence, self._routes, report, self._shadow_route, micros(now), micros(until))
            log.info("the week's noise was told", route=self._route)
        self._told = key

    def _report(self, key: str, until: datetime) -> NewAlert:
        with self._store.read() as connection:
            found = noise_since(wire(connection).rows, until - WEEK, until)
        title = f"[Headway] noise of the week {until - WEEK:%Y-%m-%d}: {found.total.alerts} alerts"
        lines = [*noise_lines(found), "", "The same for any time: headway report --noise --since 7d"]
        body = "\n".join(lines) + "\n"
        return NewAlert(self._route, NOISE, title, body, key, title, title + "\n", waits=False)


def monday_before(now: datetime) -> datetime:
    """The last Monday at that hour that is not after now (UTC)."""
    monday = datetime.combine(now.date() - timedelta(days=now.weekday()), AT, now.tzinfo)
    return monday if monday <= now else monday - WEEK
