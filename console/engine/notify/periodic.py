"""Periodic tasks of alerting: one thread reads the on-call calendars and sends the weekly noise report.

Each Monday a route gets a report of the alerts of the week before that were noise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta

import structlog

from console.domain.ids import micros
from console.domain.noise import NoiseReport, report_tables, summary_lines
from console.engine.notify.routing import notify_or_record
from console.engine.worker import Pulse
from console.store import alert_routing as rows
from console.store.alert_responses import noise_since
from console.store.alerts import NOISE, NewAlert
from console.store.db.database import Database
from console.text.message import table, text_of
from console.timing.clock import Clock

log = structlog.get_logger("headway.outbox")

EVERY_SECONDS = 15.0
"""Pause after all tasks have run."""
WEEK = timedelta(days=7)
REPORT_TIME = time(7)
"""UTC, on Mondays."""
MAX_DELAY = timedelta(days=2)
"""A report later than this is dropped."""


class PeriodicTasks:
    """Runs all periodic tasks on one thread, as none is urgent."""

    def __init__(self, *steps: Callable[[int], None]) -> None:
        """`steps`: called with the fence."""
        self._steps = steps
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.wake.clear()
            for step in self._steps:
                self.pulse.beat(EVERY_SECONDS)
                step(fence)
            self.wake.wait(EVERY_SECONDS)


class WeeklyNoiseReport:
    """Sends the weekly noise report. `route`: recipient; empty: none. With everything in shadow mode it goes to
    `shadow_route`, or is only recorded."""

    def __init__(self, store: Database, clock: Clock, route: str, routes: rows.Routes, shadow_route: str = "") -> None:
        self._store, self._clock, self._route, self._routes = store, clock, route, routes
        self._shadow_route = shadow_route
        self._handled = ""
        """Key of the last report."""

    def step(self, fence: int) -> None:
        """Sends the report of the past week, once."""
        now = self._clock.now()
        until = monday_before(now)
        key = f"headway:noise:{until - WEEK:%G-W%V}"
        if not self._route or now - until > MAX_DELAY or key == self._handled:
            return
        if not rows.notified_since(self._store, key, micros(until)):
            with self._store.read() as session:
                noise = noise_since(session, until - WEEK, until)
            title = f"Alert noise, week of {until - WEEK:%Y-%m-%d}: {noise.total.alerts} alerts"
            body = noise_body(noise)
            report = NewAlert(self._route, NOISE, title, body, key, title, title + "\n", waits=False)
            notify_or_record(self._store, fence, self._routes, report, self._shadow_route, micros(now), micros(until))
            log.info("noise report created", route=self._route)
        self._handled = key


def noise_body(noise: NoiseReport) -> str:
    steps = table([("Open", "headway alert noise --since 7d")])
    return text_of([summary_lines(noise), steps, *map(table, report_tables(noise))])


def monday_before(now: datetime) -> datetime:
    """The last Monday at REPORT_TIME (UTC) that is not after now."""
    monday = datetime.combine(now.date() - timedelta(days=now.weekday()), REPORT_TIME, now.tzinfo)
    return monday if monday <= now else monday - WEEK
