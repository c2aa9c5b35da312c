"""Airflow 3 as it really is: the conformance tests, and what only a real scheduler can show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.airflow.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector
from connectors.sdk.errors import (
    AccessRefused,
    ActionRefused,
    AnswerLost,
    NotSupported,
    SystemUnreachable,
)
from connectors.sdk.records import LogChunk, RunRecord, RunRef, instant_key
from connectors.sdk.states import RunEvidence, RunState, Verb
from tests.fakes.faultproxy import GOOD, FaultProxy
from tests.lab.airflow import PASSWORDS, AirflowServer
from tests.lab.airflow_client import (
    CALL_SECONDS,
    action_spec_of,
    attempt,
    connect,
    eating_answers,
    every,
    ran,
    running,
    until,
)
from tests.lab.airflow_versions import compared, watched
from tests.lab.jobs import next_minute
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.lab.test_faults_real import FAULTS, TIMEOUT, late


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_AF_{user.upper()}", password)


@pytest.fixture
def connector(airflow: AirflowServer) -> Iterator[Connector]:
    """As the least account that may act."""
    opened = connect(airflow.url)
    yield opened
    opened.close()


class TestAirflowConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    """As the account with Airflow's role `user`."""

    kind = CONNECTOR
    against = "real: Airflow 3.3.2"
    patience_seconds: ClassVar[float] = HANGS_SECONDS
    limits: ClassVar[dict[str, str]] = {"unknown_word": "a real Airflow says no word that it does not have"}
    made: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def world(self, airflow: AirflowServer, passwords: None) -> Iterator[None]:
        self.airflow = airflow
        yield
        airflow.behave("stock_count", "succeed")

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
        """Until a run comes by the clock (a DAG that is held no more makes up for the latest instant), or none does."""
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
        runs = self.airflow.call("GET", f"dags/{dag}/dagRuns?run_type=scheduled&limit=100")["dag_runs"]
        return [run for run in runs if run["run_type"] == "scheduled"]

    def native_trace(self) -> object:
        dags = [self.airflow.call("GET", f"dags/{dag}/dagRuns") for dag in ("load_orders", "stock_count")]
        return [(run["dag_run_id"], run["queued_at"], run["note"]) for dag in dags for run in dag["dag_runs"]]


def test_the_inventory_has_schedules_tasks_and_the_edges_airflow_knows(
    airflow: AirflowServer, connector: Connector
) -> None:
    airflow.schedule("stock_count", "0 6 * * *")
    jobs = {job.native_id: job for job in connector.inventory("", CALL_SECONDS).jobs}
    schedule = jobs["stock_count"].schedule
    assert ("airflow", "0 6 * * *", "UTC", "At 06:00") == (
        schedule.dialect,
        schedule.expression,
        schedule.zone,
        schedule.text,
    )
    assert schedule.next_at is not None
    assert (6, 0) == (schedule.next_at.hour, schedule.next_at.minute)
    assert ("none", "Triggered by assets") == (
        jobs["supply_plan"].schedule.dialect,
        jobs["supply_plan"].schedule.text,
    )
    assert ("load_orders",) == jobs["supply_plan"].upstreams
    assert ("load_orders.load",) == jobs["load_orders.publish"].upstreams
    assert "load_orders" == jobs["load_orders.publish"].parent
    assert jobs["parked"].paused
    assert "mapped" == jobs["mapped.regions.count_region"].parent


def test_a_changed_schedule_is_seen_in_the_next_inventory(airflow: AirflowServer, connector: Connector) -> None:
    airflow.schedule("stock_count", "0 6 * * *")
    first = connector.inventory("", CALL_SECONDS)
    airflow.schedule("stock_count", "30 7 * * *")
    second = connector.inventory(first.hash, CALL_SECONDS)
    assert not second.unchanged
    before = next(job for job in first.jobs if job.native_id == "stock_count")
    after = next(job for job in second.jobs if job.native_id == "stock_count")
    assert ("0 6 * * *", "30 7 * * *") == (before.schedule.expression, after.schedule.expression)
    assert before.definition_hash != after.definition_hash


def test_a_failed_run_reports_its_tasks_and_the_log_of_the_failed_one(
    airflow: AirflowServer, connector: Connector
) -> None:
    run = ran(airflow, "load_orders", "fail", "failed")
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
    assert log.text.startswith("[log of task load, try 1 (failed)]\n")
    assert "reading /data/orders.csv" in log.text
    assert "FileNotFoundError: /data/orders.csv of this business date is not there" in log.text
    assert log.next is None


