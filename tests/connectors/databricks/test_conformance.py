"""Databricks' connector keeps the contract on the fake; tests/lab holds that against the types of databricks-sdk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar

import pytest

from connectors.databricks.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.databricks.support import ORDERS, STOCK, latest_records, opened, workspace
from tests.fakes.databricks import FakeDatabricks


class TestDatabricksOnTheFake(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "fake: a Databricks workspace of ours, with a state"
    lists_of_records = 3  # a run that failed comes with its two tasks
    patience_seconds = 10.0
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": "tests/lab/test_databricks_typed.py"}
    unplayed: ClassVar[Mapping[str, str]] = {"long_log": "Databricks returns only the first 5 MB of an output"}

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = workspace()
        self.fake.outcome[int(ORDERS)] = "FAILED"
        for job in (ORDERS, STOCK):
            self.fake.start(int(job))
        self.fake.tick()

    def on(self, fake: FakeDatabricks) -> Connector:
        """A connector whose every request that fake answers."""
        return opened(fake)

    def connector(self) -> Connector:
        return self.on(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options(url=f"http://{host}:{port}", token={"env": "UNREAD"})
        return CONNECTOR.open(options, "workspace", lambda reference: "right")

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            del other.jobs[int(STOCK)]
            return opened(other)
        return opened(self.fake, FaultyTransport(self.fake.handle, how, r"/runs/list$", "run_name", endless=_more))

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            late = self.fake.start(int(ORDERS))
            late["start_time"] -= 120_000
            self.fake.tick()
            return str(late["run_id"])

        return self.on(self.fake), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "runs/list|runs/cancel"
        return self.on(self.fake)

    def make_success(self) -> str:
        return STOCK

    def make_failure(self) -> str:
        return ORDERS

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.start(int(STOCK))["status"]["state"] = "HIBERNATING"
        return self.on(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.outcome[int(STOCK)] = "hang"
        run = self.fake.start(int(STOCK))
        self.fake.tick()
        record = latest_records(opened(self.fake))[0][STOCK, str(run["run_id"])]
        assert record.state is RunState.RUNNING
        return record

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.jobs[int(job_id)]["schedule"]["pause_status"] = "PAUSED"

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.jobs[int(job_id)]["schedule"]["pause_status"] = "UNPAUSED"

    def let_it_fall_due(self, job_id: str) -> None:
        self.fake.by_the_clock.add(int(job_id))
        self.fake.tick(60)
        self.fake.by_the_clock.clear()

    def native_trace(self) -> object:
        return deepcopy((self.fake.runs, self.fake.jobs))

    def advance(self) -> None:
        self.fake.tick()


def _more(body: Any, times: int) -> Any:
    """A page that promises a next one under a new token, for ever."""
    return body | {"next_page_token": "0", "has_more": True} if times % 2 else body | {"next_page_token": "1"}
