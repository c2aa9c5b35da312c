"""Prefect's connector keeps the contract on the fake, whose rows are those of a real server; tests/lab has that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors.prefect.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import HOUR_OFF, JOB_DELETED, EndlessBody, FaultyTransport
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.prefect.support import ORDERS, STOCK, latest_records, opened
from tests.fakes.prefect import FakePrefect, stamp
from tests.fakes.unsent import CROWDS


class TestPrefectOnTheFake(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: replies of Prefect 3.8.8, behind a fake with a state"

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakePrefect(ORDERS, STOCK)
        self.fake.outcome[ORDERS] = "FAILED"
        for job in (ORDERS, STOCK):
            self.fake.start(job)
        self.fake.tick(30)

    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        return CONNECTOR.open(CONNECTOR.options(url=f"http://{host}:{port}/api"), "api", lambda reference: "")

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            del other.deployments[STOCK]
            return opened(other)
        other = deepcopy(self.fake)
        other.now = datetime.now(UTC)
        return opened(
            other,
            FaultyTransport(
                other.answer, how, "" if how == HOUR_OFF else r"/flow_runs/filter$", "name", EndlessBody(200)
            ),
        )

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = next(run for run in latest_records(opened(self.fake))[0].values() if run.job == ORDERS)
        row = next(row for row in self.fake.runs if row["id"] == run.attempt_key)
        for _ in range(size // 100_000):
            self.fake.write(row, "x" * 100_000)
        return opened(self.fake), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            late = self.fake.start(ORDERS, expected_start_time=stamp(self.fake.now - timedelta(days=2)))
            self.fake.tick()
            return str(late["id"])

        return opened(self.fake), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "/logs/filter"
        return opened(self.fake)

    def make_success(self) -> str:
        return STOCK

    def make_failure(self) -> str:
        return ORDERS

    def connector_with_an_unknown_state(self) -> Connector:
        other = FakePrefect(STOCK)
        other.set(other.start(STOCK), "HIBERNATING")
        other.tick(5)
        return opened(other)

    def a_running_run(self) -> RunRecord:
        self.fake.outcome[STOCK] = "hang"
        run = self.fake.start(STOCK)
        self.fake.tick()
        record = latest_records(opened(self.fake))[0][run["id"]]
        assert record.state is RunState.RUNNING
        return record

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.deployments[job_id]["paused"] = True

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.deployments[job_id]["paused"] = False

    def let_it_fall_due(self, job_id: str) -> None:
        self.fake.by_the_clock.add(job_id)
        self.fake.tick(60)
        self.fake.by_the_clock.discard(job_id)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.runs], {job: dict(row) for job, row in self.fake.deployments.items()}

    def advance(self) -> None:
        self.fake.tick()
