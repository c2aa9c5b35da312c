"""A system that hangs, drips, floods, raises or refuses delays neither another system's poll nor any alert (I3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.engine.polling.poller import CHUNK_RUNS
from console.engine.polling.poller import FLOOD as FLOOD_RUNS
from console.store.db.database import Database
from console.store.errors import StoreUnusable
from console.store.ingest import records
from console.store.ingest.batch import IngestBatch, IngestResult
from tests.invariants.engines import Running, running
from tests.invariants.worlds import Trouble, World
from tests.lab.process import wait_until

PERIOD = 0.2
FLOOD = 20_000
SHARED_MACHINE = 2.0
"""Seconds that a busy machine may add. On a quiet one the worst gap is 0.21 s and the alert takes 0.2 s."""


let_go = threading.Event()
gate = threading.Event()


@pytest.fixture(autouse=True)
def _let_go_afterwards() -> Iterator[None]:
    let_go.clear()
    yield
    let_go.set()


def hangs(_: float) -> Sequence[RunRecord]:
    """Longer than the test: it does not even keep the deadline that it is given."""
    let_go.wait()
    raise SystemUnreachable("gave up")


def drips(timeout: float) -> Sequence[RunRecord]:
    """Two runs after two seconds of work, over and over."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        time.sleep(0.01)
    return flooding(2, time.monotonic_ns())


def raises(_: float) -> Sequence[RunRecord]:
    raise ZeroDivisionError("a connector's own bug")


def refuses(_: float) -> Sequence[RunRecord]:
    raise AccessRefused("bad: the password was refused")


def flooding(count: int, salt: int = 0) -> list[RunRecord]:
    at = datetime.now(UTC) - timedelta(hours=1)
    return [
        RunRecord(
            "extract", f"{salt} {n}", RunState.SUCCEEDED, "ok", period_key=f"p{salt} {n}", started_at=at, ended_at=at
        )
        for n in range(count)
    ]


def floods(_: float) -> Sequence[RunRecord]:
    """20,000 rows in one poll, each time that the flood gate is open."""
    if not gate.is_set():
        return ()
    gate.clear()
    return flooding(FLOOD)


def gaps(world: World, since: float) -> list[float]:
    """Seconds between the polls of a system from `since` on."""
    polled = [at for at in world.polled if at >= since]
    return [after - before for before, after in pairwise(polled)]


def watched(engine: Running, seconds: float) -> float:
    """Lets it work for a while; `time.monotonic` at the beginning of that."""
    good = engine.worlds[0]
    wait_until(lambda: len(good.polled) > 2, "the good system's polls", 10)
    gate.set()
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() > begun + seconds, "the time to pass", seconds + 5)
    return begun


@pytest.mark.parametrize("trouble", [hangs, drips, raises, refuses, pytest.param(floods, marks=pytest.mark.lab)])
def test_f24_a_system_in_trouble_delays_neither_the_other_ones_polls_nor_an_alert(
    tmp_path: Path, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll waits for no more than one part of a flood to be written, however slow the machine is at present."""
    real = records.ingest_batch
    writes = [0.0]

    def timed(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
        begun = time.monotonic()
        result = real(store, target_id, batch, fence)
        if len(batch.runs) == CHUNK_RUNS:
            writes.append(time.monotonic() - begun)
        return result

    monkeypatch.setattr(records, "ingest_batch", timed)
    good, bad = World(tmp_path, "good"), World(tmp_path, "bad", trouble)
    with running(tmp_path, good, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: bool(bad.polled), "the bad system's poll", 10)
        begun = watched(engine, 1.0)
        gate.set()
        failed = time.monotonic()
        good.fail("extract")
        wait_until(lambda: bool(engine.sink.got), "the alert", 10)
        value = time.monotonic() - failed
        between = sorted(gaps(good, begun))
    assert median(between) < 2 * PERIOD + median(writes)
    assert between[-1] < PERIOD + SHARED_MACHINE
    assert value < 2 + SHARED_MACHINE


def test_a_flood_that_was_cut_between_two_transactions_is_whole_after_the_next_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor moves with the last page: the source sends all of it again, and duplicates change nothing."""
    rows = flooding(3 * CHUNK_RUNS)
    bad = World(tmp_path, "bad", lambda _: rows)
    real = records.ingest_batch
    batches: list[tuple[int, str]] = []

    def cut(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
        batches.append((len(batch.runs), batch.cursor))
        if len(batches) == 2:
            raise StoreUnusable("the store at x: database or disk is full")
        return real(store, target_id, batch, fence)

    monkeypatch.setattr(records, "ingest_batch", cut)
    with running(tmp_path, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: len(batches) > 4, "the next poll", 15)
        wait_until(lambda: engine.rows("SELECT count(*) FROM run") == [(3 * CHUNK_RUNS,)], "all rows", 15)
    assert [(CHUNK_RUNS, ""), (CHUNK_RUNS, ""), (CHUNK_RUNS, ""), (CHUNK_RUNS, ""), (CHUNK_RUNS, "{}")] == batches[:5]


def test_f08_of_many_that_flood_at_once_one_waits_for_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lease, alerts and small polls do not wait for the large ones; all records arrive."""
    real, count, lock = records.ingest_batch, FLOOD_RUNS * 2, threading.Lock()
    waiting: list[int] = []
    most: list[int] = []
    alone = threading.Event()

    def seen(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
        if len(batch.runs) < FLOOD_RUNS:
            if waiting:
                alone.set()  # what is small goes on beside them
            return real(store, target_id, batch, fence)
        with lock:
            waiting.append(target_id)
            most.append(len(waiting))
        try:
            alone.wait(0.05)  # the others would come meanwhile
            return real(store, target_id, batch, fence)
        finally:
            with lock:
                waiting.remove(target_id)

    monkeypatch.setattr(records, "ingest_batch", seen)
    floods = [World(tmp_path, f"flood{number}", partial(reported_runs, count, number)) for number in range(12)]
    with running(tmp_path, World(tmp_path, "good"), *floods, poll_every=PERIOD) as engine:
        wait_until(lambda: engine.rows("SELECT count(*) FROM run") == [(12 * count,)], "all that they tell", 120)
        wait_until(alone.is_set, "a small poll beside them", 60)
    assert {1} == set(most)


def reported_runs(count: int, salt: int, _: float) -> Sequence[RunRecord]:
    return flooding(count, salt)


def test_f27_a_slow_system_is_polled_once_at_a_time_and_delays_no_other(tmp_path: Path) -> None:
    """However often it is woken meanwhile."""
    within, most, lock = [0], [0], threading.Lock()

    def slow(_: float) -> Sequence[RunRecord]:
        with lock:
            within[0] += 1
            most[0] = max(most[0], within[0])
        let_go.wait(0.4)
        with lock:
            within[0] -= 1
        return ()

    good, bad = World(tmp_path, "good"), World(tmp_path, "bad", slow)
    with running(tmp_path, good, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: bool(bad.polled and good.polled), "the first polls", 10)
        before, until = len(good.polled), time.monotonic() + 0.9
        while time.monotonic() < until:
            for target_id in engine.engine._parts.pollers:
                engine.engine._parts.poll_pool.poll_now(target_id)
            time.sleep(0.02)
        polls = len(good.polled) - before
    assert most == [1]
    assert len(bad.polled) * 3 < polls
