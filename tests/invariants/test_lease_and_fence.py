"""One engine works on a store. One that was stopped longer than its lease writes and sends nothing (F4), and however
many start at once, one holds it (F5)."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from console.engine.notify.outbox import REPEAT
from console.engine.supervisor.engine import WAITS_FOR_LEASE
from console.store.db import lease
from console.store.db.database import Database
from console.store.db.lease import HeldLease, LeaseHolder
from console.store.queries import open_queries
from tests.invariants.engines import LEASE_SECONDS, Child, child, engine_of, in_thread, running
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.store.ready import open_ready

ENGINES = 6
ROUNDS = 20
WHY = ("lease lost, waiting for the lease", "the lease was not renewed in time; its workers have stopped and restart")
"""What an engine says that comes back too late: whichever it notices first, and once."""


def test_f04_an_engine_stopped_longer_than_its_lease_sends_nothing_and_goes_to_standby(tmp_path: Path) -> None:
    sink = Sink(tmp_path)
    open_ready(str(tmp_path / "headway.db")).close()
    with child(tmp_path, "first", lease=LEASE_SECONDS) as first:
        wait_until(lambda: "working" in first.events() and seen(tmp_path), "the first at work")
        stop_between_writes(first, tmp_path / "headway.db")
        until_then = len(first.events())  # on a busy machine it may have lost its lease before, and taken it again
        World(tmp_path, "good").fail("extract")
        with child(tmp_path, "second") as second:
            wait_until(lambda: notified_count(second.events()), "the alert of the second")
            before = notified_count(second.events())
            first.signal(signal.SIGCONT)
            wait_until(lambda: WAITS_FOR_LEASE in first.events(), "the first to stand by")
            World(tmp_path, "good").fail("audit", "b1")
            wait_until(lambda: notified_count(second.events()) > before, "the second to tell more")
            events = first.events()[until_then:]
            holder = [line["holder"] for line in first.lines() if line["event"] == WAITS_FOR_LEASE]
    assert (0, 1) == (notified_count(events), sum(events.count(why) for why in WHY))
    assert [True] == [f":{second.pid}~" in name for name in holder]
    assert notified_count(second.events()) == len(sink.got)
    assert not [line for line in first.lines() if "exception" in line]


@pytest.mark.parametrize("name", [pytest.param("outbox.claimed", marks=pytest.mark.lab), "send.before"])
def test_f04_an_alert_that_the_stopped_engine_had_in_hand_is_sent_by_the_other_alone(tmp_path: Path, name: str) -> None:
    """It reads the store before it sends, and the store has revoked its fence."""
    sink = Sink(tmp_path)
    World(tmp_path, "good").fail("extract")
    with child(tmp_path, "first", f"{name}:stop", lease=LEASE_SECONDS) as first:
        wait_until(lambda: first.is_stopped, "the first to stop with the alert in hand")
        with child(tmp_path, "second") as second:
            wait_until(lambda: bool(sink.got), "the alert of the second")
            first.signal(signal.SIGCONT)
            wait_until(lambda: WAITS_FOR_LEASE in first.events(), "the first to stand by")
    assert (1, 0, 1) == (len(sink.got), notified_count(first.events()), notified_count(second.events()))
    assert REPEAT.rows[0] not in sink.got[0].body


def stop_between_writes(engine: Child, store: Path) -> None:
    """Stops it outside a transaction: a process stopped within one keeps its lock, and nobody
    else's write begins until it goes on."""

    def is_between_writes() -> bool:
        engine.signal(signal.SIGSTOP)
        wait_until(lambda: engine.is_stopped, "the engine to stand still")
        if not is_writable(store):
            engine.signal(signal.SIGCONT)
            return False
        return True

    wait_until(is_between_writes, "a moment at which it does not write")


