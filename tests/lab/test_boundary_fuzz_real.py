"""The functions of grants.sql, called by hostile logins while the engine works: wrong types, deep JSON, keys and plans
of others, replays, other identities, transactions side by side. No right is gained; the engine neither stops nor
slows."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from connectors.sdk.states import Verb
from console.domain.ids import new_action_key
from console.domain.request import RequestKind
from console.engine.api.action_request import ActionRequest
from console.store import audit
from tests.engine.bench import poll_all
from tests.lab.postgres import SUPERUSER, PostgresServer
from tests.lab.process import wait_until
from tests.lab.store_copies import migrated
from tests.lab.test_team_store_real import FORGED, FUNCTIONS, STEP, Team, call, evening, people, shared

__all__ = ["evening", "migrated", "people", "shared"]

CALLS = 480
"""Of all logins together, in one wave: the engine's round is as long as the requests that it finds are many."""
IS_DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
WAVES, LEAST_CALLS = (25, 10_000) if IS_DEEP else (1, 0)
"""`LEAST_CALLS`: of functions, besides the statements that go past them; a hundredth of each by each login."""
LOGINS = ("vera", "alice", "mallory", "ada")
DEEP = ('{"x": ' + "[" * 900 + "]" * 900 + "}", "[" * 19_000, '{"a":' * 2_000 + "1" + "}" * 2_000)
TEXTS = (
    "", "x", "x" * 30_000, "'; DELETE FROM audit; --", "alice", "ada", "headway", "freeze", "mode", "freeze ada", "on",
    "off", "live", "shadow", "polling fake", "system fake", "rerun", "hold", "wait", "approve", "withdraw", "pause",
    "resume", "abort", "allow", "queue", "backfill", "unchained", "audit", "a\x1b[31m\u202e\u2028\nb", "{}", "[]",
    "null", "1", '{"by": "ada", "from": 1}', '{"key": "headway-0123456789abc"}', '{"run_id": 1, "verb": "rerun"}',
    "infinity", '{"job_id": 1e999}', json.dumps([STEP]), json.dumps([STEP, STEP | {"place": 2, "after": "[1]"}]), *DEEP,
)  # fmt: skip
ODD: Sequence[Any] = (
    None, *TEXTS, 0, -1, 1, 2, 3, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 0.5, float("nan"), True, False, b"\xff",
    [1], ["x"],
)  # fmt: skip
ASIDE = (
    "SET ROLE headway_store_act", "SET ROLE headway_store_admin", "SET ROLE headway_store_engine", "RESET ROLE",
    "SET SESSION AUTHORIZATION ada", "SET session_replication_role = replica", "SET search_path = pg_temp, public",
    "SET lock_timeout = 0", "CREATE TEMP TABLE IF NOT EXISTS switch (name text, value text)", "RESET search_path",
    "CREATE OR REPLACE FUNCTION pg_temp.headway_is(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "UPDATE public.switch SET value = 'off', name = 'x'", "UPDATE public.plan SET state = 'running'",
    "DELETE FROM public.audit",
    "INSERT INTO public.plan_step (plan_id, place) VALUES (1, 99)", "UPDATE public.lease SET fence = 99",
    "SELECT 1 FROM public.lease FOR UPDATE", "SELECT pg_try_advisory_lock(1212498244)", "SELECT * FROM public.request",
    "SELECT headway_audit('thaw', 'freeze', '{}', '', '')", "ALTER FUNCTION headway_is(text) RESET ALL",
    "GRANT headway_store_admin TO mallory", "SELECT setval('public.plan_id_seq', 1)",
)  # fmt: skip


