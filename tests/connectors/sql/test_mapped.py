"""Tables mapped in the config: the recorded rows of a real pg_cron, read by the example of the docs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.faults import (
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    TWICE,
)
from connectors.sdk.contract import ActionAbsent, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.fields import cursor_or_first
from connectors.sdk.log_chunks import chunk_of
from connectors.sdk.records import LogChunk, RunRecord, RunRef, TargetClock
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Capability, ProofLevel, RunState, Verb
from connectors.sdk.transport.postgres import PostgresSession
from connectors.sql.client import PAGE_ROWS, BoundQuery, SqlClient, SqlRows
from connectors.sql.connector import CONNECTOR, SqlConnector, SqlCursor
from connectors.sql.hold import SqlHolder
from connectors.sql.options import SqlHoldQuery, SqlOptions
from connectors.sql.postgres import PostgresDatabase
from tests.fakes.unsent import ELSEWHERE_OF_POSTGRES, UNSENT_BY_A_DRIVER
from tests.present import present
from tests.rows import each_row

ROOT = Path(__file__).parents[3]

PAGE = ROOT / "docs" / "connectors" / "sql.md"
EXAMPLE: dict[str, Any] = tomllib.loads(PAGE.read_text().partition("```toml\n")[2].partition("```")[0])
RECORDING = ROOT / "tests" / "recordings" / "pg_cron" / "night.json"


def settings(**more: Any) -> dict[str, Any]:
    """The example of docs/connectors/sql.md: what people copy is what is tested."""
    result = {name: value for name, value in EXAMPLE["systems"]["nightly-db"].items() if name != "kind"}
    return {**result, **more}


NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""On the clock of the tables when they are made: a few hours after what is recorded."""


class FakeTables(SqlClient):
    """The client's three questions answered from recorded rows, as PostgreSQL would give them as JSON."""

    def __init__(self, page_rows: int = 5, **more: Any) -> None:
        super().__init__(
            SqlOptions.model_validate(settings(**more)), PostgresDatabase(PostgresSession(dict, "headway"))
        )
        document = json.loads(RECORDING.read_text())
        self.page_rows = page_rows
        self.clock = NOW
        self.refuse_runs = False
        named = [row for row in document["jobs"] if row["jobname"]]
        names = {row["jobid"]: {"username": row["username"], "jobname": row["jobname"]} for row in named}
        self.job_rows: list[Any] = named
        self.run_rows: list[Any] = [
            {"runid": row["runid"], **names[row["jobid"]], "status": row["status"],
             "return_message": row["message"], "start_time": shown(row["started"]), "end_time": shown(row["ended"])}
            for row in document["runs"] if row["jobid"] in names
        ]  # fmt: skip

    def jobs(self) -> SqlRows:
        return SqlRows(deepcopy(self.job_rows), False, self._clock(), "15.20")

    def runs(self, after: str, open_ids: Sequence[str], missing: Sequence[int]) -> SqlRows:
        if self.refuse_runs:
            raise AccessRefused("permission denied for table job_run_details (SQLSTATE 42501)")
        requested = {*open_ids, *map(str, missing)}
        again = [dict(row) for row in self.run_rows if str(row["runid"]) in requested]
        rows = sorted(filter(self._is_after(after), self.run_rows), key=itemgetter(self.options.runs.cursor))
        rows = [dict(row) for row in rows[: self.page_rows]]
        return SqlRows(rows, len(rows) >= self.page_rows, self._clock(), "15.20", again)

    def _is_after(self, after: str) -> Callable[[Any], bool]:
        if self.options.runs.cursor_is == "time":
            return lambda row: not after or datetime.fromisoformat(row["end_time"]) >= datetime.fromisoformat(after)
        return lambda row: row["runid"] > int(after or -1)

    def log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk | None:
        rows = [row for row in self.run_rows if str(row["runid"]) == run.native_ref]
        return chunk_of(str(rows[0]["return_message"] or ""), start, limit_bytes, is_open=False) if rows else None

    def _clock(self) -> TargetClock:
        return TargetClock(self.clock, NOW)


def shown(seconds: str | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC).isoformat()


