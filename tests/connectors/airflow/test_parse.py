"""Recorded replies of Airflow 3.3 read as records; anything else is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.airflow import log, parse
from connectors.airflow.parse import AirflowPeriod, DagDefinition, action_mark, action_of_run, run_id_for_key
from connectors.sdk import log_chunks
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.records import Schedule
from connectors.sdk.states import RunEvidence, RunState
from console.timing.dialects import StartQueue
from console.timing.schedule import start_queue
from tests.fakes.airflow_actions import recorded
from tests.rows import each_row

BASE = "https://airflow.example.com"
SCHEDULED, MANUAL = 0, 1
KEY = "headway-0123456789abcdef"
PERIOD = AirflowPeriod("2026-11-20T00:00:00Z", datetime(2026, 11, 20, tzinfo=UTC), None)


def run_row(number: int = SCHEDULED, **changes: Any) -> dict[str, Any]:
    return {**recorded("dagRuns_updated_since")["dag_runs"][number], **changes}


def task_row(name: str, **changes: Any) -> dict[str, Any]:
    rows = recorded("taskInstances_updated_since")["task_instances"]
    return {**next(row for row in rows if row["task_id"] == name), **changes}


def task(*rows: dict[str, Any]) -> Any:
    return parse.task_record([parse.parse_instance(row) for row in rows], PERIOD, BASE)


def test_a_scheduled_run_is_known_by_its_instant() -> None:
    run = parse.run_record(run_row(), BASE)
    assert ("etl_fail", RunState.FAILED, "failed") == (run.job, run.state, run.native_state)
    assert ("2026-11-20T00:00:00Z", datetime(2026, 11, 20, tzinfo=UTC)) == (run.period_key, run.period_at)
    assert "scheduled__2026-11-20T00:00:00+00:00@2026-11-20T05:01:47.684217Z" == run.attempt_key
    assert None is run.interval_start, "an empty data interval is none"
    assert f"{BASE}/dags/etl_fail/runs/scheduled__2026-11-20T00%3A00%3A00%2B00%3A00" == run.native_url


def test_a_run_by_hand_is_known_by_its_own_id() -> None:
    run = parse.run_record(run_row(MANUAL), BASE)
    assert "manual__2026-11-20T05:02:20.954718+00:00" == run.period_key
    assert {"k": "v", "n": 1} == run.context["conf"]


def test_a_data_interval_gives_the_business_date_and_run_after_the_instant() -> None:
    run = parse.run_record(
        run_row(data_interval_start="2026-11-19T01:00:00Z", data_interval_end="2026-11-20T00:00:00Z"), BASE
    )
    assert datetime(2026, 11, 19, 1, tzinfo=UTC) == run.interval_start
    assert "2026-11-20T00:00:00Z" == run.period_key


def test_a_green_run_with_failed_tasks_is_partial() -> None:
    run = parse.run_record(run_row(state="success"), BASE, ["bad (failed)"])
    assert (RunState.PARTIAL, "success", "tasks not green: bad (failed)") == (run.state, run.native_state, run.message)


def test_many_failed_tasks_are_named_up_to_twelve() -> None:
    run = parse.run_record(run_row(), BASE, [f"t{number}" for number in range(1000)])
    assert run.message.endswith("t10, t11 and 988 more")


@each_row(
    "native, state",
    [
        ("queued", RunState.QUEUED),
        ("running", RunState.RUNNING),
        ("success", RunState.SUCCEEDED),
        ("failed", RunState.FAILED),
    ],
)
def test_every_run_state_is_mapped(native: str, state: RunState) -> None:
    run = parse.run_record(run_row(state=native), BASE)
    assert (state, native, RunEvidence.NATIVE) == (run.state, run.native_state, run.evidence)
    assert state.is_open == (run.ended_at is None)


def test_a_new_state_of_a_run_is_unknown_and_never_green() -> None:
    run = parse.run_record(run_row(state="almost_success"), BASE)
    assert (RunState.UNKNOWN, "almost_success", RunEvidence.INFERRED) == (run.state, run.native_state, run.evidence)


def test_an_end_before_its_start_is_pulled_to_the_start() -> None:
    run = parse.run_record(run_row(end_date="2020-01-01T00:00:00Z"), BASE)
    assert run.started_at == run.ended_at


@pytest.mark.parametrize(
    "run_id, note, queued_at, key",
    [
        ("scheduled__x", "", "q2", None),
        ("scheduled__x", action_mark(KEY, "q1", "q2"), "q2", KEY),
        ("scheduled__x", action_mark(KEY, "q1", "q2"), "q3", None),
        ("scheduled__x", action_mark(KEY, "q1"), "q2", KEY),
        ("scheduled__x", action_mark(KEY, "q1"), "q1", None),
        ("scheduled__x", f"{action_mark(KEY, 'q1', 'q2')}\nseen by Ada", "q2", KEY),
        ("scheduled__x", "headway-0123456789abcdef was here", "q2", None),
        (run_id_for_key(KEY), "", "q1", KEY),
        (run_id_for_key(KEY), action_mark(KEY, "q1", "q2"), "q3", None),
        ("headway__UPPER", "", "q1", None),
    ],
    ids=[
        "none",
        "ours",
        "a later clear",
        "second half lost",
        "not yet",
        "beside a note",
        "words",
        "trigger",
        "cleared",
        "odd",
    ],
)
def test_the_attempt_that_we_made_is_known_by_its_mark(run_id: str, note: str, queued_at: str, key: str | None) -> None:
    assert key == action_of_run(run_id, note, queued_at)


@each_row(
    "native, state, reason",
    [
        ("none", "waiting", "upstream"),
        ("scheduled", "waiting", "slot"),
        ("queued", "queued", ""),
        ("running", "running", ""),
        ("restarting", "retrying", ""),
        ("up_for_retry", "retrying", "time"),
        ("up_for_reschedule", "waiting", "event"),
        ("deferred", "waiting", "event"),
        ("awaiting_input", "waiting", "approval"),
        ("success", "succeeded", ""),
        ("failed", "failed", ""),
        ("upstream_failed", "blocked", ""),
        ("skipped", "skipped", ""),
        ("removed", "skipped", ""),
        ("awaiting_moon", "unknown", ""),
    ],
)
def test_every_task_state_is_mapped(native: str, state: str, reason: str) -> None:
    """Those of TaskInstanceState, Airflow 2.10 to 3.3, and one of a newer release."""
    raw = None if native == "none" else native
    item = task(task_row("transform", state=raw))
    assert (state, reason, native) == (item.state.value, item.reason, item.native_state)
    assert (item.state in (RunState.SUCCEEDED, RunState.FAILED)) <= (item.evidence is RunEvidence.NATIVE)
    assert not (item.state.is_open and item.ended_at)


def test_a_task_is_a_job_below_its_dag_with_its_group_in_its_name() -> None:
    item = task(task_row("load.write"))
    assert ("etl_fail.load.write", RunState.BLOCKED, None) == (item.job, item.state, item.started_at)
    assert PERIOD.key == item.period_key


@each_row("native", ["up_for_retry", None, "scheduled", "queued", "upstream_failed"])
def test_a_task_that_waits_does_not_show_the_start_of_the_try_before(native: str | None) -> None:
    assert None is task(task_row("transform", state=native)).started_at


def test_each_try_is_an_attempt_and_a_clear_of_a_task_that_never_ran_is_one() -> None:
    reloaded = "01a1f806-48e7-7f66-aa55-d27e7cd8c0a7"
    first, second = task(task_row("transform")), task(task_row("transform", id=reloaded, try_number=3))
    assert ["#2", "#3"] == [item.attempt_key[-2:] for item in (first, second)]
    assert datetime(2026, 11, 20, 8, 15, 23, 879000, UTC) == second.queued_at
    blocked = [
        task(task_row("load.write", state="upstream_failed", try_number=0, **more)) for more in ({}, {"id": reloaded})
    ]
    assert blocked[0].attempt_key != blocked[1].attempt_key
    assert all(item.formerly.endswith("#1") for item in blocked)


def test_an_id_other_than_uuid7_yields_no_time() -> None:
    assert None is parse.uuid7_time("01a1f806-48e7-4f66-aa55-d27e7cd8c0a7")
    assert None is parse.uuid7_time("7" * 12)
    assert None is parse.uuid7_time("zzzzzzzz-zzzz-7zzz-zzzz-zzzzzzzzzzzz")


def mapped(*changes: dict[str, Any]) -> Any:
    row = recorded("listMapped")["task_instances"][0]
    return task(*[{**row, "map_index": number, **change} for number, change in enumerate(changes)])


WELL = {"state": "success", "try_number": 1}


@each_row(
    "states, state",
    [
        (["success", "success"], RunState.SUCCEEDED),
        (["success", "skipped"], RunState.SUCCEEDED),
        (["skipped", "skipped"], RunState.SKIPPED),
        (["success", "failed"], RunState.FAILED),
        (["failed", "upstream_failed"], RunState.FAILED),
        (["failed", "running"], RunState.RUNNING),
        (["success", None], RunState.WAITING),
        (["success", "up_for_retry"], RunState.RETRYING),
        (["success", "odd"], RunState.UNKNOWN),
        (["failed", "odd"], RunState.FAILED),
    ],
)
def test_mapped_instances_are_one_run_and_the_worst_counts(states: list[str | None], state: RunState) -> None:
    item = mapped(*[{"state": native} for native in states])
    assert state == item.state
    assert item.message.startswith("2 mapped: ")


def test_a_second_try_of_one_mapped_instance_is_a_further_attempt() -> None:
    first, second = mapped(WELL, {"state": "failed", "try_number": 1}), mapped(WELL, {"state": None, "try_number": 1})
    third = mapped(WELL, {"state": "success", "try_number": 2})
    assert first.attempt_key != second.attempt_key
    assert second.attempt_key == third.attempt_key


def test_the_mark_in_a_note_of_a_task_gives_its_action() -> None:
    assert KEY == task(task_row("transform", note=action_mark(KEY))).action_key
    assert None is task(task_row("transform", note="rerun by hand")).action_key


def test_dags_and_tasks_become_jobs_with_their_edges() -> None:
    definition = parse.parse_definition("etl_fail", recorded("dagDetails"), recorded("tasks")["tasks"])
    upstreams = {job.native_id: job.upstreams for job in definition.tasks}
    assert ("etl_fail.extract",) == upstreams["etl_fail.transform"]
    assert ("etl_fail.load.write",) == upstreams["etl_fail.load.report"]
    assert () == upstreams["etl_fail.extract"]
    job = parse.dag_record(recorded("dags")["dags"][1], definition, {"producer", "etl_fail"}, BASE)
    assert ("etl_fail", ("producer",), "ops") == (job.native_id, job.upstreams, job.owner)
    at = datetime(2026, 11, 21, tzinfo=UTC)
    assert Schedule("airflow", "0 0 * * *", "UTC", "At 00:00", at) == job.schedule


def test_the_producer_of_an_asset_feeds_the_dag_that_waits_for_it() -> None:
    assert {"consumer": {"producer"}} == parse.parse_asset_edges(recorded("assets")["assets"][0])


def test_an_asset_triggered_dag_has_a_description_and_no_schedule() -> None:
    schedule = parse.parse_schedule(recorded("dags")["dags"][0], "UTC")
    assert Schedule("none", "", "UTC", "Triggered by assets") == schedule


@each_row(
    "summary, next_at, dialect",
    [
        ("0 2 * * *", "2026-11-21T02:00:00Z", "airflow"),
        ("0 2 * * *", None, "airflow"),
        ("1 day, 0:00:00", "2026-11-21T02:00:00Z", "airflow"),
        ("1 day, 0:00:00", None, "airflow"),
        ("AfterWorkdayTimetable", None, "airflow"),
        ("Dataset or 0 1 * * 3", None, "airflow"),
        ("@once", "2026-11-21T02:00:00Z", "none"),
        ("@once", None, "none"),
        ("Unresolved DatasetAlias", None, "none"),
        ("Asset", None, "none"),
        (None, None, "none"),
    ],
)
def test_before_3_3_the_summary_shows_what_is_periodic_and_a_next_run_or_none_is_no_drift(
    summary: str | None, next_at: str | None, dialect: str
) -> None:
    row = {**recorded("dags")["dags"][1], "timetable_summary": summary, "next_dagrun_run_after": next_at}
    del row["timetable_periodic"]
    assert dialect == parse.parse_schedule(row, "UTC").dialect


@each_row("at_most, queue", [(16, StartQueue.NONE), (None, StartQueue.NONE), (1, StartQueue.ONE)])
def test_a_start_during_the_run_of_a_dag_with_one_active_run_waits(at_most: int | None, queue: StartQueue) -> None:
    row = {**recorded("dags")["dags"][1], "timetable_summary": "0 2 * * *", "max_active_runs": at_most}
    row |= {"timetable_periodic": True, "next_dagrun_run_after": "2026-11-21T02:00:00Z"}
    assert queue is start_queue(parse.parse_schedule(row, "UTC"))


def test_a_timetable_without_an_expression_says_nothing_of_zones() -> None:
    row = {**recorded("dags")["dags"][1], "timetable_summary": "1 day, 0:00:00", "timetable_description": ""}
    assert "1 day, 0:00:00" == parse.parse_schedule(row, "UTC").text


@pytest.mark.parametrize("before, after", [("Unresolved DatasetAlias", "Dataset"), ("Unresolved AssetAlias", "Asset")])
def test_an_alias_that_a_run_resolves_is_no_change_of_the_definition(before: str, after: str) -> None:
    digests = {
        parse.parse_definition("consumer", {**recorded("dagDetails"), "timetable_summary": summary}, ()).digest
        for summary in (before, after)
    }
    assert 1 == len(digests)


@pytest.mark.parametrize(
    "summary, zone, next_at, expression",
    [
        ("0 2 * * *", "Europe/Berlin", "2026-11-21T01:00:00Z", "0 2 * * *"),
        ("0 2 * * *", "UTC", "2026-11-21T01:00:00Z", ""),
        ("0 2 * * *", "Mars/Olympus", "2026-11-21T01:00:00Z", ""),
        ("1 day, 0:00:00", "UTC", "2026-11-21T01:00:00Z", ""),
        ("0 2 * * *", "UTC", None, ""),
    ],
    ids=["fits", "another zone", "no zone", "no cron", "nothing next"],
)
def test_an_expression_that_contradicts_airflows_next_run_is_not_used(
    summary: str, zone: str, next_at: str | None, expression: str
) -> None:
    row = {**recorded("dags")["dags"][1], "timetable_summary": summary, "next_dagrun_run_after": next_at}
    assert expression == parse.parse_schedule(row, zone).expression


@each_row(
    "summary, zone, runs",
    [
        ("0 0 */1 * 5", "UTC", ["2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"]),
        ("0 22-2 * * *", "UTC", ["2026-11-26T22:00:00Z", "2026-11-27T02:00:00Z"]),
        ("30 2 * * *", "Europe/Berlin", ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]),
        ("30 2 * * *", "Europe/Berlin", ["2026-10-24T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]),
        ("0 6 * * 5 30", "UTC", ["2026-11-27T06:00:30Z", "2026-12-04T06:00:30Z"]),
    ],
)
def test_the_expression_stays_whatever_day_airflow_names_next(summary: str, zone: str, runs: list[str]) -> None:
    """Each change of it would be a drift."""
    rows = [{"timetable_summary": summary, "timetable_periodic": True, "next_dagrun_run_after": run} for run in runs]
    assert {summary} == {parse.parse_schedule(row, zone).expression for row in rows}


@pytest.mark.parametrize("due, expression", [("2026-11-20T02:00:00Z", "0 2 * * *"), ("2026-11-20T20:30:00Z", "")])
def test_without_a_next_run_the_last_one_shows_whether_the_expression_holds(due: str, expression: str) -> None:
    row = {**recorded("dags")["dags"][1], "timetable_summary": "0 2 * * *", "next_dagrun_run_after": None}
    assert expression == parse.parse_schedule(row, "UTC", datetime.fromisoformat(due)).expression


def test_airflow_3_0_names_the_dags_that_an_asset_starts_otherwise() -> None:
    """consuming_dags became scheduled_dags in 3.1; without it there was no lineage and no word of it."""
    asset = {**recorded("assets")["assets"][0]}
    asset["consuming_dags"] = asset.pop("scheduled_dags")
    assert {"consumer": {"producer"}} == parse.parse_asset_edges(asset)


def test_a_waiting_task_without_a_time_of_its_own_waits_since_its_run_started() -> None:
    """Airflow 2: counted from the period, a late or cleared run was stuck at once."""
    began = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    waiting = task_row("transform", state="scheduled", id="run#1", scheduled_when=None)
    period = parse.AirflowPeriod("p", began, None, began)
    assert began == parse.task_record([parse.parse_instance(waiting)], period, BASE).queued_at
    done = task_row("transform", state="success", id="run#1")
    assert parse.task_record([parse.parse_instance(done)], period, BASE).queued_at != began


@pytest.mark.parametrize(
    "native, tried, scheduled",
    [
        ("queued", 2, "2026-11-20T10:05:00Z"),
        ("scheduled", 2, "2026-11-20T10:05:00Z"),
        (None, 1, "2026-11-20T09:59:00Z"),
    ],
)
def test_a_try_that_the_scheduler_lost_comes_before_the_next_one_of_the_same_id(
    native: str | None, tried: int, scheduled: str
) -> None:
    """Airflow 3.0 keeps the id of such a task, whose time lies before the start of the lost try: the run was shown in
    the state of the lost try."""
    lost = datetime(2026, 11, 20, 10, tzinfo=UTC)
    row = task_row("transform", state=native, try_number=tried, scheduled_when=scheduled, start_date=lost.isoformat())
    queued_at = task(row | {"id": "01a1f806-48e7-7f66-aa55-d27e7cd8c0a7"}).queued_at
    assert queued_at is not None
    assert queued_at >= lost


def test_an_import_error_is_reported_by_its_last_line() -> None:
    expected = ("etl.py", "TypeError: Asset.__init__() got multiple values for argument 'name'")
    assert expected == parse.parse_import_error(recorded("importErrors")["import_errors"][0])


def test_a_log_shows_groups_times_levels_and_the_exception_that_is_not_in_the_event() -> None:
    lines = log.log_lines(recorded("log_failed_try")["content"])
    assert "[Log message source details]" == lines[0]
    assert "2026-11-20 05:01:54.141 transforming" in lines
    assert "  AirflowException: Bash command failed. The command returned a non-zero exit code 3." in lines
    assert not [line for line in lines if "::endgroup::" in line]


def test_the_end_of_a_text_is_cut_between_characters() -> None:
    assert ("€", True) == log_chunks.tail("ab€", 4 - 1)
    assert ("", True) == log_chunks.tail("ab€", 2)
    assert ("", True) == log_chunks.tail("abc", 0)
    assert ("ab€", False) == log_chunks.tail("ab€", 5)
    assert "ab" == log_chunks.head("ab€", 4)


# Anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800") | st.just(["\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
ROWS = {
    "run": (run_row(), lambda row: parse.run_record(row, BASE)),
    "task": (task_row("transform"), task),
    "mapped": (recorded("listMapped")["task_instances"][0], task),
    "dag": (
        recorded("dags")["dags"][1],
        lambda row: parse.dag_record(row, DagDefinition(1, "0 0 * * *", "UTC", (), "x"), (), BASE),
    ),
    "definition": (recorded("tasks")["tasks"][0], lambda row: parse.parse_definition("d", {}, [row])),
    "details": (recorded("dagDetails"), lambda row: parse.parse_definition("d", row, [])),
    "version": ({"dag_id": "a", "version_number": 1}, parse.parse_dag_version),
    "asset": (recorded("assets")["assets"][0], parse.parse_asset_edges),
    "import error": (recorded("importErrors")["import_errors"][0], parse.parse_import_error),
    "log": (recorded("log_failed_try")["content"][-1], lambda row: log.log_lines([row])),
}


@pytest.mark.parametrize("name", ROWS)
@given(data=st.data())
def test_a_row_with_any_field_spoiled_raises_nothing_but_unreadable(name: str, data: st.DataObject) -> None:
    row, read = ROWS[name]
    spoiled = deepcopy(row)
    for field in data.draw(st.lists(st.sampled_from(sorted(spoiled)), min_size=1, max_size=3)):
        spoiled[field] = data.draw(JSON)
    survives(read, spoiled)


@pytest.mark.parametrize("name", ROWS)
@given(anything=JSON)
def test_a_row_that_is_anything_at_all_raises_nothing_but_unreadable(name: str, anything: Any) -> None:
    survives(ROWS[name][1], anything)


def survives(read: Any, row: Any) -> None:
    try:
        result = read(row)
    except RecordUnreadable:
        return
    for text in texts(result):
        text.encode("utf-8")  # what cannot be stored or sent got through otherwise
    if hasattr(result, "context"):
        assert json.loads(json.dumps(dict(result.context), allow_nan=False)) == dict(result.context)


def texts(value: Any) -> Iterator[str]:
    """All texts inside a record."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        yield from texts([getattr(value, field.name) for field in dataclass_fields(value)])
    elif isinstance(value, dict):
        yield from texts([*value, *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from texts(item)
