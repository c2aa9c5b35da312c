"""Dagster as it really is: the conformance tests, and what only a real server can show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from connectors.dagster.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import AccessRefused
from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from tests.lab.dagster import DagsterServer
from tests.lab.process import private_folder, remove_folder, wait_until

ORDERS, STOCK, BELL, YEARLY = "lab/load_orders", "lab/stock_count", "lab/minute_bell", "lab/year_bell"

CATALOGUE = """{assetsOrError(prefix:["headway","holds","lab","year_bell"]){... on AssetConnection{nodes{key{path}
assetObservations(limit:1){description}}}}}"""


@pytest.fixture(scope="module")
def dagster() -> Iterator[DagsterServer]:
    folder = private_folder("dagster")
    server = DagsterServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        remove_folder(folder)


def connect(url: str) -> Connector:
    return CONNECTOR.open(CONNECTOR.options(url=url), "webserver", SecretStore())


@pytest.fixture
def connector(dagster: DagsterServer) -> Iterator[Connector]:
    opened = connect(dagster.url)
    yield opened
    opened.close()


def every(connector: Connector) -> dict[str, RunRecord]:
    """The last word on each run, by its id."""
    runs: dict[str, RunRecord] = {}
    cursor, more = "", True
    while more:
        poll = connector.poll(cursor, (), 30)
        runs |= {run.attempt_key: run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs


class TestDagsterConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    kind = CONNECTOR
    against = "real: Dagster 1.13.27"
    patience_seconds: ClassVar[float] = 180.0
    timeout_seconds: ClassVar[float] = 60.0
    limits: ClassVar[dict[str, str]] = {"unknown_word": "a real Dagster says no word that it does not have"}

    @pytest.fixture(autouse=True)
    def world(self, dagster: DagsterServer) -> Iterator[None]:
        self.dagster = dagster
        yield
        dagster.behave("stock_count", "succeed")
        for job in ("stock_count", "minute_bell"):
            dagster.stop_schedule(job)

    def connector(self) -> Connector:
        return connect(self.dagster.url)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}")

    def make_success(self) -> str:
        self.dagster.ran("stock_count", "succeed", "SUCCESS")
        return STOCK

    def make_failure(self) -> str:
        self.dagster.ran("load_orders", "fail", "FAILURE")
        return ORDERS

    def a_holdable_job(self) -> str:
        """Not BELL: while a run is started, the daemon undoes the stops of all schedules. It undoes a start as well
        that comes while it writes what it read before: the schedule runs at several looks in a row."""
        looks = 0

        def still_runs() -> bool:
            nonlocal looks
            looks = looks + 1 if self.dagster.schedule("stock_count")[0] == "RUNNING" else 0
            if not looks:
                self.dagster.start_schedule("stock_count")
            return looks >= 3

        wait_until(still_runs, "its schedule to run", pause=1.0)
        return STOCK

    def a_job_to_fall_due(self) -> str:
        self.dagster.start_schedule("minute_bell")
        return BELL

    def pause_by_hand(self, job_id: str) -> None:
        self.dagster.stop_schedule(job_id.removeprefix("lab/"))

    def resume_by_hand(self, job_id: str) -> None:
        self.dagster.start_schedule(job_id.removeprefix("lab/"))

    def let_it_fall_due(self, job_id: str) -> None:
        """Until past a full minute; then for as long as the daemon takes, or a run is there."""
        name = job_id.removeprefix("lab/")
        before = self.dagster.runs(name)
        until = (time.time() // 60 + 1) * 60 + 20
        wait_until(lambda: time.time() >= until or self.dagster.runs(name) != before, "a run, or none", pause=1.0)

    def native_trace(self) -> object:
        return self.dagster.schedule("stock_count")

    def a_running_run(self) -> RunRecord:
        run = self.dagster.run("stock_count", "hang")
        self.dagster.wait_for(run, "STARTED")
        with self.opened() as connector:
            run_record = every(connector)[run]
        assert run_record.state is RunState.RUNNING
        return run_record


def test_schedules_owners_and_edges_by_assets_are_reported(dagster: DagsterServer, connector: Connector) -> None:
    jobs = {job.native_id: job for job in connector.inventory("", 30).jobs}
    assert ("dagster", "0 6 * * *", "Europe/Berlin") == (
        jobs[STOCK].schedule.dialect,
        jobs[STOCK].schedule.expression,
        jobs[STOCK].schedule.zone,
    )
    assert jobs[STOCK].paused
    assert "data" == jobs[ORDERS].owner
    assert ("lab/orders_job",) == jobs["lab/report_job"].upstreams


def test_the_number_of_concurrent_runs_is_shown_to_a_viewer(dagster: DagsterServer) -> None:
    reading = connect(dagster.read_only_url)
    pools = {(job.pool, job.slots) for job in reading.inventory("", 30).jobs}
    reading.close()
    assert {("run queue", 20)} == pools


def test_a_failed_run_names_its_step_and_is_executed_again_from_there(
    dagster: DagsterServer, connector: Connector
) -> None:
    run = dagster.run("load_orders", "fail")
    dagster.wait_for(run, "FAILURE")
    first = every(connector)[run]
    assert (RunState.FAILED, "transform: ValueError: bad row 7") == (first.state, first.message)
    assert "bad row 7" in connector.log(ref(first), None, 65536, 30).text
    key = new_key()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state), 30)
    dagster.behave("load_orders", "succeed")
    receipt = connector.act(preview, key, 60)
    assert receipt.native_ref == connector.act(preview, key, 60).native_ref
    (again,) = (run.attempt_key for run in every(connector).values() if run.action_key == key)
    assert "SUCCESS" == dagster.wait_for(again)
    second = every(connector)[again]
    assert (RunState.SUCCEEDED, run) == (second.state, second.period_key)
    assert ["transform", "load"] == second.context["steps"]


def test_a_read_only_webserver_shows_everything_and_refuses_an_act_itself(
    dagster: DagsterServer, connector: Connector
) -> None:
    run = dagster.ran("load_orders", "fail", "FAILURE")
    watching = connect(dagster.read_only_url)
    acts = [right for right in watching.probe(30).rights if right.needed_for == "act"]
    assert [False] * 6 == [right.held for right in acts]
    run_record = every(watching)[run]
    preview = watching.preview(ActionSpec(Verb.RERUN, ref(run_record), run_record.state), 30)
    with pytest.raises(AccessRefused):
        watching.act(preview, new_key(), 30)
    watching.close()
    assert all(right.held for right in connector.probe(30).rights)


def test_a_hold_survives_a_restart_of_dagster_and_is_found_and_let_go_without_a_store(
    dagster: DagsterServer, connector: Connector
) -> None:
    assert ("RUNNING", False) == dagster.schedule("year_bell")
    key = new_key()
    connector.act(connector.preview(hold_ask(YEARLY), 30), key, 30)
    dagster.restart()
    reconnected = connect(dagster.url)
    (hold,) = [hold for hold in reconnected.holds(30) if hold.job == YEARLY]
    assert (key, "alice", False) == (hold.mark.id, hold.mark.by, hold.bare)
    assert ("STOPPED", True) == dagster.schedule("year_bell")
    (listed,) = dagster.ask(CATALOGUE, {})["assetsOrError"]["nodes"]
    assert ["headway", "holds", "lab", "year_bell"] == listed["key"]["path"]
    assert hold.mark.text in listed["assetObservations"][0]["description"]
    reconnected.act(reconnected.preview(release_ask(YEARLY, key), 30), new_key(), 30)
    assert (("RUNNING", False), ()) == (dagster.schedule("year_bell"), reconnected.holds(30))
    reconnected.close()
