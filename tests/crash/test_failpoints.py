"""kill -9 of the whole command on the way of an alert: the alert leaves, as one marked repeat where the send had
already begun. Every named point is tried in a forked engine: tests/invariants/test_alerts_killed.py.

A replayed night replaces the schedulers (tests/lab has them for real); engine, store, apprise and the web hook
that receives the alert are the real ones. Every run: history is read, the engine stops, `extract_orders` fails, an
armed engine is started and dies, another engine takes over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from console.demo.playback import (
    LONG,
    SINK,
    DemoPlayback,
    attempts_read,
    attempts_recorded,
    is_evaluated,
    moment,
    set_clock,
    set_up,
)
from console.engine.notify.outbox import REPEAT
from console.engine.supervisor.engine import WAITS_FOR_LEASE
from console.failpoints import VARIABLE
from console.store.db.database import Database
from console.timing.clock import ClockSetting, real_now
from tests.fakes.web_server import web_server
from tests.lab.process import HANGS_SECONDS, wait_until

BEFORE, AFTER = moment("03:11"), moment("03:13")


@dataclass
class Hook:
    """A web hook that keeps what it gets."""

    url: str = ""
    messages: list[str] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.messages.append(json.loads(request.content)["message"])
        return httpx.Response(200)


@contextmanager
def listening() -> Iterator[Hook]:
    made = Hook()
    with web_server(made.handle) as address:
        made.url = f"{address.replace('http', 'json')}/hook"
        yield made


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as made:
        yield made


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with sixty nights read and evaluated; its clock is a minute before the failure."""
    play = DemoPlayback(tmp_path_factory.mktemp("evening"))
    store = set_up(play, BEFORE, 60.0)
    with listening() as hook, engine(play, hook):
        wait_until(lambda: is_evaluated(store), "the history")
    store.close()
    return play.folder


@contextmanager
def engine(play: DemoPlayback, hook: Hook, failpoint: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """An engine process, ended at the end whatever became of it."""
    environment = {**os.environ, SINK: hook.url}
    if failpoint:
        environment[VARIABLE] = failpoint
    argv = [sys.executable, "-m", "console", "--config", str(play.config), "engine", "--with-parent"]
    argv += ["--log-file", str(play.log)]
    process = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(HANGS_SECONDS)


def morning(evening: Path, folder: Path) -> tuple[DemoPlayback, Database]:
    """A copy of the evening in which the failure has just happened; its clock stands still."""
    shutil.copytree(evening, folder, dirs_exist_ok=True)
    play = DemoPlayback(folder)
    store = set_up(play, BEFORE, 20.0)
    set_clock(play, store, ClockSetting(AFTER, real_now() + LONG, 20.0))
    return play, store


def deliveries(store: Database) -> list[tuple[str, int]]:
    with store.read() as connection:
        rows = connection.rows("SELECT state, repeats FROM delivery ORDER BY id")
    return [(row[0], row[1]) for row in rows]


def test_an_alert_whose_engine_is_killed_after_the_wire_is_repeated_once_and_marked(
    evening: Path, tmp_path: Path, hook: Hook
) -> None:
    play, store = morning(evening, tmp_path)
    with engine(play, hook, "send.after_wire:kill") as armed:
        assert -signal.SIGKILL == armed.wait(HANGS_SECONDS)
    with engine(play, hook):
        wait_until(lambda: [("sent", 1)] == deliveries(store), "the repeat")
    assert [False, True] == [REPEAT.rows[0] in message for message in hook.messages]
    assert "ok" == _integrity(store)
    store.close()


def test_history_that_a_kill_cut_between_two_pages_is_whole_after_the_next_start(tmp_path: Path, hook: Hook) -> None:
    play = DemoPlayback(tmp_path)
    store = set_up(play, BEFORE, 60.0)
    with engine(play, hook, "poll.mid_pages:kill") as armed:
        assert -signal.SIGKILL == armed.wait(HANGS_SECONDS)
    cut = attempts_read(store)
    with engine(play, hook):
        wait_until(
            lambda: is_evaluated(store) and attempts_read(store) >= attempts_recorded(play, BEFORE),
            "all of the history",
        )
    assert (True, attempts_recorded(play, BEFORE)) == (cut < attempts_recorded(play, BEFORE), attempts_read(store))
    store.close()


def _integrity(store: Database) -> str:
    with store.read() as connection:
        return str(connection.rows("PRAGMA integrity_check")[0][0])


def test_two_engines_on_one_store_one_works_and_the_other_says_who(evening: Path, tmp_path: Path, hook: Hook) -> None:
    play, store = morning(evening, tmp_path)
    with engine(play, hook) as first:
        wait_until(lambda: bool(hook.messages), "the alert")
        second_log = tmp_path / "second.log"
        argv = [sys.executable, "-m", "console", "--config", str(play.config), "engine", "--with-parent"]
        argv += ["--log-file", str(second_log)]
        with subprocess.Popen(argv, env={**os.environ, SINK: hook.url}) as other:
            wait_until(lambda: second_log.exists() and WAITS_FOR_LEASE in second_log.read_text(), "who holds it")
            assert f":{first.pid}~" in second_log.read_text()
            first.send_signal(signal.SIGKILL)
            wait_until(lambda: '"working"' in second_log.read_text(), "the other to take over")
            other.terminate()
    assert 1 == len(hook.messages)
    store.close()


def test_the_lease_passes_on_soon_after_a_kill_and_only_to_one(evening: Path, tmp_path: Path, hook: Hook) -> None:
    play, store = morning(evening, tmp_path)
    set_clock(play, store, ClockSetting(AFTER + timedelta(minutes=1), real_now(), 20.0))
    with engine(play, hook, "lease.acquired:kill") as armed:
        assert -signal.SIGKILL == armed.wait(HANGS_SECONDS)
    with engine(play, hook):
        wait_until(lambda: bool(hook.messages), "the alert")
    store.close()
