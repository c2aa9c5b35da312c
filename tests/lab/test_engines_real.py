"""Several engines on one PostgreSQL: each polls its share, one decides and sends; killed, stopped and ended ones are
replaced within a lease, and nothing is sent twice or lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Verb
from console.config.sections import Config
from console.control.snapshot import incremental
from console.domain.ids import new_action_key
from console.engine.api.client import EngineClient
from console.engine.evaluation import evaluator
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import exit_process, exit_with_parent, stop_on_signals
from console.engine.supervisor.log_setup import set_up_logs
from console.engine.supervisor.settings import estate_settings
from console.engine.supervisor.shard_polling import RELEASE_SECONDS, ShardPolling
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.db.fence import ShardFence
from console.store.db.lease import HeldLease, acquire_lease, database_now_us, release_lease
from console.store.db.shards import shard_of
from console.store.errors import LeaseLost, StoreUnusable
from console.store.ingest import targets
from console.store.new_actions import NewAction, insert_action
from console.store.queries import open_queries
from tests.action_requests import rerun_of
from tests.invariants.engines import Child, engine_of, forked, in_thread
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import wait_until
from tests.lab.test_store_postgres import migrated, store_url
from tests.store.ready import open_ready

__all__ = ["migrated", "store_url"]

SYSTEMS = tuple(f"system-{number}" for number in range(8))
LEASE = 3.0
StartPolling = Callable[[Database], ShardPolling]


def polled_by(folder: Path, system: str, _: float) -> Sequence[RunRecord]:
    """Notes which process polls the system."""
    with (folder / "polls").open("a") as file:
        file.write(f"{os.getpid()} {system} {time.time()}\n")
    return ()


def estate(folder: Path) -> Config:
    return config_of(folder, *(World(folder, name, partial(polled_by, folder, name)) for name in SYSTEMS))


def work(folder: Path, log: Path, url: str) -> None:
    exit_with_parent()
    store, secrets = open_ready(url), SecretStore()
    set_up_logs(secrets, log)
    engine = engine_of(estate(folder), store, Sink(folder), secrets, LEASE)
    stop_on_signals(engine)
    engine.run()
    store.close()
    exit_process(0)


@contextmanager
def two_engines(folder: Path, url: str) -> Iterator[tuple[Child, Child]]:
    """The engine that holds the lease, and one that only polls, each with its share."""
    with ExitStack() as stack:
        first = stack.enter_context(forked(folder / "first.log", work, folder, folder / "first.log", url))
        wait_until(lambda: set(pollers(folder)) == set(SYSTEMS), "the first to poll all", 20)
        second = stack.enter_context(forked(folder / "second.log", work, folder, folder / "second.log", url))
        wait_until(lambda: shares(folder, first, second) == (4, 4), "each to poll its share", 20)
        yield first, second


def pollers(folder: Path, since: float = 0.0) -> dict[str, set[int]]:
    """System -> processes that have polled it since then."""
    results: dict[str, set[int]] = {}
    lines = (folder / "polls").read_text().splitlines() if (folder / "polls").exists() else []
    for pid, system, at in (line.split() for line in lines):
        if float(at) >= since:
            results.setdefault(system, set()).add(int(pid))
    return results


def shares(folder: Path, *engines: Child) -> tuple[int, ...]:
    """Number of systems that each engine alone polls now."""
    now = pollers(folder, time.time() - 0.8)
    return tuple(sum(pids == {engine.pid} for pids in now.values()) for engine in engines)


def alone(folder: Path, engine: Child) -> bool:
    return shares(folder, engine) == (len(SYSTEMS),)


def system_of(folder: Path, engine: Child) -> World:
    """One that this engine polls."""
    now = pollers(folder, time.time() - 0.8)
    others = SYSTEMS[1:]  # without the one whose service has alerts of its own
    return World(folder, next(name for name in others if now.get(name) == {engine.pid}))


class Heartbeat(NamedTuple):
    """The last renewal of an engine, and when its shards are free without another one."""

    at_us: int
    until_us: int


def heartbeats(url: str) -> dict[int, Heartbeat]:
    """By process, of every engine that has not left the store."""
    with open_queries(url) as reads:
        rows = reads.link.rows("SELECT holder, heartbeat_us, until_us FROM engine")
    return {pid_of(row.holder): Heartbeat(row.heartbeat_us, row.until_us) for row in rows}


def renewed_after(url: str, engine: Child, expired: Child) -> bool:
    """Whether the engine has renewed its shards since those of the other one are free."""
    known = heartbeats(url)
    return known[engine.pid].at_us > known[expired.pid].until_us


def fences(url: str, engine: Child) -> dict[int, int]:
    """Shard -> fence, of the shards that the engine holds."""
    with open_queries(url) as reads:
        rows = reads.link.rows("SELECT id, holder, fence FROM shard WHERE holder <> ''")
    return {row.id: row.fence for row in rows if pid_of(row.holder) == engine.pid}


def fences_after_takeover(url: str, ended: Child, heir: Child) -> dict[int, int]:
    """The fences of the heir's shards once it has those of the other one as well, each handed over once."""
    return fences(url, heir) | {shard: fence + 1 for shard, fence in fences(url, ended).items()}


