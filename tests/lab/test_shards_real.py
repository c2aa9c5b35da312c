"""Several engines on one PostgreSQL: an even share of the shards each, and no write of one that lost its shard."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from connectors.sdk.records import JobRecord
from connectors.sdk.states import Verb
from console.domain.ids import instant, micros, new_action_key
from console.domain.inventory import InventoryChanges
from console.store.actions import ActionStep, step_action
from console.store.config_sync import _NEW_TARGET
from console.store.db.database import Database, open_database
from console.store.db.fence import ShardFence
from console.store.db.shards import SHARDS, HeldShards, hold_shards, leave, poll_nothing, release_shards, shard_of
from console.store.errors import LeaseLost, StoreTooNew
from console.store.ingest import grouped_writes
from console.store.ingest.batch import IngestBatch
from console.store.ingest.grouped_writes import GroupedWrites
from console.store.ingest.inventory import TargetInventory
from console.store.ingest.records import ingest_batch
from console.store.ingest.targets import TargetProbe
from console.store.new_actions import NewAction, insert_action
from console.store.queries import open_queries
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.lab.store_copies import migrated, store_url
from tests.store.estate import build

__all__ = ["migrated", "store_url"]

SECOND = 1_000_000
KEY = new_action_key()
LEASE = 15.0


@pytest.fixture
def store(store_url: str) -> Iterator[Database]:
    with closing(open_database(store_url)) as opened:
        yield opened


def tick(store: Database, holder: str, held: HeldShards | None = None, at: float = 0) -> HeldShards:
    return hold_shards(store, holder, held.fences if held else {}, LEASE, now_us=round((1_000 + at) * SECOND))


def requested_rerun(job_id: int) -> NewAction:
    return NewAction(
        key=KEY, verb=Verb.RERUN, job_id=job_id, run_id=None, incident_id=None, parameters={}, origin="person",
        requested_by="mara", overlap="refuse", requested_us=0,
    )  # fmt: skip


def drop_surplus(store: Database, holder: str, held: HeldShards) -> HeldShards:
    release_shards(store, holder, {shard: held.fences[shard] for shard in held.surplus})
    return HeldShards({shard: fence for shard, fence in held.fences.items() if shard not in held.surplus})


def test_one_engine_holds_every_shard_at_once(store: Database) -> None:
    held = tick(store, "one:1")
    assert (dict.fromkeys(range(SHARDS), 1), ()) == (held.fences, held.surplus)
    assert held == tick(store, "one:1", held, at=3)


def test_an_engine_that_joins_gets_its_even_share_as_soon_as_the_other_has_released_it(store: Database) -> None:
    first = tick(store, "one:1")
    assert ({}, 14) == (tick(store, "two:2", at=1).fences, tick(store, "two:2", at=1).expiry_s)
    first = tick(store, "one:1", first, at=2)
    assert tuple(range(128, 256)) == first.surplus
    first = drop_surplus(store, "one:1", first)
    second = tick(store, "two:2", at=3)
    assert (dict.fromkeys(range(128, 256), 2), ()) == (second.fences, second.surplus)
    assert {} == tick(store, "three:3", at=4).fences
    shares = [len(tick(store, holder, held, at=5).surplus) for holder, held in (("one:1", first), ("two:2", second))]
    assert [128 - 86] * 2 == shares, "ceil(256 / 3) is 86"


def test_the_shards_of_a_dead_engine_go_to_the_others_when_its_lease_has_expired(store: Database) -> None:
    first = tick(store, "one:1")
    second = tick(store, "two:2", at=1)
    first = drop_surplus(store, "one:1", tick(store, "one:1", first, at=2))
    second = tick(store, "two:2", second, at=3)
    second = tick(store, "two:2", second, at=2 + LEASE - 0.1)
    assert range(128, 256) == range(min(second.fences), max(second.fences) + 1)
    second = tick(store, "two:2", second, at=2 + LEASE + 0.1)
    assert (256, ()) == (len(second.fences), second.surplus)
    assert {2} == {second.fences[shard] for shard in first.fences}


def test_hand_overs_are_the_claimed_shards_that_an_engine_held_before(store: Database, store_url: str) -> None:
    first = tick(store, "one:1")
    tick(store, "two:2", at=1)
    drop_surplus(store, "one:1", tick(store, "one:1", first, at=2))
    second = tick(store, "two:2", at=3)
    assert {"one:1": (0, None), "two:2": (128, 3)} == hand_overs(store_url)
    second = tick(store, "two:2", second, at=2 + LEASE + 1)
    tick(store, "two:2", second, at=3 + LEASE + 1)
    assert {"one:1": (0, None), "two:2": (256, 3 + LEASE)} == hand_overs(store_url)


def hand_overs(url: str) -> dict[str, tuple[int, float | None]]:
    """By engine: their number, and when the last was, as `tick` counts seconds."""
    with open_queries(url) as reads:
        engines = reads.estate.engines()
    ats = [None if engine.handed_over is None else micros(engine.handed_over) / SECOND - 1_000 for engine in engines]
    return {engine.holder: (engine.hand_overs, at) for engine, at in zip(engines, ats, strict=True)}


def test_a_process_that_wakes_too_late_can_write_nothing_and_gets_no_shard_back_by_itself(store: Database) -> None:
    build(store)
    stalled = tick(store, "one:1")
    with store.read() as session:
        [target] = session.rows("SELECT id, system_id, cursor FROM target ORDER BY id LIMIT 1")
    shard = shard_of(target.system_id)
    batch = IngestBatch((), "next", now=instant(1_000 * SECOND), business_date=lambda _: instant(0).date())
    held_shards = tick(store, "two:2", at=LEASE + 1)
    assert {2} == set(held_shards.fences.values())
    with pytest.raises(LeaseLost, match=f"shard {shard} with fence 1 is lost: two:2 holds it now; nothing was written"):
        ingest_batch(store, target.id, batch, ShardFence(shard, stalled.fences[shard]))
    with store.read() as session:
        assert target.cursor == session.rows("SELECT cursor FROM target WHERE id = ?", (target.id,))[0].cursor
    release_shards(store, "one:1", stalled.fences)
    assert {} == tick(store, "one:1", stalled, at=LEASE + 2).fences
    ingest_batch(store, target.id, batch, ShardFence(shard, held_shards.fences[shard]))


def test_quiet_polls_that_end_together_are_one_transaction_and_only_that_of_a_lost_shard_is_refused(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(store)
    held = tick(store, "one:1")
    with store.read() as session:
        rows = session.rows("SELECT id, system_id FROM target ORDER BY id")
    shards = {row.id: shard_of(row.system_id) for row in rows}
    lost, broken = rows[0].id, next(row.id for row in rows if shards[row.id] != shards[rows[0].id])
    with store.write(None) as session:
        session.rows("UPDATE shard SET fence = 2, holder = 'two:2' WHERE id = ?", (shards[lost],))
        session.rows("UPDATE target SET failing_since_us = 1, failures = 3, error = 'gone' WHERE id = ?", (broken,))
    monkeypatch.setattr(grouped_writes, "GATHER_SECONDS", 1.0)
    transactions = count_writes(store, monkeypatch)
    outcomes = poll_together(store, {target: ShardFence(shard, held.fences[shard]) for target, shard in shards.items()})
    assert 1 == len(transactions)
    refused = {target for target, error in outcomes.items() if isinstance(error, LeaseLost)}
    assert {target for target, shard in shards.items() if shard == shards[lost]} == refused
    assert {None} == {error for target, error in outcomes.items() if target not in refused}
    with store.read() as session:
        written = {row.id for row in session.rows("SELECT id FROM target WHERE cursor = 'next'")}
        [state] = session.rows("SELECT failing_since_us, failures, error FROM target WHERE id = ?", (broken,))
        events = session.rows("SELECT text FROM event WHERE kind = 'back'")
    assert shards.keys() - refused == written
    assert (None, 0, "") == tuple(state)
    assert 1 == len(events)


def test_a_poll_that_cannot_be_written_takes_no_other_of_its_group_with_it(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(store)
    held = tick(store, "one:1")
    with store.read() as session:
        rows = session.rows("SELECT id, system_id FROM target ORDER BY id")
    fences = {row.id: ShardFence(shard := shard_of(row.system_id), held.fences[shard]) for row in rows}
    bad, *good = fences
    monkeypatch.setattr(grouped_writes, "GATHER_SECONDS", 1.0)
    outcomes = poll_together(store, fences, bad)
    assert isinstance(outcomes[bad], Exception)
    assert [None] * len(good) == [outcomes[target] for target in good]
    with store.read() as session:
        assert {"next"} == {
            row.cursor for row in session.by_keys("SELECT cursor FROM {keys} JOIN target ON id = a", good)
        }


def test_inventories_and_rights_are_written_together_also_of_a_job_that_two_targets_list(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(store)
    held = tick(store, "one:1")
    system = store.rows("SELECT system_id FROM target ORDER BY id")[0].system_id
    with store.write(None) as session:
        columns = ("system_id", "name", *_NEW_TARGET)
        session.insert("target", columns, [(system, name, *_NEW_TARGET.values()) for name in ("second", "third")])
    rows = store.rows("SELECT id, system_id FROM target ORDER BY id")
    fences = {row.id: ShardFence(shard := shard_of(row.system_id), held.fences[shard]) for row in rows}

    def written(jobs: Mapping[int, str]) -> int:
        transactions, writes = count_writes(store, monkeypatch), GroupedWrites()

        def write(target_id: int) -> None:
            changes = InventoryChanges(new=(JobRecord(jobs[target_id]),), hash="h2")
            writes.inventory(store, TargetInventory(target_id, changes, instant(0)), fences[target_id])

        def probe(target_id: int) -> None:
            writes.probe(store, TargetProbe(target_id, jobs[target_id], ()), fences[target_id])

        threads = [threading.Thread(target=act, args=(number,)) for number in jobs for act in (write, probe)]
        everybody = f"{len(threads)} writes wait"
        gathered = partial(wait_until, lambda: len(threads) == len(writes._waiting), everybody)
        monkeypatch.setattr(grouped_writes, "wait_seconds", lambda seconds: gathered())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANGS_SECONDS)
        versions = store.rows("SELECT id, version FROM target ORDER BY id")
        assert {row.id: row.version for row in versions}.items() >= jobs.items()
        known = {row.native_id for row in store.rows("SELECT native_id FROM job")}
        assert set(jobs.values()) <= known
        return len(transactions)

    assert 1 == written({target_id: f"job {target_id}" for target_id in fences})
    *_, second, third = fences
    assert 1 == written({second: "same", third: "same"})
    [job] = store.rows("SELECT native_id, gone_since_us FROM job WHERE source_id = 'same'")
    assert ("same", None) == tuple(job)


def count_writes(store: Database, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One element for each transaction from now on."""
    transactions, write = list[None](), store.write

    def counted(*arguments: Any, **options: Any) -> Any:
        transactions.append(None)
        return write(*arguments, **options)

    monkeypatch.setattr(store, "write", counted)
    return transactions


