"""Airflow 2 as it really is: the conformance tests, and what only a real scheduler can show."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.airflow.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import AccessRefused
from connectors.sdk.records import LogChunk, RunRecord, RunRef, instant_key
from connectors.sdk.states import RunEvidence, RunState
from tests.lab import venvs
from tests.lab.airflow import PASSWORDS
from tests.lab.airflow2 import Airflow2Server
from tests.lab.airflow_client import CALL_SECONDS, attempt, connect, every, ran, running, until
from tests.lab.airflow_versions import compared, watched
from tests.lab.jobs import next_minute
from tests.lab.process import HANGS_SECONDS, private_folder, remove_folder, wait_until


@pytest.fixture(scope="module")
def airflow2() -> Iterator[Airflow2Server]:
    folder = private_folder("airflow2")
    server = Airflow2Server(folder)
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.stop()
        remove_folder(folder)


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_AF_{user.upper()}", password)


@pytest.fixture
def connector(airflow2: Airflow2Server) -> Iterator[Connector]:
    """As the account with the role `headway_act` that `headway connector grants airflow` prints."""
    opened = connect(airflow2.url)
    yield opened
    opened.close()


class TestAirflow2Conformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    kind = CONNECTOR
    against = f"real: Airflow {venvs.AIRFLOW2_VERSION}"
    patience_seconds: ClassVar[float] = HANGS_SECONDS
    limits: ClassVar[dict[str, str]] = {
        "unknown_word": "a real Airflow says no word that it does not have",
    }
    made: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def world(self, airflow2: Airflow2Server, passwords: None) -> Iterator[None]:
        self.airflow = airflow2
        yield
        airflow2.behave("stock_count", "succeed")

    def connector(self) -> Connector:
        return connect(self.airflow.url)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}")

    def make_success(self) -> str:
        if "success" not in self.made:
            self.made["success"] = ran(self.airflow, "stock_count", "succeed", "success")
        return "stock_count"

    def make_failure(self) -> str:
        if "failure" not in self.made:
            self.made["failure"] = ran(self.airflow, "load_orders", "fail", "failed")
        return "load_orders"

    def a_running_run(self) -> RunRecord:
        with self.opened() as connector:
            return running(self.airflow, connector, "stock_count", "count")

    def pause_by_hand(self, job_id: str) -> None:
        self.airflow.call("PATCH", f"dags/{job_id}", {"is_paused": True})

    def resume_by_hand(self, job_id: str) -> None:
        self.airflow.call("PATCH", f"dags/{job_id}", {"is_paused": False})

    def let_it_fall_due(self, job_id: str) -> None:
        """Until a run comes by the clock, or none does."""
        before = len(self.clocked(job_id))
        self.airflow.schedule(job_id, "* * * * *")
        try:
            over = next_minute() + timedelta(seconds=6)
            wait_until(lambda: datetime.now(UTC) >= over or len(self.clocked(job_id)) > before, "a minute", pause=0.5)
        finally:
            self.airflow.schedule(job_id, None)
        with self.opened() as connector:
            until(
                "a calm inventory",
                lambda: connector.inventory(connector.inventory("", CALL_SECONDS).hash, CALL_SECONDS).unchanged,
            )

    def clocked(self, dag: str) -> list[dict[str, Any]]:
        runs = self.airflow.call("GET", f"dags/{dag}/dagRuns?limit=100")["dag_runs"]
        return [run for run in runs if run["run_type"] == "scheduled"]

    def native_trace(self) -> object:
        dags = [self.airflow.call("GET", f"dags/{dag}/dagRuns") for dag in ("load_orders", "stock_count")]
        return [(run["dag_run_id"], run["start_date"], run["note"]) for dag in dags for run in dag["dag_runs"]]


def test_the_inventory_has_schedules_tasks_and_the_edges_airflow_knows(
    airflow2: Airflow2Server, connector: Connector
) -> None:
    jobs = {job.native_id: job for job in connector.inventory("", CALL_SECONDS).jobs}
    schedule = jobs["parked"].schedule
    assert ("airflow", "0 3 * * *", "UTC", "At 03:00") == (
        schedule.dialect,
        schedule.expression,
        schedule.zone,
        schedule.text,
    )
    assert jobs["parked"].paused
    assert ("none", "Triggered by datasets") == (
        jobs["supply_plan"].schedule.dialect,
        jobs["supply_plan"].schedule.text,
    )
    assert ("load_orders",) == jobs["supply_plan"].upstreams
    assert ("load_orders.load",) == jobs["load_orders.publish"].upstreams
    assert "mapped" == jobs["mapped.regions.count_region"].parent
    assert "@task (mapped)" == jobs["mapped.regions.count_region"].definition


def test_a_failed_run_reports_its_tasks_and_the_log_of_the_failed_one(
    airflow2: Airflow2Server, connector: Connector
) -> None:
    run = ran(airflow2, "load_orders", "fail", "failed")
    run_record = attempt(connector, "load_orders", run)
    assert (RunState.FAILED, "failed", RunEvidence.NATIVE) == (
        run_record.state,
        run_record.native_state,
        run_record.evidence,
    )
    assert "tasks not green: load (failed), publish (upstream_failed)" == run_record.message
    states = {run_record.job: run_record.state for run_record in every(connector) if run_record.period_key == run}
    expected = {"load_orders.check_file": RunState.SUCCEEDED, "load_orders.load": RunState.FAILED}
    assert {"load_orders": RunState.FAILED, "load_orders.publish": RunState.BLOCKED, **expected} == states
    log = connector.log(ref(run_record), None, 65536, CALL_SECONDS)
    assert re.match(r"\[log of task load, try [12] \(failed\)\]\n", log.text), "Airflow 2 may count a try twice"
    assert "FileNotFoundError: /data/orders.csv of this business date is not there" in log.text
    assert log.next is None


def test_a_queued_run_and_its_end_are_one_attempt_and_a_clear_makes_the_next(
    airflow2: Airflow2Server, connector: Connector
) -> None:
    """Airflow 2 names a run's attempt by its start only."""
    run = f"lab__{new_key()}"
    airflow2.behave("load_orders", "fail")
    airflow2.call("PATCH", "dags/load_orders", {"is_paused": True})
    airflow2.trigger("load_orders", run)
    queued = attempt(connector, "load_orders", run)
    assert (RunState.QUEUED, f"{run}@-") == (queued.state, queued.attempt_key)
    airflow2.call("PATCH", "dags/load_orders", {"is_paused": False})
    airflow2.wait_for("load_orders", run, "failed")
    first = attempt(connector, "load_orders", run)
    assert (RunState.FAILED, queued.attempt_key) == (first.state, first.formerly)
    clear = {"dry_run": False, "dag_run_id": run, "only_failed": True, "reset_dag_runs": True}
    airflow2.call("POST", "dags/load_orders/clearTaskInstances", clear)
    airflow2.wait_for("load_orders", run, "failed")
    runs = [
        run_record
        for run_record in every(connector)
        if run_record.job == "load_orders" and run_record.period_key == run
    ]
    assert [(first.attempt_key == run.attempt_key, run.state) for run in runs] == [(False, RunState.FAILED)]
    blocked = [
        run_record
        for run_record in every(connector)
        if run_record.job == "load_orders.publish" and run_record.period_key == run
    ]
    assert [(RunState.BLOCKED, f"{run}#1")] == [(run.state, run.formerly) for run in blocked], "it never had a try"


