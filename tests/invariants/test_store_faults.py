"""A store that is full (F12), locked by another process (F13) or not to be written (F14): clear words, no traceback,
and the engine goes on by itself once it can."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from console.cli.engine_process import start_engine_if_needed
from console.cli.exits import Exit
from console.cli.main import main
from console.store import outbox as outbox_rows
from console.store.db.database import Database
from console.store.db.session import WriteSession
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from tests.invariants import locked
from tests.invariants.engines import LEASE_SECONDS, Child, child, running, server
from tests.invariants.worlds import Sink, World
from tests.lab.needs import command
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.store.ready import open_ready

SMALL = 16 * 1024
READS = 60


def limit_files(process: Child, size: int) -> None:
    """From now on the process cannot write a file beyond `size`: every write of the store fails."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_f12_an_engine_on_a_full_disk_says_so_once_and_goes_on_once_there_is_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, sink, url = World(tmp_path, "good"), Sink(tmp_path), str(tmp_path / "headway.db")
    with child(tmp_path, lease=LEASE_SECONDS) as engine:
        wait_until(lambda: "working" in engine.events() and seen(url), "the engine at work")
        limit_files(engine, SMALL)
        world.fail("extract")
        wait_until(lambda: "the engine waits for its store" in engine.events(), "the engine to give up for now")
        wait_until(lambda: main(["--store", url, "status"]) == Exit.NO_ENGINE, "its lease to end")
        text = capsys.readouterr().out
        assert (True, False) == ("good/one" in text, "Fix: headway engine" in text)
        assert f"process {engine.pid} lives and has not written since" in text
        assert "engine not started: " in start_engine_if_needed(url, tmp_path / "headway.toml").message
        limit_files(engine, resource.RLIM_INFINITY)
        wait_until(lambda: bool(sink.got), "the alert")
        lines = engine.lines()
        assert engine.ended(0) is None
    texts = [line["error"] for line in lines if line["event"] == "the engine waits for its store"]
    assert ["exception" in line for line in lines] == [False] * len(lines)
    assert (1, True) == (len(texts), texts[0].startswith(f"the store at {url}: "))
    assert (1, "ok") == (len(sink.got), integrity(url))


def seen(url: str) -> bool:
    with open_queries(url) as reads:
        return any(target.last_ok for target in reads.estate.systems())


def integrity(url: str) -> str:
    store = open_ready(url)
    with store.read() as connection:
        result = str(connection.rows("PRAGMA integrity_check")[0][0])
    store.close()
    return result


@pytest.mark.parametrize("write, arrives", [("mark_sending", 1), ("record_sent", 1)])
def test_f12_a_delivery_missing_from_the_store_is_recorded_later_and_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, arrives: int
) -> None:
    """Full just before the wire: it leaves later. Full just after it: what was sent is written later."""
    real = getattr(outbox_rows, write)
    failed: list[str] = []

    def full_twice(*arguments: Any) -> None:
        if len(failed) < 2:
            failed.append(write)
            raise StoreUnusable("the store at x: database or disk is full")
        real(*arguments)

    monkeypatch.setattr(outbox_rows, write, full_twice)
    good = World(tmp_path, "good")
    good.fail("extract")
    with running(tmp_path, good) as engine:
        wait_until(lambda: engine.rows("SELECT state, repeats FROM delivery") == [("sent", 0)], "the record")
    assert (arrives, 2) == (len(engine.sink.got), len(failed))


@pytest.mark.lab
def test_f12_a_real_disk_that_is_full_stops_nothing_for_good(tmp_path: Path) -> None:
    """4 MiB of tmpfs in a mount namespace of its own, with the store and the engine's log on it."""
    results = on_a_small_disk("full", tmp_path)
    assert {
        "made on a full disk": "database or disk is full",
        "reads": 3,
        "told": True,
        "alive": True,
        "alerts while full": 0,
        "alerts": 1,
        "integrity": "ok",
        "logged": True,
    } == results


@pytest.mark.lab
def test_f14_on_a_read_only_file_system_the_engine_refuses_and_the_screens_read(tmp_path: Path) -> None:
    results = on_a_small_disk("read-only", tmp_path)
    assert {"engine": 2, "text": "Read-only file system", "traceback": False, "status": 3, "told": True} == results


def on_a_small_disk(what: str, folder: Path) -> dict[str, object]:
    if os.geteuid() != 0:
        pytest.fail("mounting a small disk needs root")
    argv = [command("unshare"), "--mount", sys.executable, "-m", "tests.invariants.small_disk", what, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


def test_f14_a_store_that_may_not_be_written_is_refused_with_its_reason(tmp_path: Path) -> None:
    """As a user who may read it only; where the tests run as root, that is nobody in a process of its own."""
    url = str(tmp_path / "headway.db")
    open_ready(url).close()
    details = as_unprivileged_user(url)
    assert f"{url}: Permission denied; the store needs a file that it may write" == details["engine"]
    assert "this user may not write in that folder" in details["console"]


def as_unprivileged_user(url: str) -> dict[str, str]:
    answers = server().Queue()
    process = server().Process(target=locked.refused, args=(url, answers))
    process.start()
    details: dict[str, str] = answers.get(timeout=HANGS_SECONDS)
    process.join(HANGS_SECONDS)
    return details


def test_f13_another_process_locks_the_store_and_all_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, url = World(tmp_path, "good"), str(tmp_path / "headway.db")
    write, waiting = Database.write, list[str]()

    @contextmanager
    def noted(self: Database, *fence: Any, **options: bool) -> Iterator[WriteSession]:
        waiting.append(threading.current_thread().name)
        with write(self, *fence, **options) as session:
            waiting.remove(threading.current_thread().name)
            yield session

    monkeypatch.setattr(Database, "write", noted)
    with running(tmp_path, good) as engine:
        wait_until(lambda: len(good.polled) > 2, "its polls")
        with open_queries(url) as reads:
            held, let_go = server().Event(), server().Event()
            process = lock(url, held, let_go)
            try:
                good.fail("extract")
                wait_until(lambda: bool(waiting), "a write that waits for the lock")
                for _ in range(READS):
                    assert reads.estate.header().engine.alive
                assert [] == engine.sink.got
            finally:
                let_go.set()
                process.join(HANGS_SECONDS)
        wait_until(lambda: bool(engine.sink.got), "the alert")
        assert [(1, None)] == engine.rows(
            "SELECT fence, (SELECT value FROM meta WHERE name = 'engine_trouble') FROM lease"
        )


def lock(url: str, held: Event, let_go: Event) -> multiprocessing.process.BaseProcess:
    process = server().Process(target=locked.hold, args=(url, held, let_go))
    process.start()
    assert held.wait(HANGS_SECONDS)
    return process
