"""No query of a board reads all runs: checked by SQLite's own query plan."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from console.domain.decision import HoldDecision
from console.domain.filter import JobFilter
from console.store import outbox
from console.store.db.database import Database
from console.store.db.read_connection import SqliteReadConnection
from console.store.db.session import Row, SqliteAdapter, _sqlite_keys
from console.store.ingest import targets
from console.store.new_actions import SENT_BY
from console.store.queries.base import _CHANGED_SCHEDULES
from console.store.queries.reader import Queries
from console.store.snapshot import facts
from tests.factories import at
from tests.store.estate import JOBS, Estate, failed, run, running
from tests.store.test_decisions import day, decide, expected, incident
from tests.store.test_holds import decide as decide_holds
from tests.store.test_holds import hold

SCAN_OF_RUN = re.compile(
    r"SCAN (run|r|x|p|attempt|a|latest_run|l)\b(?! USING (COVERING )?INDEX (latest_attention|action_requested))"
)


class Explaining(SqliteReadConnection):
    """Fetches the plan of each statement before it is run."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plans: list[tuple[str, str]] = []

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        self._explain(sql, values)
        return super().stream(sql, values)

    def _explain(self, sql: str, values: Sequence[Any]) -> None:
        if sql.startswith("SELECT"):
            self.plans += [(sql, row[-1]) for row in super().rows(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.fixture
def explaining(served: Estate) -> Explaining:
    served.ingest(failed(), run(JOBS[1]), running(JOBS[2]))
    decide(served, expected=(expected(),), service_days=(day(),), incidents=(incident(),))
    assert served.store.path is not None
    return Explaining(served.store.path)


def test_the_events_of_an_incident_are_read_in_order_up_to_who_approved_the_plan(explaining: Explaining) -> None:
    steps = [row[-1] for row in explaining.rows(f"EXPLAIN QUERY PLAN SELECT {SENT_BY} FROM action a")]
    assert "SEARCH e USING INDEX event_incident (incident_id=?)" in steps
    assert [] == [step for step in steps if "TEMP B-TREE" in step]


def ask_everything(reads: Queries) -> None:
    """Every query of an open screen."""
    everything = JobFilter()
    reads.estate.header()
    reads.services.list_services()
    reads.incidents.list_incidents()
    reads.incidents.list_incidents(closed=True)
    reads.incidents.incident(1)
    reads.incidents.incident_of_job(1)
    reads.failures.list_failures()
    reads.policies.reports(at("03:00"))
    reads.jobs.repaired_jobs(["etl-hosts/db07:extract_orders"])
    reads.estate.systems()
    reads.estate.drift()
    reads.estate.ended_work()
    reads.actions.list_actions()
    reads.actions.list_actions(run_id=1)
    reads.jobs.jobs_first_page(everything)
    reads.jobs.jobs_by_ids(reads.jobs.job_ids(everything))
    reads.jobs.job(1)
    reads.jobs.job("etl-hosts/db07:extract_orders")
    reads.runs.list_runs(1)
    reads.runs.run(1)
    reads.holds.list_holds()
    reads.holds.list_holds(ended=True)
    reads.holds.gate("etl-hosts/db07:extract_orders")


def test_no_question_of_a_board_scans_the_runs(explaining: Explaining) -> None:
    ask_everything(Queries(explaining))
    assert 40 < len(explaining.plans)
    assert [] == [(plan, sql) for sql, plan in explaining.plans if SCAN_OF_RUN.search(plan)]


def test_the_page_by_attention_walks_the_index_without_sorting(explaining: Explaining) -> None:
    reads = Queries(explaining)
    explaining.plans.clear()
    reads.jobs.jobs_first_page(JobFilter())
    assert [] == [plan for _, plan in explaining.plans if "TEMP B-TREE FOR ORDER BY" in plan]


def test_a_page_of_jobs_reads_the_changed_schedules_of_its_jobs_alone(explaining: Explaining) -> None:
    reads = Queries(explaining)
    for query in (lambda: reads.jobs.jobs_by_ids([1, 2]), lambda: reads.jobs.job(1)):
        explaining.plans.clear()
        query()
        changes = [plan for sql, plan in explaining.plans if sql == _sqlite_keys(_CHANGED_SCHEDULES, 1)]
        assert ["SCAN json_each", "SEARCH d USING INDEX drift_job (job_id=?)"] == [
            plan.partition(" VIRTUAL")[0] for plan in changes[:2]
        ]
        assert 1 == sum("drift_job" in plan for plan in changes)


def test_a_scan_of_the_runs_would_be_seen(explaining: Explaining) -> None:
    """Proves the check above: its pattern is SQLite's own text."""
    explaining.rows("SELECT * FROM run r WHERE r.message = 'x'")
    assert SCAN_OF_RUN.search(explaining.plans[-1][1])


def test_a_start_is_matched_by_the_runs_of_its_job_alone(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that reports a start does not read all attempts of the store, whatever plan SQLite would choose."""
    plans: list[str] = []
    rows = SqliteAdapter.rows

    def explained(self: SqliteAdapter, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        plans.extend(row[-1] for row in rows(self, f"EXPLAIN QUERY PLAN {sql}", values))
        return rows(self, sql, values)

    monkeypatch.setattr(SqliteAdapter, "rows", explained)
    schedules = {run().job: Schedule("debian-cron", "10 3 * * *")}
    targets.started_periods(store, 1, [run(period_key=None)], schedules)
    forbidden = ("SCAN json_each", "SEARCH t", "job_source (system_id=? AND source_id=?)",
              "run_job_period (job_id=? AND sort_us>?)", "attempt_run (run_id=?)", "ORDER BY")  # fmt: skip
    assert [name in plan for name, plan in zip(forbidden, plans, strict=True)] == [True] * len(forbidden), plans
    plans.clear()
    targets.started_periods(store, 1, [run(period_key=None, again_of="root")], schedules)
    assert any("attempt" in plan and "(job_id=? AND attempt_key=?)" in plan for plan in plans), plans
    assert ["SCAN json_each"] * 2 == [plan[:14] for plan in plans if plan.startswith("SCAN")], plans


def test_open_runs_are_found_by_their_own_index(store: Database) -> None:
    assert store.path is not None
    from console.store.snapshot import runs

    results: list[str] = []
    with sqlite3.connect(store.path) as raw:
        results += [row[-1] for row in raw.execute(f"EXPLAIN QUERY PLAN {runs.SELECT_RUNS}", (0, 0))]
        results += [row[-1] for row in raw.execute(f"EXPLAIN QUERY PLAN {runs.SELECT_CHANGED_RUNS}", (0,))]
    raw.close()
    for index in ("run_recent", "run_ended", "run_open", "run_changed"):
        assert any(index in plan for plan in results), (index, results)
    assert [] == [plan for plan in results if SCAN_OF_RUN.search(plan) and "run_open" not in plan]
    with store.read() as session:
        assert targets.open_runs(session, 1) == ()


def test_the_urgency_of_a_pending_delivery_is_computed_once(store: Database) -> None:
    """It is claimed in a write transaction, up to thousands at a time."""
    with store.read() as session:
        steps = [row[-1] for row in session.rows(f"EXPLAIN QUERY PLAN {outbox._DUE}", (0, False))]
    assert 2 == steps.count("SEARCH m USING INDEX alert_digest (digest_id=?)"), "and the digests before it"


def test_the_steps_of_stopped_plans_are_walked_once_not_for_each_hold(night: Estate) -> None:
    decide_holds(
        night, *(HoldDecision(replace(hold(night), key=f"headway-{number:020}"), None) for number in range(200))
    )
    with night.store.write(None) as connection:
        connection.rows(
            "INSERT INTO plan (id, key, kind, title, state, requested_by, requested_from, why, requested_us, at_once,"
            " text, changed_seq) VALUES (7, 'k', 'backfill', '', 'stopped', 'mara', '', '', 0, 1, '', 0)"
        )
        connection.many(
            "INSERT INTO plan_step (plan_id, place, verb, period_key, parameters, after, wait_s, safety, saves,"
            " preview, state, text) VALUES (7, ?, 'start', '', '{}', '[]', 0, 'ask', '[]', '{}', 'planned', '')",
            [(place,) for place in range(1, 1001)],
        )
    thousands = 0

    def counted() -> None:
        nonlocal thousands
        thousands += 1

    with night.store.read() as connection:
        raw: Any = vars(connection)["_raw"]
        raw.set_progress_handler(counted, 1000)
        assert 200 == len(facts.load_holds(connection, 0))
        raw.set_progress_handler(None, 0)
    assert thousands < 200, "thousand steps of SQLite's machine"


def test_a_job_takes_as_many_statements_however_many_services_there_are(explaining: Explaining, served: Estate) -> None:
    def statements() -> int:
        explaining.plans.clear()
        Queries(explaining).jobs.job(served.job_id())
        Queries(explaining).services.promised()
        return len(explaining.plans)

    before = statements()
    with served.store.write(None) as session:
        known = session.rows("SELECT name FROM pragma_table_info('service') WHERE name NOT IN ('id', 'name')")
        columns = ", ".join(row.name for row in known)
        for number in range(20):
            session.rows(
                f"INSERT INTO service (name, {columns}) SELECT ?, {columns} FROM service LIMIT 1", (f"more-{number}",)
            )
    assert before == statements()


@pytest.mark.parametrize("sort", ["attention", "name", "age", "-age", "deadline", "-slack"])
def test_a_page_reads_no_more_jobs_than_it_shows(explaining: Explaining, sort: str) -> None:
    """PostgreSQL would send all of them."""
    reads = Queries(explaining)
    whole = list(reads.jobs.job_ids(JobFilter(), sort))
    explaining.plans.clear()
    assert whole[:2] == [row.id for row in reads.jobs.jobs_first_page(JobFilter(), sort, limit=2)]
    assert [] == [sql for sql, _ in explaining.plans if "AS a FROM" in sql and "{keys}" not in sql
                  and "LIMIT" not in sql and "json_each" not in sql]  # fmt: skip
    reads.run_table.runs_first_page(JobFilter(), limit=2)
    assert [] == [sql for sql, _ in explaining.plans if sql.startswith("SELECT r.id FROM") and "LIMIT" not in sql]


@pytest.mark.parametrize("recent", [2, 3, 4, 2_048])
def test_the_newest_jobs_are_the_first_of_the_whole_list(
    explaining: Explaining, served: Estate, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    monkeypatch.setattr("console.store.queries.jobs.RECENT_RUNS", recent)
    served.ingest(run(JOBS[1], "04:00", "later"), run(JOBS[2], "05:00", "last"))
    reads = Queries(explaining)
    whole = list(reads.jobs.job_ids(JobFilter(), "age"))
    for limit in (1, 2, 3):
        assert whole[:limit] == [row.id for row in reads.jobs.jobs_first_page(JobFilter(), "age", limit)]