def test_failed_tasks_are_cleared_under_our_key_and_the_run_gets_attempt_two(
    airflow: AirflowServer, connector: Connector
) -> None:
    run = ran(airflow, "load_orders", "fail", "failed")
    airflow.call("PATCH", f"dags/load_orders/dagRuns/{run}", {"note": "seen by Ada"})
    first = attempt(connector, "load_orders", run)
    preview = connector.preview(action_spec_of(first), CALL_SECONDS)
    assert ("clear failed tasks", f"clear failed tasks of load_orders {run}") == (preview.verb, preview.summary)
    assert ("load", "publish") == preview.affected
    airflow.behave("load_orders", "succeed")
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    connector.act(preview, key, CALL_SECONDS)
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    airflow.wait_for("load_orders", run, "success")
    second = attempt(connector, "load_orders", run)
    assert (RunState.SUCCEEDED, key, first.period_key) == (second.state, second.action_key, second.period_key)
    assert first.attempt_key != second.attempt_key
    note = airflow.call("GET", f"dags/load_orders/dagRuns/{run}")["note"]
    assert note.endswith("]\nseen by Ada")
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), CALL_SECONDS)


def test_a_clear_by_somebody_else_is_an_attempt_without_our_key(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "load_orders", "fail", "failed")
    preview = connector.preview(action_spec_of(attempt(connector, "load_orders", run)), CALL_SECONDS)
    key = new_key()
    connector.act(preview, key, CALL_SECONDS)
    airflow.wait_for("load_orders", run, "failed")
    ours = attempt(connector, "load_orders", run)
    airflow.call("POST", f"dags/load_orders/dagRuns/{run}/clear", {"dry_run": False, "only_failed": True})
    airflow.wait_for("load_orders", run, "failed")
    theirs = attempt(connector, "load_orders", run)
    assert (key, None) == (ours.action_key, theirs.action_key)
    assert ours.attempt_key != theirs.attempt_key


def test_a_lost_answer_of_a_clear_is_found_again_by_its_note(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "load_orders", "fail", "failed")
    preview = connector.preview(action_spec_of(attempt(connector, "load_orders", run)), CALL_SECONDS)
    key = new_key()
    with eating_answers(airflow.port, b"/clear HTTP") as port:
        cut_off = connect(f"http://127.0.0.1:{port}")
        with pytest.raises(AnswerLost):
            cut_off.act(preview, key, CALL_SECONDS)
        cut_off.close()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    airflow.wait_for("load_orders", run, "failed")
    assert key == attempt(connector, "load_orders", run).action_key, "though the second half of the mark was never sent"


def test_a_green_run_is_cleared_whole(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "load_orders", "succeed", "success")
    run_record = attempt(connector, "load_orders", run)
    preview = connector.preview(action_spec_of(run_record), CALL_SECONDS)
    assert f"clear the whole run load_orders {run}" == preview.summary
    assert ("check_file", "load", "publish") == preview.affected
    connector.act(preview, key := new_key(), CALL_SECONDS)
    airflow.wait_for("load_orders", run, "success")
    assert key == attempt(connector, "load_orders", run).action_key


def test_a_task_is_cleared_with_what_follows_it(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "load_orders", "fail", "failed")
    task = attempt(connector, "load_orders.load", run)
    preview = connector.preview(action_spec_of(task), CALL_SECONDS)
    assert ("load", "publish") == preview.affected
    airflow.behave("load_orders", "succeed")
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    connector.act(preview, key, CALL_SECONDS)
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    airflow.wait_for("load_orders", run, "success")
    again = attempt(connector, "load_orders.load", run)
    assert (RunState.SUCCEEDED, key) == (again.state, again.action_key)
    assert task.attempt_key != again.attempt_key


def test_what_runs_is_not_cleared(airflow: AirflowServer, connector: Connector) -> None:
    dag = running(airflow, connector, "stock_count", "count")
    assert RunState.RUNNING == dag.state
    refused = connector.preview(action_spec_of(dag), CALL_SECONDS).refused
    assert refused is not None
    assert refused.startswith("the run is running since ")
    airflow.behave("stock_count", "succeed")
    airflow.wait_for("stock_count", str(dag.period_key), "success")


def with_line(chunk: LogChunk) -> LogChunk | None:
    """The chunk once the hanging task has said something."""
    return chunk if "waiting for a lock on table orders" in chunk.text else None