def with_line(chunk: LogChunk) -> LogChunk | None:
    """The chunk once the hanging task has said something."""
    return chunk if "waiting for a lock on table orders" in chunk.text else None


def test_a_running_log_is_followed_and_ends(airflow2: Airflow2Server, connector: Connector) -> None:
    dag = running(airflow2, connector, "stock_count", "count")
    task = next(run for run in every(connector) if run.job == "stock_count.count" and run.period_key == dag.period_key)
    whole = until("a first line", lambda: with_line(connector.log(ref(task), None, 65536, CALL_SECONDS)))
    assert whole.next is not None
    more = until("a further line", lambda: with_line(connector.log(ref(task), whole.next, 65536, CALL_SECONDS)))
    assert len(more.text) < len(whole.text), "what was shown is not shown again"
    airflow2.behave("stock_count", "succeed")
    airflow2.wait_for("stock_count", str(dag.period_key), "success")
    place: str | None = more.next
    end = time.monotonic() + HANGS_SECONDS
    while place is not None and time.monotonic() < end:
        place = connector.log(ref(task), place, 65536, CALL_SECONDS).next
    assert None is place


def test_a_retry_is_two_attempts_and_the_first_one_is_closed(airflow2: Airflow2Server, connector: Connector) -> None:
    run = f"lab__{new_key()}"
    airflow2.trigger("retried", run)
    cursor, seen, known = "", dict[str, RunRecord](), dict[str, RunRef]()

    def have_both_ended() -> bool:
        nonlocal cursor
        poll = connector.poll(cursor, tuple(known.values()), CALL_SECONDS)
        cursor = poll.cursor
        for run_record in poll.runs:
            if run_record.job == "retried.second_time" and run_record.period_key == run:
                seen[run_record.attempt_key] = run_record
                known.pop(run_record.attempt_key, None)
                if run_record.state.is_open:
                    known[run_record.attempt_key] = ref(run_record)
        return len(seen) == 2 and not known

    wait_until(have_both_ended, "the end of both attempts", pause=0.1)
    assert {f"{run}#1": RunState.FAILED, f"{run}#2": RunState.SUCCEEDED} == {
        key: run.state for key, run in seen.items()
    }