def nasty(tables: FakeTables, how: str) -> None:
    """What tables may hold at their worst. A driver never hands over half a row or a web page."""
    last = next(row for row in reversed(tables.run_rows) if row["status"] == "succeeded")
    if how == GARBLED:
        last |= {"status": None, "start_time": "infinity"}
    elif how == NOT_A_NUMBER:
        last |= {"end_time": "NaN"}
    elif how == NOT_UTF8:
        last |= {"return_message": "caf\udce9"}
    elif how == LONG_LINE:
        last |= {"return_message": "x" * LONG_BYTES}
    elif how == TWICE:
        tables.page_rows, tables.run_rows = 1000, [row for row in tables.run_rows for _ in range(2)]
    elif how == HOUR_OFF:
        tables.clock += timedelta(hours=1)
    elif how == JOB_DELETED:
        tables.job_rows = tables.job_rows[1:]
    else:
        raise ValueError(how)


class TestMappedTables(Reads, Logs, Deadlines, Faults):
    kind = CONNECTOR
    against = "recorded: tables of PostgreSQL 15.20 with pg_cron 1.4.2, by the example in the docs"
    elsewhere = ELSEWHERE_OF_POSTGRES
    unplayed = UNSENT_BY_A_DRIVER
    limits: ClassVar[dict[str, str]] = {"act": "recorded rows take no statement"}

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.tables = FakeTables()

    def connector(self) -> Connector:
        return SqlConnector(self.tables)

    def connector_at(self, host: str, port: int) -> Connector:
        options = SqlOptions.model_validate(settings(host=host, port=port, password=None))
        return CONNECTOR.open(options, host, SecretStore())

    def make_success(self) -> str:
        return "lab.load_orders"

    def make_failure(self) -> str:
        return "lab.bad"

    def connector_with_an_unknown_state(self) -> Connector:
        self.tables.run_rows[0]["status"] = "hibernating"
        return SqlConnector(self.tables)

    def answering(self, how: str) -> Connector:
        tables = FakeTables()
        nasty(tables, how)
        return SqlConnector(tables)

    def with_a_right_revoked(self) -> Connector:
        self.tables.refuse_runs = True
        return SqlConnector(self.tables)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        tables = FakeTables(page_rows=1000)
        late = tables.run_rows.pop(-2)

        def commit() -> str:
            tables.run_rows.append(late)
            return str(late["runid"])

        return SqlConnector(tables), commit

    def crowded(self, runs: int) -> Connector:
        return SqlConnector(Crowd(runs))

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        tables = FakeTables()
        tables.run_rows[0]["return_message"] = "0123456789abcde\n" * (size // 16)
        connector = SqlConnector(tables)
        return connector, next(run for run in connector.poll("", (), 5).runs if run.attempt_key == self.first(tables))

    def first(self, tables: FakeTables) -> str:
        return str(tables.run_rows[0]["runid"])


class Crowd(FakeTables):
    """Runs without a gap in their numbers: a page is a slice."""

    def __init__(self, runs: int) -> None:
        super().__init__()
        self.run_rows = [{**self.run_rows[0], "runid": number, "status": "succeeded"} for number in range(runs)]

    def runs(self, after: str, open_ids: Sequence[str], missing: Sequence[int]) -> SqlRows:
        first = int(after or -1) + 1
        rows = [dict(row) for row in self.run_rows[first : first + PAGE_ROWS]]
        return SqlRows(rows, len(rows) == PAGE_ROWS, self._clock(), "15.20")


def test_an_open_run_is_read_again_until_it_ends_and_is_unknown_once_its_row_is_deleted() -> None:
    tables = FakeTables(page_rows=1000)
    tables.run_rows[-1] |= {"status": "running", "end_time": None}
    key, connector = str(tables.run_rows[-1]["runid"]), SqlConnector(tables)
    cursor = connector.poll("", (), 5).cursor
    again = connector.poll(cursor, (), 5)
    assert [(key, RunState.RUNNING)] == [(run.attempt_key, run.state) for run in again.runs]
    tables.run_rows[-1] |= {"status": "succeeded", "end_time": shown(str(NOW.timestamp()))}
    ended = connector.poll(again.cursor, (), 5)
    assert [RunState.SUCCEEDED] == [run.state for run in ended.runs]
    assert () == connector.poll(ended.cursor, (), 5).runs
    tables.run_rows.pop()
    poll = connector.poll(ended.cursor, [RunRef("x", "", key, key)], 5)
    assert [RunState.UNKNOWN] == [run.state for run in poll.runs]


def test_more_open_rows_than_a_page_do_not_keep_the_newer_ones_away() -> None:
    tables = FakeTables(page_rows=5)
    for row in tables.run_rows[:5]:
        row |= {"status": "running", "end_time": None}
    pages = {
        run.attempt_key for poll in TestMappedTables().polls_until_end(SqlConnector(tables), "") for run in poll.runs
    }
    assert {str(row["runid"]) for row in tables.run_rows} == pages


def test_a_full_page_that_leads_nowhere_is_never_reported_as_complete() -> None:
    tables = FakeTables(page_rows=5, runs={**settings()["runs"], "cursor": "nowhere"})
    tables.run_rows = [{**row, "nowhere": "x"} for row in tables.run_rows]
    with pytest.raises(NotSupported, match="have no whole number above 0 as nowhere: correct cursor"):
        SqlConnector(tables).poll("", (), 5)


def test_a_row_whose_number_was_allocated_first_and_committed_second_is_reported() -> None:
    tables = FakeTables(page_rows=1000)
    late, connector = tables.run_rows.pop(-2), SqlConnector(tables)
    cursor = connector.poll("", (), 5).cursor
    cursor = connector.poll(cursor, (), 5).cursor
    tables.run_rows.append(late)
    poll = connector.poll(cursor, (), 5)
    assert str(late["runid"]) in [run.attempt_key for run in poll.runs]
    assert str(late["runid"]) not in [run.attempt_key for run in connector.poll(poll.cursor, (), 5).runs]


def test_a_number_that_never_comes_is_requested_no_longer_than_a_commit_may_take() -> None:
    tables = FakeTables(page_rows=1000, overlap=30)
    late, connector = tables.run_rows.pop(-2), SqlConnector(tables)
    cursor = connector.poll("", (), 5).cursor
    assert late["runid"] in read(cursor).missing
    tables.clock += timedelta(seconds=31)
    assert {} == read(connector.poll(cursor, (), 5).cursor).missing


def read(text: str) -> SqlCursor:
    cursor, warnings = cursor_or_first(SqlCursor(), text)
    assert warnings == ()
    return cursor


TIMES = {"query": "SELECT * FROM r WHERE end_time >= {cursor}", "cursor": "end_time", "cursor_is": "time"}


def test_a_row_with_a_time_before_the_last_read_is_reported_within_the_overlap() -> None:
    """A transaction's now() is its beginning; a page is far smaller than what the overlap holds."""
    tables = FakeTables(page_rows=5, runs={**settings()["runs"], **TIMES})
    first = tables.clock - timedelta(hours=1)
    tables.run_rows = [
        {**tables.run_rows[0], "runid": number, "start_time": first.isoformat(), "status": "succeeded",
         "end_time": (first + timedelta(seconds=number)).isoformat()} for number in range(100, 130)
    ]  # fmt: skip
    late, connector = tables.run_rows.pop(10), SqlConnector(tables)
    cursor = list(TestMappedTables().polls_until_end(connector, ""))[-1].cursor
    tables.run_rows.append(late)
    polls = list(TestMappedTables().polls_until_end(connector, cursor))
    assert str(late["runid"]) in {run.attempt_key for poll in polls for run in poll.runs}
    assert read(cursor).after == read(polls[-1].cursor).after


def test_a_row_in_the_future_does_not_hide_those_of_now() -> None:
    tables = FakeTables(page_rows=1000, runs={**settings()["runs"], **TIMES})
    row = {**tables.run_rows[0], "status": "succeeded", "start_time": tables.clock.isoformat()}
    tables.run_rows = [{**row, "runid": 7, "end_time": (tables.clock + timedelta(days=1)).isoformat()}]
    connector = SqlConnector(tables)
    cursor = connector.poll("", (), 5).cursor
    tables.run_rows.append({**row, "runid": 8, "end_time": tables.clock.isoformat()})
    assert "8" in {run.attempt_key for run in connector.poll(cursor, (), 5).runs}


def test_a_success_in_the_future_is_skipped_and_read_again_until_its_time() -> None:
    tables = FakeTables(page_rows=1000)
    row = tables.run_rows[-1]
    row |= {"status": "succeeded", "start_time": tables.clock.isoformat()}
    row |= {"end_time": (max(tables.clock, present()) + timedelta(hours=1)).isoformat()}
    connector = SqlConnector(tables)
    poll = connector.poll("", (), 5)
    assert ["60 min in the future"] == [item.reason.partition(", ")[2].partition(":")[0] for item in poll.skipped]
    assert (False, None) == (poll.complete, poll.seen_until)
    assert str(row["runid"]) not in {run.attempt_key for run in poll.runs}
    row["end_time"] = tables.clock.isoformat()
    assert str(row["runid"]) in {run.attempt_key for run in connector.poll(poll.cursor, (), 5).runs}


def test_a_log_that_takes_too_long_leaves_the_other_rights_of_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any) -> LogChunk:
        raise SystemUnreachable("no answer within 10 s")

    tables = FakeTables()
    monkeypatch.setattr(tables, "log", late)
    rights = {right.name: right.held for right in SqlConnector(tables).probe(5).rights}
    assert {"read jobs": True, "read runs": True, "read log": None} == rights


