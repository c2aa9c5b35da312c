"""Playback of the demo night: its files, its clock, its listener for alerts, and the progress of reading the
history."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

from connectors.replay import vocabulary
from connectors.replay.client import load_night
from connectors.replay.world import home, world
from console.store import meta
from console.store.db.database import Database, open_database
from console.timing.clock import REFRESH_SECONDS, ClockSetting, real_now

NIGHT_FILE, CONFIG_FILE = (Path(__file__).with_name(name) for name in ("night.json.gz", "headway.toml"))
ZONE = "Europe/Berlin"
NIGHT = date(2026, 11, 19)
"""The business date of the story; its clock starts at 03:11 of the following morning."""
SINK = "HEADWAY_DEMO_SINK"
"""Environment variable with the URL of the alert route: a listener on loopback."""
LONG = timedelta(days=365)
LARGEST_ALERT = 1 << 20


@dataclass(frozen=True, slots=True)
class DemoPlayback:
    """The files of one play."""

    folder: Path

    @property
    def night(self) -> Path:
        return self.folder / "night.json.gz"

    @property
    def config(self) -> Path:
        return self.folder / "headway.toml"

    @property
    def store(self) -> Path:
        return self.folder / "headway.db"

    @property
    def clock_file(self) -> Path:
        return self.folder / "clock.json"

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"


def moment(clock: str) -> datetime:
    """The instant (UTC) of a local time of the night; a time before noon is of the following morning."""
    shown = time.fromisoformat(clock)
    day = NIGHT + timedelta(days=1 if shown < time(12) else 0)
    return datetime.combine(day, shown, ZoneInfo(ZONE)).astimezone(UTC)


def set_up(play: DemoPlayback, origin: datetime, rate: float) -> Database:
    """Writes config, night, store and clock. The clock waits at `origin` until a `DemoClock` starts it; pollers already
    use `rate`."""
    for packaged, copy in ((NIGHT_FILE, play.night), (CONFIG_FILE, play.config)):
        copy.touch(0o600)
        copy.write_bytes(packaged.read_bytes())
    store = open_database(str(play.store))
    set_clock(play, store, ClockSetting(origin, real_now() + LONG, rate))
    return store


def set_clock(play: DemoPlayback, store: Database, setting: ClockSetting) -> None:
    """Sets the one clock of the process tree: the store's row, and the file that the replayed systems read."""
    speed = {"rate": setting.rate, "paused": setting.paused}
    row = {"origin": setting.origin.isoformat(), "started": setting.started.isoformat(), **speed}
    fresh = play.clock_file.with_suffix(".new")
    fresh.write_text(json.dumps(row))
    with store.write(None) as session:
        meta.set_clock(session, setting)
        os.replace(fresh, play.clock_file)


class DemoClock:
    """The clock of a play. It waits at its origin until `start`, and wherever `set_waiting` stops it.

    It never goes back: every process reads the clock's row at most half a second late, so that it stops that far ahead,
    and goes on that much later.
    """

    def __init__(self, play: DemoPlayback, store: Database, origin: datetime, rate: float) -> None:
        self._play, self._store = play, store
        self._setting = ClockSetting(origin, real_now() + LONG, rate)
        self._has_started = self._waits = False
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            self._has_started = True
            self._apply()

    def set_waiting(self, waits: bool) -> None:
        with self._lock:
            self._waits = waits
            self._apply()

    def _apply(self) -> None:
        later = real_now() + timedelta(seconds=REFRESH_SECONDS)
        starts = later + LONG if self._waits or not self._has_started else later
        self._setting = ClockSetting(self._setting.at(later), starts, self._setting.rate)
        set_clock(self._play, self._store, self._setting)


def attempts_recorded(play: DemoPlayback, now: datetime) -> int:
    """Number of attempts that the systems of the night report at `now`."""
    night = load_night(play.night)
    attempts = [(attempt, home(night, attempt.job)) for attempt in world(night, (), now)]
    return sum(
        job is not None and vocabulary.record(night.systems[job.system].lent, job, attempt) is not None
        for attempt, job in attempts
    )


def attempts_read(store: Database) -> int:
    with store.read() as session:
        return meta.count_attempts(session)


def is_evaluated(store: Database) -> bool:
    """True when all services have been evaluated with all data."""
    with store.read() as session:
        return meta.is_evaluated(session)


class _AlertListener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(min(max(size, 0), LARGEST_ALERT))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the console shows the notifications."""


@contextmanager
def listener() -> Iterator[str]:
    """The URL of a listener on loopback that accepts and discards every alert."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _AlertListener) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join(2)
