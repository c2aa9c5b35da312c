"""Spark's connector on replies of a real history server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads
from connectors.sdk.conformance.faults import ENDLESS, HOUR_OFF, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunEvidence, RunState
from connectors.sdk.transport.http import Transport
from connectors.spark import connector as spark
from connectors.spark.connector import CONNECTOR, SparkConnector
from connectors.spark.options import SparkOptions
from tests.fakes.login import no_secret
from tests.fakes.spark import FakeHistory

LISTS = "/applications$"


def connect(transport: Transport, **options: Any) -> SparkConnector:
    given = {"url": "https://spark.example.com", **options}
    return SparkConnector(SparkOptions.model_validate(given), no_secret, transport)


class TestSpark(Reads, Logs, Deadlines, Faults):
    kind = CONNECTOR
    against = "recorded: Spark 4.3.0 history server"
    limits: ClassVar[Mapping[str, str]] = {}
    unplayed: ClassVar[Mapping[str, str]] = {
        ENDLESS: "its lists have no pages",
        "crowded": "each application costs a request; a server lists what its cleaner left",
        "long_log": "the reasons of stages come in one answer, which is refused beyond 32 MiB",
    }

    @pytest.fixture(autouse=True)
    def fake(self) -> None:
        self.history = FakeHistory()

    def connector(self) -> Connector:
        return connect(self.history.transport)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(None, url=f"http://{host}:{port}")

    def make_success(self) -> str:
        return "load_orders"

    def make_failure(self) -> str:
        return "load_stock"

    def connector_with_an_unknown_state(self) -> Connector:
        self.history.jobs[self.history.named("load_orders")["id"]][0]["status"] = "EATEN"
        return self.connector()

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.history.deleted.add(self.history.named("mart")["id"])
            return self.connector()
        return connect(FaultyTransport(self.history.handle, how, "" if how == HOUR_OFF else LISTS))

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """The log of an application is read by the server half an hour after its end."""
        return self.connector(), lambda: str(self.history.copied("load_stock", "late", -30)["id"])

    def with_a_right_revoked(self) -> Connector:
        self.history.forbidden = True
        return self.connector()


def polled(history: FakeHistory, cursor: str = "", **options: Any) -> dict[str, RunRecord]:
    return {run.job: run for run in connect(history.transport, **options).poll(cursor, (), 20).runs}


def test_jobs_decide_and_never_the_application_alone() -> None:
    """All of these but `export` read completed: true, exitCode: 0."""
    runs = polled(FakeHistory())
    states = {name: (run.state, run.evidence) for name, run in runs.items()}
    assert {
        "load_orders": (RunState.SUCCEEDED, RunEvidence.NATIVE),
        "load_stock": (RunState.FAILED, RunEvidence.NATIVE),  # it died of an exception
        "mart": (RunState.PARTIAL, RunEvidence.NATIVE),  # it caught one and went on
        "idle": (RunState.UNKNOWN, RunEvidence.NATIVE),  # it ran no job
        "export": (RunState.RUNNING, RunEvidence.NATIVE),  # it was killed: its log has no end
    } == states
    assert "failed jobs: 1; later ones succeeded" == runs["mart"].message


def test_a_killed_application_is_lost_when_its_log_stopped_growing() -> None:
    run = polled(FakeHistory(), lost_after="1h")["export"]
    assert (RunState.LOST, RunEvidence.INFERRED) == (run.state, run.evidence)
    assert run.message.startswith("its log has no end, and did not grow since ")


def test_a_job_that_ran_when_its_application_ended_is_no_success() -> None:
    history = FakeHistory()
    history.jobs[history.named("load_orders")["id"]][0]["status"] = "RUNNING"
    assert RunState.FAILED is polled(history)["load_orders"].state


def test_a_failed_last_job_decides_whatever_an_unknown_word_of_another_means() -> None:
    history = FakeHistory()
    for name in ("load_orders", "load_stock"):
        jobs = history.jobs[history.named(name)["id"]]
        jobs.append({**jobs[0], "jobId": -2, "status": "EATEN"})
    runs = polled(history)
    assert (RunState.UNKNOWN, RunState.FAILED) == (runs["load_orders"].state, runs["load_stock"].state)


def test_attempts_of_an_application_are_attempts_of_its_run() -> None:
    history = FakeHistory()
    app = history.named("load_orders")
    first = {**app["attempts"][0], "attemptId": "1"}
    app["attempts"] = [{**first, "attemptId": "2"}, first]
    history.jobs |= {
        f"{app['id']}/1": history.jobs[history.named("load_stock")["id"]],
        f"{app['id']}/2": history.jobs[app["id"]],
    }
    runs = [run for run in connect(history.transport).poll("", (), 20).runs if run.job == "load_orders"]
    assert [(f"{app['id']}/1", RunState.FAILED), (f"{app['id']}/2", RunState.SUCCEEDED)] == [
        (run.attempt_key, run.state) for run in runs
    ]
    assert {app["id"]} == {run.period_key for run in runs}


def test_a_quiet_poll_requests_the_list_alone_and_a_change_its_jobs() -> None:
    history = FakeHistory()
    connector = connect(history.transport)
    cursor = connector.poll("", (), 20).cursor
    history.requested.clear()
    assert ["export"] == [run.job for run in connector.poll(cursor, (), 20).runs]
    assert 1 == len(history.requested)
    history.copied("load_stock", "next", 10)
    assert {"next", "export"} >= {run.attempt_key for run in connector.poll(cursor, (), 20).runs if run.job != "export"}


def test_many_applications_come_in_several_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "MAX_APPLICATIONS", 2)
    connector = connect(FakeHistory().transport)
    first = connector.poll("", (), 20)
    assert (True, {"load_orders", "load_stock", "export"}) == (first.more, {run.job for run in first.runs})
    second = connector.poll(first.cursor, (), 20)
    assert (False, {"mart", "idle", "export"}) == (second.more, {run.job for run in second.runs})


def test_an_open_run_whose_log_was_deleted_is_unknown() -> None:
    history = FakeHistory()
    connector = connect(history.transport)
    poll = connector.poll("", (), 20)
    [run] = [run for run in poll.runs if run.job == "export"]
    history.apps.remove(history.named("export"))
    [run_record] = connector.poll(poll.cursor, (ref(run),), 20).runs
    assert (RunState.UNKNOWN, RunEvidence.INFERRED) == (run_record.state, run_record.evidence)


def test_the_log_names_jobs_and_why_stages_failed() -> None:
    history = FakeHistory()
    connector = connect(history.transport)
    [run] = [run for run in connector.poll("", (), 20).runs if run.job == "load_stock"]
    text = connector.log(ref(run), None, 65536, 20).text
    assert "job 0 SUCCEEDED: " in text
    assert "job 1 FAILED: " in text
    assert "ValueError: orders.csv has no rows for 2026-11-19" in text


def test_only_named_applications_are_watched() -> None:
    assert {"load_orders", "load_stock"} == set(polled(FakeHistory(), applications=["load_*"]))


@pytest.mark.parametrize("given, text", [({"url": "spark"}, "url needs http"), ({"lost_after": "x"}, "not a duration")])
def test_wrong_settings_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        SparkOptions.model_validate({"url": "https://spark.example.com", **given})


def test_an_instant_that_no_calendar_holds_is_skipped() -> None:
    history = FakeHistory()
    history.named("mart")["attempts"][0]["endTimeEpoch"] = 10**18
    poll = connect(history.transport).poll("", (), 20)
    assert ["applications"] == [item.where for item in poll.skipped]
