"""Which runs wrote what a run was started by, and what a file that cannot be imported does to its DAGs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from connectors.airflow import runs
from connectors.sdk.contract import Connector
from tests.connectors.airflow.support import latest_records, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2

ON: dict[int, Callable[[FakeAirflow], Connector]] = {
    2: lambda fake: opened(fake, FakeAirflow2(fake).transport),
    3: opened,
}


def inputs(connector: Connector, cursor: str = "") -> tuple[dict[str, Any], str]:
    """By run id, what the runs of "plan" read; and the cursor."""
    runs, cursor = latest_records(connector, cursor)
    return {str(run.context["run_id"]): run.context.get("inputs") for run in runs.values() if run.job == "plan"}, cursor


def estate(followers: int = 1) -> FakeAirflow:
    """A run of "load" by the clock, and so many of "plan" that it started."""
    fake = FakeAirflow(load=("publish",), plan=("build",))
    wrote = fake.start("load")
    for number in range(followers):
        run = fake.start("plan", f"asset_triggered__{number}", run_type="asset_triggered")
        fake.written_by["plan", run] = [("load", wrote)] * 2
    fake.tick()
    return fake


@pytest.mark.parametrize("version", ON)
def test_an_asset_triggered_run_names_the_run_that_wrote_it(version: int) -> None:
    fake = estate()
    results, _ = inputs(ON[version](fake))
    period = fake.runs[0]["run_after"]
    assert {"asset_triggered__0": [{"job": "load", "period_key": period.replace(".000000", "")}]} == results


def test_an_unseen_upstream_run_is_requested_and_a_deleted_one_is_omitted() -> None:
    fake = estate()
    fake.written_by["plan", "asset_triggered__0"] = [("load", "scheduled__gone"), ("load", fake.runs[0]["dag_run_id"])]
    results, _ = inputs(opened(fake))
    assert 1 == len(results["asset_triggered__0"])


def test_many_downstream_runs_report_their_inputs_in_later_polls_and_each_is_requested_once() -> None:
    fake = estate(8)
    connector = opened(fake)
    results, cursor = inputs(connector)
    assert runs.MAX_REQUESTS_PER_POLL == sum(result is not None for result in results.values())
    for _ in range(3):
        more, cursor = inputs(connector, cursor)
        results |= {run: item for run, item in more.items() if item}
    assert 8 == sum(result is not None for result in results.values())
    assert 8 == len([path for _, path in fake.requests if path.endswith("upstreamAssetEvents")])


def test_a_dag_that_is_not_watched_is_no_input() -> None:
    results, _ = inputs(opened(estate(), dags=["plan"]))
    assert {"asset_triggered__0": None} == results


@pytest.mark.parametrize("version", ON)
def test_a_file_that_cannot_be_imported_changes_the_definition_of_its_dags(version: int) -> None:
    fake = estate()
    connector = ON[version](fake)
    before = {job.native_id: job for job in connector.inventory("", 5).jobs}
    path = str(before["plan"].definition.partition(" in ")[2].partition(",")[0])
    fake.import_errors = [{"filename": path, "stack_trace": 'File "x"\nImportError: no module named warehouse\n'}]
    whole = connector.inventory("", 5)
    after = {job.native_id: job for job in whole.jobs}
    assert after["plan"].definition.endswith("; its file cannot be imported: ImportError: no module named warehouse")
    assert before["plan"].definition_hash != after["plan"].definition_hash
    assert before["plan.build"] == after["plan.build"]
    assert [f"DAG file {path} cannot be imported: ImportError: no module named warehouse"] == [
        skip.reason for skip in whole.skipped
    ]


@pytest.mark.parametrize("version", ON)
def test_a_dag_dropped_by_airflow_for_an_import_error_retains_its_definition(version: int) -> None:
    """Both versions drop it from their list at once: without a reason it was gone."""
    fake = estate()
    connector = ON[version](fake)
    before = {job.native_id: job for job in connector.inventory("", 5).jobs}
    path = str(before["plan"].definition.partition(" in ")[2].partition(",")[0])
    fake.stale = {"plan"}
    fake.import_errors = [{"filename": path, "stack_trace": 'File "x"\nImportError: no module named warehouse\n'}]
    for _ in range(3):
        inventory = connector.inventory("", 5)
        after = {job.native_id: job for job in inventory.jobs}
        assert inventory.complete
        assert after["plan"].definition.endswith("cannot be imported: ImportError: no module named warehouse")
        assert before["plan.build"] == after["plan.build"]
    fake.import_errors = []
    removed_inventory = connector.inventory("", 5)
    assert "plan" not in {job.native_id for job in removed_inventory.jobs}, "its file is gone"
    assert removed_inventory.complete


@pytest.mark.parametrize("version", ON)
def test_a_broken_dag_that_was_never_read_makes_the_inventory_incomplete(version: int) -> None:
    fake = estate()
    path = ON[version](fake).inventory("", 5).jobs[0].definition.partition(" in ")[2].partition(",")[0]
    fake.stale, fake.import_errors = {"plan"}, [{"filename": path, "stack_trace": "ImportError"}]
    inventory = ON[version](fake).inventory("", 5)
    assert not inventory.complete, "after a restart it is not gone either"


@pytest.mark.parametrize("broken", ["upstreamAssetEvents", "/pools", "hitlDetails"])
def test_what_only_says_more_of_a_run_fails_no_poll(broken: str) -> None:
    """Airflow 3.3.2 answers 500 about a run's assets while a run that the same update made waits (seen)."""
    fake, breaks = estate(), [True]
    fake.outcome |= {("load", "publish"): "slot"} if broken == "/pools" else {("load", "publish"): "ask"}
    fake.start("load", "manual__waits")
    fake.tick()

    def handle(request: httpx.Request) -> httpx.Response:
        if breaks[0] and request.url.path.endswith(broken):
            return httpx.Response(500, text="Internal Server Error")
        return fake.handle(request)

    connector = opened(fake, httpx.MockTransport(handle))
    poll = connector.poll("", (), 0.9)
    assert {"plan", "load"} <= {run.job for run in poll.runs}
    assert [warning for warning in poll.warnings if "could not be read" in warning]
    breaks[0] = False
    assert not connector.poll(poll.cursor, (), 5).warnings


def test_an_asset_triggered_run_is_queried_once_it_has_started() -> None:
    fake = estate()
    fake.paused.add("plan")
    fake.start("plan", "asset_triggered__waits", run_type="asset_triggered")
    connector = opened(fake)
    inputs(connector)
    paths = [path for _, path in fake.requests if path.endswith("upstreamAssetEvents")]
    assert not [path for path in paths if "waits" in path]


def test_a_run_whose_assets_can_never_be_read_does_not_stand_before_the_others() -> None:
    fake = estate(2)

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        bad = path.endswith("upstreamAssetEvents") and "triggered__1" in path
        return httpx.Response(500, text="Internal Server Error") if bad else fake.handle(request)

    connector = opened(fake, httpx.MockTransport(handle))
    cursor, results = "", dict[str, Any]()
    for _ in range(runs.MAX_TRIES + 2):
        poll = connector.poll(cursor, (), 0.9)
        cursor = poll.cursor
        results |= {str(run.context["run_id"]): run.context.get("inputs") for run in poll.runs if run.job == "plan"}
    assert results["asset_triggered__0"]