@dataclass
class Attacker:
    """One login's random calls on one connection."""

    team: Team
    login: str
    calls: int
    draw: random.Random
    keys: set[str] = field(default_factory=set)
    """Of the actions and plans that this login requested."""
    called: Counter[str] = field(default_factory=Counter)
    """Calls by function."""
    done: int = 0
    """Calls that were carried out."""
    surprises: list[str] = field(default_factory=list)

    def run(self) -> None:
        with self.team.connect(self.login) as connection:
            calls = self.calls
            while calls > 0:
                count = self.draw.choice((1, 1, 1, 4))
                calls -= count
                if count == 1:
                    self.attempt(connection)
                    continue
                try:
                    with connection.transaction(force_rollback=self.draw.random() < 0.3):
                        for _ in range(count):
                            self.attempt(connection)
                except psycopg.Error as error:
                    self.note(error)

    def attempt(self, connection: psycopg.Connection[Any]) -> None:
        try:
            with connection.transaction():
                if self.draw.random() < 0.1:
                    connection.execute(self.draw.choice(ASIDE))
                else:
                    self.call(connection)
        except psycopg.Error as error:
            self.note(error)

    def call(self, connection: psycopg.Connection[Any]) -> None:
        name = self.draw.choice(tuple(FUNCTIONS))
        values = list(FUNCTIONS[name])
        if name in ("headway_act", "headway_start_plan"):
            others = self.draw.random() < 0.2
            values[0] = FORGED[0] if others else f"headway-{self.draw.randrange(36**6):013d}"
        if name == "headway_steer_plan":
            values[:2] = [self.draw.randrange(1, 40), self.draw.choice(("pause plan", "resume plan", "abort plan"))]
        if name == "headway_switch":
            values[:2] = self.draw.choice((("freeze", "on"), ("freeze", "off"), ("mode", "live"), ("mode", "shadow")))
        for _ in range(self.draw.choice((0, 0, 1, 2)) if values else 0):
            values[self.draw.randrange(len(values))] = self.draw.choice(ODD)
        if name in ("headway_act", "headway_start_plan"):
            key = values[0]  # PostgreSQL makes a text of a list by itself
            self.keys.add(f"{{{','.join(map(str, key))}}}" if isinstance(key, list) else str(key))
        self.called[name] += 1
        call(connection, name, *values)
        self.done += 1

    def note(self, error: psycopg.Error) -> None:
        """Refusals are what is expected: no fault of the database's own, and no lost connection."""
        if error.sqlstate is None and isinstance(error, psycopg.DataError):
            return  # psycopg's own
        if error.sqlstate is None or error.sqlstate[:2] in ("XX", "57", "58", "08"):
            self.surprises.append(f"{self.login}: {error!r}")


def turns(team: Team, is_over: Callable[[], bool]) -> int:
    """How many rounds the engine made until it is over."""
    count = 0
    while not is_over():
        team.turn()
        team.parts.answers.step(team.fence)
        poll_all(team.parts, team.fence)
        team.parts.evaluator.step(team.fence)
        count += 1
    return count


