"""A store on a real PostgreSQL that restarts in mid transaction, goes silent, is full or refuses: the engine stops
sending in time, goes on by itself, and nothing is lost or done twice (F6, F19, F20)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from connectors.sdk.states import Verb
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.engine.api.client import EngineClient
from console.engine.notify import self_monitoring
from console.engine.notify.outbox import REPEAT_MARK
from console.engine.notify.paging import PageAction
from console.engine.supervisor.engine import WAITS_FOR_LEASE
from console.store.db.database import open_database
from console.store.errors import StoreError, StoreUnusable
from console.store.queries import open_queries
from tests.fakes.faultproxy import GOOD, Fault, FaultProxy
from tests.invariants.engines import LEASE_SECONDS, STORE, Child, child
from tests.invariants.worlds import Alert, Sink, World
from tests.lab.postgres import PostgresServer
from tests.lab.process import wait_seconds, wait_until
from tests.lab.store_copies import migrated, store_url
from tests.messages import REPEAT_TEXT

__all__ = ["migrated", "store_url"]


@pytest.fixture
def folder(tmp_path: Path, store_url: str) -> Path:
    (tmp_path / STORE).write_text(store_url)
    return tmp_path


@pytest.fixture
def proxy(folder: Path, store_url: str, postgres: PostgresServer) -> Iterator[FaultProxy]:
    """Between the engine and its store; this test itself connects directly."""
    with FaultProxy(postgres.port) as made:
        (folder / STORE).write_text(store_url.replace(f":{postgres.port}/", f":{made.port}/"))
        yield made


def failures(folder: Path, job: str) -> list[Alert]:
    return Sink(folder).failures(f"good/{job}")


def trip(postgres: PostgresServer) -> None:
    """`pg_ctl restart -m immediate`."""
    postgres.stop(crash=True)
    postgres.start()


def is_well(url: str) -> bool:
    with suppress(StoreError), open_queries(url) as reads:
        waiting = reads.link.rows("SELECT count(*) FROM delivery WHERE state <> 'sent'")[0][0]
        return waiting == 0 and all(target.failing_since is None for target in reads.estate.systems())
    return False


def settled(folder: Path, url: str) -> None:
    """Each failure is one incident, notified once; a repeat is marked as one."""
    got = Sink(folder).got
    marked = [alert.body.startswith(REPEAT_TEXT) for alert in got]
    both = [*failures(folder, "extract"), *failures(folder, "audit")]
    assert 2 == len({(alert.title, alert.body.removeprefix(REPEAT_TEXT)) for alert in both})
    assert len(got) - sum(marked) == len({alert.title for alert in got})
    with open_queries(url) as reads:
        assert 2 == len(reads.incidents.list_incidents())
        assert [(2,)] == reads.link.rows("SELECT count(*) FROM attempt")


POINTS = ("ingest.before_commit", "evaluate.before_commit", "outbox.claimed", "record.before_commit")


@pytest.mark.parametrize("point", POINTS)
def test_f19_a_restart_of_the_database_in_mid_transaction_loses_and_doubles_nothing(
    folder: Path, store_url: str, postgres: PostgresServer, point: str
) -> None:
    world = World(folder, "good")
    world.fail("extract")
    with child(folder, "engine", f"{point}:sleep=2:1", lease=LEASE_SECONDS) as engine:
        wait_until(lambda: is_at_point(point, folder, store_url, postgres), f"the engine to stand at {point}")
        trip(postgres)
        world.fail("audit", "b1")
        wait_until(
            lambda: bool(failures(folder, "extract") and failures(folder, "audit")),
            "both alerts",
        )
        wait_until(lambda: is_well(store_url), "the end of all deliveries")
        assert None is engine.ended(0), "it went on by itself"
    settled(folder, store_url)


def is_at_point(point: str, folder: Path, url: str, postgres: PostgresServer) -> bool:
    """In an open transaction, or between two of them."""
    if point == "record.before_commit":
        return bool(failures(folder, "extract"))
    if point == "outbox.claimed":
        return postgres.execute("SELECT count(*) FROM delivery", database=url.rpartition("/")[2]) == [(1,)]
    query = """SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'idle in transaction'
               AND clock_timestamp() - state_change > interval '0.5 s'"""
    return postgres.execute(query, url.rpartition("/")[2], database="postgres") != [(0,)]


def test_f19_restarts_around_an_action_send_it_once(folder: Path, store_url: str, postgres: PostgresServer) -> None:
    world = World(folder, "good")
    world.fail("extract")
    with child(folder, "engine", "action.after_reply:sleep=2:1", lease=LEASE_SECONDS) as engine:
        wait_until(lambda: bool(failures(folder, "extract")), "the alert")
        with open_queries(store_url) as reads:
            run_id = reads.incidents.incident(1).row.root_run_id
        assert run_id is not None
        key = new_action_key()
        EngineClient(store_url).act(ActionRequest(Verb.RERUN, run_id), key)
        wait_until(lambda: world.sent == [key], "the wire")
        trip(postgres)
        wait_until(lambda: ended(store_url, key), "its end")
        assert None is engine.ended(0)
    assert [key] == world.sent
    with open_queries(store_url) as reads:
        assert ["verified"] == [action.state for action in reads.actions.list_actions()]


def ended(url: str, key: str) -> bool:
    with suppress(StoreError), open_queries(url) as reads:
        return any(action.key == key and action.ended is not None for action in reads.actions.list_actions())
    return False


# a store that goes silent


def test_f06_a_holder_whose_store_goes_silent_stops_sending_before_another_engine_works(
    folder: Path, store_url: str, postgres: PostgresServer, proxy: FaultProxy
) -> None:
    """The other reaches the store directly: the first must not repeat its notifications."""
    world = World(folder, "good")
    with ExitStack() as engines:
        first = engines.enter_context(child(folder, "first", lease=LEASE_SECONDS))
        wait_until(lambda: "working" in first.events(), "the first to work")
        proxy.fault = Fault(hang=True)
        second = engines.enter_context(child(folder, "second", url=store_url))
        wait_until(lambda: "working" in second.events(), "the second to work")
        world.fail("extract")
        wait_until(lambda: bool(failures(folder, "extract")), "the alert of the second")
        proxy.fault = GOOD
        wait_until(lambda: is_on_standby(first), "the first to stand by")
        assert None is first.ended(0)
    assert 1 == len(failures(folder, "extract"))


def is_on_standby(engine: Child) -> bool:
    return any(event.endswith(WAITS_FOR_LEASE) for event in engine.events())


def test_f06_a_silent_store_is_abandoned_and_tried_again(
    store_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.store.db.postgres.ANSWER_SECONDS", 0.5)
    with FaultProxy(postgres.port) as proxy:
        url = store_url.replace(f":{postgres.port}/", f":{proxy.port}/")
        store, reads = open_database(url), open_queries(url)
        assert 0 <= store.changed_seq()
        proxy.fault = Fault(hang=True)
        for silent in (store.changed_seq, reads.estate.systems):
            with pytest.raises(StoreUnusable, match=r"no answer within 0\.5 s|connection timeout expired"):
                silent()
        proxy.fault = GOOD
        assert (0, []) == (min(0, store.changed_seq()), reads.estate.systems())
        reads.close()
        store.close()


# a store that is down


def notify_soon() -> None:
    self_monitoring._LASTS_SECONDS[self_monitoring.STORE] = 1.0
    self_monitoring.SECOND_SECONDS = 1.0


def test_of_several_engines_the_one_with_the_lease_notifies_of_a_store_that_is_down(
    folder: Path, store_url: str, postgres: PostgresServer
) -> None:
    """The other says that it may repeat that: the first may be dead. The end is notified once."""

    def actions() -> list[PageAction]:
        return [alert.action for alert in Sink(folder).got if alert.key == self_monitoring.STORE]

    World(folder, "good")
    with ExitStack() as engines:
        for name, event in (("first", "working"), ("second", WAITS_FOR_LEASE)):
            engine = engines.enter_context(child(folder, name, prepare=notify_soon))
            wait_until(lambda: event in engine.events(), f"the {name} engine")  # noqa: B023 - called at once
        postgres.stop(crash=True)
        try:
            wait_until(lambda: len(actions()) == 2, "both")
        finally:
            postgres.start()
        wait_until(lambda: len(actions()) == 3, "the end")
        wait_until(lambda: is_well(store_url), "the end of all deliveries")
    assert [PageAction.OPEN, PageAction.OPEN, PageAction.RESOLVE] == actions()
    assert [False, False, True] == sorted(REPEAT_MARK in alert.title for alert in Sink(folder).got)


# a store that refuses


def test_f20_two_writers_in_opposite_order_queue_and_no_deadlock_comes_of_it(store_url: str) -> None:
    """One writer at a time, by a lock of the database, also from two machines."""
    database, other = open_database(store_url), open_database(store_url)
    with database.write(None) as first:
        first.rows("INSERT INTO meta (name, value) VALUES ('a', '1'), ('b', '1')")
    with database.write(None) as first:
        first.rows("UPDATE meta SET value = '2' WHERE name = 'a'")
        with psycopg.connect(store_url) as raw:
            raw.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                raw.execute("SELECT 1 FROM lease WHERE name = 'engine' FOR UPDATE")
        first.rows("UPDATE meta SET value = '2' WHERE name = 'b'")
    with other.write(None) as second:
        second.rows("UPDATE meta SET value = '3' WHERE name = 'b'")
        second.rows("UPDATE meta SET value = '3' WHERE name = 'a'")
    with database.read() as session:
        assert [("3",), ("3",)] == [tuple(row) for row in session.rows(
            "SELECT value FROM meta WHERE name IN ('a', 'b')")]  # fmt: skip
    database.close()
    other.close()


REFUSALS = {
    "serialization failure": ("40001", "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"),
    "deadlock": ("40P01", "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END $$"),
    "statement timeout": ("57014", "SET LOCAL statement_timeout = 10; SELECT pg_sleep(1)"),
    "too many connections": ("53300", "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53300'; END $$"),
    "disk full": ("53100", "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$"),
    "read-only standby": ("25006", "SET TRANSACTION READ ONLY; DELETE FROM meta"),
}


@pytest.mark.parametrize("state, statement", REFUSALS.values(), ids=REFUSALS)
def test_f20_what_the_database_refuses_for_a_while_is_the_stores_trouble_and_leaves_nothing(
    store_url: str, state: str, statement: str
) -> None:
    store = open_database(store_url)

    def write() -> None:
        with store.write(None) as connection:
            connection.rows("INSERT INTO meta (name, value) VALUES ('half', 'written')")
            for name in [statement] if statement.startswith("DO") else statement.split("; "):
                connection.rows(name)

    with pytest.raises(StoreUnusable, match="the store at postgresql") as refused:
        write()
    cause = refused.value.__cause__
    assert state == getattr(cause.orig if isinstance(cause, DBAPIError) else cause, "sqlstate", "")
    with store.read() as session:
        assert [] == session.rows("SELECT value FROM meta WHERE name = 'half'")
    store.close()


def test_f20_an_engine_that_gets_no_connection_waits_and_goes_on(
    folder: Path, store_url: str, postgres: PostgresServer
) -> None:
    name = store_url.rpartition("/")[2]
    world = World(folder, "good")
    with child(folder, "engine", lease=LEASE_SECONDS) as engine:
        wait_until(lambda: "working" in engine.events(), "it to work")
        postgres.execute(_allow(name, False), database="postgres")
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name, database="postgres"
        )
        world.fail("extract")
        wait_seconds(2)
        assert [] == failures(folder, "extract")
        postgres.execute(_allow(name, True), database="postgres")
        wait_until(lambda: bool(failures(folder, "extract")), "the alert")
        assert None is engine.ended(0)
    assert 1 == len(failures(folder, "extract"))


def _allow(name: str, allowed: bool) -> psycopg.sql.Composed:
    query = psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    return query.format(psycopg.sql.Identifier(name), psycopg.sql.Literal(allowed))
