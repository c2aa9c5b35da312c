"""Several engines on one PostgreSQL: each polls its share and sends its actions, one decides; killed, stopped and ended
ones are replaced within a lease, and nothing is sent twice or lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ConnectorKind,
    LookUpResult,
    Preview,
    Receipt,
    SecretResolver,
)
from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Verb
from console.cli.exits import Exit
from console.cli.main import main
from console.config.sections import Config
from console.control.snapshot import incremental
from console.domain.ids import micros, new_action_key
from console.engine.actions.in_flight import ActionsInFlight
from console.engine.api.client import EngineClient
from console.engine.connector_pool import ConnectorTarget
from console.engine.evaluation import evaluator
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import WAITS_FOR_STORE, exit_process, exit_with_parent, stop_on_signals
from console.engine.supervisor.log_setup import set_up_logs
from console.engine.supervisor.settings import estate_settings
from console.engine.supervisor.shard_polling import ShardPolling
from console.engine.worker import MAX_REASONS
from console.failpoints import VARIABLE
from console.store.config_sync import sync_config
from console.store.db import migrate, postgres_objects, schema_version
from console.store.db.database import Database
from console.store.db.fence import ShardFence
from console.store.db.lease import HeldLease, acquire_lease, database_now_us, release_lease
from console.store.db.schema_version import SCHEMA
from console.store.db.shards import shard_of
from console.store.errors import LeaseLost, StoreUnusable
from console.store.ingest import targets
from console.store.new_actions import NewAction, insert_action
from console.store.queries import open_queries
from tests.action_requests import rerun_of
from tests.engine.bench import poll_all
from tests.invariants.engines import Child, engine_of, forked, in_thread
from tests.invariants.worlds import Sink, World, WorldConnector, config_of
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS, LabError, wait_for_clock, wait_seconds, wait_until
from tests.lab.store_copies import migrated, store_url
from tests.store.ready import open_ready

__all__ = ["migrated", "store_url"]

pytestmark = pytest.mark.quiet
"""A lease of three seconds passes on, and shares are counted within a second."""

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
        wait_until(lambda: set(pollers(folder)) == set(SYSTEMS), "the first to poll all")
        second = stack.enter_context(forked(folder / "second.log", work, folder, folder / "second.log", url))
        wait_until(lambda: shares(folder, first, second) == (4, 4), "each to poll its share")
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


def test_an_engine_that_joins_polls_its_share_while_the_first_alone_decides_and_notifies(
    tmp_path: Path, store_url: str
) -> None:
    with two_engines(tmp_path, store_url) as (first, second):
        world = system_of(tmp_path, second)
        world.fail("extract")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert of a system that the second polls")
        key = rerun(store_url)
        wait_until(lambda: state_of(store_url, key) == "verified", "its rerun to be verified")
    assert [key] == world.sent
    for event in ("working", "alert sent"):
        assert (event in first.events(), event in second.events()) == (True, False)
    assert (False, True) == ("action" in first.events(), "action" in second.events())


class Scheduler:
    """Counts the requests to start something that reach its HTTP endpoint."""

    def __init__(self) -> None:
        self.posts: list[str] = []
        """The key of each, in order."""
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posts.append(self.path.removeprefix("/"))
                self._answer(200)

            def do_GET(self) -> None:
                self._answer(200 if self.path.removeprefix("/") in posts else 404)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Scheduler:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class HttpConnector(WorldConnector):
    """Starts jobs by POST to a `Scheduler`."""

    def __init__(self, world: World, secrets: SecretResolver, port: int) -> None:
        super().__init__(world, secrets)
        self._port = port

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        self._status("POST", key, timeout_seconds)
        return super().act(preview, key, timeout_seconds)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return ActionFound("") if self._status("GET", key, timeout_seconds) == 200 else ActionAbsent()

    def _status(self, method: str, key: str, timeout_seconds: float) -> int:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=timeout_seconds)) as connection:
            connection.request(method, f"/{key}")
            return connection.getresponse().status


@dataclass
class HttpWorld(World):
    port: int = 0

    def kind(self) -> ConnectorKind:
        return replace(super().kind(), open=lambda _options, _target, secrets: HttpConnector(self, secrets, self.port))


def work_over_http(folder: Path, log: Path, url: str, port: int, failpoint: str) -> None:
    exit_with_parent()
    os.environ[VARIABLE] = failpoint
    store, secrets = open_ready(url), SecretStore()
    set_up_logs(secrets, log)
    worlds = (HttpWorld(folder, name, partial(polled_by, folder, name), port=port) for name in SYSTEMS)
    engine = engine_of(config_of(folder, *worlds), store, Sink(folder), secrets, LEASE)
    stop_on_signals(engine)
    engine.run()
    store.close()
    exit_process(0)


@pytest.mark.parametrize("point", ["action.intent_committed", "action.before_wire"])
def test_f04_an_engine_without_the_lease_that_is_stopped_between_intent_and_sending_sends_nothing_after_its_shard(
    tmp_path: Path, store_url: str, point: str
) -> None:
    """The next holder of the shard looks the action up; requested again, it arrives once."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(Scheduler())

        def start(name: str, failpoint: str) -> Child:
            log = tmp_path / f"{name}.log"
            arguments = tmp_path, log, store_url, scheduler.server.server_port, failpoint
            return stack.enter_context(forked(log, work_over_http, *arguments))

        first = start("first", "")
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "the first to poll all")
        second = start("second", f"{point}:stop:1")
        wait_until(lambda: shares(tmp_path, first, second) == (4, 4), "each to poll its share")
        world = system_of(tmp_path, second)
        world.fail("extract")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert")
        key = rerun(store_url)
        wait_until(lambda: second.is_stopped, "the second to stop after the intent")
        assert "sending" == state_of(store_url, key)
        stopped = datetime.now(UTC)
        wait_until(lambda: state_of(store_url, key) == "failed", "the look-up by the first")
        wait_for_clock(stopped + timedelta(seconds=3 * LEASE))
        second.signal(signal.SIGCONT)
        wait_until(lambda: "shards lost" in second.events(), "the second to notice")
        wait_until(lambda: shares(tmp_path, first, second) == (4, 4), "each to poll its share again")
        assert ([], "failed") == (scheduler.posts, state_of(store_url, key))
        again = rerun(store_url)
        wait_until(lambda: state_of(store_url, again) == "verified", "the second rerun to be verified")
        assert [again] == scheduler.posts


