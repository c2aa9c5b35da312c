"""Spark's connector on a real history server and its real applications; its faults are played on recorded replies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import Poll, RunRecord
from connectors.sdk.states import RunEvidence, RunState, Verb
from connectors.spark.connector import CONNECTOR, NO_ACTIONS
from tests.connectors.spark.test_recorded import connect
from tests.lab.process import ask
from tests.lab.spark import SparkHistory
from tests.lab.venvs import SPARK_VERSION


@pytest.fixture(scope="class")
def server(request: pytest.FixtureRequest) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="headway-spark-") as name:
        spark = SparkHistory(Path(name))
        try:
            spark.start()
            with closing(connect(None, url=spark.url)) as connector:
                request.cls.spark, request.cls.while_it_ran = spark, connector.poll("", (), 60)
            spark.end_night()
            yield
        finally:
            spark.stop()


@pytest.mark.usefixtures("server")
class TestSpark(Reads, Logs, Deadlines, Faults):
    kind = CONNECTOR
    against = f"real: Spark {SPARK_VERSION} history server"
    spark: SparkHistory
    while_it_ran: Poll
    """What a poll read before load_stock died."""
    unplayed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("answering", "crowded", "long_log", "with_a_right_revoked"), "see tests/connectors/spark/test_recorded.py"
    )

    def connector(self) -> Connector:
        return connect(None, url=self.spark.url)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(None, url=f"http://{host}:{port}")

    def make_success(self) -> str:
        return "load_orders"

    def make_failure(self) -> str:
        return "load_stock"

    def connector_with_an_unknown_state(self) -> Connector:
        def forward(request: httpx.Request) -> httpx.Response:
            reply = ask("GET", str(request.url))
            content = reply.content.replace(b"SUCCEEDED", b"EATEN")
            return httpx.Response(200, content=content, headers={"content-type": "application/json"})

        return connect(httpx.MockTransport(forward), url=self.spark.url)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """The log of an application is read by the server half an hour after its end."""
        application = self.run_of("load_stock").attempt_key
        return self.connector(), lambda: self.spark.add_earlier_log(application, timedelta(minutes=30))

    def runs(self) -> dict[str, RunRecord]:
        with self.opened() as connector:
            return {run.job: run for run in connector.poll("", (), 20).runs}

    def run_of(self, job: str) -> RunRecord:
        return self.runs()[job]

    def test_jobs_decide_since_each_application_reads_completed_with_exit_code_0(self) -> None:
        listed = [row["attempts"][0] for row in self.spark.applications()]
        assert {(True, 0)} == {(row["completed"], row["exitCode"]) for row in listed}
        runs = self.runs()
        assert {
            "load_orders": RunState.SUCCEEDED,
            "load_stock": RunState.FAILED,
            "mart": RunState.PARTIAL,
            "idle": RunState.UNKNOWN,
        } == {name: run.state for name, run in runs.items()}
        assert "failed jobs: 1" == runs["load_stock"].message
        assert "failed jobs: 0; later ones succeeded" == runs["mart"].message

    def test_a_run_that_was_open_has_failed_in_the_next_poll(self) -> None:
        [open_run] = [run for run in self.while_it_ran.runs if run.job == "load_stock"]
        with self.opened() as connector:
            runs = connector.poll(self.while_it_ran.cursor, (ref(open_run),), 20).runs
        [run] = [run for run in runs if run.attempt_key == open_run.attempt_key]
        assert (RunState.RUNNING, RunState.FAILED) == (open_run.state, run.state)
        assert RunEvidence.NATIVE is run.evidence

    def test_the_log_names_the_failed_job_and_the_exception(self) -> None:
        with self.opened() as connector:
            text = connector.log(ref(self.run_of("load_stock")), None, 65536, 20).text
        assert "job 1 FAILED: " in text
        assert "ValueError: stock.csv has no rows" in text

    def test_the_link_of_a_run_is_a_page_about_its_jobs(self) -> None:
        page = ask("GET", self.run_of("load_stock").native_url, follow_redirects=True)
        assert 200 == page.status_code
        assert "load_stock - Spark Jobs" in page.text

    def test_a_rerun_is_refused_with_what_to_rerun_instead(self) -> None:
        run = self.run_of("load_stock")
        with self.opened() as connector, pytest.raises(NotSupported, match=NO_ACTIONS):
            connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)

    def test_the_probe_names_the_version(self) -> None:
        with self.opened() as connector:
            assert SPARK_VERSION == connector.probe(20).version