def pid_of(holder: str) -> int:
    return int(holder.rpartition(":")[2].partition("~")[0])


def alerts(folder: Path, system: World) -> int:
    return sum(system.name in alert.title for alert in Sink(folder).got)


def test_an_engine_that_joins_polls_its_share_while_the_first_alone_decides_and_sends(
    tmp_path: Path, store_url: str
) -> None:
    with two_engines(tmp_path, store_url) as (first, second):
        world = system_of(tmp_path, second)
        world.fail("extract")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert of a system that the second polls", 20)
        key = rerun(store_url)
        wait_until(lambda: state_of(store_url, key) == "verified", "its rerun to be verified", 30)
    assert [key] == world.sent
    for event in ("working", "alert sent"):
        assert (event in first.events(), event in second.events()) == (True, False)


def rerun(url: str) -> str:
    """Requests a rerun of the failed run, as a console does; the action's key."""
    requests, key = EngineClient(url), new_action_key()
    with open_queries(url) as reads:
        run_id = reads.incidents.incident(1).row.root_run_id
    assert run_id is not None
    requests.act(rerun_of(run_id, requests.wait(requests.preview(rerun_of(run_id)), 10).data), key)
    return key


def state_of(url: str, key: str) -> str:
    with open_queries(url) as reads:
        return next(action.state for action in reads.actions.list_actions() if action.key == key)


@pytest.mark.parametrize("leads", [True, False])
def test_the_systems_of_a_killed_engine_are_polled_by_the_other_within_a_lease(
    tmp_path: Path, store_url: str, leads: bool
) -> None:
    with two_engines(tmp_path, store_url) as engines:
        killed, other = engines if leads else reversed(engines)
        world = system_of(tmp_path, killed)
        after = fences_after_takeover(store_url, killed, other)
        heartbeat = heartbeats(store_url)[killed.pid]
        assert LEASE * 4 / 5 == (heartbeat.until_us - heartbeat.at_us) / 1e6, "shards are free one renewal earlier"
        killed.kill()
        world.fail("extract")
        wait_until(lambda: renewed_after(store_url, other, killed), "a renewal after the lease", 20)
        assert after == fences(store_url, other)
        wait_until(lambda: alone(tmp_path, other), "the other to poll all", 20)
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert", 20)


@pytest.mark.parametrize("leads", [True, False])
def test_f04_an_engine_that_was_stopped_longer_than_its_lease_writes_nothing_and_shares_again(
    tmp_path: Path, store_url: str, leads: bool
) -> None:
    with two_engines(tmp_path, store_url) as engines:
        stopped, other = engines if leads else reversed(engines)
        world = system_of(tmp_path, stopped)
        stopped.signal(signal.SIGSTOP)
        wait_until(lambda: alone(tmp_path, other), "the other to poll all", 40)
        world.fail("extract")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert", 20)
        stopped.signal(signal.SIGCONT)
        wait_until(lambda: "shards lost" in stopped.events(), "the stopped one to notice", 20)
        wait_until(lambda: shares(tmp_path, stopped, other) == (4, 4), "each to poll its share", 20)
        world.fail("audit", "b1")
        wait_until(lambda: alerts(tmp_path, world) == 2, "one more alert", 20)
    assert 2 == len(Sink(tmp_path).got)
    assert not [line for line in stopped.lines() if "exception" in line]


