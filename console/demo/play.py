"""One play of the night: its private folder, its clock, its listener for alerts, and how far its history is read."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import text

from connectors.replay import words
from connectors.replay.client import load_night
from connectors.replay.world import home, world
from console.clock import LOOK_AGAIN_SECONDS, Hand, real_now
from console.demo.config import config_text
from console.model.ids import micros
from console.store.open import Store, open_store

NIGHT_FILE = Path(__file__).with_name("night.json.gz")
LONG = timedelta(days=365)
LARGEST_ALERT = 1 << 20


@dataclass(frozen=True, slots=True)
class Play:
    """The files of one play."""

    folder: Path
    night: Path = NIGHT_FILE

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
    def actions(self) -> Path:
        return self.folder / "actions.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"


def set_up(play: Play, origin: datetime, rate: float) -> Store:
    """Writes config, store and clock; the clock waits at `origin` until `go`. Pollers already go by `rate`."""
    play.config.write_text(config_text(play.night, play.actions, play.clock_file), encoding="utf-8")
    store = open_store(str(play.store))
    set_clock(play, store, Hand(origin, real_now() + LONG, rate))
    return store


def set_clock(play: Play, store: Store, hand: Hand) -> None:
    """Sets the one clock of the process tree: the store's row, and the file that the replayed systems read."""
    row = {
        "origin": hand.origin.isoformat(),
        "started": hand.started.isoformat(),
        "rate": hand.rate,
        "paused": hand.paused,
    }
    fresh = play.clock_file.with_suffix(".new")
    fresh.write_text(json.dumps(row))
    values = {
        "origin": micros(hand.origin),
        "started": micros(hand.started),
        "rate": hand.rate,
        "paused": hand.paused,
    }
    with store.write(None) as connection:
        connection.execute(text("DELETE FROM clock"))
        connection.execute(text("INSERT INTO clock VALUES (1, :origin, :started, :rate, :paused)"), values)
        os.replace(fresh, play.clock_file)


def go(play: Play, store: Store, origin: datetime, rate: float) -> None:
    """The clock runs from `origin` on, as soon as everybody has read it: else an incident would open before its cause
    by the clock of whoever still believes the row before."""
    set_clock(play, store, Hand(origin, real_now() + timedelta(seconds=LOOK_AGAIN_SECONDS), rate))


def history(play: Play, now: datetime) -> int:
    """How many attempts the systems of the night tell at `now`."""
    night = load_night(play.night)
    told = 0
    for one in world(night, (), now):
        job = home(night, one.job)
        told += job is not None and words.record(night.systems[job.system].lent, job, one) is not None
    return told


def read_so_far(store: Store) -> int:
    """How many of them the store has."""
    with store.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM attempt")).scalar_one())


def judged(store: Store) -> bool:
    """True when all services have been judged with all that was read."""
    with store.read() as connection:
        days = connection.execute(text("SELECT count(DISTINCT service_id) FROM service_day")).scalar_one()
        services = connection.execute(text("SELECT count(*) FROM service")).scalar_one()
        rows = connection.execute(text("SELECT name, value FROM meta WHERE name LIKE '%_seq'")).all()
    seqs = {str(row[0]): int(row[1]) for row in rows}
    caught_up = seqs.get("evaluated_seq", 0) >= seqs.get("changed_seq", 1)
    return bool(services) and int(days) >= int(services) and caught_up


class _Listener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(min(max(size, 0), LARGEST_ALERT))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the console shows what was sent."""


@contextmanager
def listener() -> Iterator[str]:
    """The URL of a listener on loopback that takes every alert and keeps none: nothing leaves this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Listener) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join(2)
