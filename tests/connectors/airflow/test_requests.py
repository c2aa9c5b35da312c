"""How many requests a poll costs: ten at most in a quiet estate, however many runs wait in it."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.airflow.support import latest_records, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2

DAGS = 100
MOST = 10
BY_VERSION: dict[int, Callable[[FakeAirflow], Connector]] = {
    2: lambda fake: opened(fake, FakeAirflow2(fake).transport),
    3: opened,
}


def estate() -> FakeAirflow:
    """100 DAGs with a history; 60 have a run that waits behind a pause, 20 one whose task hangs, the rest end well."""
    fake = FakeAirflow(**{f"dag_{number:03}": ("extract", "load") for number in range(DAGS)})
    for dag in fake.dags:
        fake.start(dag)
    fake.tick(60)
    names = sorted(fake.dags)
    fake.paused = set(names[:60])
    fake.outcome |= {(dag, "extract"): "hang" for dag in names[60:80]}
    for dag in names:
        fake.start(dag, f"manual__{dag}")
    fake.tick(1)
    fake.tick(600)
    return fake


@pytest.mark.parametrize("version", BY_VERSION)
def test_a_quiet_poll_makes_at_most_ten_requests_and_reports_every_open_run(version: int) -> None:
    fake = estate()
    connector = BY_VERSION[version](fake)
    runs, cursor = latest_records(connector)
    known = [ref(run) for run in runs.values() if run.state.is_open]
    assert 60 + 20 <= len([ref for ref in known if "." not in ref.job])
    for _ in range(3):
        fake.requests.clear()
        poll = connector.poll(cursor, known, 5)
        cursor = poll.cursor
        assert not poll.more
        assert len(fake.requests) <= MOST, fake.requests
        waiting = {run.job for run in poll.runs if run.state is RunState.QUEUED and "." not in run.job}
        assert fake.paused == waiting, "a run that waits is told again by each poll, not some of them by turns"


@pytest.mark.parametrize("version", BY_VERSION)
def test_deleted_open_runs_are_reported_although_no_list_contains_them(version: int) -> None:
    fake = estate()
    connector = BY_VERSION[version](fake)
    runs, cursor = latest_records(connector)
    removed_runs = [run for run in runs.values() if run.state is RunState.QUEUED and run.job == "dag_007"]
    fake.runs = [row for row in fake.runs if (row["dag_id"], row["state"]) != ("dag_007", "queued")]
    known = [ref(run) for run in runs.values() if run.state.is_open]
    results: list[RunRecord] = []
    for _ in range(2):
        poll = connector.poll(cursor, known, 5)
        cursor = poll.cursor
        results += poll.runs
    ended = [run for run in results if (run.job, run.attempt_key) == (removed_runs[0].job, removed_runs[0].attempt_key)]
    assert [("deleted", False)] == sorted({(run.native_state, run.state.is_open) for run in ended})


def test_a_list_with_more_than_was_requested_is_checked_against_the_request() -> None:
    """As Airflow 2 does with a filter that it does not know."""
    fake = estate()

    def answer(request: httpx.Request) -> httpx.Response:
        everything = {"dag_runs": [{**row, "_updated": None} for row in fake.runs], "total_entries": len(fake.runs)}
        return httpx.Response(200, json=everything) if request.url.path.endswith("Runs/list") else fake.handle(request)

    connector = opened(fake, httpx.MockTransport(answer))
    runs, cursor = latest_records(connector)
    known = [ref(run) for run in runs.values() if run.state is RunState.QUEUED and run.job == "dag_001"]
    poll = connector.poll(cursor, known, 5)
    assert {"dag_001"} == {run.job for run in poll.runs if "." not in run.job and run.state is RunState.QUEUED}
