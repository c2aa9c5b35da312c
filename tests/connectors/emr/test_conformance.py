"""EMR on a fake whose answers AWS's own model allows; AWS never saw it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors.emr.connector import CONNECTOR, HISTORY, EmrConnector, EmrStepReader
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Reads
from connectors.sdk.conformance.faults import JOB_DELETED
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.aws_world import AwsWorld, keys
from tests.fakes.aws import NastyAws, endless
from tests.fakes.emr import FakeEmr
from tests.fakes.unsent import CROWDS
from tests.rows import each_row

__all__ = ["keys"]


FAILURE = {"Reason": "Unknown Error", "Message": "KeyError: 'order_id'", "LogFile": "s3://logs/j-1/steps/s-1/stderr.gz"}


def night() -> FakeEmr:
    """A cluster of three steps, one of which failed and one runs, and the cluster of the night before."""
    fake = FakeEmr()
    before = fake.cluster("nightly", "TERMINATED", datetime.now(UTC) - timedelta(days=1))
    fake.step(before, "load-orders", "COMPLETED", datetime.now(UTC) - timedelta(days=1))
    tonight = fake.cluster("nightly")
    fake.step(tonight, "load-orders", "FAILED", FailureDetails=FAILURE)
    fake.step(tonight, "mart", "COMPLETED", datetime.now(UTC) - timedelta(hours=1))
    fake.step(tonight, "load-orders", "RUNNING", datetime.now(UTC) - timedelta(minutes=5))
    return fake


class TestEmr(AwsWorld, Reads, Deadlines, Cancels, Faults):
    kind = CONNECTOR
    against = "described: ours, its answers checked by botocore's model of AWS"
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "EMR writes the log of a step to S3, which is not read",
        JOB_DELETED: "a job is a name: the records of its steps have it",
    }
    lists_of_records = 2

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = night()
        self.fake.hangs.add("load-orders")
        self.cluster = self.fake.clusters[0]["Id"]

    def connector(self) -> Connector:
        return self.fake.connector()

    def answering(self, how: str) -> Connector:
        more = endless("Marker")
        return self.fake.connector(
            NastyAws(self.fake.handle_request, how, "", "LogUri", more, operations=("ListSteps",))
        )

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        newest = datetime.now(UTC) - timedelta(minutes=1)
        self.fake.step(self.cluster, "mart", "COMPLETED", newest)
        behind = newest - timedelta(seconds=30)
        return self.fake.connector(), lambda: str(self.fake.step(self.cluster, "mart", "FAILED", behind)["Id"])

    def with_a_right_revoked(self) -> Connector:
        self.fake.refused.add("ListSteps")
        return self.fake.connector()

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.step(self.cluster, "mart", "HIBERNATING")
        return self.fake.connector()

    def make_success(self) -> str:
        return "nightly/mart"

    def make_failure(self) -> str:
        self.fake.steps[self.cluster] = [
            step for step in self.fake.steps[self.cluster] if step["Status"]["State"] != "RUNNING"
        ]
        return "nightly/load-orders"

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add("mart")
        step = self.fake.step(self.cluster, "mart", "RUNNING", datetime.now(UTC) - timedelta(minutes=2))
        with self.opened() as connector:
            return self.runs_of(connector, "nightly/mart")["nightly/mart", step["Id"]]

    def native_trace(self) -> object:
        return json.dumps(self.fake.steps, sort_keys=True, default=str)

    def advance(self) -> None:
        self.fake.tick()


def polled(connector: EmrConnector, cursor: str = "", *known: RunRecord) -> tuple[dict[str, RunRecord], str]:
    runs: dict[str, RunRecord] = {}
    while True:
        poll = connector.poll(cursor, [ref(run) for run in known], 10)
        runs, cursor = runs | {run.attempt_key: run for run in poll.runs}, poll.cursor
        if not poll.more:
            return runs, cursor


@each_row(
    "native, state",
    [
        ("PENDING", RunState.QUEUED),
        ("RUNNING", RunState.RUNNING),
        ("CANCEL_PENDING", RunState.CANCELLING),
        ("COMPLETED", RunState.SUCCEEDED),
        ("FAILED", RunState.FAILED),
        ("INTERRUPTED", RunState.FAILED),
        ("CANCELLED", RunState.CANCELLED),
    ],
)
def test_the_state_of_a_step_decides(native: str, state: RunState) -> None:
    fake = FakeEmr()
    step = fake.step(fake.cluster("nightly"), "load", native)
    run = polled(fake.connector())[0][step["Id"]]
    assert ("nightly/load", state, native) == (run.job, run.state, run.native_state)
    assert run.queued_at is not None
    assert abs(run.queued_at - step["Status"]["Timeline"]["CreationDateTime"]) < timedelta(milliseconds=1)


def test_a_failure_says_why_and_where_its_log_is() -> None:
    runs, _ = polled(night().connector())
    [failed] = [run for run in runs.values() if run.state is RunState.FAILED]
    assert "Unknown Error: KeyError: 'order_id' (log: s3://logs/j-1/steps/s-1/stderr.gz)" == failed.message


def test_steps_that_were_cancelled_with_their_cluster_say_why_it_ended() -> None:
    fake = FakeEmr()
    cluster = fake.cluster("nightly", "TERMINATED_WITH_ERRORS", why="BOOTSTRAP_FAILURE")
    step = fake.step(cluster, "load", "CANCELLED")
    run = polled(fake.connector())[0][step["Id"]]
    reason = "BOOTSTRAP_FAILURE: On the master instance, bootstrap action 1 returned a non-zero code"
    assert (RunState.CANCELLED, reason) == (run.state, run.message)


def test_clusters_of_one_name_are_the_same_jobs_and_arguments_are_in_no_record() -> None:
    fake = night()
    jobs = fake.connector().inventory("", 10).jobs
    assert ["nightly/load-orders", "nightly/mart"] == [job.native_id for job in jobs]
    assert "s3://etl" not in repr(jobs)
    assert 4 == len(polled(fake.connector())[0])


def test_clusters_that_are_not_named_are_not_read() -> None:
    fake = night()
    fake.step(fake.cluster("adhoc"), "try")
    connector = fake.connector(clusters=("night*",))
    assert {"nightly/load-orders", "nightly/mart"} == {run.job for run in polled(connector)[0].values()}
    assert 2 == len(connector.inventory("", 10).jobs)


def test_a_cluster_that_ended_is_read_once_more_and_then_left_alone() -> None:
    """Its steps cost a request each poll otherwise, for a week."""
    fake = FakeEmr()
    cluster = fake.cluster("nightly")
    step = fake.step(cluster, "load", "RUNNING", datetime.now(UTC) - timedelta(minutes=5))
    connector = fake.connector()
    runs, cursor = polled(connector)
    fake.terminate(cluster)
    poller = connector._poll.__self__  # type: ignore[attr-defined]
    requests: list[int] = []
    for _ in range(3):
        poller._cached_until = 0.0
        fake.calls.clear()
        runs, cursor = polled(connector, cursor, *(run for run in runs.values() if run.state.is_open))
        requests.append([name for name, _ in fake.calls].count("ListSteps"))
        if len(requests) == 1:
            assert RunState.CANCELLED is runs[step["Id"]].state
    assert [1, 0, 0] == requests


def after_refresh(connector: EmrConnector) -> EmrConnector:
    """The connector, which lists the clusters again with the next poll."""
    connector._poll.__self__._cached_until = 0.0  # type: ignore[attr-defined]
    return connector


def test_the_last_steps_of_a_cluster_are_read_by_a_later_poll_where_one_had_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeEmr()
    cluster = fake.cluster("nightly")
    fake.step(cluster, "load")
    connector = fake.connector()
    _, cursor = polled(connector)
    last = fake.step(cluster, "mart", "FAILED", datetime.now(UTC) - timedelta(minutes=5))
    fake.terminate(cluster)
    with monkeypatch.context() as patch:
        patch.setattr(EmrStepReader, "has_time", False)
        cursor = after_refresh(connector).poll(cursor, (), 10).cursor
    assert last["Id"] in polled(after_refresh(connector), cursor)[0]


def test_the_last_steps_of_a_cluster_are_read_again_where_the_poll_was_not_stored() -> None:
    fake = FakeEmr()
    cluster = fake.cluster("nightly")
    fake.step(cluster, "load")
    connector = fake.connector()
    _, cursor = polled(connector)
    last = fake.step(cluster, "mart", "FAILED", datetime.now(UTC) - timedelta(minutes=5))
    fake.terminate(cluster)
    for _ in range(2):
        assert last["Id"] in polled(after_refresh(connector), cursor)[0]


def test_the_last_steps_are_read_where_the_history_was_not_read_to_its_end_before() -> None:
    """The pages that follow are older."""
    fake = FakeEmr()
    fake.page_size = 1
    cluster = fake.cluster("nightly")
    for hours in range(5):
        fake.step(cluster, "load", "COMPLETED", datetime.now(UTC) - timedelta(hours=hours + 1))
    connector = fake.connector()
    poll = connector.poll("", (), 10)
    assert poll.more
    last = fake.step(cluster, "mart", "FAILED", datetime.now(UTC) - timedelta(minutes=5))
    fake.page_size = 50
    fake.terminate(cluster)
    older, cursor = polled(after_refresh(connector), poll.cursor)
    assert last["Id"] in older | polled(after_refresh(connector), cursor)[0]


def test_an_ended_cluster_without_steps_is_left_alone() -> None:
    fake = FakeEmr()
    fake.cluster("nightly", "TERMINATED_WITH_ERRORS", why="BOOTSTRAP_FAILURE")
    connector = fake.connector()
    _, cursor = polled(connector)
    fake.calls.clear()
    polled(connector, cursor)
    assert "ListSteps" not in [name for name, _ in fake.calls]


@pytest.mark.parametrize("is_removed", [False, True])
def test_the_last_steps_of_a_cluster_older_than_a_week_are_read(is_removed: bool) -> None:
    """It is listed no longer once it ended."""
    fake = FakeEmr()
    cluster = fake.cluster("lives", began=datetime.now(UTC) - HISTORY - timedelta(days=1))
    fake.step(cluster, "load")
    connector = fake.connector()
    _, cursor = polled(connector)
    last = fake.step(cluster, "mart", "FAILED", datetime.now(UTC) - timedelta(minutes=5))
    fake.terminate(cluster)
    if is_removed:
        del fake.steps[cluster]
    runs, cursor = polled(after_refresh(connector), cursor)
    assert ({} if is_removed else {last["Id"]: "lives/mart"}) == {key: run.job for key, run in runs.items()}
    fake.calls.clear()
    polled(connector, cursor)
    assert "ListSteps" not in [name for name, _ in fake.calls]
    for _ in range(2):
        _, cursor = polled(after_refresh(connector), cursor)
    assert cluster not in cursor


def test_a_cluster_that_left_the_list_before_a_restart_is_reported_as_a_gap_once() -> None:
    fake = FakeEmr()
    cluster = fake.cluster("lives", began=datetime.now(UTC) - HISTORY - timedelta(days=1))
    step = fake.step(cluster, "load")
    _, cursor = polled(fake.connector())
    fake.terminate(cluster)
    poll = fake.connector().poll(cursor, (), 10)
    [gap] = poll.gaps
    assert f"{cluster} is no longer listed: its last steps are not read" == gap.reason
    assert gap.since is not None
    assert gap.since < step["Status"]["Timeline"]["CreationDateTime"]
    assert () == fake.connector().poll(poll.cursor, (), 10).gaps


def test_jobs_are_those_of_the_newest_cluster_of_a_name_although_an_older_one_is_active() -> None:
    fake = FakeEmr()
    older, newer = (
        fake.cluster("nightly"),
        fake.cluster("nightly", "TERMINATED", datetime.now(UTC) - timedelta(hours=2)),
    )
    fake.step(older, "before")
    fake.step(newer, "now")
    assert ["nightly/now"] == [job.native_id for job in fake.connector().inventory("", 10).jobs]


def test_a_long_cluster_is_read_however_old_it_is_and_an_ended_one_for_a_week() -> None:
    fake = FakeEmr()
    old = datetime.now(UTC) - HISTORY - timedelta(days=1)
    lives, ended = fake.cluster("lives", began=old), fake.cluster("ended", "TERMINATED", old)
    fake.step(lives, "load")
    fake.step(ended, "load", "COMPLETED", old)
    assert {"lives/load"} == {run.job for run in polled(fake.connector())[0].values()}


def test_an_open_step_of_a_cluster_outside_the_list_is_read_alone_and_lost_once_deleted() -> None:
    fake = FakeEmr()
    cluster = fake.cluster("nightly")
    step = fake.step(cluster, "load/orders", "RUNNING", datetime.now(UTC) - timedelta(minutes=5))
    runs, cursor = polled(fake.connector())
    listed = fake.clusters
    fake.clusters = []
    run = polled(fake.connector(), cursor, *runs.values())[0][step["Id"]]
    assert ("nightly/load/orders", RunState.RUNNING) == (run.job, run.state)
    fake.clusters, fake.steps[cluster] = listed, []
    assert RunState.LOST is polled(fake.connector(), cursor, *runs.values())[0][step["Id"]].state


def test_steps_are_read_page_by_page() -> None:
    fake = FakeEmr()
    fake.page_size = 2
    cluster = fake.cluster("nightly")
    for hours in range(7):
        fake.step(cluster, f"step-{hours}", "COMPLETED", datetime.now(UTC) - timedelta(hours=hours + 1))
    assert 7 == len(polled(fake.connector())[0])
    assert 7 == len(fake.connector().inventory("", 10).jobs)


def test_a_step_that_ended_since_the_preview_is_not_cancelled() -> None:
    fake = night()
    connector = fake.connector()
    run = next(run for run in polled(connector)[0].values() if run.state is RunState.RUNNING)
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 10)
    assert preview.refused is None
    fake.tick()
    with pytest.raises(NotSupported, match="has ended: EMR reports COMPLETED; nothing was sent"):
        connector.act(preview, new_key(), 10)
    assert "CancelSteps" not in [name for name, _ in fake.calls]
    assert "has ended: EMR reports COMPLETED" in str(
        connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 10).refused
    )


@pytest.mark.parametrize("verb", [Verb.RERUN, Verb.HOLD])
def test_what_it_cannot_do_says_why(verb: Verb) -> None:
    connector = night().connector()
    run = next(iter(polled(connector)[0].values()))
    with pytest.raises(NotSupported, match=r"EMR cannot (rerun|hold): "):
        connector.preview(ActionSpec(verb, ref(run), run.state), 10)
