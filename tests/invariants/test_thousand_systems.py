"""Estates of a thousand systems: their simultaneous work stays bounded, and a loss of hundreds at once is notified
together (F8, F40)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from console.engine.polling import poller
from console.engine.supervisor.assembly import EngineAssembly
from console.store.db import lease
from console.store.db.lease import HeldLease
from console.store.ingest import records
from console.store.queries import open_queries
from tests.engine.bench import wait_until_sent
from tests.invariants.test_isolation import flooding
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import wait_until
from tests.store.ready import open_ready

pytestmark = pytest.mark.deep

SYSTEMS = 1_000
POLLS = 3
THREADS = 100
ROWS = 5
LOST_SYSTEMS = 300
AT_ONCE = 10
"""Of one route in one minute; the others are a digest."""


@contextmanager
def estate(folder: Path, worlds: Sequence[World]) -> Iterator[tuple[EngineAssembly, int]]:
    store = open_ready(str(folder / "headway.db"))
    got = lease.acquire_lease(store, "test", 600)
    assert isinstance(got, HeldLease)
    config = config_of(folder, *worlds)
    [promise] = config.services.values()
    services = {world.name: replace(promise, name=world.name, delivered_by=(f"{world.name}/load",)) for world in worlds}
    parts = EngineAssembly(replace(config, services=services), store, SecretStore(), Sink(folder))
    parts.begin(got.fence)
    try:
        yield parts, got.fence
    finally:
        parts.finish()
        store.close()


def poll_once(of: poller.TargetPoller, fence: int) -> None:
    """One poll to its end: it goes on once config is matched against its jobs."""

    def is_matched() -> bool:
        try:
            of.poll_once(fence)
        except poller.Unmatched:
            return False
        return True

    wait_until(is_matched, "the match of config and jobs", pause=0.02)


@pytest.mark.quiet
def test_f40_of_a_thousand_systems_three_hundred_become_unreachable_at_once(tmp_path: Path) -> None:
    event = threading.Event()

    def is_gone(_: float) -> Sequence[RunRecord]:
        if event.is_set():
            raise SystemUnreachable("no route to host")
        return ()

    worlds = [World(tmp_path, f"s{number:03}", is_gone if number < LOST_SYSTEMS else None) for number in range(SYSTEMS)]
    with estate(tmp_path, worlds) as (parts, fence):
        for _ in range(1 + POLLS):
            with ThreadPoolExecutor(THREADS) as pool:  # config is matched once for those that wait for it
                list(pool.map(lambda item: poll_once(item, fence), parts.pollers.values()))
            event.set()
            parts.evaluator.step(fence)
            while parts.outbox.step(fence):
                wait_until_sent(parts.outbox)
        wait_until(lambda: parts.outbox.step(fence) or len(Sink(tmp_path).got) > AT_ONCE, "the digest")
        wait_until_sent(parts.outbox)
    got = Sink(tmp_path).got
    assert AT_ONCE + 1 == len(got)
    assert got[-1].title.endswith(f", and {LOST_SYSTEMS - AT_ONCE - 1} more alerts")
    with open_queries(str(tmp_path / "headway.db")) as reads:
        begun = time.thread_time()
        reads.estate.header()
        incidents = reads.incidents.list_incidents()
        took = time.thread_time() - begun
    assert [f"s{number:03}/one" for number in range(LOST_SYSTEMS)] == sorted(
        incident.root_job for incident in incidents
    )
    assert took < 0.5


def test_f08_of_a_thousand_systems_that_flood_at_once_one_writes_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records of each are in memory once, whatever the others do: threads, not rows, wait for the store."""
    monkeypatch.setattr(poller, "FLOOD", ROWS)
    real, lock, writing, most, sizes = records.ingest_batch, threading.Lock(), [0], [0], set()

    def counted(store: Any, target_id: int, batch: Any, fence: int | None) -> Any:
        with lock:
            writing[0] += 1
            most[0] = max(most[0], writing[0])
            sizes.add(len(batch.runs))
        try:
            return real(store, target_id, batch, fence)
        finally:
            with lock:
                writing[0] -= 1

    monkeypatch.setattr(records, "ingest_batch", counted)
    monkeypatch.setattr(poller, "CHUNK_RUNS", ROWS)
    rows = flooding(2 * ROWS)
    worlds = [World(tmp_path, f"s{number:03}", lambda _: rows) for number in range(SYSTEMS)]
    with estate(tmp_path, worlds) as (parts, fence), ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda item: poll_once(item, fence), parts.pollers.values()))
        with parts.store.read() as session:
            [(stored,)] = session.rows("SELECT count(*) FROM run")
    assert (SYSTEMS * 2 * ROWS, 1, {ROWS}) == (stored, most[0], sizes)
