"""Kind `sql` acts on a real PostgreSQL: a home-grown table of runs and its functions, by the example of the page."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AnswerLost, NotSupported, OutcomeUnknown, PermissionMissing, RateLimited
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.postgres import session_name
from connectors.sql.connector import CONNECTOR, SqlProfile
from connectors.sql.options import SqlMapping
from tests.connectors.sql.test_mapped import PAGE
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import wait_until

pytestmark = pytest.mark.lab

_, VERBS = PAGE.read_text().split("## Verbs\n")
EXAMPLE: dict[str, Any] = tomllib.loads(VERBS.partition("```toml\n")[2].partition("```")[0])["systems"]["batch-db"]
RETRY = VERBS.partition("```sql\n")[2].partition("```")[0]
TABLES = """
CREATE SCHEMA batch;
CREATE TABLE batch.jobs (name text PRIMARY KEY, cron text);
CREATE TABLE batch.runs (
    id bigserial PRIMARY KEY, job text NOT NULL, status text NOT NULL, asked timestamptz DEFAULT now(),
    began timestamptz, finished timestamptz, error text, request text UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE batch.logs (run bigint, n int, text text);
INSERT INTO batch.jobs VALUES ('load', '10 3 * * *'), ('mart', '0 4 * * *');
INSERT INTO batch.runs (job, status, began, finished, error)
    VALUES ('load', 'ok', now() - interval '1 h', now() - interval '50 min', NULL),
           ('mart', 'error', now() - interval '40 min', now() - interval '30 min', 'file 2: no such file');
INSERT INTO batch.logs SELECT 2, n, 'line ' || n FROM generate_series(1, 5000) n;
INSERT INTO batch.logs VALUES (1, 1, 'one'), (1, 2, ''), (1, 3, E'three\n'), (1, 4, 'four');
CREATE FUNCTION batch.start(job text, key text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
    $$ INSERT INTO batch.runs (job, status, request) VALUES (job, 'queued', key) RETURNING id $$;
CREATE FUNCTION batch.stop(wanted bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN UPDATE batch.runs SET status = 'stopped', finished = now() WHERE id = wanted AND status = 'running';
       RETURN FOUND; END $$;
CREATE PROCEDURE batch.half(wanted bigint, key text) LANGUAGE plpgsql SECURITY INVOKER AS
    $$ BEGIN PERFORM batch.start('load', key); COMMIT; RAISE EXCEPTION 'half of run % done', wanted; END $$;
"""
GRANTS = """
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA batch FROM PUBLIC;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA batch TO headway_act;
GRANT USAGE ON SCHEMA batch TO headway_view, headway_act, headway_blind;
GRANT SELECT ON ALL TABLES IN SCHEMA batch TO headway_view, headway_act, headway_blind;
GRANT UPDATE ON batch.runs TO headway_act;
"""
TICK = "UPDATE batch.runs SET status = 'ok', began = asked, finished = now() WHERE status = 'queued'"


class Batch:
    """The database, and its scheduler."""

    def __init__(self, postgres: PostgresServer) -> None:
        self.postgres, self.dsn = postgres, postgres.create_database("batch")
        self.name = self.dsn.rpartition("/")[2]
        for script in (TABLES, RETRY, GRANTS):
            self.sql(script)

    def sql(self, script: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(script.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def connect(self, role: str = "headway_act", **more: Any) -> Connector:
        here = {"host": "127.0.0.1", "port": self.postgres.port, "dbname": self.name, "user": role}
        mapped = {name: value for name, value in EXAMPLE.items() if name not in ("kind", *here)}
        options = CONNECTOR.options.model_validate({**mapped, **here, "password": {"env": "HEADWAY_SQL_TEST"}, **more})
        return CONNECTOR.open(options, "127.0.0.1", SecretStore())

    def request_count(self) -> int:
        return int(self.sql("SELECT count(*) FROM batch.runs WHERE request IS NOT NULL")[0][0])


@pytest.fixture
def batch(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batch]:
    monkeypatch.setenv("HEADWAY_SQL_TEST", PASSWORDS["headway_act"])
    result = Batch(postgres)
    yield result
    postgres.drop_database(result.dsn)


class TestHomeGrownRuns(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Faults):
    kind = CONNECTOR
    against = "real: PostgreSQL 15, a home-grown table of runs and its functions, by the example in the docs"

    @pytest.fixture(autouse=True)
    def world(self, batch: Batch) -> None:
        self.batch = batch

    def connector(self) -> Connector:
        return self.batch.connect()

    def connector_at(self, host: str, port: int) -> Connector:
        return self.batch.connect(host=host, port=port)

    def make_success(self) -> str:
        return "load"

    def make_failure(self) -> str:
        return "mart"

    def connector_with_an_unknown_state(self) -> Connector:
        self.batch.sql("UPDATE batch.runs SET status = 'hibernating' WHERE job = 'load'")
        return self.batch.connect()

    def a_running_run(self) -> RunRecord:
        self.batch.sql("INSERT INTO batch.runs (job, status, began) VALUES ('load', 'running', now())")
        with self.opened() as connector:
            return next(run for run in self.runs_of(connector, "load").values() if run.state is RunState.RUNNING)

    def with_a_right_revoked(self) -> Connector:
        self.batch.sql("REVOKE SELECT ON batch.runs FROM headway_act")
        return self.batch.connect()

    def native_trace(self) -> object:
        return self.batch.sql("SELECT * FROM batch.runs ORDER BY id")

    def advance(self) -> None:
        self.batch.sql(TICK)
        super().advance()


HOSTILE = "x'; DROP TABLE batch.jobs; -- %(key)s"
PROFILE = SqlProfile.model_validate(
    {
        **{name: EXAMPLE[name] for name in SqlMapping.model_fields if name in EXAMPLE},
        "kind": "batch_db",
        "base": "sql",
        "title": "Our batch",
        "ladder": "Proves a run's end as its row reports it.",
        "grants": "-- headway_act: EXECUTE on the functions of batch",
        "options": {"but": {"about": "A job that is not watched."}},
        "jobs": {**EXAMPLE["jobs"], "query": "SELECT name, cron FROM batch.jobs WHERE name <> {option.but}"},
    },
    context={},
)


class ProfiledBatch(Batch):
    """The same by a profile; its option, which is bound in a query, has a hostile value."""

    def connect(self, role: str = "headway_act", **more: Any) -> Connector:
        kind = PROFILE.connector_kind()
        place = {"host": "127.0.0.1", "port": self.postgres.port, **more}
        account = {"user": role, "password": {"env": "HEADWAY_SQL_TEST"}}
        options = kind.options.model_validate({"dbname": self.name, "but": HOSTILE, **place, **account})
        return kind.open(options, "127.0.0.1", SecretStore())


class TestHomeGrownRunsByProfile(TestHomeGrownRuns):
    against = "real: PostgreSQL 15, a home-grown table of runs and its functions, by a profile"

    @pytest.fixture(autouse=True)
    def world(self, batch: Batch) -> None:
        self.batch = ProfiledBatch.__new__(ProfiledBatch)
        vars(self.batch).update(vars(batch))


FAILED = ActionSpec(Verb.RERUN, RunRef("mart", "2026-11-20T04:00:00Z", "2", "2"), RunState.FAILED)


@pytest.fixture
def opened(batch: Batch) -> Iterator[Callable[..., Connector]]:
    """A connector with other settings."""
    made: list[Connector] = []

    def connect(role: str = "headway_act", **more: Any) -> Connector:
        made.append(batch.connect(role, **more))
        return made[-1]

    yield connect
    for connector in made:
        connector.close()


def verb(query: str) -> dict[str, Any]:
    return {"verbs": {"rerun": {"query": query}}}


def test_the_preview_shows_the_statement_and_its_values(opened: Callable[..., Connector]) -> None:
    preview = opened().preview(FAILED, 10)
    assert ("SELECT batch.retry({run}, {key})", "-- run = '2', key = '<key>'") == preview.native_calls
    assert ("verbs.rerun", "rerun mart by SELECT batch.retry({run}, {key})") == (preview.verb, preview.summary)
    assert (None, ()) == (preview.refused, preview.notes)


def test_a_place_in_a_comment_is_not_sent(batch: Batch, opened: Callable[..., Connector]) -> None:
    connector = opened(**verb("SELECT batch.retry({run}, {key} || '--') /* {job} */ -- {period}"))
    preview = connector.preview(FAILED, 10)
    assert (None, "-- run = '2', key = '<key>'") == (preview.refused, preview.native_calls[1])
    connector.act(preview, new_key(), 10)
    assert 1 == batch.request_count()


def test_a_value_is_bound_and_never_a_part_of_the_statement(batch: Batch, opened: Callable[..., Connector]) -> None:
    name = "x'); DROP TABLE batch.jobs; -- {key} %(key)s"
    connector = opened()
    key = new_key()
    connector.act(connector.preview(ActionSpec(Verb.START, RunRef(name, "", "", ""), RunState.PLANNED), 10), key, 10)
    assert [(name, key)] == batch.sql("SELECT job, request FROM batch.runs WHERE request IS NOT NULL")


def test_an_error_of_the_database_is_quoted_and_rolled_back(batch: Batch, opened: Callable[..., Connector]) -> None:
    connector = opened()
    with pytest.raises(NotSupported, match=r"run 1 has not failed \(SQLSTATE P0001\)"):
        connector.act(
            connector.preview(ActionSpec(Verb.RERUN, RunRef("load", "", "1", "1"), RunState.FAILED), 10), new_key(), 10
        )
    nowhere = "UPDATE batch.runs SET request = {key} WHERE id = {run} AND status = 'running'"
    no_row = opened(**verb(nowhere))
    with pytest.raises(NotSupported, match="it touches no row, and was rolled back"):
        no_row.act(no_row.preview(FAILED, 10), new_key(), 10)
    false = opened(**verb("SELECT false FROM (SELECT batch.retry({run}, {key})) AS made"))
    with pytest.raises(NotSupported, match="it answered false, and was rolled back"):
        false.act(false.preview(FAILED, 10), new_key(), 10)
    assert 0 == batch.request_count()


def test_a_procedure_that_commits_by_itself_is_refused_whole(batch: Batch, opened: Callable[..., Connector]) -> None:
    """A procedure that commits by itself is refused before anything is committed."""
    connector = opened(**verb("CALL batch.half({run}, {key})"))
    with pytest.raises(NotSupported, match="invalid transaction termination"):
        connector.act(connector.preview(FAILED, 10), new_key(), 10)
    assert 0 == batch.request_count()
    acting = {right.name: right for right in connector.probe(10).rights if right.needed_for == "act"}
    assert (None, "of a CALL this is unknown: it shows when it is sent") == (
        acting["rerun"].held, acting["rerun"].why,
    )  # fmt: skip


def test_a_failed_commit_is_unknown_and_looked_up(batch: Batch, opened: Callable[..., Connector]) -> None:
    batch.sql("INSERT INTO batch.runs (job, status, request) VALUES ('x', 'ok', 'taken')")
    connector = opened(
        **verb("INSERT INTO batch.runs (job, status, request) VALUES ({job}, left({key}, 0) || 'x', 'taken')")
    )
    batch.sql("GRANT INSERT ON batch.runs TO headway_act; GRANT USAGE ON SEQUENCE batch.runs_id_seq TO headway_act")
    preview, key = connector.preview(FAILED, 10), new_key()
    with pytest.raises(OutcomeUnknown, match=r"its commit was not answered well: duplicate key"):
        connector.act(preview, key, 10)
    wait_until(lambda: isinstance(connector.look_up(preview, key, 10), ActionAbsent), "the end of its session")


def test_a_statement_that_hangs_ends_at_the_deadline_and_leaves_nothing(
    batch: Batch, opened: Callable[..., Connector]
) -> None:
    connector = opened(**verb("SELECT batch.retry({run}, {key}), pg_sleep(60)"))
    preview, key = connector.preview(FAILED, 10), new_key()
    with pytest.raises((RateLimited, OutcomeUnknown)):
        connector.act(preview, key, 2)
    assert 0 == batch.request_count()


def test_a_server_that_goes_down_meanwhile_leaves_it_unknown(batch: Batch, opened: Callable[..., Connector]) -> None:
    connector = opened(**verb("SELECT batch.retry({run}, {key}), pg_terminate_backend(pg_backend_pid())"))
    preview, key = connector.preview(FAILED, 10), new_key()
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 10)
    wait_until(lambda: isinstance(connector.look_up(preview, key, 10), ActionAbsent), "the end of its session")
    assert 0 == batch.request_count()


def test_nothing_is_called_absent_while_its_session_lives(batch: Batch, opened: Callable[..., Connector]) -> None:
    connector, key = opened(), new_key()
    preview = connector.preview(FAILED, 10)
    dsn = batch.postgres.dsn(batch.name, "headway_act")
    with psycopg.connect(dsn, application_name=session_name(key)) as sender:
        sender.execute("SELECT batch.retry(2, %s)", [key])
        lookup = connector.look_up(preview, key, 10)
        assert isinstance(lookup, ActionUnknown)
        assert "1 session of ours that sends it is still alive" == lookup.why
    assert isinstance(connector.look_up(preview, key, 10), ActionFound)


def test_a_run_that_row_security_may_hide_is_not_called_absent(batch: Batch, opened: Callable[..., Connector]) -> None:
    batch.sql("ALTER TABLE batch.runs ENABLE ROW LEVEL SECURITY")
    batch.sql("CREATE POLICY ours ON batch.runs FOR SELECT TO headway_act USING (request IS NULL)")
    connector, key = opened(), new_key()
    preview = connector.preview(FAILED, 10)
    assert "a lost answer would stay unknown: row security may hide its run" in preview.notes[0]
    connector.act(preview, key, 10)
    assert 1 == batch.request_count()
    assert isinstance(connector.look_up(preview, key, 10), ActionUnknown)


def test_a_read_only_role_is_reported_before_and_refused_by_the_database(
    batch: Batch, opened: Callable[..., Connector], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = opened().preview(FAILED, 10)
    monkeypatch.setenv("HEADWAY_SQL_TEST", PASSWORDS["headway_view"])
    connector = opened("headway_view")
    acting = {right.name: right for right in connector.probe(10).rights if right.needed_for == "act"}
    assert dict.fromkeys(("rerun", "start", "cancel", "mark"), False) == {
        name: right.held for name, right in acting.items()
    }
    assert "permission denied for function retry" in acting["rerun"].why
    assert "EXECUTE on its function" in acting["rerun"].fix
    assert "permission denied for function retry" in str(connector.preview(FAILED, 10).refused)
    with pytest.raises(PermissionMissing, match="permission denied for function retry"):
        connector.act(plan, new_key(), 10)
    assert 0 == batch.request_count()


@pytest.mark.parametrize(
    "query, text",
    [
        ("SELECT batch.strict({run}, {key})", "permission denied for function strict"),
        ("INSERT INTO batch.jobs VALUES ({job}, {key})", "permission denied for table jobs"),
        ("UPDATE batch.jobs SET cron = {key} WHERE name = {job}", "permission denied for table jobs"),
        ("SELECT batch.rety({run}, {key})", "function batch.rety(unknown, unknown) does not exist"),
    ],
)
def test_the_right_that_is_missing_is_named_and_nothing_is_run(
    batch: Batch, opened: Callable[..., Connector], query: str, text: str
) -> None:
    batch.sql("CREATE FUNCTION batch.strict(r bigint, k text) RETURNS text STRICT LANGUAGE sql AS 'SELECT k'")
    batch.sql("REVOKE EXECUTE ON FUNCTION batch.strict FROM PUBLIC")
    connector = opened(**verb(query))
    for _ in range(2):
        right = {right.name: right for right in connector.probe(10).rights}["rerun"]
        assert right.held is False
        assert text in right.why


def test_the_probe_of_who_may_act_runs_nothing(batch: Batch, opened: Callable[..., Connector]) -> None:
    rights = opened().probe(10).rights
    assert {True} == {right.held for right in rights}
    assert ["rerun", "start", "cancel", "mark"] == [right.name for right in rights if right.needed_for == "act"]
    assert ["read jobs", "read runs", "read log"] == [right.name for right in rights if right.needed_for == "view"]
    assert 0 == batch.request_count()


def test_a_log_that_may_not_be_read_is_a_missing_right(batch: Batch, opened: Callable[..., Connector]) -> None:
    batch.sql("CREATE TABLE batch.lines (run bigint, line text)")
    for query, why in (
        ("SELECT line FROM batch.lines WHERE run = {run}", "permission denied for table lines"),
        ("SELECT text FROM batch.lines WHERE run = {run}", 'column "text" does not exist'),
    ):
        rights = {right.name: right for right in opened(log={"query": query}).probe(10).rights}
        assert (True, False) == (rights["read runs"].held, rights["read log"].held)
        assert why in rights["read log"].why
        assert rights["read log"].fix.startswith("GRANT SELECT on the tables that log.query names")
    batch.sql("GRANT SELECT ON batch.lines TO headway_act")
    assert {
        right.name: right.held
        for right in opened(log={"query": "SELECT line FROM batch.lines WHERE run = {run}"}).probe(10).rights
    }["read log"]


def test_a_log_of_many_rows_comes_in_pieces(opened: Callable[..., Connector]) -> None:
    connector = opened()
    [failed] = [run for run in connector.poll("", (), 10).runs if run.job == "mart"]
    tail = connector.log(ref(failed), None, 25, 10)
    assert ("ne 4998\nline 4999\nline 5000"[-25:], True) == (tail.text, tail.cut)
    text, start = "", "0"
    while True:
        chunk = connector.log(ref(failed), start, 9_999, 10)
        text += chunk.text
        if chunk.next is None:
            break
        start = chunk.next
    assert "\n".join(f"line {number}" for number in range(1, 5001)) == text
    whole = connector.log(RunRef("load", "", "1", "1"), None, 1000, 10)
    assert "one\n\nthree\nfour" == whole.text
    with pytest.raises(NotSupported, match=r"run 9 of .* has no log"):
        connector.log(RunRef("load", "", "9", "9"), None, 1000, 10)
