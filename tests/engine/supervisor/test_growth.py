"""What an engine does all the time costs the same however much has happened (F22): by the plans of its statements."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.states import RunState, Verb
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.engine.api.requests import ReadLog
from console.store.db.session import SqliteAdapter
from tests.engine.actions.test_actions import ask
from tests.engine.bench import Bench
from tests.engine.checks.test_check_runner import ROWS, world
from tests.engine.holds.test_holds import a_night, repair, started
from tests.present import present

LAST = re.compile(r"FROM audit ORDER BY seq DESC LIMIT 1$")
"""The last row by the table's own order: SQLite calls it a scan and reads one."""
NAMED = re.compile(r"SELECT key FROM incident WHERE key = \? OR key LIKE")
"""What may be walked: the keys of incidents, once for an incident that is new."""
GROWS = (
    "run|attempt|run_edge|log_tail|event|audit|alert|delivery|action|request|incident|incident_member|hold|plan"
    "|plan_step|service_day|finding|check_result|alert_notified|alert_suppressed"
)


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Every statement that is run meanwhile, with the values of its last time."""
    results: dict[str, Any] = {}

    real = SqliteAdapter.rows

    def rows(self: SqliteAdapter, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        if sql.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            results[sql] = values
        return real(self, sql, values)

    monkeypatch.setattr(SqliteAdapter, "rows", rows)
    yield results


def scans(bench: Bench, statements: dict[str, Any]) -> set[tuple[str, str]]:
    """(what SQLite would walk through whole, in which statement)."""
    results: set[tuple[str, str]] = set()
    with closing(sqlite3.connect(bench.url)) as raw:
        some = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
        partial = {row[0] for row in raw.execute(some)}  # such an index has only what is still open
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for statement, values in statements.items():
            names = re.findall(r"\b(?:FROM|JOIN|UPDATE)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?", statement)
            of: dict[str, str] = {table: table for table in tables}
            of |= {alias or name: name for name, alias in names if name in tables}
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values):
                match = re.match(r"SCAN (\w+)", row[3])  # by an index too: its order is not a choice of rows
                is_let = LAST.search(statement) or NAMED.search(statement) or row[3].rpartition(" ")[2] in partial
                if match and not is_let and re.fullmatch(GROWS, of.get(match[1], match[1])):
                    results.add((row[3], statement))
    return results


def night(bench: Bench) -> None:
    """A failure, its alert, a rerun that ends well, and the time between."""
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=1))
    bench.turn()
    with bench.reads() as reads:
        run_id = reads.incidents.incident(1).row.root_run_id
    assert run_id is not None
    key = ask(bench, run_id)
    bench.parts.actions.step(bench.fence)
    more = {"action_key": key, "period_key": None}
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, present() - timedelta(seconds=1), **more)
    bench.requests().ask(ReadLog(run_id))
    bench.parts.answers.step(bench.fence)
    bench.poller._inventory_at = bench.poller._holds._refresh_at = 0.0
    for _ in range(2):
        bench.turn()
        bench.parts.actions.step(bench.fence)
        bench.parts.plans.step(bench.fence)
        bench.parts.routing._check_at = 0.0
        bench.parts.trouble("")


def test_f22_no_statement_of_a_working_engine_walks_through_what_grows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.turn()
    with listening(monkeypatch) as statements:
        night(bench)
    assert 40 < len(statements)
    assert set() == scans(bench, statements)


def test_no_statement_of_the_checks_walks_through_what_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They ask each second who waits for them."""
    with world(tmp_path, ROWS, ready=("rows",)) as w, listening(monkeypatch) as statements:
        w.bench.turn()
        w.step()
        assert set() == scans(w.bench, {name: statement for name, statement in statements.items() if "check" in name})
        [starts] = [
            statement for statement in statements if "SELECT DISTINCT d.check_name, r.business_date" in statement
        ]
        with closing(sqlite3.connect(w.bench.url)) as raw:
            plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {starts}", statements[starts])]
        assert "SEARCH r USING INDEX run_job_period (job_id=? AND sort_us>? AND sort_us<?)" in plan, "job by job"


def test_no_statement_about_holds_walks_through_what_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held, let go, started, and what its source says of marks; then a person's hold and its end."""
    with a_night(tmp_path) as night, listening(monkeypatch) as statements:
        night.at("03:51").rounds().at("04:05").rounds()
        repair(night, "04:10")
        night.at("04:11").rounds(4).at("04:13").rounds().at("04:40").rounds()
        assert 1 == len(started(night))
        job_id, key, requests = night.job_id("load"), new_action_key(), night.bench.requests()
        until = {"by": "alice", "until": "2026-11-20T08:00:00Z"}
        requests.act(ActionRequest(Verb.HOLD, job_id=job_id, parameters=until), key)
        night.rounds()
        requests.act(ActionRequest(Verb.RELEASE, job_id=job_id, parameters={"hold": key}), new_action_key())
        night.rounds()
        values = {statement: values for statement, values in statements.items() if "hold" in statement}
        assert 10 < len(values)
        assert set() == scans(night.bench, values)


def test_a_walk_through_what_grows_would_be_seen(bench: Bench) -> None:
    """Proves the check above: its pattern is SQLite's own text."""
    [(plan, _)] = scans(bench, {"SELECT r.id FROM run r WHERE r.message = ?": ("x",)})
    assert plan.startswith("SCAN r")
    [(plan, _)] = scans(bench, {"SELECT h.key, h.detail FROM hold h WHERE h.detail = ? ORDER BY h.key": ("x",)})
    assert plan.startswith("SCAN h USING INDEX")
