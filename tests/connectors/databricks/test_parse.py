"""Databricks' states, schedules and repairs, as parsed here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.databricks import parse
from connectors.databricks.parse import RESULT_STATES, TERMINATION_CODES, parse_state
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.states import RunEvidence, RunState
from console.timing.schedule import instants, schedule_fault
from tests.connectors.databricks.support import ORDERS, STOCK, TYPES, latest_records, opened, workspace
from tests.corpus import HOSTILE
from tests.rows import each_row


def ended(code: str, result: str = "") -> dict[str, Any]:
    old = {"life_cycle_state": "TERMINATED", **({"result_state": result} if result else {})}
    new = {"state": "TERMINATED", **({"termination_details": {"code": code}} if code else {})}
    return {"state": old, "status": new}


@each_row(
    "code, result, state, native",
    [
        ("SUCCESS", "SUCCESS", RunState.SUCCEEDED, "SUCCESS"),
        ("SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES", RunState.PARTIAL, "SUCCESS_WITH_FAILURES"),
        ("RUN_EXECUTION_ERROR", "TIMEDOUT", RunState.TIMED_OUT, "TIMEDOUT"),
        ("SKIPPED", "UPSTREAM_FAILED", RunState.BLOCKED, "UPSTREAM_FAILED"),
        ("CLUSTER_ERROR", "FAILED", RunState.FAILED, "CLUSTER_ERROR"),
        ("", "SUCCESS", RunState.SUCCEEDED, "SUCCESS"),
        ("MAX_CONCURRENT_RUNS_EXCEEDED", "", RunState.SKIPPED, "MAX_CONCURRENT_RUNS_EXCEEDED"),
        ("MOON_PHASE", "FAILED", RunState.FAILED, "MOON_PHASE, FAILED"),
        ("MOON_PHASE", "SUCCESS", RunState.UNKNOWN, "MOON_PHASE"),
        ("SUCCESS", "GLORIOUS", RunState.UNKNOWN, "GLORIOUS"),
        ("", "", RunState.UNKNOWN, "TERMINATED"),
    ],
)
def test_an_end_is_determined_by_both_of_its_states(code: str, result: str, state: RunState, native: str) -> None:
    databricks_state = parse_state(ended(code, result))
    assert (state, native) == (databricks_state.state, databricks_state.native_state)


@pytest.mark.parametrize("code, result", [("SUCCESS", "FAILED"), ("RUN_EXECUTION_ERROR", "SUCCESS")])
def test_two_contradicting_states_never_mean_success(code: str, result: str) -> None:
    state = parse_state(ended(code, result))
    assert (RunState.FAILED, RunEvidence.CONFLICT, f"{code}, {result}") == (
        state.state,
        state.evidence,
        state.native_state,
    )


def test_only_success_is_green() -> None:
    assert ["SUCCESS"] == [term for term, state in TERMINATION_CODES.items() if state is RunState.SUCCEEDED]
    assert ["SUCCESS"] == [term for term, state in RESULT_STATES.items() if state is RunState.SUCCEEDED]


def test_a_schedule_is_read_by_the_control_plane_and_an_unreadable_one_is_reported() -> None:
    row = {"quartz_cron_expression": "0 10 3 * * ?", "timezone_id": "Europe/Berlin"}
    good = parse.parse_schedule({"schedule": row})
    day = datetime(2026, 11, 21, tzinfo=UTC)
    assert [day.replace(hour=2, minute=10)] == instants(good, day, day.replace(hour=23))
    odd = parse.parse_schedule({"schedule": {**row, "quartz_cron_expression": "0 0 6 1 * 2"}})
    assert "not both" in str(schedule_fault(odd))


@each_row(
    "settings, text",
    [
        ({}, "started by hand or by another job"),
        ({"continuous": {"pause_status": "UNPAUSED"}}, "continuous: a new run begins when one ends"),
        ({"trigger": {"periodic": {"interval": 4, "unit": "HOURS"}}}, "every 4 hours"),
        ({"trigger": {"file_arrival": {"url": "s3://a/"}}}, "when files arrive"),
    ],
)
def test_a_trigger_other_than_a_schedule_is_described(settings: dict[str, Any], text: str) -> None:
    schedule = parse.parse_schedule(settings)
    assert ("none", text) == (schedule.dialect, schedule.text)


def test_tasks_are_listed_by_type_in_order_with_the_job_they_run_and_health_rules() -> None:
    fake = workspace()
    rules = [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600}]
    fake.job(13, "all types", *TYPES, health={"rules": rules})
    jobs = {job.native_id: job for job in opened(fake).inventory("", 10).jobs}
    kinds = [jobs[f"13.{task['task_key']}"].definition for task in TYPES]
    assert ["spark_python: /Shared/a.py", "sql: w1", 'dbt: ["dbt build"]', "pipeline: p1", "run_job: 12"] == kinds
    assert ("13.pipe", STOCK) == jobs["13.child"].upstreams
    assert "health: RUN_DURATION_SECONDS GREATER_THAN 3600" in jobs["13"].definition


def test_a_repair_is_a_further_attempt_and_the_first_keeps_its_end() -> None:
    fake = workspace()
    fake.outcome[int(ORDERS)] = "FAILED"
    run = fake.start(int(ORDERS), "PERIODIC")
    fake.tick()
    fake.tick(60)
    fake.outcome.clear()
    repair = fake.repair(run, ["load"])
    fake.tick()
    runs = latest_records(opened(fake))[0]
    first, second = runs[ORDERS, str(run["run_id"])], runs[ORDERS, f"{run['run_id']}.{repair}"]
    assert (RunState.FAILED, RunState.SUCCEEDED) == (first.state, second.state)
    assert (None, first.attempt_key) == (first.period_key, second.again_of)
    tasks = {job: run.state for (job, _), run in runs.items() if "." in job}
    assert {f"{ORDERS}.extract": RunState.SUCCEEDED, f"{ORDERS}.load": RunState.SUCCEEDED} == tasks
    assert second.started_at is not None
    assert first.ended_at is not None
    assert first.ended_at <= second.started_at


def test_the_duration_of_a_run_is_stored_with_it() -> None:
    fake = workspace()
    run = fake.start(int(STOCK))
    fake.tick()
    context = latest_records(opened(fake))[0][STOCK, str(run["run_id"])].context
    assert (2.0, 0.5, 1.5) == tuple(context[f"{name}_seconds"] for name in ("run", "setup", "execution"))


def test_any_text_is_a_record_or_unreadable() -> None:
    for odd in HOSTILE:
        row = {"run_id": 7, "job_id": 1, "run_name": odd, "state": {"life_cycle_state": odd, "state_message": odd}}
        tasks = [{"task_key": odd, "run_id": 8, **ended(odd, odd)}]
        try:
            attempts = parse.run_records({**row, "tasks": tasks, "trigger": odd, "start_time": 1})
            records = [*attempts, *parse.task_records({**row, "tasks": tasks}, attempts)]
        except RecordUnreadable:
            continue
        assert {record.state for record in records} <= {RunState.UNKNOWN, RESULT_STATES.get(odd)}, ascii(odd)