def test_a_running_log_is_followed_and_ends(airflow: AirflowServer, connector: Connector) -> None:
    run = str(running(airflow, connector, "stock_count", "count").period_key)
    task = attempt(connector, "stock_count.count", run)
    whole = until("a first line", lambda: with_line(connector.log(ref(task), None, 65536, CALL_SECONDS)))
    assert whole.next is not None
    more = until("a further line", lambda: with_line(connector.log(ref(task), whole.next, 65536, CALL_SECONDS)))
    assert len(more.text) < len(whole.text), "what was shown is not shown again"
    airflow.behave("stock_count", "succeed")
    airflow.wait_for("stock_count", run, "success")
    place: str | None = more.next
    end = time.monotonic() + HANGS_SECONDS
    while place is not None and time.monotonic() < end:
        place = connector.log(ref(task), place, 65536, CALL_SECONDS).next
    assert None is place


def test_a_retry_is_two_attempts_and_the_first_one_is_closed(airflow: AirflowServer, connector: Connector) -> None:
    run = f"lab__{new_key()}"
    airflow.trigger("retried", run)
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
    assert [RunState.FAILED, RunState.SUCCEEDED] == [run.state for run in seen.values()]


def test_mapped_instances_are_one_run_of_their_task(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "mapped", "as it is", "failed")
    runs = [
        run_record
        for run_record in every(connector)
        if run_record.job == "mapped.regions.count_region" and run_record.period_key == run
    ]
    assert [RunState.FAILED] == [run.state for run in runs]
    assert "3 mapped: 2 success, 1 failed; not green: 2" == runs[0].message
    log = connector.log(ref(runs[0]), None, 65536, CALL_SECONDS)
    assert "ZeroDivisionError" in log.text


def test_a_run_that_the_clock_made_has_its_instant_as_period(airflow: AirflowServer, connector: Connector) -> None:
    """The scheduler starts the latest instant at once, even without catch-up."""
    airflow.behave("stock_count", "succeed")
    airflow.schedule("stock_count", "* * * * *")
    run = until("a scheduled run", lambda: by_clock(connector, "stock_count"))
    airflow.schedule("stock_count", None)
    at = run.period_at
    assert at is not None
    assert (0, 0, None) == (at.second, at.microsecond, run.interval_start)
    assert (RunState.SUCCEEDED, instant_key(at)) == (run.state, run.period_key)
    tasks = [
        run_record
        for run_record in every(connector)
        if run_record.job == "stock_count.count" and run_record.period_key == run.period_key
    ]
    assert [RunState.SUCCEEDED] == [run.state for run in tasks]


def by_clock(connector: Connector, dag: str) -> RunRecord | None:
    """An ended run of this DAG that its schedule made."""
    runs = [run for run in every(connector) if run.job == dag and run.context.get("run_type") == "scheduled"]
    return next((run for run in runs if not run.state.is_open), None)


def test_a_missed_run_is_triggered_once_for_its_instant(airflow: AirflowServer, connector: Connector) -> None:
    airflow.behave("supply_plan", "succeed")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    missed = ActionSpec(Verb.RERUN, RunRef("supply_plan", instant_key(at), "", ""), RunState.MISSED)
    preview = connector.preview(missed, CALL_SECONDS)
    assert (None, "trigger") == (preview.refused, preview.verb)
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    first = connector.act(preview, key, CALL_SECONDS)
    assert first.native_ref == connector.act(preview, key, CALL_SECONDS).native_ref
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    run = f"headway__{key.removeprefix('headway-')}"
    airflow.wait_for("supply_plan", run, "success")
    run_record = attempt(connector, "supply_plan", run)
    assert (RunState.SUCCEEDED, key, instant_key(at)) == (
        run_record.state,
        run_record.action_key,
        run_record.period_key,
    )
    again = connector.preview(missed, CALL_SECONDS)
    assert f"Airflow has this run: {run} is success" == again.refused
    with pytest.raises(NotSupported, match="another run for"):
        connector.act(preview, new_key(), CALL_SECONDS)


def test_a_missed_run_of_a_paused_dag_says_that_it_would_wait(connector: Connector) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    preview = connector.preview(
        ActionSpec(Verb.RERUN, RunRef("parked", instant_key(at), "", ""), RunState.MISSED), CALL_SECONDS
    )
    assert preview.notes == ("parked is paused: the run stays queued until the DAG is resumed",)