def test_jobs_are_read_as_the_config_says() -> None:
    jobs = {job.native_id: job for job in SqlConnector(FakeTables()).inventory("", 5).jobs}
    item = jobs["lab.load_orders"]
    assert ("pg_cron", ProofLevel.FULL) == (item.schedule.dialect, item.proof)
    assert item.schedule.expression
    assert item.definition


def test_a_hold_whose_session_is_alive_is_not_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session of a hold bears its key: a statement that waits may still arrive."""
    tables, sessions, key = FakeTables(), list[str](), "headway-0123456789abcdef"

    def send(query: BoundQuery, timeout_seconds: float, name: str) -> str:
        sessions.append(name)
        return ""

    monkeypatch.setattr(tables.database, "send", send)
    monkeypatch.setattr(tables.database, "senders", lambda name, timeout_seconds: sessions.count(name))
    call = SqlHoldQuery(query="UPDATE job SET note = {note}, active = {enabled} WHERE id = {job}", note="note")
    holder = SqlHolder(tables, call)
    plan = {"how": "hold", "job": "lab.load_orders", "by": "alice", "until": "2027-11-20T06:30:00Z"}
    assert isinstance(holder.look_up(plan, key), ActionAbsent)
    holder.act(plan, key)
    assert ActionUnknown("1 session of ours that sends it is still alive") == holder.look_up(plan, key)


def test_an_unconfigured_action_is_refused_with_the_fix() -> None:
    connector = SqlConnector(FakeTables())
    with pytest.raises(NotSupported, match=r"add \[systems.NAME.verbs.rerun\] with its query"):
        connector.preview(ActionSpec(Verb.RERUN, RunRef("x", "", "1", "1"), RunState.FAILED), 5)
    with pytest.raises(NotSupported, match="no place for the mark"):
        connector.holds(5)


def test_a_system_can_what_its_config_names_a_statement_for() -> None:
    assert CONNECTOR.lacks is not None
    stop = {"cancel": {"query": "SELECT stop({run})"}}
    lacked = CONNECTOR.lacks(SqlOptions.model_validate(settings(verbs=stop)))
    assert {Capability.RERUN, Capability.START, Capability.MARK, Capability.NATIVE_DEPENDENCIES} == set(lacked)


@each_row(
    "change, text",
    [
        ({"runs.query": "DELETE FROM x WHERE {cursor} IS NULL"}, "query is one SELECT"),
        ({"runs.query": "SELECT 1; DROP TABLE x"}, "query is one SELECT"),
        ({"runs.query": "SELECT * FROM runs"}, "query needs {cursor}, as in WHERE runid > {cursor}"),
        ({"runs.query": "SELECT * FROM runs WHERE runid > {cursor}"}, "OR runid::text = ANY({open})"),
        (
            {"jobs.query": "SELECT * FROM jobs WHERE at > {since}"},
            "{since} means nothing here; there are none",
        ),
        ({"log.query": "SELECT 1"}, "query needs {run}"),
        ({"log.query": "SELECT 1 FROM logs WHERE run = '{run}'"}, "write {run} without quotes"),
        (
            {"verbs": {"rerun": {"query": "SELECT retry({run})"}}},
            "verbs.rerun: the outcome of a lost reply",
        ),
        (
            {"verbs": {"rerun": {"query": "SELECT retry({run}) -- {key}"}}, "runs.key": "request"},
            "verbs.rerun: the outcome of a lost reply",
        ),
        ({"verbs": {"mark": {"query": "SELECT m('--', 1) /* {run} */"}}}, "names no {run}, so the call is the same"),
        ({"runs.query": "SELECT * FROM runs -- WHERE runid > {cursor}"}, "query needs {cursor}"),
        ({"log.query": "SELECT 1 FROM logs -- WHERE run = {run}"}, "query needs {run}"),
        ({"verbs": {"start": {"query": "SELECT start({job}, {key})"}}}, "name in runs.key where a run shows it"),
        ({"verbs": {"rerun": {"query": "DROP TABLE runs"}}}, "SELECT, WITH, CALL, EXEC, INSERT, UPDATE or DELETE"),
        ({"verbs": {"cancel": {"query": "SELECT stop({id})"}}}, "{id} means nothing here"),
        (
            {"verbs": {"start": {"query": "SELECT s({job}, {key})"}}, "runs.key": "detail.key"},
            "runs.key = 'detail.key' is not a column",
        ),
        *(
            ({f"{table}.query": query}, f"query has {cut}: rows behind it would be missing")
            for table, query, cut in (
                ("runs", settings()["runs"]["query"] + " LIMIT 500", "LIMIT"),
                ("runs", settings()["runs"]["query"] + " limit (2) ;", "LIMIT"),
                ("runs", settings()["runs"]["query"] + " LIMIT 5 -- (all", "LIMIT"),
                ("runs", settings()["runs"]["query"] + " ORDER BY 1 FETCH FIRST 9 ROWS ONLY", "FETCH FIRST"),
                ("jobs", "SELECT TOP (5) id FROM jobs", "TOP"),
                ("jobs", "SELECT DISTINCT TOP 5 id FROM jobs", "TOP"),
                ("jobs", "SELECT ALL /* it's */ TOP(5) id FROM jobs", "TOP"),
            )
        ),
        (
            {"verbs": {"cancel": {"query": "SELECT s({run})"}}, "runs": {**settings()["runs"], **TIMES}},
            "verbs.cancel: its result could not be looked up. Add to runs.query: OR runid::text = ANY({open})",
        ),
        (
            {"verbs": {"mark": {"query": "SELECT m({run})"}}, "runs": {**settings()["runs"], **TIMES}},
            "verbs.mark: its result could not be looked up",
        ),
        (
            {"verbs": {"mark": {"query": "SELECT m({job})"}}},
            "names no {run}, so the call is the same for every run. Fix: send {run} in the statement",
        ),
        ({"states": {"ok": "suceeded"}}, 'Did you mean "succeeded"?'),
        ({"host": None}, "either dsn, or host and user"),
    ],
)
def test_a_mapping_that_cannot_work_says_why(change: dict[str, Any], text: str) -> None:
    result = settings()
    for place, value in change.items():
        table, _, name = place.partition(".")
        result = {**result, table: {**result[table], name: value} if name else value}
    with pytest.raises(ValidationError) as raised:
        SqlOptions.model_validate(result)
    assert text in str(raised.value)


@each_row(
    "query",
    [
        "SELECT id, limit_mib, t.limit FROM jobs t  -- LIMIT 5",
        "SELECT id, 'LIMIT 5' AS title FROM jobs /* TOP 5 */",
        "WITH last AS (SELECT id FROM jobs ORDER BY id LIMIT 5) SELECT * FROM last",
        "SELECT id, (SELECT TOP (1) name FROM names) AS title FROM jobs",
        "SELECT id FROM jobs WHERE id IN (SELECT id FROM (VALUES (1)) v LIMIT 5) -- it's (",
        "SELECT top FROM jobs",
    ],
)
def test_a_limit_inside_of_a_query_of_a_list_is_accepted(query: str) -> None:
    assert query == SqlOptions.model_validate({**settings(), "jobs": {**settings()["jobs"], "query": query}}).jobs.query


class Recorded:
    """A session whose reader notes what is bound, and finds nothing."""

    def __init__(self) -> None:
        self.bound: list[dict[str, Any]] = []

    def read(self, work: Callable[[Any], Any], timeout_seconds: float) -> Any:
        return work(self)

    def row(self, _: Any) -> Any:
        return {"now": datetime.now(UTC), "version": "15.20"}

    def rows(self, _: Any, values: dict[str, Any]) -> list[Any]:
        self.bound.append(values)
        return []


def test_open_runs_and_missing_numbers_take_no_place_in_the_page() -> None:
    session = Recorded()
    client = SqlClient(SqlOptions.model_validate(settings()), PostgresDatabase(session))  # type: ignore[arg-type]  # it is used as one
    client.runs("7", ["3", "4"], [5, 6])
    page, opened, missing = session.bound
    assert ("7", [], PAGE_ROWS) == (page["cursor"], page["open"], page["limit"])
    assert ["3", "4"] == opened["open"]
    assert int(opened["cursor"]) > 10**18
    assert ("4", [], [5, 6]) == (missing["cursor"], missing["open"], missing["missing"])
