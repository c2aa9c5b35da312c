"""Rows of Airflow 2 in the words of Airflow 3; the rows are those of a 2.11 that was measured."""

from __future__ import annotations

from typing import Any

from connectors.airflow import client_v2, parse
from connectors.sdk.states import RunState
from tests.rows import each_row

RUN: dict[str, Any] = {
    "conf": {},
    "dag_id": "etl",
    "dag_run_id": "scheduled__2026-11-19T00:00:00+00:00",
    "data_interval_start": "2026-11-19T00:00:00+00:00",
    "data_interval_end": "2026-11-20T00:00:00+00:00",
    "start_date": "2026-11-20T05:11:47.907506+00:00",
    "end_date": "2026-11-20T05:12:35.976453+00:00",
    "logical_date": "2026-11-19T00:00:00+00:00",
    "note": None,
    "run_type": "scheduled",
    "state": "failed",
}
TASK: dict[str, Any] = {
    "dag_id": "etl",
    "dag_run_id": "manual__1",
    "task_id": "load",
    "map_index": -1,
    "state": "failed",
    "try_number": 2,
    "start_date": "2026-11-20T05:12:24.648785+00:00",
    "end_date": "2026-11-20T05:12:25.572717+00:00",
    "queued_when": "2026-11-20T05:12:19.249850+00:00",
    "note": None,
    "operator": "BashOperator",
}
AT = "2026-11-20T05:12:30.000000+00:00"


def task_instance(**changed: Any) -> parse.AirflowTaskInstance:
    return parse.parse_instance(client_v2.translate_task({**TASK, **changed}))


def test_a_run_is_due_at_the_end_of_its_interval_and_known_by_its_start() -> None:
    run = parse.run_record(client_v2.translate_run(RUN), "https://a")
    assert ("2026-11-20T00:00:00Z", RunState.FAILED) == (run.period_key, run.state)
    assert f"{RUN['dag_run_id']}@{RUN['start_date']}" == run.attempt_key
    assert f"{RUN['dag_run_id']}@-" == run.formerly
    assert run.queued_at is None, "it does not tell when it was queued"


def test_a_run_that_waits_has_no_mark_and_one_that_never_started_has_its_end() -> None:
    waiting = parse.run_record(
        client_v2.translate_run({**RUN, "state": "queued", "start_date": None, "end_date": None}), "https://a"
    )
    assert (f"{RUN['dag_run_id']}@-", "") == (waiting.attempt_key, waiting.formerly)
    ended = parse.run_record(client_v2.translate_run({**RUN, "start_date": None}), "https://a")
    assert (f"{RUN['dag_run_id']}@-{RUN['end_date']}", waiting.attempt_key) == (ended.attempt_key, ended.formerly)


def test_a_cancel_of_a_run_that_never_started_is_reported_as_one() -> None:
    note = "[headway-0123456789abcdef cancel]"
    ended = parse.run_record(client_v2.translate_run({**RUN, "start_date": None, "note": note}), "https://a")
    assert (RunState.CANCELLED, "cancelled by Headway") == (ended.state, ended.message)


def test_a_dataset_run_is_known_by_its_id() -> None:
    run = parse.run_record(
        client_v2.translate_run({**RUN, "dag_run_id": "dataset_triggered__x", "run_type": "dataset_triggered"}), ""
    )
    assert ("dataset_triggered__x", "asset_triggered") == (run.period_key, run.context["run_type"])


@each_row(
    "changed, key, formerly",
    [
        ({}, "manual__1#2", ""),
        ({"state": None}, "manual__1#3", ""),
        ({"state": "up_for_retry"}, "manual__1#3", ""),
        ({"state": None, "try_number": 0}, "manual__1#1", ""),
        ({"state": "scheduled", "try_number": 1}, "manual__1#1", ""),
        ({"state": "upstream_failed", "end_date": AT}, f"manual__1#2@{AT[:19]}", "manual__1#3"),
        ({"state": "upstream_failed", "try_number": 0, "end_date": AT}, f"manual__1#0@{AT[:19]}", "manual__1#1"),
        ({"state": "skipped", "start_date": AT, "end_date": AT}, f"manual__1#2@{AT[:19]}", "manual__1#3"),
        ({"state": "skipped"}, "manual__1#2", ""),
        ({"state": "success", "try_number": 0, "end_date": AT}, f"manual__1#0@{AT[:19]}", "manual__1#1"),
    ],
)
def test_a_task_is_known_by_its_try_and_what_ends_without_one_by_its_end(
    changed: dict[str, Any], key: str, formerly: str
) -> None:
    task = task_instance(**changed)
    assert (key, formerly) == (task.attempt_key, task.formerly)


def test_a_task_that_is_skipped_twice_in_a_moment_is_one_attempt() -> None:
    ends = ["2026-11-20T05:00:00.400000+00:00", "2026-11-20T05:00:00.435000+00:00", "2026-11-20T05:00:02+00:00"]
    keys = [task_instance(state="skipped", start_date=end, end_date=end).attempt_key for end in ends]
    assert keys[0] == keys[1] != keys[2]


def test_the_queue_time_of_the_previous_try_is_not_reported() -> None:
    assert task_instance(state="queued").queued_at is not None
    assert task_instance(state="scheduled").queued_at is None


@each_row(
    "schedule, summary",
    [
        ({"__type": "CronExpression", "value": "@daily"}, "0 0 * * *"),
        ({"__type": "CronExpression", "value": "5 4 * * *"}, "5 4 * * *"),
        ({"__type": "TimeDelta", "days": 0, "seconds": 5400, "microseconds": 0}, "1:30:00"),
        ({"__type": "TimeDelta", "days": 10**12, "seconds": 0, "microseconds": 0}, None),
        ({"__type": "RelativeDelta", "months": 1}, None),
        (None, None),
        ("@daily", None),
    ],
)
def test_a_schedule_uses_the_notation_of_airflow_3(schedule: Any, summary: str | None) -> None:
    assert summary == client_v2.translate_dag({"schedule_interval": schedule})["timetable_summary"]


def token(**payload: Any) -> str:
    import base64
    import json

    return base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=") + ".signature"


def test_a_log_is_lines_and_its_token_says_whether_more_will_come() -> None:
    content = repr([("host", " INFO - ::group::Log message source details\n*** x\n INFO - ::endgroup::\n[t] tick 1\n")])
    page = client_v2.translate_log_page({"content": content, "continuation_token": token(end_of_log=False, log_pos=9)})
    assert ["::group::Log message source details", "*** x", "[t] tick 1"] == [item["event"] for item in page["content"]]
    assert (token(end_of_log=False, log_pos=9), "") == (page["continuation_token"], page["missing"])
    ended = client_v2.translate_log_page({"content": content, "continuation_token": token(end_of_log=True, log_pos=9)})
    assert ended["continuation_token"] is None


def test_a_log_that_is_not_there_says_why() -> None:
    page = {"content": repr([("", "*** No such file\n")]), "continuation_token": token(end_of_log=True, log_pos=0)}
    assert "No such file" == client_v2.translate_log_page(page)["missing"]


@each_row("content", ["[('h', 'cut", "x" * 50, "(" * 500, "[1, ('a',)]", None, 5])
def test_a_log_that_is_no_list_of_pairs_is_shown_verbatim(content: Any) -> None:
    page = client_v2.translate_log_page({"content": content, "continuation_token": "no token of ours"})
    assert isinstance(page["content"], list)
    assert (isinstance(content, str)) == bool(page["content"])
