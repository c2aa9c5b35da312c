"""A team's store on PostgreSQL: two engines share it, one works; a kill passes the work on, nothing is notified twice;
and a person's identity and permissions come from the database: a manipulated console gains nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
import structlog
from psycopg import sql

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Capability, RunState, Verb
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.filter import JobFilter
from console.domain.ids import new_action_key
from console.domain.plan import MCP, REQUESTED, PlanDraft, PlanView
from console.domain.request import RequestKind
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.api.origin import set_visitor
from console.engine.api.requests import (
    AcceptDrift,
    AddSilence,
    ApproveAction,
    ProposeRecovery,
    ReadLog,
    SendTest,
    WithdrawAction,
)
from console.engine.mcp_server import UNTRUSTED, AssistantTools, make_server
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import WAITS_FOR_LEASE, WAITS_FOR_STORE, open_store
from console.store import audit, plans
from console.store.db import lease
from console.store.db.database import Database, open_database
from console.store.db.postgres_objects import NEW_STORE, new_objects, postgres_objects
from console.store.db.session import PostgresAdapter, lock_writers
from console.store.errors import KeyReused, NotAllowed, StoreUnusable
from console.store.new_actions import SENT_BY
from console.store.queries import open_queries
from console.store.request_queue import check_key
from console.timing.clock import wait_seconds
from console.web.visitor import login_url
from tests.engine.bench import Sink, estate_config, poll_all, wait_until_sent
from tests.engine.test_mcp_server import answering, called, tool_calls
from tests.fakes.scheduler import FakeScheduler
from tests.lab.estate import Estate
from tests.lab.headway import WORKING, Headway
from tests.lab.headway_config import EXTRACT, Options
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_objects import listed
from tests.lab.process import HANGS_SECONDS, tail, wait_until
from tests.lab.store_copies import GRANTS, copied, migrated
from tests.messages import title_of

__all__ = ["migrated"]


def team(lab: Estate, folder: Path, dsn: str) -> Headway:
    """The command of one member: the config names the store by reference."""
    config = lab.write_config(folder, Options(systems=("etl-hosts",), hosts=("db07",)))
    config.write_text(config.read_text().replace('store = "headway.db"', 'store = { env = "TEAM_STORE" }'))
    return Headway(config, TEAM_STORE=dsn)


def test_two_engines_share_a_store_and_the_second_goes_on_where_the_first_was_killed(
    lab: Estate, store_dsn: str, tmp_path: Path
) -> None:
    lab.smtp.mails.clear()
    first, second = team(lab, tmp_path / "one", store_dsn), team(lab, tmp_path / "two", store_dsn)
    cron = CronJobs(lab.db07)
    cron.behave("extract_orders", "fail")
    cron.schedule({"extract_orders": cron_of(next_minute())}, wrapped=True)
    try:
        with first.engine_process() as daemon, second.engine_process() as two:
            wait_until(lambda: WAITS_FOR_LEASE in tail(daemon.log) + tail(two.log), "one to stand by")
            holder = second.json("status")["header"]["engine"]["holder"]
            holding, other = (daemon, two) if f":{daemon.pid}~" in holder else (two, daemon)
            assert f":{holding.pid}~" in tail(other.log)
            # A kill between the mail and its record would bring a second one, as it says (tests/invariants).
            wait_until(lambda: {"sent"} == deliveries(store_dsn), "the alert, and its record")
            os.kill(holding.pid, signal.SIGKILL)
            cron.behave("extract_orders", "succeed")
            wait_until(lambda: WORKING in other.log.read_text(), "the other to work")
            answer = second.run("rerun", EXTRACT, "--yes", "--why", "a bad file", "--timeout", "40")
            assert (0, "verified") == (answer.exit_status, answer.stdout.splitlines()[-1][:8]), answer
            wait_until(lambda: len(lab.smtp.mails) >= 2, "the recovery note")
    finally:
        cron.behave("extract_orders", "succeed")
    subjects = [mail.subject for mail in lab.smtp.mails]
    assert 2 == len(subjects), subjects
    assert {"opened", "recovered"} == {delivery["kind"] for delivery in second.deliveries()}
    answer = second.run("status")  # a console on a shared store starts no engine
    assert (3, True) == (answer.exit_status, "no engine has run" in answer.stdout), answer


def deliveries(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        return {str(row[0]) for row in connection.execute("SELECT state FROM delivery")}


# -- rights of the logins that the database authenticated ------------------------------------------------------------
LOGINS = {
    "vera": "view",
    "alice": "act",
    "mallory": "act",
    "carol": "act",
    "erin": "act",
    "ada": "admin",
    "watcher": "engine",
}
PERMITTED = (("alice", "act"), ("group:approvers", "approve"), ("ada", "admin"), ("vera", "view"))
KEY = "headway-0123456789abc"
FORGED = (KEY, "rerun", 1, 1, None, '{"by": "alice"}', "x", "refuse", False, "here")
STEP = {
    "place": 1, "verb": "rerun", "job_id": 2, "run_id": 1, "period_key": "", "parameters": "{}", "after": "[]",
    "wait_s": 0, "safety": "ask", "expected_s": None, "saves": "[]", "state": "requested", "preview": "no json",
}  # fmt: skip
PLAN = ("p1", "recovery", "a\nb", None, "x", 1, json.dumps([STEP]), "here")


def changed(values: tuple[Any, ...], odd: Mapping[int, Any]) -> tuple[Any, ...]:
    return tuple(odd.get(place, value) for place, value in enumerate(values))


def call(connection: psycopg.Connection[Any], function: str, *values: Any) -> Any:
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(values))
    row = connection.execute(sql.SQL("SELECT {}({})").format(sql.Identifier(function), marks), values).fetchone()
    return row[0] if row else None


@dataclass
class Team:
    """A store with its roles, the logins of its people, and an engine's parts that sign in as `watcher`."""

    postgres: PostgresServer
    database: str
    store: Database
    parts: EngineAssembly
    fence: int
    scheduler: FakeScheduler

    def url(self, login: str) -> str:
        return f"postgresql://{login}:{login}-pw@127.0.0.1:{self.postgres.port}/{self.database}"

    @property
    def owner_url(self) -> str:
        return self.postgres.dsn(self.database)

    def requests(self, login: str) -> EngineClient:
        return EngineClient(self.url(login))

    def connect(self, login: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(login), autocommit=True)

    def call(self, login: str, function: str, *values: Any) -> Any:
        """As a console would that somebody has changed."""
        with self.connect(login) as connection:
            return call(connection, function, *values)

    def rows(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        return self.postgres.execute(statement, database=self.database)

    def ask(self, login: str, why: str = "it failed") -> str:
        key = new_action_key()
        shown = {"verb": "run again", "summary": "run it again", "scope": "1 run"}
        self.requests(login).act(ActionRequest(Verb.RERUN, 1, preview=shown, why=why), key)
        return key

    def steer(self, login: str, number: int, how: RequestKind) -> str:
        """As a console asks for it, while an engine works."""
        with ThreadPoolExecutor(1) as pool:
            state = pool.submit(self.requests(login).steer_plan, number, how)
            while not state.done():
                self.carry_out()
        return state.result()

    def carry_out(self) -> None:
        plans.carry_out_orders(self.store, self.fence, datetime.now(UTC))

    def step(self) -> None:
        self.parts.actions.step(self.fence)

    def turn(self) -> None:
        """Plans, then actions, once; what was put off is due."""
        self.parts.plans.step(self.fence)
        with self.store.write(self.fence) as connection:
            connection.rows("UPDATE action SET next_us = 0")
        self.step()
        self.parts.plans.step(self.fence)

    def answer(self, login: str, request_id: int) -> tuple[bool, str]:
        self.parts.answers.step(self.fence)
        answer = self.requests(login).wait(request_id, HANGS_SECONDS)
        return answer.ok, answer.error

    def state(self, key: str) -> tuple[str, str]:
        [row] = [row[1:] for row in self.rows("SELECT key, state, text FROM action") if row[0] == key]
        return row[0], row[1]

    def verdict(self) -> audit.ChainVerdict:
        with open_queries(self.url("vera")) as reads:
            return reads.audit.verify_audit()


@pytest.fixture(scope="module")
def people(postgres: PostgresServer) -> None:
    """Logins of this cluster; their roles come with the store's grants."""
    for login in LOGINS:
        query = sql.SQL("DROP ROLE IF EXISTS {0}; CREATE ROLE {0} LOGIN PASSWORD {1}")
        postgres.execute(query.format(sql.Identifier(login), sql.Literal(f"{login}-pw")))
    postgres.execute("DROP ROLE IF EXISTS approvers; CREATE ROLE approvers NOLOGIN")
    postgres.execute("GRANT approvers TO carol")


@dataclass(frozen=True)
class Evening:
    """A database with the store's grants in which the engine has seen that `extract` failed, to be copied."""

    database: str
    failed_at: datetime


@pytest.fixture(scope="module")
def evening(
    postgres: PostgresServer, people: None, migrated: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evening]:
    name = copied(postgres, migrated["store"])
    for _ in range(2):  # it changes nothing twice
        grant(postgres.dsn(name))
    for login, role in LOGINS.items():
        query = sql.SQL("GRANT {} TO {}").format(sql.Identifier(f"headway_store_{role}"), sql.Identifier(login))
        postgres.execute(query)
    made = Evening(name, datetime.now(UTC))
    with engine_at_work(postgres, made, tmp_path_factory.mktemp("evening")) as team:
        poll_all(team.parts, team.fence)
        team.parts.evaluator.step(team.fence)
        postgres.execute("UPDATE lease SET holder = '', until_us = 0", database=name)
    yield made
    postgres.drop_database(postgres.dsn(name))


def grant(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(GRANTS.read_bytes())


ON_DATABASE = "GRANT TEMPORARY ON DATABASE {0} TO headway_store_engine; REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC"
"""What the grants say of a database as a whole: a copy has it not."""


@contextlib.contextmanager
def working_team(postgres: PostgresServer, evening: Evening, folder: Path) -> Iterator[Team]:
    """In a copy of that database."""
    database = copied(postgres, evening.database)
    postgres.administer(sql.SQL(ON_DATABASE).format(sql.Identifier(database)))
    try:
        with engine_at_work(postgres, replace(evening, database=database), folder) as team:
            yield team
    finally:
        postgres.drop_database(postgres.dsn(database))


@contextlib.contextmanager
def engine_at_work(postgres: PostgresServer, evening: Evening, folder: Path) -> Iterator[Team]:
    """In that very database."""
    scheduler = FakeScheduler(capabilities=frozenset(Capability))
    scheduler.job("extract", match_keys=("extract.sh",))
    scheduler.job("load")
    scheduler.attempt("extract", "a1", RunState.FAILED, evening.failed_at)
    config = estate_config(folder, scheduler)
    permitted = tuple(PermissionRule(who, Role[role.upper()]) for who, role in PERMITTED)
    config = replace(config, permissions=permitted)
    store = open_database(f"postgresql://watcher:watcher-pw@127.0.0.1:{postgres.port}/{evening.database}")
    got = lease.acquire_lease(store, "test", 600)
    assert isinstance(got, lease.HeldLease)
    parts = EngineAssembly(config, store, SecretStore(), Sink())
    parts.shards = None  # the engine with the lease sends all actions
    parts.begin(got.fence)
    try:
        yield Team(postgres, evening.database, store, parts, got.fence, scheduler)
    finally:
        parts.finish()
        store.close()


@pytest.fixture
def shared(postgres: PostgresServer, evening: Evening, tmp_path: Path) -> Iterator[Team]:
    with working_team(postgres, evening, tmp_path) as team:
        yield team


@pytest.fixture(scope="module")
def refusing(postgres: PostgresServer, evening: Evening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """One for all tests of what its database refuses: they change nothing that another of them reads."""
    with working_team(postgres, evening, tmp_path_factory.mktemp("refusing")) as team:
        yield team


def test_an_engine_with_no_more_than_its_role_polls_judges_sends_and_answers(shared: Team) -> None:
    key = shared.ask("alice")
    shared.step()
    assert ("sent", [key]) == (shared.state(key)[0], shared.scheduler.acted)
    assert (True, "") == shared.answer("alice", shared.requests("alice").ask(AcceptDrift(1, 0)))
    assert [("open",)] == shared.rows("SELECT CASE WHEN closed_us IS NULL THEN 'open' END FROM incident")
    while shared.parts.outbox.step(shared.fence):
        wait_until_sent(shared.parts.outbox)
    assert [("sent",)] == shared.rows("SELECT state FROM delivery")


def test_a_console_that_lies_about_its_name_gains_nothing(shared: Team) -> None:
    """Mallory may ask the database; her console claims to be alice's."""
    assert shared.call("mallory", "headway_act", *FORGED)
    stamped = shared.rows("SELECT requested_by, origin, state, preview, approved_by, parameters FROM action")
    assert [("mallory", "person", "requested", "{}", "", '{"by": "mallory"}')] == stamped
    shared.step()
    state, text = shared.state(KEY)
    assert ("refused", []) == (state, shared.scheduler.acted)
    assert "you (mallory) have no role there" in text


def test_a_request_in_another_name_is_refused_and_its_answer_is_private(shared: Team) -> None:
    forged = '{"job_id": 1, "change": 0, "by": "alice", "from": "here"}'
    number = shared.call("mallory", "headway_ask", "accept drift", forged)
    assert [("mallory", "pending")] == shared.rows("SELECT requested_by, state FROM request")
    silent = shared.call("mallory", "headway_ask", "accept drift", '{"job_id": 1, "change": 0}')
    [(arguments,)] = shared.rows("SELECT arguments FROM request ORDER BY id DESC LIMIT 1")
    assert "127.0.0.1 ()" == json.loads(arguments)["from"]
    assert not shared.answer("mallory", silent)[0]
    assert (False, True) == (shared.answer("mallory", number)[0], "mallory" in shared.answer("mallory", number)[1])
    assert "the request expired" in shared.requests("alice").wait(number, 0.5).error
    with pytest.raises(psycopg.errors.InsufficientPrivilege), shared.connect("alice") as connection:
        connection.execute("SELECT * FROM request")


@pytest.mark.parametrize(
    "verb", ["thaw", "send rerun", "request restore", "approve rerun", "refuse \n", "refuse x" + "y" * 80]
)
def test_a_console_records_refusals_shells_and_emergencies_only(refusing: Team, verb: str) -> None:
    with pytest.raises(psycopg.DataError):
        refusing.call("mallory", "headway_record", verb, "job", "{}", "", "here")


def test_who_accepts_a_suggested_dependency_is_who_signed_in(shared: Team) -> None:
    written = list[str]()
    shared.requests("alice").record_dependency_decision(
        "accept", "fake/a", "fake/b", "x.toml", lambda: written.append("x")
    )
    with pytest.raises(NotAllowed, match="headway store grants"):  # vera may only view
        shared.requests("vera").record_dependency_decision(
            "accept", "fake/a", "fake/b", "x.toml", lambda: written.append("y")
        )
    assert ["x"] == written
    with shared.store.write(shared.fence) as session:
        audit.chain_waiting(session)
    assert [("alice", "fake/a -> fake/b", '{"file": "x.toml"}')] == shared.rows(
        "SELECT actor, object, detail FROM audit WHERE verb = 'accept dependency'"
    )


def test_a_row_of_the_audit_in_another_name_is_sealed_in_her_own(shared: Team) -> None:
    shared.ask("alice")
    lie = 'alice\u2028"\\ü\n\x1b[31m'
    shared.call("mallory", "headway_record", "refuse rerun", lie, '{"refused": "[\\u001b[31m"}', lie, lie)
    shared.step()
    [(actor, about, origin)] = shared.rows("SELECT actor, object, origin FROM audit WHERE verb = 'refuse rerun'")
    assert ("mallory", 'alice "\\ü [31m', True) == (actor, about, origin.startswith("127.0.0.1 ("))
    assert None is shared.verdict().bad
    assert [] == shared.rows("SELECT 1 FROM request WHERE state = 'unchained'")


def test_no_client_writes_locks_or_defines_anything_itself(refusing: Team) -> None:
    tables = [row[0] for row in refusing.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")]
    sequences = [row[0] for row in refusing.rows("SELECT sequencename::text FROM pg_sequences")]
    helpers = ("headway_is('x')", "headway_audit('thaw', 'freeze', '{}', '', '')", "headway_json('{}', 'object')")
    for login in ("vera", "alice", "ada"):
        with refusing.connect(login) as connection:
            for table in tables:
                for statement in (
                    "INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET xmin = 1", "DELETE FROM {}", "TRUNCATE {}",
                    "LOCK TABLE {} IN ROW SHARE MODE", "SELECT 1 FROM {} FOR UPDATE", "SELECT 1 FROM {} FOR KEY SHARE",
                    "CREATE TRIGGER t BEFORE INSERT ON {} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                    "ALTER TABLE {} DISABLE TRIGGER ALL", "DROP TABLE {}",
                ):  # fmt: skip
                    refused = pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported))
                    with refused, connection.transaction():
                        connection.execute(sql.SQL(statement).format(sql.Identifier(table)))
            for sequence in sequences:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("SELECT nextval(%s::regclass)", (sequence,))
            for helper in helpers:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT {helper}")


FUNCTIONS: Mapping[str, tuple[Any, ...]] = {
    "headway_lock": (),
    "headway_ask": ("log", '{"run_id": 1}'),
    "headway_answer": (1,),
    "headway_act": FORGED,
    "headway_start_plan": PLAN,
    "headway_steer_plan": (1, "abort plan", "x", "here"),
    "headway_pause_polling": ("fake", None, "x", "here"),
    "headway_switch": ("freeze", "on", "x", "here"),
    "headway_note": (1, "x", "here"),
    "headway_record": ("shell", "x", "{}", "x", "here"),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_read_only_login_calls_no_function(refusing: Team, function: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        refusing.call("vera", function, *FUNCTIONS[function])


def test_the_functions_are_exactly_these_with_a_fixed_path(refusing: Team) -> None:
    functions = refusing.rows(
        "SELECT proname::text FROM pg_proc WHERE proname LIKE 'headway%' AND prosecdef"
        " AND 'search_path=pg_catalog, public, pg_temp' = ANY (proconfig)"
    )
    assert sorted(FUNCTIONS) == sorted(row[0] for row in functions)


def test_a_visitor_is_no_other_user_of_the_database(refusing: Team) -> None:
    url = login_url(refusing.url("ada") + "?user=ada&password=ada-pw&options=-crole%3Dada", "vera")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url)
    set_visitor("vera", "browser")
    try:
        with pytest.raises(NotAllowed, match="vera is signed in at the store's database as ada"):
            refusing.requests("ada").turn("freeze", "on", "not vera's")
        refusing.requests("vera").check(())
    finally:
        set_visitor("", "")


LOCKS = (
    "SELECT pg_advisory_lock(1212498244)",
    "SELECT pg_advisory_lock(1212498253)",
    "LOCK TABLE lease IN ACCESS SHARE MODE",
)


def test_no_transaction_of_a_client_stops_the_engine(shared: Team) -> None:
    """All functions in transactions that stay open, and what a reader can lock, while the engine writes every row that
    they are about: a wait for any of them would end only by a timeout, which raises StoreUnusable."""
    permit(shared, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    plan = shared.call("alice", "headway_start_plan", *changed(PLAN, {0: "p0"}))
    withdrawn, expired = new_action_key(), new_action_key()
    for key in (withdrawn, expired):
        shared.call("alice", "headway_act", *changed(FORGED, {0: key}))
    shared.turn()
    [(system,)] = shared.rows("SELECT name FROM system")
    steering = [("headway_steer_plan", plan, how, "x", "here") for how in ("pause plan", "resume plan")]
    calls = [(name, *values) for name, values in FUNCTIONS.items() if name != "headway_steer_plan"]
    calls += [*steering, ("headway_pause_polling", system, 0, "over", "here")]
    with open_queries(shared.url("carol")) as reads:
        [waiting] = [one for one in reads.approvals.list_approvals() if one.key not in (withdrawn, expired)]
    with contextlib.ExitStack() as stack:

        def hold(login: str) -> psycopg.Connection[Any]:
            connection = stack.enter_context(psycopg.connect(shared.url(login)))
            stack.callback(connection.rollback)
            return connection

        vera, alice, ada = map(hold, ("vera", "alice", "ada"))
        for statement in LOCKS:
            vera.execute(statement)
        for function, *values in calls:
            call(alice, function, *values)
        approved = shared.requests("carol").ask(ApproveAction(waiting.key, waiting.digest))
        ended = shared.requests("ada").ask(WithdrawAction(withdrawn, "not needed"))
        with shared.store.write(shared.fence) as session:
            session.rows("UPDATE action SET requested_us = 0 WHERE key = ?", (expired,))
        assert [(True, "")] * 2 == [shared.answer("carol", approved), shared.answer("ada", ended)]
        for overlap in ("extract runs since 03:10", None):  # it queues, then is sent
            shared.scheduler.overlap = overlap
            shared.turn()
        for name in ("a2", "a3"):
            more = {"action_key": waiting.key, "period_key": None}
            shared.scheduler.attempt("extract", name, RunState.FAILED, datetime.now(UTC), **more)
            poll_all(shared.parts, shared.fence)
            shared.parts.evaluator.step(shared.fence)
            shared.turn()
        states = dict(shared.rows("SELECT key, state FROM action"))
        assert ("refused", "refused") == (states[withdrawn], states[expired])
        assert [("stopped", "failed")] == shared.rows("SELECT p.state, s.state FROM plan p, plan_step s")
        assert call(ada, "headway_switch", "freeze", "on", "I freeze too", "here")
        ada.commit()
        assert "aborted" == shared.steer("ada", plan, RequestKind.ABORT_PLAN)
    assert [("ada", "on")] == shared.rows("SELECT set_by, value FROM switch WHERE name LIKE 'freeze%'")


HELD_SECONDS = 40.0
"""Longer than any timeout of the store: 10, 20 and 30 s."""
HELD: Mapping[str, tuple[tuple[Any, ...], ...]] = {
    **{name: (values,) for name, values in FUNCTIONS.items()},
    "headway_steer_plan": tuple((1, f"{how} plan", "x", "here") for how in ("pause", "resume", "abort")),
    "headway_pause_polling": (("fake", 0, "over", "here"),),
    "headway_switch": tuple(
        (name, value, "x", "here") for name, value in (("freeze", "on"), ("mode", "shadow"), ("system fake", "shadow"))
    ),
}


def heartbeats_under(team: Team, function: str) -> list[bool]:
    """Which heartbeats of the engine are written while alice's transaction with this function is open and the engine
    writes every row that it is about: of an approved action until its end, of those that are withdrawn and expire, of
    a plan and its step, and of their job, which its source renames. A write that waits for the transaction ends by a
    timeout: with StoreUnusable, or unwritten."""
    permit(team, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    plan = team.call("alice", "headway_start_plan", *changed(PLAN, {0: "p0"}))
    withdrawn, expired = new_action_key(), new_action_key()
    for key in (withdrawn, expired):
        team.call("alice", "headway_act", *changed(FORGED, {0: key}))
    team.turn()
    with open_queries(team.url("carol")) as reads:
        [waiting] = [one for one in reads.approvals.list_approvals() if one.key not in (withdrawn, expired)]
    written, over = list[bool](), threading.Event()

    def beat() -> None:
        while not over.wait(0.5):
            written.append(is_written(team.store))

    with psycopg.connect(team.url("alice")) as alice, ThreadPoolExecutor(1) as pool:
        for values in HELD[function]:
            call(alice, function, *values)
        until, beats = time.monotonic() + HELD_SECONDS, pool.submit(beat)
        try:
            approved = team.requests("carol").ask(ApproveAction(waiting.key, waiting.digest))
            ended = team.requests("ada").ask(WithdrawAction(withdrawn, "not needed"))
            assert [(True, "")] * 2 == [team.answer("carol", approved), team.answer("ada", ended)]
            with team.store.write(team.fence) as session:
                session.rows("UPDATE action SET requested_us = 0 WHERE key = ?", (expired,))
            for refuse, overlap in (
                (SystemUnreachable("down"), None),
                (None, "extract runs since 03:10"),
                (None, None),
            ):
                team.scheduler.refuse, team.scheduler.overlap = refuse, overlap
                team.turn()
            for name in ("a2", "a3"):
                more = {"action_key": waiting.key, "period_key": None}
                team.scheduler.attempt("extract", name, RunState.FAILED, datetime.now(UTC), **more)
                poll_all(team.parts, team.fence)
                team.parts.evaluator.step(team.fence)
                team.turn()
            team.scheduler.rename("extract", "extract_all")
            with team.store.write(team.fence) as session:
                session.rows("UPDATE target SET inventory_us = 0")  # the next poll reads the jobs again
            poll_all(team.parts, team.fence)
            while time.monotonic() < until:
                team.turn()
                team.carry_out()
                wait_seconds(4)
        finally:
            over.set()
            beats.result(HANGS_SECONDS)
        alice.rollback()
    states = dict(team.rows("SELECT key, state FROM action WHERE key <> 'x'"))
    assert ("refused", "refused") == (states[withdrawn], states[expired]), function
    assert [("fake/extract_all",), ("fake/load",)] == team.rows("SELECT name FROM job ORDER BY name"), function
    assert [("stopped", "failed")] == team.rows("SELECT p.state, s.state FROM plan p, plan_step s"), function
    assert plan == 1
    return written


@pytest.mark.quiet
def test_no_function_alone_keeps_the_engine_from_writing_however_long_its_transaction_is_open(
    postgres: PostgresServer, evening: Evening, tmp_path: Path
) -> None:
    """Each in a store of its own, side by side: what one function locks hides nothing that another does."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(HELD)) as pool:
        heartbeats = {}
        for function in HELD:
            (folder := tmp_path / function).mkdir()
            team = stack.enter_context(working_team(postgres, evening, folder))
            heartbeats[function] = pool.submit(heartbeats_under, team, function)
        assert [] == [function for function, written in heartbeats.items() if {True} != set(written.result())]


def test_a_lock_of_whoever_it_may_be_delays_what_needs_it_alone_and_is_named(shared: Team) -> None:
    """The owner's psql, or a function of a later version: the engine tries again later, and keeps its lease."""
    key = shared.ask("alice")
    with psycopg.connect(shared.owner_url) as owner:
        owner.execute("UPDATE action SET text = 'by hand'")
        holder = f"{owner.info.user} (process {owner.info.backend_pid}) holds a lock on a row"

        def is_named() -> bool:  # not in a moment in which nobody looked while the engine waited
            with pytest.raises(StoreUnusable) as refused:
                shared.step()
            with shared.store.write(shared.fence) as session:
                session.rows("UPDATE lease SET heartbeat_us = 1 WHERE name = 'engine'")
            return str(refused.value).startswith(holder)

        for _ in range(2):
            wait_until(is_named, "the engine to name who holds the lock")
        owner.rollback()
    shared.step()
    assert ("sent", [key]) == (shared.state(key)[0], shared.scheduler.acted)


def test_a_writer_that_was_cut_off_within_a_statement_is_ended_by_the_next(
    shared: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server process waits for the rest, for which no timeout of PostgreSQL applies."""
    monkeypatch.setattr("console.store.db.database.WRITERS_SECONDS", 1.0)
    other = open_database(shared.url("watcher"))
    try:
        with contextlib.closing(shared.connect("watcher")) as cut_off:
            cut_off.execute("BEGIN")
            lock_writers(PostgresAdapter(cut_off))
            copy = cut_off.pgconn
            copy.send_query(b"COPY meta (name, value) FROM STDIN")
            copy.flush()
            wait_until(lambda: shared.rows(IN_COPY) == [(1,)], "the server to wait for rows")
            wait_until(lambda: is_written(other), "the other to write")
    finally:
        other.close()


IN_COPY = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientRead' AND query LIKE 'COPY meta%'"


def is_written(store: Database) -> bool:
    with contextlib.suppress(StoreUnusable), store.write(None) as session:
        session.rows("UPDATE lease SET heartbeat_us = 1 WHERE name = 'engine'")
        return True
    return False


def test_an_order_counts_before_it_is_carried_out_and_without_an_engine_it_waits(
    shared: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.engine.api.plan_client.ORDER_SECONDS", 0.2)
    number = shared.call("alice", "headway_start_plan", *PLAN)
    shared.parts.plans.step(shared.fence)
    assert "paused once an engine works on it" == shared.requests("alice").steer_plan(number, RequestKind.PAUSE_PLAN)
    shared.step()
    assert ([], [("running",)]) == (shared.scheduler.acted, shared.rows("SELECT state FROM plan"))
    shared.turn()
    assert ([], [("paused",)]) == (shared.scheduler.acted, shared.rows("SELECT state FROM plan"))


def test_an_approver_who_held_the_order_back_resumes_no_plan_that_has_begun(shared: Team) -> None:
    permit(shared, ("erin", "act"))
    number, _ = proposed_by_assistant(shared)
    with shared.connect("erin") as erin:
        erin.execute("BEGIN")
        order = call(erin, "headway_steer_plan", number, "resume plan", "", "here")
        shared.steer("alice", number, RequestKind.RESUME_PLAN)
        shared.turn()
        shared.steer("alice", number, RequestKind.PAUSE_PLAN)
        erin.execute("COMMIT")
    shared.carry_out()
    answer = shared.requests("erin").wait(order, HANGS_SECONDS)
    assert "only they or headway_store_admin may resume it" in answer.error
    assert [("paused",)] == shared.rows("SELECT state FROM plan")


FOREIGN: tuple[LiteralString, ...] = (
    "CREATE FUNCTION thaw() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE FUNCTION same(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
    "CREATE TRIGGER thaw BEFORE INSERT ON switch FOR EACH ROW EXECUTE FUNCTION thaw()",
    "CREATE RULE approve AS ON INSERT TO plan DO ALSO NOTHING",
    "ALTER TABLE action ALTER approved_by SET DEFAULT CURRENT_USER",
    "ALTER TABLE action ALTER approved_us SET DEFAULT 1",
    "ALTER TABLE switch ADD CONSTRAINT live CHECK (same(value) <> 'x')",
    "CREATE INDEX late ON switch (same(value))",
    "CREATE INDEX partial ON switch (value) WHERE same(value) = 'on'",
    "CREATE UNIQUE INDEX one ON request (requested_by)",
    "CREATE POLICY hidden ON switch USING (name <> 'freeze')",
    "ALTER TABLE switch ENABLE ROW LEVEL SECURITY",
    "CREATE TABLE more () INHERITS (permission)",
    "ALTER TABLE hold ADD CONSTRAINT along FOREIGN KEY (key) REFERENCES action ON DELETE CASCADE",
    "CREATE OR REPLACE FUNCTION headway_audit_refuses() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "GRANT CREATE ON SCHEMA public TO mallory",
    "ALTER FUNCTION headway_audit_notes_last() OWNER TO mallory",
    "REVOKE CREATE ON SCHEMA public FROM mallory",
    "CREATE VIEW answers AS SELECT * FROM request",
    "CREATE TABLE aside (a integer)",
    "CREATE FUNCTION lower(boolean) RETURNS text LANGUAGE sql AS 'SELECT NULL'",
    "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
    "CREATE INDEX plain ON hold (key, state)",
    "ALTER TABLE silence ADD COLUMN forever boolean",
    "ALTER TABLE rota SET UNLOGGED",
    "CREATE SCHEMA other",
    "CREATE TABLE other.fan (key text REFERENCES action)",
    "DROP INDEX plan_state; CREATE INDEX plan_state ON plan (state) WHERE state = 'running'",
)
FOREIGN_NAMES = (
    "column action.approved_by", "column action.approved_us", "column silence.forever", "constraint along on hold",
    "constraint fan_key_fkey on other.fan", "constraint live on switch", "function headway_audit_notes_last()",
    "function headway_audit_refuses()",
    "function lower(boolean)", "function same(text)", "function thaw()", "index late on switch", "index one on request",
    "index partial on switch", "index plain on hold", "index plan_state on plan",
    "operator ===(pg_catalog.text,pg_catalog.text)",
    "policy hidden on switch", "rule approve on plan", "table aside", "table more", "table more inherits permission",
    "table rota", "table switch", "trigger thaw on switch", "view answers",
)  # fmt: skip
GRANTED: tuple[LiteralString, ...] = (
    "GRANT UPDATE ON switch TO alice",
    "GRANT SELECT ON request TO headway_store_view",
    "GRANT DELETE ON audit TO headway_store_engine",
    "GRANT SELECT ON run TO headway_store_view WITH GRANT OPTION",
    "GRANT UPDATE (approved_by) ON action TO mallory",
    "GRANT USAGE ON SEQUENCE plan_id_seq TO mallory",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION headway_audit(text, text, json, text, text) TO headway_store_act",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO mallory",
    "CREATE OR REPLACE FUNCTION headway_is(wanted text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true'",
    "CREATE FUNCTION headway_more() RETURNS text LANGUAGE sql AS 'SELECT NULL'",
    "ALTER FUNCTION headway_lock() SET search_path = pg_temp, public",
    "ALTER FUNCTION headway_json(text, text) SECURITY DEFINER",
    "ALTER FUNCTION headway_check(boolean, text) STRICT",
    "GRANT CREATE ON SCHEMA public TO mallory",
    "ALTER FUNCTION headway_refuse(text) OWNER TO mallory",
    "REVOKE CREATE ON SCHEMA public FROM mallory",
    "CREATE EXTENSION citext",
)
"""An extension's code is that of the server's administrators, and is not named."""
GRANT_NAMES = (
    "function headway_check", "function headway_is", "function headway_json", "function headway_lock",
    "function headway_more", "function headway_refuse",
    "grant UPDATE on column action.approved_by to mallory",
    "grant EXECUTE on function headway_audit to headway_store_act", "grant EXECUTE on function headway_more to PUBLIC",
    *(f"grant {right} on later tables to mallory"
      for right in ("DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE")),
    "grant CREATE on schema public to PUBLIC", "grant USAGE on sequence plan_id_seq to mallory",
    "grant DELETE on table audit to headway_store_engine", "grant SELECT on table request to headway_store_view",
    "grant SELECT on table run to headway_store_view", "grant UPDATE on table switch to alice",
)  # fmt: skip


def test_only_an_admin_of_the_store_resumes_a_policy_or_closes_its_breaker(shared: Team) -> None:
    for kind in ("resume policy", "close breaker"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"only headway_store_admin may {kind}"):
            shared.call("alice", "headway_ask", kind, '{"policy": "full"}')
        assert shared.call("ada", "headway_ask", kind, '{"policy": "full"}')
    assert shared.call("alice", "headway_ask", "pause policy", '{"policy": "full"}')


def test_a_new_store_holds_what_the_list_of_its_objects_names(store_dsn: str) -> None:
    assert NEW_STORE.read_text() == listed(store_dsn)


def test_a_sound_store_is_so_in_a_schema_named_like_a_table_and_while_an_index_is_made_anew(store_dsn: str) -> None:
    with psycopg.connect(store_dsn, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA audit")
    inside = f"{store_dsn}{'&' if '?' in store_dsn else '?'}options=-csearch_path%3Daudit"
    assert NEW_STORE.read_text() == listed(inside)
    with psycopg.connect(inside, autocommit=True) as owner:
        owner.execute("CREATE INDEX alert_let_ccnew ON alert (route, let_us)")
        owner.execute("CREATE UNIQUE INDEX job_pkey_ccnew1 ON job (id)")
        assert new_objects() == postgres_objects(PostgresAdapter(owner))
        owner.execute("CREATE INDEX job_name_ccnew ON job (lower(name))")
        assert {"index job_name on job"} == {
            name for name, _ in postgres_objects(PostgresAdapter(owner)) - new_objects()
        }


def test_grants_that_headway_did_not_give_are_named_and_the_engine_works_on(shared: Team) -> None:
    with psycopg.connect(shared.owner_url, autocommit=True) as owner:
        for statement in GRANTED:
            owner.execute(statement)
    with open_queries(shared.url("vera")) as reads:
        assert GRANT_NAMES == reads.audit.verify_audit().foreign_objects
    open_database(shared.url("watcher")).close()
    grant(shared.owner_url)
    with open_queries(shared.url("vera")) as reads:
        named = reads.audit.verify_audit().foreign_objects
    assert set() == set(named) & {"function headway_is", "grant SELECT on table request to headway_store_view"}


def test_what_headway_did_not_make_in_the_database_is_named_and_starts_no_engine(shared: Team) -> None:
    with psycopg.connect(shared.owner_url, autocommit=True) as owner:
        for statement in FOREIGN:
            owner.execute(statement)
    with open_queries(shared.url("vera")) as reads:
        assert FOREIGN_NAMES == reads.audit.verify_audit().foreign_objects
    text = f"Headway did not make: {', '.join(FOREIGN_NAMES)}. Fix: as the owner, drop it"
    with pytest.raises(StoreUnusable, match=re.escape(text)):
        open_database(shared.url("watcher"))


@pytest.mark.parametrize("table", ["audit", "switch", "permission"])
def test_a_restored_store_with_a_view_in_place_of_a_table_is_refused_by_its_name(shared: Team, table: str) -> None:
    with psycopg.connect(shared.owner_url, autocommit=True) as owner:
        owner.execute(sql.SQL("ALTER TABLE {0} RENAME TO kept").format(sql.Identifier(table)))
        owner.execute(sql.SQL("CREATE VIEW {0} AS SELECT * FROM kept").format(sql.Identifier(table)))
        owner.execute(sql.SQL("GRANT SELECT ON {0} TO headway_store_view").format(sql.Identifier(table)))
    with open_queries(shared.url("vera")) as reads:
        assert f"view {table}" in reads.audit.verify_audit().foreign_objects
    with pytest.raises(StoreUnusable, match=rf"Headway did not make: .*\bview {table}\b"):
        open_database(shared.url("watcher"))


def test_a_trigger_of_the_audit_log_that_guards_one_column_alone_is_named(shared: Team) -> None:
    with psycopg.connect(shared.owner_url, autocommit=True) as owner:
        owner.execute("DROP TRIGGER audit_refuses ON audit")
        owner.execute(
            "CREATE TRIGGER audit_refuses BEFORE DELETE OR UPDATE OF why ON audit"
            " FOR EACH ROW EXECUTE FUNCTION headway_audit_refuses()"
        )
    with open_queries(shared.url("vera")) as reads:
        assert ("trigger audit_refuses on audit",) == reads.audit.verify_audit().foreign_objects


def test_an_engine_that_is_refused_a_connection_at_its_start_waits_for_one(shared: Team) -> None:
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
    name = sql.Identifier(shared.database)
    shared.postgres.execute(limit.format(name, sql.Literal(0)), database="postgres")
    with ThreadPoolExecutor(1) as pool, structlog.testing.capture_logs() as lines:
        opened = pool.submit(open_store, shared.url("watcher"), str)
        try:
            wait_until(lambda: bool(lines) or opened.done(), "the refusal")
        finally:
            shared.postgres.execute(limit.format(name, sql.Literal(-1)), database="postgres")
        opened.result(HANGS_SECONDS).close()
    assert [WAITS_FOR_STORE] == [line["event"] for line in lines]


def test_a_read_only_login_learns_who_grants_the_right(refusing: Team) -> None:
    text = r"^the login vera may only read this store: to do this it needs the role headway_store_act\. The store's"
    vera = refusing.requests("vera")
    for ask in (
        lambda: vera.ask(ReadLog(1)),
        lambda: vera.ask(ApproveAction(KEY, "")),
        lambda: vera.ask(SendTest("oncall")),
        lambda: vera.ask(ProposeRecovery(1)),
        lambda: vera.turn("freeze", "on", "why not"),
        lambda: vera.act(ActionRequest(Verb.RERUN, 1), KEY),
    ):
        with pytest.raises(NotAllowed, match=text):
            ask()
    with open_queries(refusing.url("vera")) as reads:
        assert 2 == len(reads.jobs.job_ids(JobFilter()))


@pytest.mark.parametrize(
    "login, statement",
    [
        ("alice", "UPDATE action SET approved_by = 'carol'"),
        ("alice", "INSERT INTO permission SELECT 9, 'alice', 'admin', '[]', '[]', '[]'"),
        ("alice", "UPDATE meta SET value = '{}' WHERE name = 'acting'"),
        ("alice", "UPDATE lease SET fence = 99"),
        ("ada", "DELETE FROM audit"),
        ("watcher", "UPDATE audit SET actor = 'bob'"),
        ("watcher", "DELETE FROM audit"),
        ("watcher", "TRUNCATE audit"),
        ("watcher", "DROP TABLE audit"),
        ("lab", "DELETE FROM audit"),
        ("alice", "CREATE FUNCTION headway_is(name) RETURNS boolean LANGUAGE sql AS 'SELECT true'"),
    ],
)  # fmt: skip
def test_no_login_exceeds_its_role(refusing: Team, login: str, statement: LiteralString) -> None:
    url = refusing.url(login) if login != "lab" else refusing.postgres.dsn(refusing.database)
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_table_of_her_own_does_not_stand_in_for_one_of_the_stores(shared: Team) -> None:
    shared.postgres.execute(
        sql.SQL("GRANT TEMPORARY ON DATABASE {} TO mallory").format(sql.Identifier(shared.database))
    )
    with shared.connect("mallory") as connection:
        connection.execute("CREATE TEMP TABLE request (id bigserial, kind text, requested_by text)")
        connection.execute("CREATE TEMP TABLE action (LIKE action INCLUDING ALL)")
        connection.execute("CREATE FUNCTION pg_temp.headway_is(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            call(connection, "headway_switch", "freeze", "off", "", "here")
        assert call(connection, "headway_act", *FORGED)
    assert [("mallory",)] == shared.rows("SELECT requested_by FROM action")


def test_whoever_may_act_may_stop_everything_and_only_an_admin_lets_loose(shared: Team) -> None:
    frozen = [shared.call(login, "headway_switch", "freeze", "on", "", "here") for login in ("mallory", "alice")]
    assert [True, False] == frozen
    [(system,)] = shared.rows("SELECT name FROM system")
    for name, value in (("freeze", "off"), ("mode", "live"), (f"system {system}", "live")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="admin"):
            shared.call("alice", "headway_switch", name, value, "", "here")
    odd: tuple[tuple[str | None, str | None], ...] = (
        ("freeze", "shadow"), ("freeze", ""), ("mode", "on"), ("polling x", ""), ("freeze alice", "off"),
        ("nonsense", "on"), ("system nowhere", "shadow"), (f"system {system}\nx", "shadow"), ("", ""), (None, None),
        ("mode ", "shadow"), ("freeze", None),
    )  # fmt: skip
    for switch in odd:
        with pytest.raises(psycopg.DataError):
            shared.call("alice", "headway_switch", *switch, "", "here")
    with pytest.raises(NotAllowed, match="frozen by"):
        shared.ask("alice")
    assert shared.requests("ada").turn("freeze", "off", "over")
    assert {("ada", "off")} == set(shared.rows("SELECT set_by, value FROM switch WHERE name LIKE 'freeze%'"))
    shared.ask("alice")
    shared.step()
    verbs = [row[0] for row in shared.rows("SELECT verb FROM audit WHERE object = 'freeze' ORDER BY seq")]
    assert ["freeze", "thaw"] == verbs  # mallory's; alice's found it frozen


def test_a_store_that_lost_its_mode_sends_nothing(shared: Team) -> None:
    with shared.store.write(shared.fence) as session:
        session.rows("DELETE FROM switch")
    with pytest.raises(NotAllowed, match="in shadow"):
        shared.ask("alice")
    assert shared.call("alice", "headway_act", *FORGED)
    shared.step()
    assert [] == shared.scheduler.acted


def test_whoever_may_act_pauses_the_polls_of_a_system_for_a_week_at_most_and_has_them_go_on(shared: Team) -> None:
    [(system,)] = shared.rows("SELECT name FROM system")
    alice = shared.requests("alice")
    for seconds in (3600.0, 7200.0, 0.0):
        alice.pause_polling(system, seconds, "db07 gets a new disk")
    [(by, until_us)] = shared.rows("SELECT set_by, until_us FROM switch WHERE name LIKE 'polling %'")
    assert ("alice", None) == (by, until_us)
    for name, until_us in ((system, 4_070_908_800_000_000), (system, -1), ("none", None)):
        with pytest.raises(psycopg.DataError):
            shared.call("mallory", "headway_pause_polling", name, until_us, "", "here")


def test_an_action_is_about_the_job_of_its_run_whatever_a_console_claims(shared: Team) -> None:
    [(extract,), (load,)] = shared.rows("SELECT id FROM job ORDER BY native_id")
    shared.call("mallory", "headway_act", *changed(FORGED, {2: load}))
    assert [(extract,)] == shared.rows("SELECT job_id FROM action")


@pytest.mark.parametrize(
    "place, odd",
    [
        (1, "explode"), (1, None), (5, "[]"), (5, "no json"), (5, '{"x": "' + "y" * 20_000 + '"}'), (5, None),
        (5, '{"x": ' + "[" * 3_000 + "]" * 3_000 + "}"), (5, '{"x": ' + "[" * 9_000 + "}"), (5, '{"x": 1e999}'),
        (5, '{"x": ' + "1" * 5_000 + "}"), (5, '{"x": "\\u0000"}'), (5, '{"x": "\\ud800"}'), (7, "whatever"), (3, 4711),
        (0, "headway-" + "0" * 24), (0, "headway-ABCDEFGHIJK"), (0, None),
    ],
)  # fmt: skip
def test_an_action_that_the_engine_could_only_refuse_is_refused_by_the_database(
    refusing: Team, place: int, odd: Any
) -> None:
    valid = changed(FORGED, {0: new_action_key()})
    with pytest.raises((psycopg.DataError, psycopg.IntegrityError)):
        refusing.call("alice", "headway_act", *changed(valid, {place: odd}))
    assert refusing.call("alice", "headway_act", *valid)
    assert refusing.call("alice", "headway_act", *valid) is False


@pytest.mark.parametrize(
    "odd",
    [
        {"verb": "explode"}, {"after": "[1]"}, {"after": '["x"]'}, {"after": "[0.5]"}, {"after": "{}"},
        {"wait_s": "nan"},
        {"wait_s": -1}, {"parameters": "null"}, {"parameters": {}}, {"run_id": None, "job_id": None}, {"job_id": "x"},
        {"run_id": 4711}, {"run_id": None, "job_id": 4711}, {"place": 0}, {"place": None}, {"safety": "sure"},
        {"saves": "{}"}, {"expected_s": -1},
    ],
)  # fmt: skip
def test_a_step_that_the_engine_could_only_refuse_is_refused_by_the_database(
    refusing: Team, odd: dict[str, Any]
) -> None:
    with pytest.raises((psycopg.DataError, psycopg.IntegrityError)):
        refusing.call("alice", "headway_start_plan", *changed(PLAN, {6: json.dumps([STEP | odd])}))
    assert [] == refusing.rows("SELECT 1 FROM plan")


@pytest.mark.parametrize("place, odd", [(1, "poem"), (5, 0), (5, None), (6, "[]"), (6, "{}"), (6, "[[]]"), (0, None)])
def test_a_plan_that_the_engine_could_only_refuse_is_refused_by_the_database(
    refusing: Team, place: int, odd: Any
) -> None:
    with pytest.raises((psycopg.DataError, psycopg.IntegrityError)):
        refusing.call("alice", "headway_start_plan", *changed(PLAN, {place: odd}))


def test_a_plan_is_its_starters_and_closed(shared: Team) -> None:
    """One approval is of one plan: no step is added, whatever else its transaction does."""
    number = shared.call("alice", "headway_start_plan", *PLAN)
    stamped = shared.rows("SELECT title, requested_by, s.state, job_id, preview FROM plan, plan_step s")
    assert [("a b", "alice", "planned", 1, "{}")] == stamped
    more = changed(PLAN, {6: json.dumps([STEP, STEP | {"place": 2}])})
    assert number == shared.call("alice", "headway_start_plan", *more)
    assert 1 == len(shared.rows("SELECT 1 FROM plan_step"))
    shared.call("mallory", "headway_steer_plan", number, "pause plan", "", "here")
    shared.carry_out()
    assert [("paused by mallory",)] == shared.rows("SELECT text FROM plan")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only they or headway_store_admin may resume it"):
        shared.call("mallory", "headway_steer_plan", number, "resume plan", "", "here")
    for odd in ("done", None):
        with pytest.raises(psycopg.DataError):
            shared.call("alice", "headway_steer_plan", number, odd, "", "here")
    shared.call("ada", "headway_steer_plan", number, "resume plan", "", "here")
    shared.carry_out()
    with shared.store.write(shared.fence) as session:
        audit.chain_waiting(session)
    entries = shared.rows("SELECT verb, actor, detail FROM audit WHERE object LIKE 'plan %' ORDER BY seq")
    assert [("start plan", "alice"), ("pause plan", "mallory"), ("resume plan", "ada")] == [row[:2] for row in entries]
    assert ["rerun fake/extract"] == [" ".join(name.split()[:2]) for name in json.loads(entries[0][2])["steps"]]


def test_keys_are_each_logins_own(shared: Team) -> None:
    """Mallory has guessed alice's keys, and is first: she takes none, and learns nothing of what alice requests."""
    hers = shared.call("mallory", "headway_start_plan", *PLAN)
    number = shared.call("alice", "headway_start_plan", *PLAN)
    assert hers != number == shared.call("alice", "headway_start_plan", *PLAN)
    assert [("alice p1",), ("mallory p1",)] == shared.rows("SELECT key FROM plan ORDER BY key")
    assert shared.call("mallory", "headway_act", *FORGED)
    assert not shared.call("mallory", "headway_act", *FORGED)
    with pytest.raises(psycopg.DataError, match="not an action key of this login"):
        shared.call("alice", "headway_act", *FORGED)
    first = {"incident_id": 1, "seconds": 60, "key": "k.1"}
    for login, key in (("erin", "k.1"), ("alice", "k.2")):
        permit(shared, ("erin", "act"))
        number = shared.call(login, "headway_ask", "acknowledge", json.dumps({**first, "key": key}))
        assert (True, "") == shared.answer(login, number)
    with shared.store.read() as session, pytest.raises(KeyReused):
        check_key(session, "k.1", "alice")
    with shared.store.read() as session:
        check_key(session, "k.3", "ada")


def test_the_owner_who_is_no_superuser_applies_the_grants(postgres: PostgresServer, store_dsn: str) -> None:
    """As docs/several-engines.md has it."""
    name = sql.Identifier(store_dsn.rpartition("/")[2])
    postgres.execute("DROP ROLE IF EXISTS steward; CREATE ROLE steward LOGIN CREATEROLE PASSWORD 'steward-pw'")
    postgres.execute(sql.SQL("ALTER DATABASE {} OWNER TO steward").format(name))
    url = f"postgresql://steward:steward-pw@127.0.0.1:{postgres.port}/{store_dsn.rpartition('/')[2]}"
    open_database(url).close()
    for _ in range(2):
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(GRANTS.read_bytes())


def test_a_login_fills_neither_the_disk_nor_the_dumps_nor_the_log_of_replicas(refusing: Team) -> None:
    for login in ("vera", "ada"):
        for statement in (
            "CREATE TEMP TABLE mine (a int)",
            "SELECT lo_from_bytea(0, 'x')",
            "SELECT lo_create(0)",
            "SELECT pg_logical_emit_message(false, 'x', 'y')",
        ):
            with refusing.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_a_malformed_request_costs_one_line_of_the_log(shared: Team) -> None:
    number = shared.call("alice", "headway_ask", "log", '{"run_id": "2; drop"}')
    with structlog.testing.capture_logs() as lines:
        ok, error = shared.answer("alice", number)
    assert (False, True) == (ok, "its field run_id is invalid" in error)
    assert [("request failed", "alice", None)] == [(one["event"], one["by"], one.get("exc_info")) for one in lines]


def test_one_login_requests_no_more_than_the_engine_can_follow(shared: Team) -> None:
    with shared.connect("alice") as connection:
        for number in range(100):
            call(connection, "headway_ask", *FUNCTIONS["headway_ask"])
            call(connection, "headway_start_plan", *changed(PLAN, {0: f"plan-{number}"}))
        for name, limit in (
            ("headway_ask", "100 unanswered requests"),
            ("headway_start_plan", "100 plans of one login"),
        ):
            with pytest.raises(psycopg.DataError, match=f"at most {limit}"):
                call(connection, name, *FUNCTIONS[name])
    shared.call("ada", "headway_start_plan", *changed(PLAN, {0: "hers"}))
    for count in (3_000, 2_000):
        many = json.dumps([STEP | {"place": place} for place in range(1, count + 1)])
        shared.call("mallory", "headway_start_plan", *changed(PLAN, {0: f"{count}", 6: many}))
    with pytest.raises(psycopg.DataError, match="at most 5,000 steps"):
        shared.call("mallory", "headway_start_plan", *changed(PLAN, {0: "more"}))


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_transactions_side_by_side_have_one_limit_together(shared: Team, isolation: str) -> None:
    question = ("headway_ask", "accept drift", '{"job_id": 1}')
    with shared.connect("mallory") as first, shared.connect("mallory") as second:
        for connection in (first, second):
            connection.execute(sql.SQL("BEGIN ISOLATION LEVEL {}").format(sql.SQL(isolation)))
            connection.execute("SELECT 1 FROM lease")  # the snapshot
        for _ in range(100):
            call(first, *question)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            call(second, *question)
        first.execute("COMMIT")
        second.execute("ROLLBACK")
        with pytest.raises(psycopg.DataError, match="at most 100 unanswered requests"):
            call(second, *question)
    assert [(100,)] == shared.rows("SELECT count(*) FROM request WHERE state = 'pending'")


def test_entries_of_one_login_neither_pile_up_nor_hold_the_writers_for_long(shared: Team) -> None:
    with shared.connect("mallory") as connection:
        with pytest.raises(psycopg.DataError, match="at most 2,000"):
            connection.execute("SELECT headway_record('shell', 'x', '{}', '', '') FROM generate_series(1, 2001)")
        connection.execute("SELECT headway_record('shell', 'x', '{}', '', '') FROM generate_series(1, 2000)")
        begun = shared.rows("SELECT count(*) FROM audit")[0][0]
        with shared.store.write(shared.fence) as session:
            audit.chain_waiting(session)
        assert begun + 100 == shared.rows("SELECT count(*) FROM audit")[0][0]
        with pytest.raises(psycopg.DataError, match="at most 2,000"):  # those in the chain count too
            call(connection, "headway_record", "shell", "x", "{}", "", "")
        assert call(connection, "headway_switch", "freeze", "on", "nothing keeps her from it", "here")
    shared.call("alice", "headway_record", "shell", "x", "{}", "", "")


def test_an_approval_of_a_backfill_shows_every_period_as_its_run_and_parameters_have_it(shared: Team) -> None:
    """A changed console names one period, and rather works another, or with parameters of its own."""
    shared.parts.config = replace(shared.parts.config, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    shared.parts.config_sync.sync(shared.fence)
    [(period,)] = shared.rows("SELECT period_key FROM run WHERE id = 1")
    others = {"run_id": None, "job_id": 1, "verb": "start"}
    steps = [
        STEP | {"period_key": "2026-11-01"},
        STEP | others | {"place": 2, "period_key": "2026-11-02", "parameters": '{"conf": "all"}', "after": "[1]"},
        STEP | others | {"place": 3, "period_key": "2026-11-03", "parameters": '{"period_at": "2026-11-03"}'},
    ]
    shared.call("alice", "headway_start_plan", *changed(PLAN, {1: "backfill", 6: json.dumps(steps)}))
    shared.parts.plans.step(shared.fence)
    shared.step()
    with open_queries(shared.url("carol")) as reads:
        waiting = reads.approvals.list_approvals()
    assert (period, "start 2026-11-02 (conf all)", "start 2026-11-03") == waiting[0].periods


def test_what_was_approved_is_what_was_shown(shared: Team) -> None:
    shared.parts.config = replace(shared.parts.config, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    shared.parts.config_sync.sync(shared.fence)
    key = shared.ask("alice")
    shared.step()
    with open_queries(shared.url("carol")) as reads:
        [waiting] = reads.approvals.list_approvals()
    with shared.store.write(shared.fence) as session:  # as nobody but the engine can
        session.rows("UPDATE action SET parameters = ?", ('{"conf": {"all": true}}',))
    for digest in (waiting.digest, ""):
        ok, error = shared.answer("carol", shared.requests("carol").ask(ApproveAction(key, digest)))
        assert (False, True) == (ok, error.startswith("it changed after you viewed it")), error
    assert [] == shared.scheduler.acted


def test_a_plan_requested_by_an_assistant_waits_for_a_person_who_is_notified(shared: Team) -> None:
    number, plan = proposed_by_assistant(shared)
    assert (True, "assistant of alice") == (plan.awaits_approval, plan.requester)
    event = (f"plan {number} awaits approval: {plan.title}", "assistant of alice")
    assert [event] == shared.rows("SELECT text, actor FROM event WHERE kind = 'plan'")
    assert [(REQUESTED.removeprefix("awaits approval: "),)] == shared.rows("SELECT text FROM plan")
    [(stored,)] = shared.rows("SELECT message FROM alert WHERE kind = 'person'")
    title = title_of(stored)
    assert f"lan {number} awaits approval: headway plan resume {number}" in title
    with shared.store.write(shared.fence) as session:
        audit.chain_waiting(session)
    assert [("propose plan", "alice")] == shared.rows("SELECT verb, actor FROM audit WHERE object LIKE 'plan %'")


def test_a_plan_requested_by_an_assistant_also_waits_with_the_grants_of_an_older_version(shared: Team) -> None:
    older = GRANTS.read_text().replace("claimed IN ('MCP', 'HTTP API')", "false")
    with psycopg.connect(shared.owner_url, autocommit=True) as connection:
        connection.execute(older.encode())
    _, plan = proposed_by_assistant(shared)
    assert (True, "paused by alice") == (plan.awaits_approval, plan.text)


def test_a_plan_of_an_assistant_is_approved_by_who_may_act_on_all_its_jobs(shared: Team) -> None:
    permit(shared, ("erin", "act"))
    number, _ = proposed_by_assistant(shared)
    with pytest.raises(NotAllowed, match=r"needs role act on fake .* you \(mallory\) have no role there"):
        shared.steer("mallory", number, RequestKind.RESUME_PLAN)
    assert "running" == shared.steer("erin", number, RequestKind.RESUME_PLAN)
    shared.turn()
    [(key, state, by)] = shared.rows("SELECT key, state, requested_by FROM action")
    assert ("sent", "alice", [key]) == (state, by, shared.scheduler.acted)
    shared.steer("erin", number, RequestKind.PAUSE_PLAN)
    with pytest.raises(NotAllowed, match="only they or headway_store_admin may resume it"):  # it is no proposal now
        shared.steer("erin", number, RequestKind.RESUME_PLAN)
    shared.steer("alice", number, RequestKind.RESUME_PLAN)


def test_a_changed_console_that_approves_a_plan_of_an_assistant_sends_nothing(shared: Team) -> None:
    """Mallory may call the functions of the database, and has no role in the config."""
    number, _ = proposed_by_assistant(shared)
    shared.call("mallory", "headway_steer_plan", number, "resume plan", "", "here")
    shared.turn()
    [(plan, text)] = shared.rows("SELECT state, text FROM plan")
    assert ("stopped", []) == (plan, shared.scheduler.acted)
    assert "its plan was resumed by mallory, who does not have the right: needs role act on fake" in text
    assert "running" == shared.steer("alice", number, RequestKind.RESUME_PLAN)
    shared.turn()
    assert 1 == len(shared.scheduler.acted)


def test_who_requested_a_plan_by_an_assistant_approves_no_step_of_it(shared: Team) -> None:
    permit(shared, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    number, _ = proposed_by_assistant(shared)
    shared.steer("alice", number, RequestKind.RESUME_PLAN)
    shared.turn()
    [(key,)] = shared.rows("SELECT key FROM action WHERE needs_approval")
    with pytest.raises(NotAllowed, match="needs role approve"):
        shared.requests("alice").ask(ApproveAction(key, ""))
    permit(shared, ("alice", "approve"), acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    with pytest.raises(NotAllowed, match=r"^alice "):
        shared.requests("alice").ask(ApproveAction(key, ""))
    with open_queries(shared.url("carol")) as queries:
        [waiting] = queries.approvals.list_approvals()
    assert (True, "") == shared.answer("carol", shared.requests("carol").ask(ApproveAction(key, waiting.digest)))
    shared.turn()
    assert [key] == shared.scheduler.acted


def test_grants_of_an_older_version_let_no_other_person_approve_a_plan_and_say_what_to_run(shared: Team) -> None:
    permit(shared, ("erin", "act"))
    number, _ = proposed_by_assistant(shared)
    older = GRANTS.read_text().replace("NOT (is_own OR awaits_approval)", OLDER_RULE)
    assert OLDER_RULE in older
    with psycopg.connect(shared.owner_url, autocommit=True) as connection:
        connection.execute(older.encode())
    with pytest.raises(NotAllowed, match=r"plan \d+ was started by alice: only they .*`headway store grants`"):
        shared.steer("erin", number, RequestKind.RESUME_PLAN)
    shared.turn()
    assert ([("paused",)], []) == (shared.rows("SELECT state FROM plan"), shared.scheduler.acted)


@pytest.mark.parametrize("login", ["vera", "alice"])
def test_who_approved_and_what_is_silenced_is_read_by_each_login(shared: Team, login: str) -> None:
    permit(shared, ("erin", "act"))
    assistant = EngineClient(shared.url("alice"), origin=MCP)
    question = assistant.ask(ProposeRecovery(1))
    assert (True, "") == shared.answer("alice", question)
    draft = PlanDraft.read(assistant.wait(question, HANGS_SECONDS).data)
    number = assistant.start_plan(draft, new_action_key(), is_paused=True)
    shared.steer("erin", number, RequestKind.RESUME_PLAN)
    shared.turn()
    silence = shared.requests("alice").ask(AddSilence({"system": "fake"}, 3600, "planned"))
    assert (True, "") == shared.answer("alice", silence)
    with shared.store.write(shared.fence) as session:  # as an evaluation that suppresses a reminder writes it
        session.rows(
            "INSERT INTO alert_suppressed (incident_id, route, style, kind, stage, why, since_us, ended_why)"
            " VALUES (1, 'r', 'technical', 'reminder', 'silence', 'silence 1 of alice: planned', 0, '')"
        )
    with open_queries(shared.url(login)) as queries:
        assert ((1, "silence 1 of alice: planned"),) == queries.estate.header().silenced
        assert ["planned"] == [silence.why for silence in queries.alerts.silences()]
        [row] = queries.estate.link.rows(f"SELECT {SENT_BY} AS sent_by FROM action a")
    assert "assistant of alice, approved by erin" == row.sent_by


OLDER_RULE = "NOT is_own"


def permit(shared: Team, *more: tuple[str, str], acting: ActingRules | None = None) -> None:
    """The config of the engine permits this too."""
    permitted = tuple(PermissionRule(who, Role[role.upper()]) for who, role in more)
    config = shared.parts.config
    shared.parts.config = replace(config, permissions=(*config.permissions, *permitted), acting=acting or config.acting)
    shared.parts.config_sync.sync(shared.fence)


def proposed_by_assistant(shared: Team) -> tuple[int, PlanView]:
    """The plan that an assistant of alice requested, after the engine worked on it; it sent nothing."""
    assistant = EngineClient(shared.url("alice"), origin=MCP)
    question = assistant.propose_bulk([1], Verb.RERUN)
    assert (True, "") == shared.answer("alice", question)
    draft = PlanDraft.read(assistant.wait(question, HANGS_SECONDS).data)
    number = assistant.start_plan(draft, new_action_key(), is_paused=True)
    shared.turn()
    assert [] == shared.rows("SELECT key FROM action")
    with open_queries(shared.url("alice")) as queries:
        return number, queries.plans.plan(number)


def test_each_tool_of_the_mcp_server_works_for_a_restricted_login(shared: Team) -> None:
    calls = tool_calls("fake/extract", "fake/load")
    with answering(shared.parts, shared.fence):
        server = make_server(AssistantTools(shared.url("alice")), "1")
        replies = called(server, list(calls.items()))
    assert [] == [text for is_error, _, text in replies if is_error]
    results = {name: document[UNTRUSTED] for name, (_, document, _) in zip(calls, replies, strict=True)}
    assert "fake/extract" in json.dumps(results["explain_incident"])
    assert ["fake/extract"] == [job["name"] for job in results["find_jobs"]]
    assert ("paused", "alice") == (results["propose_plan"]["state"], results["propose_plan"]["requested_by"])
    shared.turn()
    assert ([], []) == (shared.scheduler.acted, shared.rows("SELECT key FROM action"))
    with answering(shared.parts, shared.fence):  # vera may only view
        server = make_server(AssistantTools(shared.url("vera")), "1")
        refused = called(server, list(calls.items()))
    assert ["propose_plan"] == [name for name, reply in zip(calls, refused, strict=True) if reply[0]]
    assert "headway store grants" in refused[-1][1][UNTRUSTED]["error"]


def test_a_plan_is_requested_executed_paused_resumed_and_aborted_by_operators(shared: Team) -> None:
    """Through the same triggers that keep a changed console out."""
    alice = shared.requests("alice")
    question = alice.propose_bulk([1], Verb.RERUN)
    assert (True, "") == shared.answer("alice", question)
    draft = PlanDraft.read(alice.wait(question, HANGS_SECONDS).data)
    number = alice.start_plan(draft, new_action_key(), "a bad file")
    shared.scheduler.overlap = "extract runs since 03:10"
    shared.turn()
    assert [("requested", "queue", "alice")] == shared.rows("SELECT state, overlap, requested_by FROM action")
    for how, state in ((RequestKind.PAUSE_PLAN, "paused"), (RequestKind.RESUME_PLAN, "running")):
        assert state == shared.steer("alice", number, how)
        assert [(f"{how.split()[0]}d by alice",)] == shared.rows("SELECT text FROM plan")
        shared.turn()
    with pytest.raises(AlreadyRequested, match=f"plan {number} was started by alice"):
        alice.start_plan(draft, new_action_key(), "once more")
    shared.scheduler.overlap = None
    shared.turn()
    [(key, state)] = shared.rows("SELECT key, state FROM action")
    assert ("sent", [key]) == (state, shared.scheduler.acted)
    shared.scheduler.attempt("extract", "a2", RunState.FAILED, datetime.now(UTC), action_key=key, period_key=None)
    poll_all(shared.parts, shared.fence)
    shared.parts.evaluator.step(shared.fence)
    shared.turn()
    assert [("stopped", "failed")] == shared.rows("SELECT p.state, s.state FROM plan p, plan_step s")
    assert "running" == shared.steer("alice", number, RequestKind.RESUME_PLAN)
    assert [("planned",)] == shared.rows("SELECT state FROM plan_step")
    assert "aborted" == shared.steer("alice", number, RequestKind.ABORT_PLAN)
    shared.turn()
    assert [("abandoned",)] == shared.rows("SELECT state FROM plan_step")
    assert None is shared.verdict().bad


def test_a_role_of_the_database_is_a_group_and_approves_requests_of_others(shared: Team) -> None:
    shared.parts.config = replace(shared.parts.config, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    shared.parts.config_sync.sync(shared.fence)
    key = shared.ask("alice")
    shared.step()
    assert [] == shared.scheduler.acted
    with pytest.raises(NotAllowed, match="needs role approve"):
        shared.requests("alice").ask(ApproveAction(key, ""))
    with open_queries(shared.url("carol")) as reads:
        [waiting] = reads.approvals.list_approvals()
    assert "" == waiting.text  # the claims of alice's console are not stored: carol queries the scheduler
    question = shared.requests("carol").preview(ActionRequest(Verb.RERUN, waiting.run_id))
    assert (True, "") == shared.answer("carol", question)
    assert (True, "") == shared.answer("carol", shared.requests("carol").ask(ApproveAction(key, waiting.digest)))
    shared.step()
    assert [key] == shared.scheduler.acted
    assert [("alice", "carol")] == shared.rows("SELECT requested_by, approved_by FROM action")
    places = shared.rows("SELECT DISTINCT origin FROM audit WHERE verb IN ('request rerun', 'approve rerun')")
    assert 1 == len(places)  # one login of this machine is one place, whatever it did


def test_an_unsent_action_is_withdrawn_by_its_requester_through_the_engine_alone(shared: Team) -> None:
    """A console has no UPDATE on actions; on PostgreSQL too the sender finds it gone."""
    key = shared.ask("alice")
    with shared.connect("alice") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE action SET state = 'refused'")
    with pytest.raises(NotAllowed, match="you \\(mallory\\) have no role there"):
        shared.requests("mallory").ask(WithdrawAction(key))
    assert (True, "") == shared.answer("alice", shared.requests("alice").ask(WithdrawAction(key, "not that one")))
    shared.step()
    assert (("refused", "withdrawn by alice before it was sent"), []) == (shared.state(key), shared.scheduler.acted)
    assert None is shared.verdict().bad


def test_one_approval_of_a_backfill_lets_each_of_its_periods_run_once(shared: Team) -> None:
    shared.parts.config = replace(shared.parts.config, acting=ActingRules(reason_tiers=(), approval_tiers=(3,)))
    shared.parts.config_sync.sync(shared.fence)
    job, period = shared.rows("SELECT job_id, period_key FROM run")[0]
    steps = [STEP | {"job_id": job, "run_id": None, "period_key": period},
             STEP | {"place": 2, "job_id": job, "run_id": None, "verb": "start", "period_key": "2026-01-02T03:10:00Z",
                     "after": "[1]"}]  # fmt: skip
    shared.call("alice", "headway_start_plan", *changed(PLAN, {1: "backfill", 6: json.dumps(steps)}))
    shared.turn()
    with open_queries(shared.url("vera")) as reads:
        [waiting] = reads.approvals.list_approvals()
    assert 2 == len(waiting.periods)
    assert (True, "") == shared.answer(
        "carol", shared.requests("carol").ask(ApproveAction(waiting.key, waiting.digest))
    )
    shared.turn()
    more = {"action_key": waiting.key, "period_key": None}
    shared.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, datetime.now(UTC), **more)
    poll_all(shared.parts, shared.fence)
    for _ in range(3):
        shared.turn()
    assert 2 == len(shared.scheduler.acted)
    assert [("carol",), ("carol",)] == shared.rows("SELECT approved_by FROM action")


def test_people_and_the_engine_who_write_at_once_make_one_chain(shared: Team) -> None:
    def refused(login: str) -> None:
        for _ in range(6):
            with pytest.raises(NotAllowed):
                shared.ask(login)

    def engine() -> None:
        for number in range(12):
            with shared.store.write(shared.fence) as connection:
                audit.append(connection, number, "headway", "engine", "note", "estate", {"n": number})

    before = shared.verdict().rows
    work = [threading.Thread(target=refused, args=(login,)) for login in ("mallory", "mallory", "watcher")]
    work.append(threading.Thread(target=engine))
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(HANGS_SECONDS)
    with shared.store.write(shared.fence) as connection:
        audit.chain_waiting(connection)
    verdict = shared.verdict()
    assert (before + 30, None) == (verdict.rows, verdict.bad)


def test_the_audit_is_read_and_filtered_by_a_viewer(shared: Team) -> None:
    key = shared.ask("alice")
    shared.step()
    with open_queries(shared.url("vera")) as reads:
        rows = reads.audit.list_entries(actor="alice", about="EXTRACT", since=datetime(2026, 1, 1, tzinfo=UTC))
        assert [("request rerun", key)] == [(row.verb, row.detail["key"]) for row in rows]
        assert (True, []) == (rows[0].origin.startswith("127.0.0.1 ("), reads.approvals.list_approvals())
        head = reads.audit.audit_head()
        assert None is reads.audit.verify_audit(head).bad
    with psycopg.connect(shared.postgres.dsn(shared.database), autocommit=True) as owner:
        owner.execute("ALTER TABLE audit DISABLE TRIGGER audit_refuses")
        owner.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
        owner.execute(
            "UPDATE meta SET value = (SELECT seq || ' ' || hash FROM audit ORDER BY seq DESC LIMIT 1)"
            " WHERE name = 'audit_head'"
        )
    with open_queries(shared.url("vera")) as reads:
        assert (None, True) == (reads.audit.verify_audit().bad, reads.audit.verify_audit(head).bad is not None)
