"""Spark's connector on a real history server; its faults are played on recorded replies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from connectors.sdk.conformance import Deadlines, Logs, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.states import RunState
from connectors.spark.connector import CONNECTOR
from tests.connectors.spark.test_recorded import connect
from tests.lab.spark import SparkHistory
from tests.lab.venvs import SPARK_VERSION


@pytest.fixture(scope="class")
def server(request: pytest.FixtureRequest) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="headway-spark-") as name:
        (events := Path(name) / "events").mkdir()
        history = SparkHistory(events)
        try:
            history.start()
            request.cls.history = history
            yield
        finally:
            history.stop()


@pytest.mark.usefixtures("server")
class TestSparkReal(Reads, Logs, Deadlines):
    kind = CONNECTOR
    against = f"real: Spark {SPARK_VERSION} history server"
    history: SparkHistory
    limits: ClassVar[Mapping[str, str]] = {"unknown_word": "a real server invents no state"}

    def connector(self) -> Connector:
        return connect(None, url=self.history.url)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(None, url=f"http://{host}:{port}")

    def make_success(self) -> str:
        return "load_orders"

    def make_failure(self) -> str:
        return "load_stock"

    def test_an_application_that_says_completed_is_failed_by_its_jobs(self) -> None:
        with self.opened() as connector:
            runs = {run.job: run for run in connector.poll("", (), 60).runs}
        assert {"load_orders": RunState.SUCCEEDED, "load_stock": RunState.FAILED} == {
            name: run.state for name, run in runs.items()
        }