def test_an_engine_that_is_ended_hands_its_shards_over_at_once(tmp_path: Path, store_url: str) -> None:
    with two_engines(tmp_path, store_url) as (first, second):
        after = fences_after_takeover(store_url, first, second)
        first.signal(signal.SIGTERM)
        assert 0 == first.ended(5)
        [(pid, heartbeat)] = heartbeats(store_url).items()
        assert pid == second.pid
        wait_until(lambda: heartbeats(store_url)[pid].at_us > heartbeat.at_us, "the next renewal", 20)
        assert after == fences(store_url, second)
        wait_until(lambda: alone(tmp_path, second), "the second to poll all", 20)
        wait_until(lambda: "working" in second.events(), "the second to decide", 20)


@pytest.fixture
def start_polling() -> Iterator[StartPolling]:
    """Shards whose polls run on threads of the test, while it makes each step itself."""
    over = threading.Event()

    def start(store: Database) -> ShardPolling:
        polling = ShardPolling(store, SecretStore())
        threading.Thread(target=polling._pool.run, args=(0, over.is_set), daemon=True).start()
        return polling

    yield start
    over.set()


def test_an_engine_polls_nothing_until_its_config_is_the_one_in_effect(
    tmp_path: Path, store_url: str, start_polling: StartPolling
) -> None:
    """It says so in the status, and neither holds a shard nor writes its config over the other one."""
    config = estate(tmp_path)
    with closing(open_ready(store_url)) as store, open_queries(store_url) as reads:
        held = acquire_lease(store, "engine", "elsewhere:1", 60)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling = start_polling(store)
        polling.step(replace(config, digest="older"), LEASE)
        [engine] = reads.estate.engines()
        assert (0, "polls nothing: its config is not the one in effect") == (engine.shards, engine.trouble)
        polling.step(config, LEASE)
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "all to be polled", 20)
        [engine] = reads.estate.engines()
        assert (256, "", False) == (engine.shards, engine.trouble, engine.leads)
        with store.read() as session:
            [fence] = session.rows("SELECT id, fence FROM shard ORDER BY id LIMIT 1")
        older = estate_settings(replace(config, digest="older"))
        with pytest.raises(LeaseLost, match="the config of this engine is not the one in effect"):
            sync_config(store, older, datetime.now(UTC), ShardFence(fence.id, fence.fence))
        polling.run(lambda: True, lambda: config, LEASE, 1)
        assert [] == reads.estate.engines()


def test_an_engine_that_does_not_stand_by_joins_no_shards_until_it_has_the_lease(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = threading.Event()
    monkeypatch.setattr(ShardPolling, "run", lambda *_: joined.set())
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "engine", "elsewhere:1", 60)
        assert isinstance(held, HeldLease)
        engine_of(estate(tmp_path), store, Sink(tmp_path), is_standby=False).run()
        assert not joined.is_set()
        release_lease(store, "engine", held)
        with in_thread(engine_of(estate(tmp_path), store, Sink(tmp_path), is_standby=False)):
            wait_until(joined.is_set, "the engine to join the shards", 20)


def test_a_target_is_polled_soon_after_an_action_that_another_engine_has_sent(
    tmp_path: Path, store_url: str, start_polling: StartPolling
) -> None:
    worlds = [World(tmp_path, name) for name in SYSTEMS[:2]]
    config = config_of(tmp_path, *worlds, poll_every=600)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "engine", "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling = start_polling(store)
        polling.step(config, LEASE)
        wait_until(lambda: all(world.polled for world in worlds), "the first polls", 20)
        with store.write(None) as session:
            [job] = session.rows("SELECT id FROM job WHERE name = ?", (f"{worlds[1].name}/extract",))
            insert_action(session, sent_rerun(job.id))
            session.rows("UPDATE action SET state = 'sent'")
        polling.step(config, LEASE)
        wait_until(lambda: len(worlds[1].polled) > 1, "a poll after the action", 20)
        polling.step(config, LEASE)
        polling.run(lambda: True, lambda: config, LEASE, 1)
    assert [1, 2] == [len(world.polled) for world in worlds]


def sent_rerun(job_id: int) -> NewAction:
    return NewAction(
        key=new_action_key(), verb=Verb.RERUN, job_id=job_id, run_id=None, incident_id=None, parameters={},
        origin="person", requested_by="mara", overlap="refuse", requested_us=0,
    )  # fmt: skip