def test_a_deleted_run_is_not_reported_as_ended(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "stock_count", "succeed", "success")
    run_record = attempt(connector, "stock_count", run)
    airflow.call("DELETE", f"dags/stock_count/dagRuns/{run}")
    cursor = connector.poll("", (), CALL_SECONDS).cursor
    removed_run = {run.attempt_key: run for run in connector.poll(cursor, (ref(run_record),), CALL_SECONDS).runs}[
        run_record.attempt_key
    ]
    assert (RunState.LOST, "deleted", RunEvidence.INFERRED) == (
        removed_run.state,
        removed_run.native_state,
        removed_run.evidence,
    )


def test_a_viewer_sees_everything_and_learns_that_it_cannot_act(airflow: AirflowServer) -> None:
    run = ran(airflow, "stock_count", "fail", "failed")
    viewer = connect(airflow.url, "viewer")
    try:
        rights = {right.name: right.held for right in viewer.probe(20).rights}
        assert {False} == {held for name, held in rights.items() if not name.startswith("read")}
        assert {True} == {held for name, held in rights.items() if name.startswith("read")}
        run_record = attempt(viewer, "stock_count", run)
        with pytest.raises(AccessRefused, match="Forbidden"):
            viewer.preview(action_spec_of(run_record), CALL_SECONDS)
    finally:
        viewer.close()


def test_the_probe_changes_nothing_and_leaves_no_line_in_the_audit_log(
    airflow: AirflowServer, connector: Connector
) -> None:
    before = airflow.call("GET", "eventLogs?limit=1&order_by=-id&owner=headway")["total_entries"]
    probe = connector.probe(20)
    after = airflow.call("GET", "eventLogs?limit=1&order_by=-id&owner=headway")["total_entries"]
    assert before == after
    assert probe.version == "3.3.2"
    assert all(right.held for right in probe.rights)
    assert not [note for note in probe.notes if "triggerer" in note], "a triggerer that is not deployed is not down"


def test_a_wrong_password_is_refused_and_after_three_tries_not_sent_again(
    airflow: AirflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_AF_NOBODY", "wrong-password")
    unknown_user = connect(airflow.url, "nobody")
    try:
        for _ in range(3):
            with pytest.raises(AccessRefused, match="the password of 'nobody' was refused"):
                unknown_user.poll("", (), CALL_SECONDS)
        with pytest.raises(AccessRefused, match="3 logins of 'nobody'"):
            unknown_user.poll("", (), CALL_SECONDS)
    finally:
        unknown_user.close()


def test_a_frozen_server_is_unreachable_at_the_deadline_and_nothing_is_lost(
    airflow: AirflowServer, connector: Connector
) -> None:
    cursor = connector.poll("", (), CALL_SECONDS).cursor
    airflow.freeze()
    try:
        with pytest.raises(SystemUnreachable, match=r"no answer within (1|0\.\d+) s"):
            connector.poll(cursor, (), 1.0)
    finally:
        airflow.thaw()
    run = ran(airflow, "stock_count", "succeed", "success")
    runs = until(
        "the run after the thaw",
        lambda: [run_record for run_record in every(connector, cursor) if run_record.period_key == run],
    )
    assert RunState.SUCCEEDED == runs[-1].state


@pytest.mark.parametrize("name", ["hangs", "drips", "resets in mid reply", "ends in mid reply", "swallows its answers"])
def test_f24_a_real_airflow_in_trouble_costs_the_deadline_and_loses_nothing(airflow: AirflowServer, name: str) -> None:
    with FaultProxy(airflow.port) as proxy:
        connector = connect(f"http://127.0.0.1:{proxy.port}")
        before = [(run.job, run.attempt_key) for run in every(connector)]
        proxy.fault = FAULTS[name]
        assert "127.0.0.1" in late(lambda: connector.poll("", (), TIMEOUT))
        proxy.fault = GOOD
        again = [(run.job, run.attempt_key) for run in every(connector)]
        assert set(before) <= set(again)
        assert len(set(again)) == len(again)
        connector.close()


def test_every_run_and_task_instance_of_its_database_is_in_the_store_as_it_is(
    airflow: AirflowServer, tmp_path: Path
) -> None:
    """After all that the tests before it made; the tries of each task included."""
    with watched(airflow, tmp_path / "headway", "1s") as store:
        runs, tasks = compared(airflow, store)
    assert not runs.different, runs.text("DAG runs")
    assert not tasks.different, tasks.text("tasks of runs")
    assert min(runs.compared, tasks.compared) > 0