def test_mapped_instances_are_one_run_of_their_task(airflow2: Airflow2Server, connector: Connector) -> None:
    run = ran(airflow2, "mapped", "as it is", "failed")
    runs = [
        run_record
        for run_record in every(connector)
        if run_record.job == "mapped.regions.count_region" and run_record.period_key == run
    ]
    assert [RunState.FAILED] == [run.state for run in runs]
    assert "3 mapped: 2 success, 1 failed; not green: 2" == runs[0].message
    assert "ZeroDivisionError" in connector.log(ref(runs[0]), None, 65536, CALL_SECONDS).text


def test_a_run_of_an_interval_has_its_end_as_period_and_so_have_its_tasks(
    airflow2: Airflow2Server, connector: Connector
) -> None:
    airflow2.behave("by_interval", "succeed")
    airflow2.schedule("by_interval", "* * * * *")
    try:
        run = until("a run by the clock", lambda: ended_by_clock(connector, "by_interval"))
    finally:
        airflow2.schedule("by_interval", None)
    assert run.period_at is not None
    assert run.interval_start == run.period_at - timedelta(minutes=1)
    assert (RunState.SUCCEEDED, instant_key(run.period_at)) == (run.state, run.period_key)
    again = connect(airflow2.url)
    try:
        tasks = [
            run_record
            for run_record in every(again)
            if run_record.job == "by_interval.cover" and run_record.period_key == run.period_key
        ]
        assert [RunState.SUCCEEDED] == [run.state for run in tasks]
    finally:
        again.close()


def ended_by_clock(connector: Connector, dag: str) -> RunRecord | None:
    runs = [run for run in every(connector) if run.job == dag and run.context.get("run_type") == "scheduled"]
    return next((run for run in runs if not run.state.is_open), None)


def test_a_deleted_run_is_not_reported_as_ended(airflow2: Airflow2Server, connector: Connector) -> None:
    run = ran(airflow2, "stock_count", "succeed", "success")
    run_record = attempt(connector, "stock_count", run)
    airflow2.call("DELETE", f"dags/stock_count/dagRuns/{run}")
    cursor = connector.poll("", (), CALL_SECONDS).cursor
    removed_run = {run.attempt_key: run for run in connector.poll(cursor, (ref(run_record),), CALL_SECONDS).runs}[
        run_record.attempt_key
    ]
    assert (RunState.LOST, "deleted", RunEvidence.INFERRED) == (
        removed_run.state,
        removed_run.native_state,
        removed_run.evidence,
    )


def test_a_viewer_sees_everything_and_learns_that_it_cannot_act(airflow2: Airflow2Server) -> None:
    viewer = connect(airflow2.url, "viewer")
    try:
        rights = {right.name: right.held for right in viewer.probe(20).rights}
        assert {False} == {held for name, held in rights.items() if not name.startswith("read")}
        assert {True} == {held for name, held in rights.items() if name.startswith("read")}
    finally:
        viewer.close()


def test_a_wrong_password_is_refused_and_after_three_tries_not_sent_again(
    airflow2: Airflow2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_AF_NOBODY", "wrong-password")
    unknown_user = connect(airflow2.url, "nobody")
    try:
        for _ in range(3):
            with pytest.raises(AccessRefused, match="the password of 'nobody' was refused"):
                unknown_user.poll("", (), CALL_SECONDS)
        with pytest.raises(AccessRefused, match="3 logins of 'nobody'"):
            unknown_user.poll("", (), CALL_SECONDS)
    finally:
        unknown_user.close()


def test_every_run_and_task_instance_of_its_database_is_in_the_store_as_it_is(
    airflow2: Airflow2Server, tmp_path: Path
) -> None:
    """After all that the tests before it made; the tries of each task included."""
    with watched(airflow2, tmp_path / "headway", "1s") as store:
        runs, tasks = compared(airflow2, store)
    assert not runs.different, runs.text("DAG runs")
    assert not tasks.different, tasks.text("tasks of runs")
    assert min(runs.compared, tasks.compared) > 0
