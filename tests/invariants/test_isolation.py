"""A system that hangs, drips, floods, raises or refuses delays neither another system's poll nor any alert (I3)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

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
from tests.invariants.engines import running
from tests.invariants.worlds import Trouble, World
from tests.lab.process import wait_until

PERIOD = 0.2
FLOOD = 20_000


let_go = threading.Event()
alerted = threading.Event()
"""Set once the alert about the good system has left."""


@pytest.fixture(autouse=True)
def _let_go_afterwards() -> Iterator[None]:
    let_go.clear()
    alerted.clear()
    yield
    let_go.set()
    alerted.set()


def hangs(_: float) -> Sequence[RunRecord]:
    """Longer than the test: it does not even keep the deadline that it is given."""
    let_go.wait()
    raise SystemUnreachable("gave up")


def drips(timeout: float) -> Sequence[RunRecord]:
    """Two runs, over and over; the first time after the alert has left."""
    alerted.wait()
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
    return flooding(FLOOD)


class Events(list[str]):
    """What happened in both systems, in order: "begin" and "end" of the bad one's polls, "good" for each poll of the
    good one, "part" for each part of a flood that was written."""

    def system(self, trouble: Trouble) -> Trouble:
        def polled(timeout: float) -> Sequence[RunRecord]:
            self.append("begin")
            try:
                return trouble(timeout)
            finally:
                self.append("end")

        return polled

    def good(self, _: float) -> Sequence[RunRecord]:
        self.append("good")
        return ()

    def has(self, *wanted: str) -> bool:
        """Whether these follow each other in this order between two beginnings of the bad one's polls."""
        polls = " ".join(self).split("begin")[1:]
        return any(re.search(".*".join(wanted), poll) for poll in polls)


@pytest.mark.parametrize("trouble, before, after", [(hangs, "", ""), (drips, "", "end"), (floods, "part", "part")])
def test_f24_while_one_poll_of_a_system_lasts_another_is_polled_on_and_its_alert_leaves(
    tmp_path: Path, trouble: Trouble, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert leaves although the bad one's poll, or its flood after the first part, lasts until then. A second poll
    of the good one begins when the first is written: it waited for neither."""
    events, real = Events(), records.ingest_batch

    def written(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
        if len(batch.runs) == CHUNK_RUNS and str(tmp_path) in store.url:
            if "part" in events:
                alerted.wait()
            events.append("part")
        return real(store, target_id, batch, fence)

    monkeypatch.setattr(records, "ingest_batch", written)
    good, bad = World(tmp_path, "good", events.good), World(tmp_path, "bad", events.system(trouble))
    with running(tmp_path, good, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: bool(bad.polled), "the bad system's poll")
        good.fail("extract")
        wait_until(lambda: bool(engine.sink.got), "the alert")
        wait_until(lambda: events.has(before, "good", "good"), "two polls during one of the bad system")
        alerted.set()
        wait_until(lambda: events.has(before, "good", "good", after), "its end")
    assert ("end" in events) is (trouble is not hangs)


@pytest.mark.parametrize("trouble", [raises, refuses])
def test_f24_a_system_that_fails_stops_neither_the_other_ones_polls_nor_an_alert(
    tmp_path: Path, trouble: Trouble
) -> None:
    good, bad = World(tmp_path, "good"), World(tmp_path, "bad", trouble)
    with running(tmp_path, good, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: bool(bad.polled), "the bad system's poll")
        good.fail("extract")
        wait_until(lambda: bool(engine.sink.got), "the alert")
        before = len(good.polled)
        wait_until(lambda: len(good.polled) > before + 2, "the good system's next polls")


def test_a_flood_that_was_cut_between_two_transactions_is_whole_after_the_next_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor moves with the last page: the source sends all of it again, and duplicates change nothing. A poll of
    the test before may still write to its own store."""
    rows = flooding(3 * CHUNK_RUNS)
    bad = World(tmp_path, "bad", lambda _: rows)
    real = records.ingest_batch
    batches: list[tuple[int, str]] = []

    def cut(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
        if str(tmp_path) not in store.url:
            return real(store, target_id, batch, fence)
        batches.append((len(batch.runs), batch.cursor))
        if len(batches) == 2:
            raise StoreUnusable("the store at x: database or disk is full")
        return real(store, target_id, batch, fence)

    monkeypatch.setattr(records, "ingest_batch", cut)
    with running(tmp_path, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: len(batches) > 4, "the next poll")
        wait_until(lambda: engine.rows("SELECT count(*) FROM run") == [(3 * CHUNK_RUNS,)], "all rows")
    assert [(CHUNK_RUNS, ""), (CHUNK_RUNS, ""), (CHUNK_RUNS, ""), (CHUNK_RUNS, ""), (CHUNK_RUNS, "{}")] == batches[:5]


def test_f08_of_many_that_flood_at_once_one_waits_for_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lease, alerts and small polls do not wait for the large ones; all records arrive. A poll of a lease that was lost
    may still wait, to be refused."""
    real, count, lock = records.ingest_batch, FLOOD_RUNS * 2, threading.Lock()
    waiting: list[int | None] = []
    most: list[int] = []
    alone = threading.Event()

    def seen(store: Database, target_id: int, batch: IngestBatch, fence: int | None) -> IngestResult:
        if len(batch.runs) < FLOOD_RUNS:
            if waiting:
                alone.set()  # what is small goes on beside them
            return real(store, target_id, batch, fence)
        with lock:
            waiting.append(fence)
            most.append(waiting.count(fence))
        try:
            alone.wait(0.05)  # the others would come meanwhile
            return real(store, target_id, batch, fence)
        finally:
            with lock:
                waiting.remove(fence)

    monkeypatch.setattr(records, "ingest_batch", seen)
    floods = [World(tmp_path, f"flood{number}", partial(reported_runs, count, number)) for number in range(12)]
    with running(tmp_path, World(tmp_path, "good"), *floods, poll_every=PERIOD) as engine:
        wait_until(lambda: engine.rows("SELECT count(*) FROM run") == [(12 * count,)], "all that they tell")
        wait_until(alone.is_set, "a small poll beside them")
    assert {1} == set(most)


def reported_runs(count: int, salt: int, _: float) -> Sequence[RunRecord]:
    return flooding(count, salt)


def test_f27_a_slow_system_is_polled_once_at_a_time_and_delays_no_other(tmp_path: Path) -> None:
    """However often it is woken meanwhile."""
    good, bad = World(tmp_path, "good"), World(tmp_path, "bad", hangs)
    with running(tmp_path, good, bad, poll_every=PERIOD) as engine:
        wait_until(lambda: bool(bad.polled and good.polled), "the first polls")
        before, parts = len(good.polled), engine.engine._parts

        def is_polled_on() -> bool:
            for target_id in parts.pollers:
                parts.poll_pool.poll_now(target_id)
            return len(good.polled) > before + 10

        wait_until(is_polled_on, "ten polls of the other")
        assert 1 == len(bad.polled)
        let_go.set()