def test_an_engine_that_gets_the_lease_goes_on_polling_and_wakes_its_evaluator(
    tmp_path: Path, store_url: str, start_polling: StartPolling
) -> None:
    world = World(tmp_path, SYSTEMS[0])
    config = config_of(tmp_path, world, poll_every=600)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "engine", "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling, next_one = start_polling(store), EngineAssembly(config, store, SecretStore())
        polling.step(config, LEASE)
        wait_until(lambda: bool(world.polled), "the first poll", 20)
        next_one.shards = polling
        next_one.begin(held.fence)
        pollers_before = polling.pulses()
        polling.step(config, LEASE)
        assert pollers_before == polling.pulses()
        next_one.evaluator.wake.clear()
        world.fail("extract")
        polling.poll_now(next(iter(next_one.connectors.places)))
        assert next_one.evaluator.wake.wait(20)
        polling.run(lambda: True, lambda: config, LEASE, 1)
    assert 2 == len(world.polled)


def test_shards_of_a_dead_engine_are_polled_while_a_lost_one_still_hangs(
    tmp_path: Path, store_url: str, start_polling: StartPolling
) -> None:
    hangs, free = threading.Event(), threading.Event()

    def hang(_: float) -> Sequence[RunRecord]:
        hangs.set()
        free.wait(30)
        return ()

    worlds = [World(tmp_path, name) for name in SYSTEMS[:2]]
    config = config_of(tmp_path, *worlds, poll_every=600)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "engine", "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        low, high = sorted(map(shard_of, targets.systems_of_targets(store).values()))
        lost, orphan = worlds if shard_of(1) == low else worlds[::-1]
        lost.trouble = hang
        polling = start_polling(store)
        with store.write(None) as session:
            session.rows("UPDATE shard SET holder = 'other:1', fence = 1 WHERE id >= ?", (high,))
            until = database_now_us(session) + 600_000_000
            session.rows("INSERT INTO engine VALUES ('other:1', 0, ?, ?, '')", (until, until))
        polling.step(config, LEASE)
        try:
            assert hangs.wait(20)
            with store.write(None) as session:
                session.rows("UPDATE shard SET holder = 'third:1', fence = 9 WHERE id = ?", (low,))
                session.rows("UPDATE engine SET until_us = 1 WHERE holder = 'other:1'")
            began = time.monotonic()
            polling.step(config, LEASE)
            assert orphan.polled[0] - began < RELEASE_SECONDS
        finally:
            free.set()
        polling.run(lambda: True, lambda: config, LEASE, 1)


def test_changes_that_another_engine_polls_are_evaluated_although_nothing_wakes_the_evaluator(
    tmp_path: Path,
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    start_polling: StartPolling,
) -> None:
    """In an estate of several slices time alone would evaluate the next one much later."""
    monkeypatch.setattr(incremental, "SLICE_JOBS", 2)
    monkeypatch.setattr(evaluator, "SLICES_FACTOR", 1e6)
    monkeypatch.setattr(evaluator, "WHOLE_FACTOR", 1e6)
    monkeypatch.setattr(evaluator, "MAX_INTERVAL_SECONDS", 0.5)
    config, world, ended = estate(tmp_path), World(tmp_path, SYSTEMS[1]), threading.Event()
    with closing(open_ready(store_url)) as store, open_queries(store_url) as reads:
        held = acquire_lease(store, "engine", "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        leader, polling = EngineAssembly(config, store, SecretStore()), start_polling(store)
        leader.begin(held.fence)
        polling.step(config, LEASE)
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "all to be polled", 20)
        for _ in range(20):  # each slice has been evaluated by then
            leader.evaluator.step(held.fence)
        thread = threading.Thread(target=leader.evaluator.run, args=(held.fence, ended.is_set), daemon=True)
        thread.start()
        world.fail("extract")
        wait_until(reads.incidents.list_incidents, "the incident", 5)
        ended.set()
        thread.join(20)
        polling.run(lambda: True, lambda: config, LEASE, 1)
    assert not thread.is_alive()


def test_a_store_that_fails_while_a_config_is_adopted_leaves_no_shard_without_polls(
    tmp_path: Path,
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    start_polling: StartPolling,
) -> None:
    config = estate(tmp_path)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "engine", "elsewhere:1", 60)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling = start_polling(store)
        with monkeypatch.context() as patch:
            patch.setattr(targets, "systems_of_targets", unreachable)
            with pytest.raises(StoreUnusable):
                polling.step(config, LEASE)
        polling.step(config, LEASE)
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "all to be polled", 20)
        polling.run(lambda: True, lambda: config, LEASE, 1)


def unreachable(store: Database) -> dict[int, int]:
    raise StoreUnusable("connection lost")
