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
    known = [ref(one) for one in runs.values() if one.state.is_open]
    assert 60 + 20 <= len([one for one in known if "." not in one.job])
    for _ in range(3):
        fake.requests.clear()
        poll = connector.poll(cursor, known, 5)
        cursor = poll.cursor
        assert not poll.more
        assert len(fake.requests) <= MOST, fake.requests
        waiting = {one.job for one in poll.runs if one.state is RunState.QUEUED and "." not in one.job}
        assert fake.paused == waiting, "a run that waits is told again by each poll, not some of them by turns"


@pytest.mark.parametrize("version", BY_VERSION)
def test_deleted_open_runs_are_reported_although_no_list_contains_them(version: int) -> None:
    fake = estate()
    connector = BY_VERSION[version](fake)
    runs, cursor = latest_records(connector)
    gone = [one for one in runs.values() if one.state is RunState.QUEUED and one.job == "dag_007"]
    fake.runs = [row for row in fake.runs if (row["dag_id"], row["state"]) != ("dag_007", "queued")]
    known = [ref(one) for one in runs.values() if one.state.is_open]
    found: list[RunRecord] = []
    for _ in range(2):
        poll = connector.poll(cursor, known, 5)
        cursor = poll.cursor
        found += poll.runs
    ended = [one for one in found if (one.job, one.attempt_key) == (gone[0].job, gone[0].attempt_key)]
    assert [("deleted", False)] == sorted({(one.native_state, one.state.is_open) for one in ended})


def test_a_list_with_more_than_was_requested_is_checked_against_the_request() -> None:
    """As Airflow 2 does with a filter that it does not know."""
    fake = estate()

    def answer(request: httpx.Request) -> httpx.Response:
        everything = {"dag_runs": [{**row, "_updated": None} for row in fake.runs], "total_entries": len(fake.runs)}
        return httpx.Response(200, json=everything) if request.url.path.endswith("Runs/list") else fake.handle(request)

    connector = opened(fake, httpx.MockTransport(answer))
    runs, cursor = latest_records(connector)
    known = [ref(one) for one in runs.values() if one.state is RunState.QUEUED and one.job == "dag_001"]
    poll = connector.poll(cursor, known, 5)
    assert {"dag_001"} == {one.job for one in poll.runs if "." not in one.job and one.state is RunState.QUEUED}
