"""Luigi by its profile, on replies of luigid 3.8.1; the real one: tests/lab/test_luigi_real.py."""

from __future__ import annotations

import json
import tomllib
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from connectors.http.connector import HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import InvalidAnswer
from connectors.sdk.states import PeriodKind, RunState

TASK = {
    "display_name": "LoadStock(day=2026-11-19)", "status": "FAILED", "name": "LoadStock", "priority": 0,
    "worker_running": None, "time_running": 1795535349.845291, "start_time": 1795535349.8292775,
    "last_updated": 1795535349.8538954, "params": {"day": "2026-11-19"}, "resources": {}, "workers": ["Worker(salt=1)"],
}  # fmt: skip
RUNTIME_ERROR = (
    "Runtime error:\nTraceback (most recent call last):\n"
    '  File "/srv/pipelines/night.py", line 27, in run\n    raise ValueError("café.csv has no rows")\n'
    "ValueError: café.csv has no rows\n"
)
ERRORS = [
    (json.dumps(RUNTIME_ERROR), RUNTIME_ERROR),
    ("null", ""),
    (None, ""),
    ('"cut', '"cut'),
    ("[" * 9999, "[" * 9999),
]
"""What `fetch_error` of luigid 3.8.1 has of a task that failed, that succeeded, that waits; and other texts."""
RECORDED = "Tue, 24 Nov 2026 17:30:00 GMT"
"""What the server's clock says."""
NAME = 'Load"Stock"_2026_11_19'
"""With quotes, which no name of luigid has."""


def opened(reply: Any, urls: list[httpx.URL], error: str | None = "null", paused: bool | None = False) -> Connector:
    def handle(request: httpx.Request) -> httpx.Response:
        urls.append(request.url)
        if request.url.path == "/api/is_paused":
            return httpx.Response(404 if paused is None else 200, json={"response": {"paused": paused}})
        failure = {"response": {"taskId": NAME, "error": error}}
        body = failure if request.url.path == "/api/fetch_error" else reply
        return httpx.Response(200, json=body, headers={"date": RECORDED})

    document = tomllib.loads(registry.profiles()["luigi"].read_text(encoding="utf-8"))
    profile = HttpProfile.model_validate(document, context={})
    options = registry.load("luigi").options.model_validate({"url": "https://luigi.example.com"})
    return profile.open_target(options, "api", lambda _: "", httpx.MockTransport(handle))


def test_rows_that_are_an_object_have_their_names_as_ids() -> None:
    connector = opened({"response": {NAME: TASK, "B": {**TASK, "status": "DONE"}}}, [])
    assert ["LoadStock"] == [job.native_id for job in connector.inventory("", 20).jobs]
    states = {run.attempt_key: run.state for run in connector.poll("", (), 20).runs}
    assert {NAME: RunState.FAILED, "B": RunState.SUCCEEDED} == states


@pytest.mark.parametrize(
    "status, ago, workers, state",
    [
        ("FAILED", 30, ["Worker(salt=1)"], RunState.RETRYING),
        ("FAILED", 30, [], RunState.FAILED),
        ("FAILED", 1100, ["Worker(salt=1)"], RunState.FAILED),
        ("DISABLED", 30, ["Worker(salt=1)"], RunState.FAILED),
        ("PENDING", 950, ["Worker(salt=1)"], RunState.WAITING),
    ],
)
def test_a_failed_task_is_tried_again_while_a_worker_is_left(
    status: str, ago: float, workers: list[str], state: RunState
) -> None:
    """luigid 3.8.1 tells neither its retry_delay nor a number of failures."""
    ended = parsedate_to_datetime(RECORDED).timestamp() - ago
    task = {**TASK, "status": status, "workers": workers, "last_updated": ended, "time_running": ended - 5}
    [run] = opened({"response": {NAME: task}}, []).poll("", (), 20).runs
    assert (state, state.is_open) == (run.state, run.ended_at is None)


def test_a_task_works_on_its_parameters() -> None:
    other = {**TASK, "status": "DONE", "display_name": "LoadStock(day=2026-11-20)"}
    runs = opened({"response": {NAME: TASK, "B": other}}, []).poll("", (), 20).runs
    assert {"LoadStock(day=2026-11-19)", "LoadStock(day=2026-11-20)"} == {run.period_name for run in runs}
    assert {PeriodKind.NAME} == {run.denotes for run in runs}


def test_tasks_whose_long_parameters_differ_at_their_end_work_on_two_things() -> None:
    tasks = {day: {**TASK, "display_name": f"Load({'x' * 600}, day={day})"} for day in ("1", "2")}
    assert 2 == len({run.period_name for run in opened({"response": tasks}, []).poll("", (), 20).runs})


def test_a_table_in_a_query_is_sent_as_json() -> None:
    urls = list[httpx.URL]()
    connector = opened({"response": {NAME: TASK}}, urls)
    [run] = connector.poll("", (), 20).runs
    connector.log(ref(run), None, 1000, 20)
    assert {"task_id": NAME} == json.loads(urls[-1].params["data"])


@pytest.mark.parametrize("error, text", ERRORS, ids=("failed", "succeeded", "waits", "cut", "nested"))
def test_the_error_of_a_task_is_its_log_line_by_line(error: str | None, text: str) -> None:
    connector = opened({"response": {NAME: TASK}}, [], error)
    [run] = connector.poll("", (), 20).runs
    assert text == connector.log(ref(run), None, 20_000, 20).text


@pytest.mark.parametrize("reply", [{"response": {"num_tasks": 200_000}}, {"response": [TASK]}, {"response": None}])
def test_what_is_no_object_of_rows_is_no_empty_list(reply: Any) -> None:
    """luigid gives a number in place of more tasks than it shows."""
    with pytest.raises(InvalidAnswer, match=r"no list at rows = 'response\.\*'"):
        opened(reply, []).poll("", (), 20)


@pytest.mark.parametrize("paused, is_stopped", [(True, True), (False, False), (None, False)])
def test_a_paused_luigid_starts_nothing(paused: bool | None, is_stopped: bool) -> None:
    """`is_paused` of luigid 3.8.1: {"response": {"paused": true}}."""
    assert is_stopped == bool(opened({"response": {NAME: TASK}}, [], paused=paused).poll("", (), 20).stopped)
