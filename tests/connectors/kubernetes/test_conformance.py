"""Kubernetes' connector keeps the contract on the fake; tests/lab does the same on a real control plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import timedelta
from typing import ClassVar

import pytest

from connectors.kubernetes.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.kubernetes.support import ORDERS, STOCK, cluster, latest_records, more, opened


class TestKubernetesOnTheFake(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "fake: a Kubernetes of ours, with a state"
    patience_seconds = 10.0

    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": "tests/lab/test_kubernetes_real.py"}

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = cluster()
        self.fake.outcome["load-orders"] = "Failed"
        self.fake.job("", "load-orders")
        self.fake.job("", "stock-count")
        self.fake.tick()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = CONNECTOR.options(url=f"http://{host}:{port}", token={"env": "UNREAD"})
        return CONNECTOR.open(options, "cluster", lambda reference: "right")

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            del other.cronjobs["etl", "stock-count"]
            return opened(other)
        return opened(self.fake, FaultyTransport(self.fake.handle, how, r"/jobs$", "note", endless=more))

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest(ORDERS)
        line = b"2026-11-20T07:00:00.000000001Z " + b"x" * 99 + b"\n"
        pod = next(log for log in self.fake.logs if log.startswith("load-orders"))
        self.fake.logs[pod] = line * (size // len(line))
        return opened(self.fake), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            self.fake.cronjob("a-first")
            self.fake.outcome["a-first"] = "Failed"
            late = self.fake.job("", "a-first")
            self.fake.tick()
            return str(late["metadata"]["uid"])

        return opened(self.fake), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.denied = {("patch", "jobs"), ("list", "pods")}
        return opened(self.fake)

    def make_success(self) -> str:
        return STOCK

    def make_failure(self) -> str:
        return ORDERS

    def connector_with_an_unknown_state(self) -> Connector:
        odd = self.fake.job("", "stock-count", at=self.fake.now - timedelta(days=400))
        odd["status"]["conditions"] = [{"type": "Hibernated", "status": "True"}]
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.outcome["stock-count"] = "hang"
        row = self.fake.job("", "stock-count", at=self.fake.now - timedelta(days=400))
        self.fake.tick()
        run = latest_records(opened(self.fake))[0][STOCK, str(row["metadata"]["uid"])]
        assert run.state is RunState.RUNNING
        return run

    def pause_by_hand(self, job_id: str) -> None:
        self._suspend(job_id, True)

    def resume_by_hand(self, job_id: str) -> None:
        self._suspend(job_id, False)

    def _suspend(self, job_id: str, is_paused: bool) -> None:
        namespace, _, name = job_id.partition("/")
        self.fake.cronjobs[namespace, name]["spec"]["suspend"] = is_paused

    def let_it_fall_due(self, job_id: str) -> None:
        self.fake.by_the_clock.add(job_id.partition("/")[2])
        self.fake.tick(60)
        self.fake.by_the_clock.clear()

    def native_trace(self) -> object:
        rows = deepcopy([self.fake.jobs, self.fake.cronjobs])
        for row in rows[1].values():
            row["metadata"].pop("resourceVersion")
            if not row["metadata"].get("annotations"):
                row["metadata"].pop("annotations", None)
        return rows

    def advance(self) -> None:
        self.fake.tick()