def rerun(url: str) -> str:
    """Requests a rerun of the failed run, as a console does; the action's key."""
    requests, key = EngineClient(url), new_action_key()
    with open_queries(url) as reads:
        run_id = reads.incidents.incident(1).row.root_run_id
    assert run_id is not None
    requests.act(rerun_of(run_id, requests.wait(requests.preview(rerun_of(run_id)), HANGS_SECONDS).data), key)
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
        wait_until(lambda: renewed_after(store_url, other, killed), "a renewal after the lease")
        assert after == fences(store_url, other)
        wait_until(lambda: alone(tmp_path, other), "the other to poll all")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert")


@pytest.mark.parametrize("leads", [True, False])
def test_f04_an_engine_that_was_stopped_longer_than_its_lease_writes_nothing_and_shares_again(
    tmp_path: Path, store_url: str, leads: bool
) -> None:
    with two_engines(tmp_path, store_url) as engines:
        stopped, other = engines if leads else reversed(engines)
        world = system_of(tmp_path, stopped)
        stopped.signal(signal.SIGSTOP)
        wait_until(lambda: alone(tmp_path, other), "the other to poll all")
        world.fail("extract")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert")
        stopped.signal(signal.SIGCONT)
        wait_until(lambda: "shards lost" in stopped.events(), "the stopped one to notice")
        wait_until(lambda: shares(tmp_path, stopped, other) == (4, 4), "each to poll its share")
        world.fail("audit", "b1")
        wait_until(lambda: alerts(tmp_path, world) == 2, "one more alert")
    assert 2 == len(Sink(tmp_path).got)
    assert not [line for line in stopped.lines() if "exception" in line]


def test_an_engine_that_is_ended_hands_its_shards_over_at_once(tmp_path: Path, store_url: str) -> None:
    with two_engines(tmp_path, store_url) as (first, second):
        after = fences_after_takeover(store_url, first, second)
        first.signal(signal.SIGTERM)
        assert 0 == first.ended()
        [(pid, heartbeat)] = heartbeats(store_url).items()
        assert pid == second.pid
        wait_until(lambda: heartbeats(store_url)[pid].at_us > heartbeat.at_us, "the next renewal")
        assert after == fences(store_url, second)
        wait_until(lambda: alone(tmp_path, second), "the second to poll all")
        wait_until(lambda: "working" in second.events(), "the second to decide")


