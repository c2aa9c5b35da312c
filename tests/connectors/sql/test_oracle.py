"""Tables in Oracle: a fake at the boundary of oracledb, by its documents; and oracledb itself at a silent server."""

from __future__ import annotations

import json
import socket
import sys
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import oracledb
import pytest

from connectors.sdk import registry
from connectors.sdk.contract import ActionFound, ActionSpec, Connector
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from connectors.sql import drivers
from tests.lab.process import HANGS_SECONDS

SQL = registry.load("sql")
KEY = "headway-0123456789abcdef"
SETTINGS: dict[str, Any] = {
    "dsn": {"env": "OPS"},
    "jobs": {"query": "SELECT name FROM batch.jobs", "id": "name"},
    "runs": {
        "query": "SELECT * FROM batch.runs WHERE id > {cursor} OR TO_CHAR(id) IN"
        " (SELECT v FROM JSON_TABLE({open}, '$[*]' COLUMNS (v VARCHAR2(40) PATH '$')))",
        "cursor": "id", "id": "id", "job": "name", "state": "state", "started": "began", "key": "request",
    },
    "states": {"ok": "succeeded", "error": "failed", "queued": "queued"},
    "log": {"query": "SELECT text FROM batch.logs WHERE run = {run} ORDER BY n"},
    "verbs": {"rerun": {"query": "INSERT INTO batch.runs (name, request) SELECT {job}, {key} FROM dual"}},
}  # fmt: skip


class FakeOracle:
    """The driver, its connection and its cursor in one. A fake of ours: no statement is parsed."""

    Error, DB_TYPE_CLOB = oracledb.Error, oracledb.DB_TYPE_CLOB

    def __init__(self) -> None:
        began = datetime(2025, 11, 1, 3)  # noqa: DTZ001 - as a TIMESTAMP comes
        self.rows: list[dict[str, Any]] = [
            {"ID": number, "NAME": "load", "STATE": state, "BEGAN": began, "REQUEST": None}
            for number, state in ((1, "ok"), (2, "error"))
        ]
        self.statements: list[tuple[str, dict[str, Any]]] = []
        self.given: dict[str, Any] = {}
        self.sizes: dict[str, Any] = {}
        self.commits = 0
        self.fails: dict[str, Exception] = {}

    def connect(self, **given: Any) -> FakeOracle:
        self.given = given
        self._fail("connect")
        return self

    @property
    def connection(self) -> FakeOracle:
        return self

    def cursor(self) -> FakeOracle:
        return self

    def close(self) -> None:
        pass

    def parse(self, text: str) -> None:
        self._fail(text)

    def commit(self) -> None:
        self._fail("commit")
        self.commits += 1

    def setinputsizes(self, **sizes: Any) -> None:
        self.sizes = sizes

    def execute(self, text: str, given: dict[str, Any] | None = None, fetch_lobs: bool = True) -> None:
        self._fail(text)
        self.statements.append((text, given or {}))
        self._found = self._answer(text, given or {})
        self.rowcount, self.description = 1, [(name,) for name in self._found[0]] if self._found else []

    def fetchone(self) -> Any:
        return next(iter(self.fetchall()), None)

    def fetchall(self) -> list[Any]:
        rows, self._found = self._found, []
        return [tuple(row.values()) for row in rows]

    def fetchmany(self, _: int) -> list[Any]:
        return self.fetchall()

    def _fail(self, text: str) -> None:
        for message, error in self.fails.items():
            if message in text:
                raise error

    def _answer(self, text: str, given: dict[str, Any]) -> list[dict[str, Any]]:
        if "SYSTIMESTAMP" in text:
            return [{"NOW": datetime.now(UTC).replace(tzinfo=None), "VERSION": "19.0.0.0.0"}]
        if text.startswith("INSERT"):
            row = {"ID": len(self.rows) + 1, "NAME": given["p_job"], "STATE": "queued", "BEGAN": None}
            self.rows.append({**row, "REQUEST": given["p_key"]})
            return []
        if "batch.logs" in text:
            return [{"TEXT": f"line {number} of {given['p_run']}"} for number in (1, 2)]
        if "batch.jobs" in text:
            return [{"NAME": "load"}]
        if "batch.runs" not in text:
            return []
        requested, key = json.loads(given["p_open"]), given.get("p_key")
        rows = [row for row in self.rows if row["ID"] > int(given["p_cursor"]) or str(row["ID"]) in requested]
        return [row for row in rows if key is None or row["REQUEST"] == key]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeOracle:
    server = FakeOracle()
    monkeypatch.setattr(drivers, "_oracle_driver", lambda: server)
    return server