def poll_together(store: Database, fences: Mapping[int, ShardFence], bad: int = 0) -> dict[int, Exception | None]:
    """Target -> the error of its quiet poll; all end at the same time. `bad`: the target whose poll no database
    takes."""
    ingest, outcomes = GroupedWrites().ingest, dict[int, Exception | None]()

    def poll(target_id: int) -> None:
        batch = IngestBatch((), "next", now=instant(1_000 * SECOND), business_date=lambda _: instant(0).date())
        batch = replace(batch, poll_ms=cast("float", "no number")) if target_id == bad else batch
        try:
            ingest(store, target_id, batch, fences[target_id])
            outcomes[target_id] = None
        except Exception as error:  # noqa: BLE001 - the result of this poll
            outcomes[target_id] = error

    threads = [threading.Thread(target=poll, args=(target_id,)) for target_id in fences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    return outcomes


def test_a_connection_that_the_server_has_ended_is_replaced_before_it_is_used(
    store: Database, postgres: PostgresServer
) -> None:
    """It answered just now, so it is not pinged."""
    backend = "SELECT pg_backend_pid() AS pid"
    [before] = store.rows(backend)
    assert before == store.rows(backend)[0]
    postgres.execute("SELECT pg_terminate_backend(%s, 5000)", before.pid)
    assert before != store.rows(backend)[0]


def test_a_shard_stays_while_an_action_is_being_sent_there(store: Database) -> None:
    """The engine after it would look the action up before it can have arrived."""
    build(store)
    first = tick(store, "one:1")
    tick(store, "two:2", at=1)
    surplus = set(tick(store, "one:1", first, at=2).surplus)
    with store.write(None) as session:
        jobs = session.rows("SELECT id, system_id FROM job ORDER BY id")
        job = next(job for job in jobs if shard_of(job.system_id) in surplus)
        insert_action(session, requested_rerun(job.id))
    assert surplus == set(tick(store, "one:1", first, at=3).surplus)
    assert step_action(store, ShardFence(shard_of(job.system_id), 1), KEY, "requested", ActionStep("sending"), 1)
    assert surplus - {shard_of(job.system_id)} == set(tick(store, "one:1", first, at=4).surplus)


def test_no_intent_is_committed_under_the_fence_of_a_lost_shard(store: Database) -> None:
    build(store)
    stalled = tick(store, "one:1")
    with store.write(None) as session:
        [job] = session.rows("SELECT id, system_id FROM job ORDER BY id LIMIT 1")
        insert_action(session, requested_rerun(job.id))
    shard = shard_of(job.system_id)
    held_shards = tick(store, "two:2", at=LEASE + 1)
    intent = ActionStep("sending")
    with pytest.raises(LeaseLost, match=f"shard {shard} with fence 1 is lost: two:2 holds it now; nothing was written"):
        step_action(store, ShardFence(shard, stalled.fences[shard]), KEY, "requested", intent, 1)
    assert step_action(store, ShardFence(shard, held_shards.fences[shard]), KEY, "requested", intent, 1)


def test_an_engine_that_leaves_or_polls_nothing_counts_no_more(store: Database) -> None:
    first = tick(store, "one:1")
    leave(store, "one:1", first.fences)
    second = tick(store, "two:2", at=1)
    poll_nothing(store, "two:2", second.fences, "another config")
    third = tick(store, "three:3", at=2)
    assert [256, 256] == [len(second.fences), len(third.fences)]
    with store.read() as session:
        rows = session.rows("SELECT holder, until_us > 0 AS polls, trouble FROM engine ORDER BY holder")
    assert [("three:3", True, ""), ("two:2", False, "another config")] == rows


def test_a_restarted_process_with_the_same_name_gets_its_shards_under_the_next_fence(store: Database) -> None:
    tick(store, "one:1")
    assert {2} == set(tick(store, "one:1", at=1).fences.values())


def test_an_engine_is_refused_once_a_newer_one_has_migrated_the_store(store: Database) -> None:
    held = tick(store, "one:1")
    with store.write(None) as session:
        session.rows("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match=r"has schema 9999, written by .+; this is Headway"):
        tick(store, "one:1", held, at=3)


def test_consecutive_systems_are_spread_over_the_shards() -> None:
    lower = sum(shard_of(system) < SHARDS // 2 for system in range(1, 11))
    assert 5 == lower
    assert SHARDS == len({shard_of(system) for system in range(1, 2_000)})
