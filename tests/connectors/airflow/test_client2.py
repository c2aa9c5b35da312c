"""What changed at an Airflow 2 whose task instances are ordered by nothing: all of it, by few requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.sdk.errors import SystemUnreachable
from tests.connectors.airflow.support import latest_records, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2

TASKS = "/api/v1/dags/~/dagRuns/~/taskInstances"


def crowd(runs: int) -> FakeAirflow:
    """So many runs of two tasks each, all touched at one moment, as one statement of the scheduler does."""
    fake = FakeAirflow(load=("extract", "publish"))
    for number in range(runs):
        fake.start("load", f"manual__{number:03}")
    fake.tick()
    return fake


def reported_tasks(fake: FakeAirflow, transport: httpx.BaseTransport) -> int:
    runs, _ = latest_records(opened(fake, transport))
    return len([run for run in runs.values() if "." in run.job])


@pytest.mark.parametrize("runs, most", [(60, 3), (190, 5)])
def test_many_tasks_of_one_moment_are_read_page_by_page(runs: int, most: int) -> None:
    fake = crowd(runs)
    assert 2 * runs == reported_tasks(fake, FakeAirflow2(fake).transport)
    assert fake.requests.count(("GET", TASKS)) <= most


def test_more_than_some_pages_are_read_in_windows() -> None:
    fake = crowd(105)
    fake.now += timedelta(seconds=20)
    for number in range(105, 210):
        fake.start("load", f"manual__{number:03}")
    fake.tick()
    assert 420 == reported_tasks(fake, FakeAirflow2(fake).transport)


def test_rows_that_move_between_two_pages_are_not_lost() -> None:
    """The second page shows what the first one showed, as PostgreSQL may where nothing orders it."""
    fake = crowd(60)
    server, moved = FakeAirflow2(fake), [0]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == TASKS and request.url.params.get("offset") and not moved[0]:
            moved[0] = 1
            return server.handle(httpx.Request("GET", request.url.copy_remove_param("offset"), headers=request.headers))
        return server.handle(request)

    assert 120 == reported_tasks(fake, httpx.MockTransport(handle))
    assert moved[0]


def test_a_server_that_counts_more_than_it_lists_is_reported() -> None:
    fake = crowd(1)
    server = FakeAirflow2(fake)

    def handle(request: httpx.Request) -> httpx.Response:
        empty: dict[str, Any] = {"task_instances": [], "total_entries": 7}
        return httpx.Response(200, json=empty) if request.url.path == TASKS else server.handle(request)

    with pytest.raises(SystemUnreachable, match="counts 7 rows and lists none of them"):
        opened(fake, httpx.MockTransport(handle)).poll("", (), 5)