def opened(dsn: str = "oracle://headway:p%40ss@127.0.0.1:1521/ORCLPDB1") -> Connector:
    return SQL.open(SQL.options.model_validate(SETTINGS), "database", lambda _: dsn)


def refused(code: str) -> oracledb.Error:
    return oracledb.DatabaseError(SimpleNamespace(full_code=code, __str__=lambda: code))


def test_jobs_runs_and_logs_are_read_with_lower_case_names_in_one_bounded_read_only_snapshot(fake: FakeOracle) -> None:
    connector = opened()
    assert ["load"] == [job.native_id for job in connector.inventory("", 10).jobs]
    fake.statements.clear()
    poll = connector.poll("", (), 10)
    assert [RunState.SUCCEEDED, RunState.FAILED] == [run.state for run in poll.runs]
    assert datetime(2025, 11, 1, 3, tzinfo=UTC) == poll.runs[0].started_at
    [first, _, (text, given)] = fake.statements
    assert "SET TRANSACTION READ ONLY" == first[0]
    assert text.startswith("SELECT q.* FROM (\nSELECT * FROM batch.runs WHERE id > TO_NUMBER(:p_cursor)")
    assert text.endswith('ORDER BY q."ID" FETCH FIRST 1000 ROWS ONLY')
    assert ({"p_cursor": "-1", "p_open": "[]"}, {"p_open": oracledb.DB_TYPE_CLOB}) == (given, fake.sizes)
    assert ("ORCLPDB1", "p@ss", "tcp") == tuple(fake.given[name] for name in ("service_name", "password", "protocol"))
    assert "line 1 of 2\nline 2 of 2" == connector.log(RunRef("load", "", "2", "2"), None, 1000, 10).text.strip()


def test_a_rerun_is_committed_once_and_found_by_its_key_after_a_lost_answer(fake: FakeOracle) -> None:
    connector = opened()
    preview = connector.preview(ActionSpec(Verb.RERUN, RunRef("load", "", "2", "2"), RunState.FAILED), 10)
    assert (None, 0, 2) == (preview.refused, fake.commits, len(fake.rows)), "a preview sends nothing"
    fake.fails = {"commit": refused("DPY-4011")}
    with pytest.raises(AnswerLost):
        connector.act(preview, KEY, 10)
    fake.fails = {}
    assert isinstance(connector.look_up(preview, KEY, 10), ActionFound)
    connector.act(preview, KEY.replace("0", "1"), 10)
    assert 1 == fake.commits


@pytest.mark.parametrize(
    "code, kind",
    [
        ("ORA-01017", AccessRefused), ("ORA-00942", PermissionMissing), ("ORA-00054", RateLimited),
        ("ORA-12541", SystemUnreachable), ("ORA-03113", SystemUnreachable), ("DPY-6005", SystemUnreachable),
        ("ORA-00904", NotSupported),
    ],
)  # fmt: skip
def test_errors_are_sorted_by_what_happens_next(fake: FakeOracle, code: str, kind: type[ConnectorError]) -> None:
    fake.fails = {"batch.runs": refused(code)}
    with pytest.raises(ConnectorError) as raised:
        opened().poll("", (), 10)
    assert kind is type(raised.value)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # oracledb does not close a failed connect's socket
def test_a_silent_server_is_unreachable_at_the_deadline() -> None:
    unreachable = pytest.raises(SystemUnreachable, match=r"no answer within 0\.\d+ s")
    with socket.create_server(("127.0.0.1", 0)) as silent, unreachable:
        opened(f"oracle://u:p@127.0.0.1:{silent.getsockname()[1]}/x").poll("", (), 0.5)
    for thread in threading.enumerate():
        if thread.name == "headway-oracle":
            thread.join(HANGS_SECONDS)


def test_a_missing_driver_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)
    with pytest.raises(NotSupported, match=r'needs oracledb: .*Fix: pip install "headway\[oracle\]"'):
        opened().poll("", (), 10)