def test_no_call_of_any_function_gains_a_right_or_stops_the_engine(shared: Team) -> None:
    attackers = [Attacker(shared, login, CALLS // 4, random.Random(login)) for login in LOGINS]
    untouched = ("permission", "system", "job", "dependency", "service", "alembic_version")
    before = {table: contents(shared, table) for table in untouched}
    rounds = 0
    for _ in range(WAVES):
        threads = [threading.Thread(target=attacker.run) for attacker in attackers]
        for thread in threads:
            thread.start()
        rounds += turns(shared, lambda: not any(thread.is_alive() for thread in threads))  # noqa: B023 - ends within
    with shared.store.write(shared.fence) as session:
        audit.chain_waiting(session)

    counts = [attacker.called[name] for attacker in attackers for name in FUNCTIONS]
    assert sum(counts) >= LEAST_CALLS
    assert min(counts) >= LEAST_CALLS // 100, "each function was called as each login"
    assert [] == [surprise for attacker in attackers for surprise in attacker.surprises][:5]
    assert (0, True) == (attackers[0].done, all(attacker.done for attacker in attackers[1:]))
    assert rounds > WAVES, "the engine goes on meanwhile"
    own = {attacker.login: attacker.keys for attacker in attackers}
    for key, by, origin, approved in shared.rows("SELECT key, requested_by, origin, approved_by FROM action"):
        assert origin == "plan" or key in own[by]
        assert approved == ""
    assert {"alice", "ada"} >= {row[0] for row in shared.rows(
        "SELECT requested_by FROM action WHERE state IN ('sending', 'sent', 'verified', 'unknown')")}  # fmt: skip
    for key, by in shared.rows("SELECT key, requested_by FROM plan"):
        assert key.removeprefix(f"{by} ") in own[by]
    assert {"ada", ""} >= {row[0] for row in shared.rows("SELECT set_by FROM switch WHERE value IN ('off', 'live')")}
    people_only = "SELECT DISTINCT actor, verb FROM audit WHERE actor <> 'headway'"
    entries = set(shared.rows(people_only))
    assert {"alice", "mallory", "ada"} >= {actor for actor, _ in entries}
    assert {"ada"} >= {actor for actor, verb in entries if verb in ("thaw", "shadow off")}
    resumed = shared.rows(
        "SELECT a.actor, p.requested_by FROM audit a JOIN plan p ON a.object = 'plan ' || p.id"
        " WHERE a.verb = 'plan resume'"
    )
    assert all(actor in ("ada", starter) for actor, starter in resumed)
    assert [] == shared.rows(
        "SELECT 1 FROM audit a JOIN plan p ON a.object = 'plan ' || p.id WHERE a.verb = 'start plan' AND"
        " json_array_length(a.detail::json -> 'steps') <> (SELECT count(*) FROM plan_step s WHERE s.plan_id = p.id)"
    )
    assert before == {table: contents(shared, table) for table in untouched}
    assert shared.fence == shared.rows("SELECT fence FROM lease WHERE name = 'engine'")[0][0]
    assert None is shared.verdict().bad
    texts = shared.rows("SELECT text FROM event UNION SELECT name FROM switch UNION SELECT why FROM audit")
    assert [] == [text for (text,) in texts if not text.isprintable()]
    goes_on(shared)


def contents(team: Team, table: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(team.postgres.dsn(team.database)) as connection:
        return connection.execute(
            sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
        ).fetchall()


def goes_on(team: Team) -> None:
    """Ada turns everything on again, and what alice requests is sent."""
    ada = team.requests("ada")
    ada.turn("freeze", "off", "over")
    ada.turn("mode", "live", "over")
    team.carry_out()  # orders of the last wave
    for (number,) in team.rows("SELECT id FROM plan WHERE state IN ('running', 'paused', 'stopped')"):
        team.steer("ada", number, RequestKind.ABORT_PLAN)
    team.turn()
    with team.store.write(team.fence) as session:
        session.rows("UPDATE action SET state = 'failed' WHERE state IN ('requested', 'sending', 'sent', 'unknown')")
    key = new_action_key()
    team.requests("ada").act(ActionRequest(Verb.RERUN, 1, why="it failed"), key)
    team.step()
    assert key in team.scheduler.acted, team.state(key)


@contextmanager
def logged_waits(server: PostgresServer) -> Iterator[Callable[[str], list[str]]]:
    """The lines of the server's log about a login that waited for a lock, for a millisecond or longer."""
    begin = server.log.stat().st_size
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for setting in ("deadlock_timeout = '1ms'", "log_lock_waits = on"):
            connection.execute(sql.SQL("ALTER SYSTEM SET " + setting))
        connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: server.execute("SHOW log_lock_waits") == [("on",)], "the settings")
        try:
            yield lambda login: [
                line
                for line in server.log.read_bytes()[begin:].decode(errors="replace").splitlines()
                if f"] {login}@" in line and " still waiting for " in line
            ]
        finally:
            for name in ("deadlock_timeout", "log_lock_waits"):
                connection.execute(sql.SQL("ALTER SYSTEM RESET " + name))
            connection.execute("SELECT pg_reload_conf()")


def test_the_engine_waits_for_no_lock_of_open_transactions_of_clients(shared: Team) -> None:
    """Every function is called in transactions that stay open meanwhile, and locks are held that a reader can take."""
    plan = shared.call("alice", "headway_start_plan", "p0", *FUNCTIONS["headway_start_plan"][1:])
    shared.steer("alice", plan, RequestKind.PAUSE_PLAN)
    with logged_waits(shared.postgres) as waits, shared.connect("vera") as vera, shared.connect("alice") as alice:
        vera.execute("BEGIN; LOCK TABLE lease, action, plan, switch, audit IN ACCESS SHARE MODE")
        vera.execute("SELECT pg_advisory_lock(1212498244)")
        alice.execute("BEGIN")
        for name, values in FUNCTIONS.items():
            call(alice, name, *((plan, *values[1:]) if name == "headway_steer_plan" else values))
        shared.scheduler.rename("extract", "extract_all")
        with shared.store.write(shared.fence) as session:
            session.rows("UPDATE target SET inventory_us = 0")  # the next poll reads the jobs again
        for _ in range(8):
            turns(shared, iter((False, True)).__next__)
        assert [("fake/extract_all",)] == shared.rows("SELECT name FROM job WHERE id = 1")
        alice.execute("ROLLBACK")
        assert [] == waits("watcher")
        vera.execute("ROLLBACK")
        with psycopg.connect(shared.owner_url) as owner, psycopg.connect(shared.owner_url) as waiting:
            owner.execute("LOCK TABLE lease")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                waiting.execute("SET lock_timeout = '1s'; SELECT 1 FROM lease")
        wait_until(lambda: waits(SUPERUSER), "a wait in the log")