def test_engine_stop_ends_every_engine_of_this_machine(
    tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with two_engines(tmp_path, store_url) as engines:
        assert Exit.OK == main(["--store", store_url, "engine", "stop"])
        assert [0, 0] == [engine.ended() for engine in engines]
        ends = sorted(line.rpartition(", process ")[2] for line in capsys.readouterr().err.splitlines())
        assert sorted(f"{engine.pid}, stopped" for engine in engines) == ends
    assert Exit.NO_ENGINE == main(["--store", store_url, "engine", "stop"])


def test_engine_stop_ends_an_engine_without_the_lease_and_names_the_one_elsewhere(
    tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_ready(store_url)) as store:
        assert isinstance(acquire_lease(store, "db08:4711~c0ffee", 600), HeldLease)
    with forked(tmp_path / "engine.log", work, tmp_path, tmp_path / "engine.log", store_url) as engine:
        wait_until(lambda: list(heartbeats(store_url)) == [engine.pid], "the engine to join")
        assert Exit.OK == main(["--store", store_url, "engine", "stop"])
        assert 0 == engine.ended()
    stopped, goes_on = capsys.readouterr().err.splitlines()
    assert stopped.endswith(f", process {engine.pid}, stopped")
    assert "the engine on db08, process 4711, goes on; to stop it too, run headway engine stop there" == goes_on
    assert Exit.REFUSED == main(["--store", store_url, "engine", "stop"])
    assert "the engine runs on db08, not here; run headway engine stop there" in capsys.readouterr().err


def test_an_engine_that_leads_is_refused_by_the_schema_of_a_newer_one(tmp_path: Path, store_url: str) -> None:
    """It releases its lease, so that a newer engine decides; it goes on once the schema is its own."""
    with two_engines(tmp_path, store_url) as (first, second), closing(open_ready(store_url)) as store:

        def set_schema(number: str) -> None:
            with store.write(None) as session:
                session.rows("UPDATE alembic_version SET version_num = ?", (number,))

        def holder() -> str:
            with store.read() as session:
                return str(session.rows("SELECT holder FROM lease")[0].holder)

        assert first.pid == pid_of(holder())
        set_schema("0999")
        wait_until(lambda: refusals(first) and refusals(second), "both to be refused")
        assert "" == holder()
        assert "working" not in second.events()
        set_schema(SCHEMA)
        wait_until(lambda: holder() != "", "an engine to have the lease again")


NEWER_SCHEMA = "0999"
NEWER_MIGRATION = f"""
from alembic import op

revision, down_revision = "{NEWER_SCHEMA}", "{SCHEMA}"


def upgrade():
    op.execute("CREATE TABLE of_the_next_version (id INTEGER)")
"""


NEWER_OBJECTS = {"table of_the_next_version": "pff", "column of_the_next_version.id": "integer"}


def work_newer(folder: Path, log: Path, url: str) -> None:
    """An engine of the next version, which has one table more."""
    migrations = folder / "migrations"
    shutil.copytree(migrate.FOLDER, migrations)
    (migrations / "versions" / f"{NEWER_SCHEMA}_next.py").write_text(NEWER_MIGRATION)
    migrate.migrate.__defaults__ = (migrations,)
    listed = json.loads(postgres_objects.NEW_STORE.read_text())
    postgres_objects.NEW_STORE = folder / "objects.json"
    postgres_objects.NEW_STORE.write_text(json.dumps(listed | NEWER_OBJECTS))
    schema_version.SCHEMA = NEWER_SCHEMA
    work(folder, log, url)


def test_a_newer_engine_migrates_the_store_and_takes_all_over_from_the_older_ones(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling upgrade: no system waits longer than a lease for its next poll, and each action arrives once."""
    with two_engines(tmp_path, store_url) as older, ExitStack() as stack:
        world = system_of(tmp_path, older[1])
        world.fail("extract")
        wait_until(lambda: alerts(tmp_path, world) == 1, "the alert by the older ones")
        keys = [rerun(store_url)]
        log = tmp_path / "newer.log"
        newer = stack.enter_context(forked(log, work_newer, tmp_path, log, store_url))
        wait_until(lambda: alone(tmp_path, newer), "the newer one to poll all")
        assert longest_gap(tmp_path) < LEASE + 1
        monkeypatch.setattr(schema_version, "SCHEMA", NEWER_SCHEMA)
        wait_until(lambda: state_of(store_url, keys[0]) == "verified", "the first rerun to be verified")
        wait_until(lambda: "working" in newer.events(), "the newer one to decide")
        keys.append(rerun(store_url))
        wait_until(lambda: state_of(store_url, keys[1]) == "verified", "the second rerun to be verified")
        assert keys == world.sent
        titles = [alert.title for alert in Sink(tmp_path).got if world.name in alert.title]
        assert len(set(titles)) == len(titles)
        with open_queries(store_url) as reads:
            engines = {int(engine.process): engine for engine in reads.estate.engines()}
        assert ("leads", 256) == (engines[newer.pid].role, engines[newer.pid].shards)
        for engine in older:
            text = engines[engine.pid].trouble
            assert text.startswith("polls nothing: the store at ")
            assert f"has schema {NEWER_SCHEMA}, written by a newer Headway; this is Headway" in text
        newer.signal(signal.SIGTERM)  # only a free lease is refused: while the newer one holds it, they wait for it
        assert 0 == newer.ended()
        wait_until(lambda: all(map(refusals, older)), "the older ones to be refused the lease")


def longest_gap(folder: Path) -> float:
    """Seconds between two polls of a system."""
    polls: dict[str, list[float]] = {}
    for _, system, at in (line.split() for line in (folder / "polls").read_text().splitlines()):
        polls.setdefault(system, []).append(float(at))
    return max(after - before for times in polls.values() for before, after in pairwise(sorted(times)))


def refusals(engine: Child) -> list[str]:
    """Why the engine does not get the lease."""
    waits = [line["error"] for line in engine.lines() if line["event"] == WAITS_FOR_STORE]
    return [error for error in waits if "has schema 0999, written by" in error]


def test_a_store_that_fails_all_polls_is_one_message_of_the_status(
    tmp_path: Path, store_url: str, postgres: PostgresServer
) -> None:
    with two_engines(tmp_path, store_url):

        def failed_all_polls() -> bool:
            """Another outage, until it has met all polls of both engines."""
            postgres.stop(crash=True)
            wait_seconds(2)
            postgres.start()
            with suppress(LabError):
                wait_until(lambda: all("4 polls: the store at" in text for text in troubles(store_url)), "", grace=5)
                return True
            return False

        wait_until(failed_all_polls, "the message")
        for text in troubles(store_url):
            assert text.count("the store at") <= MAX_REASONS


def troubles(url: str) -> list[str]:
    """The message of each engine, as `headway status` prints it."""
    with open_queries(url) as reads:
        return [engine.trouble for engine in reads.estate.engines()]


@pytest.fixture
def start_polling() -> Iterator[StartPolling]:
    """Shards whose polls run on threads of the test, while it makes each step itself."""
    over = threading.Event()

    def start(store: Database) -> ShardPolling:
        polling = ShardPolling(store, SecretStore(), ActionsInFlight(1))
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
        held = acquire_lease(store, "elsewhere:1", 60)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling = start_polling(store)
        polling.step(replace(config, digest="older"), HANGS_SECONDS)
        [engine] = reads.estate.engines()
        assert (0, "polls nothing: its config is not the one in effect") == (engine.shards, engine.trouble)
        polling.step(config, HANGS_SECONDS)
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "all to be polled")
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
        held = acquire_lease(store, "elsewhere:1", 60)
        assert isinstance(held, HeldLease)
        engine_of(estate(tmp_path), store, Sink(tmp_path), is_standby=False).run()
        assert not joined.is_set()
        release_lease(store, held)
        with in_thread(engine_of(estate(tmp_path), store, Sink(tmp_path), is_standby=False)):
            wait_until(joined.is_set, "the engine to join the shards")


@pytest.mark.parametrize("local", [False, True])
def test_an_action_is_sent_by_the_holder_of_its_shard_or_if_only_that_machine_has_its_target_by_the_lease(
    tmp_path: Path, store_url: str, start_polling: StartPolling, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    """The holder of the shard polls the target at once."""
    world = World(tmp_path, SYSTEMS[0])
    config, key = config_of(tmp_path, world, poll_every=600), new_action_key()
    monkeypatch.setattr(ConnectorTarget, "is_local", local)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        leader = EngineAssembly(config, store, SecretStore())
        leader.begin(held.fence)
        poll_all(leader, held.fence)
        with store.write(None) as session:
            [job] = session.rows("SELECT id FROM job WHERE name = ?", (f"{world.name}/extract",))
            insert_action(session, requested_rerun(key, job.id))
        leader.actions.step(held.fence)
        assert ([key] if local else []) == world.sent
        if not local:
            polling = start_polling(store)
            polling.step(config, HANGS_SECONDS)
            wait_until(lambda: state_of(store_url, key) == "verified", "the rerun to be verified")
            polling.run(lambda: True, lambda: config, LEASE, 1)
    assert [key] == world.sent


def requested_rerun(key: str, job_id: int) -> NewAction:
    return NewAction(
        key=key, verb=Verb.RERUN, job_id=job_id, run_id=None, incident_id=None, parameters={}, origin="person",
        requested_by="mara", overlap="allow", requested_us=micros(datetime.now(UTC)),
    )  # fmt: skip


def test_an_engine_that_gets_the_lease_goes_on_polling_and_wakes_its_evaluator(
    tmp_path: Path, store_url: str, start_polling: StartPolling
) -> None:
    world = World(tmp_path, SYSTEMS[0])
    config = config_of(tmp_path, world, poll_every=600)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling, next_one = start_polling(store), EngineAssembly(config, store, SecretStore())
        polling.step(config, HANGS_SECONDS)
        wait_until(lambda: bool(world.polled), "the first poll")
        next_one.shards = polling
        next_one.begin(held.fence)
        pollers_before = polling.pulses()
        polling.step(config, HANGS_SECONDS)
        assert pollers_before == polling.pulses()
        next_one.evaluator.wake.clear()
        world.fail("extract")
        polling.poll_now(next(iter(next_one.connectors.places)))
        assert next_one.evaluator.wake.wait(HANGS_SECONDS)
        polling.run(lambda: True, lambda: config, LEASE, 1)
    assert 2 == len(world.polled)


def test_shards_of_a_dead_engine_are_polled_while_a_lost_one_still_hangs(
    tmp_path: Path, store_url: str, start_polling: StartPolling
) -> None:
    hangs, free, ended = threading.Event(), threading.Event(), list[bool]()

    def hang(_: float) -> Sequence[RunRecord]:
        hangs.set()
        ended.append(free.wait(HANGS_SECONDS))
        return ()

    worlds = [World(tmp_path, name) for name in SYSTEMS[:2]]
    config = config_of(tmp_path, *worlds, poll_every=600)
    with closing(open_ready(store_url)) as store:
        held = acquire_lease(store, "elsewhere:1", 600)
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
        polling.step(config, HANGS_SECONDS)
        try:
            assert hangs.wait(HANGS_SECONDS)
            with store.write(None) as session:
                session.rows("UPDATE shard SET holder = 'third:1', fence = 9 WHERE id = ?", (low,))
                session.rows("UPDATE engine SET until_us = 1 WHERE holder = 'other:1'")
            polling.step(config, HANGS_SECONDS)
            wait_until(lambda: orphan.polled, "the poll of the dead engine's shard")
            assert [] == ended, "the lost one still hangs"
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
        held = acquire_lease(store, "elsewhere:1", 600)
        assert isinstance(held, HeldLease)
        leader, polling = EngineAssembly(config, store, SecretStore()), start_polling(store)
        leader.begin(held.fence)
        polling.step(config, HANGS_SECONDS)
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "all to be polled")
        for _ in range(20):  # each slice has been evaluated by then
            leader.evaluator.step(held.fence)
        thread = threading.Thread(target=leader.evaluator.run, args=(held.fence, ended.is_set), daemon=True)
        thread.start()
        world.fail("extract")
        wait_until(reads.incidents.list_incidents, "the incident")
        ended.set()
        thread.join(HANGS_SECONDS)
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
        held = acquire_lease(store, "elsewhere:1", 60)
        assert isinstance(held, HeldLease)
        EngineAssembly(config, store, SecretStore()).begin(held.fence)
        polling = start_polling(store)
        with monkeypatch.context() as patch:
            patch.setattr(targets, "systems_of_targets", unreachable)
            with pytest.raises(StoreUnusable):
                polling.step(config, HANGS_SECONDS)
        polling.step(config, HANGS_SECONDS)
        wait_until(lambda: set(pollers(tmp_path)) == set(SYSTEMS), "all to be polled")
        polling.run(lambda: True, lambda: config, LEASE, 1)


def unreachable(store: Database) -> dict[int, int]:
    raise StoreUnusable("connection lost")