def test_an_engine_that_a_console_started_ends_once_another_has_its_lease(tmp_path: Path) -> None:
    """On standby it would begin to work once somebody ends the other one. Its own lease it awaits."""
    store, sink = open_ready(str(tmp_path / "headway.db")), Sink(tmp_path)
    engine = engine_of(config_of(tmp_path, World(tmp_path, "good")), store, sink, lease=3, is_standby=False)
    with in_thread(engine) as thread:
        wait_until(lambda: seen(tmp_path), "it at work")
        fence = fence_of(store, "until_us = until_us + 4000000, fence = fence + 1")
        wait_until(lambda: fence_of(store) > fence, "it to take its own lease again")
        assert thread.is_alive()
        fence_of(store, "holder = 'elsewhere:1~other', until_us = until_us + 600000000, fence = fence + 1")
        wait_until(lambda: not thread.is_alive(), "it to end")
    store.close()


def fence_of(store: Database, changes: str = "fence = fence") -> int:
    with store.write(None) as connection:
        [(fence,)] = connection.rows(f"UPDATE lease SET {changes} RETURNING fence")
    return int(fence)


def is_writable(store: Path) -> bool:
    with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def seen(folder: Path) -> bool:
    with open_queries(str(folder / "headway.db")) as reads:
        return any(target.last_ok for target in reads.estate.systems())


def notified_count(events: list[str]) -> int:
    return events.count("alert sent")


def test_f05_of_many_engines_that_start_at_once_one_holds_the_store(tmp_path: Path) -> None:
    """Twenty rounds in one process: each of them tries at the same moment."""
    url = str(tmp_path / "headway.db")
    stores = [open_ready(url) for _ in range(ENGINES)]
    for number in range(ROUNDS):
        got = all_at_once(stores, number)
        holders = {lease.holder for lease in got if isinstance(lease, HeldLease)}
        assert (1, ENGINES - 1) == (len(holders), sum(isinstance(lease, LeaseHolder) for lease in got))
        assert holders == {lease.holder for lease in got if isinstance(lease, LeaseHolder)} or ENGINES == 1
        for store, held_lease in zip(stores, got, strict=True):
            if isinstance(held_lease, HeldLease):
                assert number + 1 == held_lease.fence
                lease.release_lease(store, held_lease)
    for store in stores:
        store.close()


def all_at_once(stores: list[Database], number: int) -> list[HeldLease | LeaseHolder]:
    together = threading.Barrier(len(stores))
    got: dict[int, HeldLease | LeaseHolder] = {}

    def ask(place: int, store: Database) -> None:
        together.wait(HANGS_SECONDS)
        got[place] = lease.acquire_lease(store, f"round {number} engine {place}", 60)

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    return [got[place] for place in range(len(stores))]


@pytest.mark.parametrize("count", [ENGINES])
def test_f05_of_many_processes_one_works_and_each_of_the_others_says_who(tmp_path: Path, count: int) -> None:
    """A store that none of them finds migrated yet."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        engines = [stack.enter_context(child(tmp_path, f"engine {number}")) for number in range(count)]
        wait_until(lambda: all(has_standby_event(process.events()) for process in engines), "each to work or stand by")
        working = [process for process in engines if "working" in process.events()]
        assert 1 == len(working)
        others = [process for process in engines if process is not working[0]]
        names = [line["holder"] for process in others for line in process.lines() if line["event"] == WAITS_FOR_LEASE]
        assert [True] * (count - 1) == [f":{working[0].pid}~" in name for name in names]


def has_standby_event(events: list[str]) -> bool:
    return "working" in events or WAITS_FOR_LEASE in events


def test_an_engine_whose_store_hung_too_long_recovers_by_itself(tmp_path: Path) -> None:
    """Its parts stop by their own clock before the lease can pass on; once the store answers, they all start again."""
    good = World(tmp_path, "good")
    with running(tmp_path, good, lease=9) as engine:
        wait_until(lambda: len(good.polled) > 2, "its polls")
        with engine.store.write(None):
            threads = {thread.name: thread for thread in threading.enumerate()}
            assert {"polls", "outbox", "evaluate", "actions", "answers"} <= threads.keys()
            position = time.monotonic()
            wait_until(lambda: time.monotonic() > position + 9.2, "the lease to run out")
        wait_until(lambda: not threads["evaluate"].is_alive(), "its parts to stop by themselves")
        polled = len(good.polled)
        wait_until(lambda: len(good.polled) > polled + 2, "its polls again")
        good.fail("extract")
        wait_until(lambda: bool(engine.sink.got), "the alert")
