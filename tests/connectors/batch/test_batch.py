"""Batch beside its conformance: attempts, arrays, dependencies, lost answers. AWS never saw these tests; what moto
lacks (attempts, a failing job) is also checked by botocore's Stubber."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import boto3
import botocore.session
import pytest
from botocore.stub import Stubber
from pydantic import ValidationError

from connectors.batch import actions, parse
from connectors.batch.client import BatchClient
from connectors.batch.options import BatchOptions
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector
from connectors.sdk.errors import AnswerLost, NotSupported
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from tests.connectors.batch.test_conformance import keys, night
from tests.fakes.batch import ARN, OPTIONS, FakeBatch, milliseconds
from tests.rows import each_row

__all__ = ["keys"]


@each_row("option", ["queues", "definitions"])
@each_row("pattern", ["", "night queue", "a/b", "x" * 257])
def test_patterns_that_no_name_can_match_are_refused(option: str, pattern: str) -> None:
    with pytest.raises(ValidationError, match=f"{option}.0\n.*is not written like night-\\*"):
        BatchOptions.model_validate({"region": "eu-central-1", option: [pattern]})
    options = BatchOptions.model_validate({"region": "eu-central-1", option: ["etl_[0-9]*"]})
    assert ("etl_[0-9]*",) == getattr(options, option)


NOW = datetime(2026, 11, 21, 4, 15, tzinfo=UTC)


@pytest.fixture
def fake() -> FakeBatch:
    return night()


def runs_of(connector: Connector, job: str) -> dict[str, RunRecord]:
    return {run.attempt_key: run for run in connector.poll("", (), 20).runs if run.job == job}


def start(job: str) -> ActionSpec:
    return ActionSpec(Verb.START, RunRef(job, "2026-11-21T04:15:00Z", "", ""), RunState.PLANNED)


def rerun(run: RunRecord) -> ActionSpec:
    return ActionSpec(Verb.RERUN, ref(run), run.state)


def test_each_attempt_is_reported_with_its_end_and_exit_code(fake: FakeBatch) -> None:
    at = milliseconds(NOW)
    job = fake.job("mart", "RUNNING", NOW)
    fake.attempt(job, 137, "OutOfMemoryError", at + 1000, at + 9000, "mart/default/1")
    first, second = (item for item in runs_of(fake.connector(), "mart").values() if item.period_key == job["jobId"])
    assert (RunState.FAILED, 137, "OutOfMemoryError") == (first.state, first.exit_code, first.message)
    assert NOW + timedelta(seconds=9) == first.ended_at
    assert (RunState.RUNNING, None, f"{job['jobId']}#2") == (second.state, second.ended_at, second.attempt_key)
    fake.end(job, "SUCCEEDED", NOW + timedelta(minutes=6))
    ended = [item for item in runs_of(fake.connector(), "mart").values() if item.period_key == job["jobId"]]
    assert [RunState.FAILED, RunState.SUCCEEDED] == [item.state for item in ended]


STATES = {
    "SUBMITTED": "queued", "PENDING": "waiting", "RUNNABLE": "queued", "STARTING": "queued", "RUNNING": "running",
    "SUCCEEDED": "succeeded", "FAILED": "failed",
}  # fmt: skip


def test_each_state_of_the_service_is_mapped(fake: FakeBatch) -> None:
    terms = botocore.session.get_session().get_service_model("batch").shape_for("JobStatus").metadata["enum"]
    keys = {term: f"{fake.job('mart', term)['jobId']}#1" for term in terms}
    runs = runs_of(fake.connector(), "mart")
    assert STATES == {term: runs[key].state.value for term, key in keys.items()}
    assert all(runs[keys[term]].native_state == term for term in terms)
    assert all(runs[keys[term]].state.is_open == (runs[keys[term]].ended_at is None) for term in terms)


def test_an_end_by_hand_and_one_by_the_clock_are_no_plain_failures(fake: FakeBatch) -> None:
    by_hand = fake.job("mart", "FAILED", isTerminated=True, statusReason="wrong day")
    late = fake.job("mart", "FAILED", statusReason=parse.TIMED_OUT)
    runs = runs_of(fake.connector(), "mart")
    reported = [runs[f"{item['jobId']}#1"].state for item in (by_hand, late)]
    assert [RunState.CANCELLED, RunState.TIMED_OUT] == reported


def test_dependencies_of_a_job_are_reported_as_inputs(fake: FakeBatch) -> None:
    load = next(job for job in fake.jobs if "load-orders" in job["jobDefinition"] and job["status"] == "FAILED")
    (mart,) = runs_of(fake.connector(), "mart").values()
    assert [{"job": "load-orders", "period_key": load["jobId"]}] == mart.context["inputs"]


def test_an_array_counts_its_children_and_shows_the_log_of_one_that_failed(fake: FakeBatch) -> None:
    summary = {"FAILED": 2, "SUCCEEDED": 8}
    array = fake.job("mart", "FAILED", arrayProperties={"size": 10, "statusSummary": summary})
    child = fake.job("mart", "FAILED", jobId=f"{array['jobId']}:3", arrayProperties={"index": 3})
    fake.write("/aws/batch/job", child["container"]["logStreamName"], "no such file")
    connector = fake.connector()
    runs = runs_of(connector, "mart")
    run = runs[f"{array['jobId']}#1"]
    assert run.message.startswith("2 of 10 children FAILED")
    assert (10, summary) == (run.context["children"], run.context["by_status"])
    assert f"{child['jobId']}#1" not in runs, "children are counted, not told"
    assert "no such file\n" == connector.log(ref(run), None, 1000, 20).text


def test_a_rerun_has_the_command_and_environment_of_the_job_and_our_key(fake: FakeBatch) -> None:
    environment = [{"name": "DAY", "value": "2026-11-20"}, {"name": "AWS_BATCH_X", "value": "theirs"}]
    container = {"command": ["run", "--day", "20"], "environment": environment}
    job = fake.job("mart", "FAILED", container=container, parameters={"day": "20"}, arrayProperties={"size": 4})
    connector, key = fake.connector(), new_key()
    preview = connector.preview(rerun(runs_of(connector, "mart")[f"{job['jobId']}#1"]), 20)
    assert ("submit again", None) == (preview.verb, preview.refused)
    assert "2026-11-20" not in str(preview), "the environment stays in Batch"
    connector.act(preview, key, 20)
    (sent,) = (body for name, body in fake.calls if name == "SubmitJob")
    assert f"{key}_mart" == sent["jobName"]
    assert {"command": ["run", "--day", "20"], "environment": environment[:1]} == sent["containerOverrides"]
    assert ({"day": "20"}, {"size": 4}) == (sent["parameters"], sent["arrayProperties"])
    again = next(item for item in runs_of(connector, "mart").values() if item.action_key == key)
    assert "mart" == again.context["name"], "our key is no part of its name"


@pytest.mark.parametrize("more", [{"nodeProperties": {"numNodes": 2}}, {"eksProperties": {}}, {"ecsProperties": {}}])
def test_a_job_of_several_containers_is_left_to_a_person(more: dict[str, object]) -> None:
    result = {"jobId": "1", "status": "FAILED"} | {name: value or {"podProperties": {}} for name, value in more.items()}
    assert "submit it by hand" in str(actions._rerun_refusal(result))


def test_a_start_goes_to_the_queue_of_the_newest_job(fake: FakeBatch) -> None:
    fake.queue("day")
    fake.queue("idle")
    fake.job("mart", "SUCCEEDED", datetime.now(UTC) - timedelta(minutes=5), jobQueue=f"{ARN}:job-queue/day")
    connector = fake.connector()
    assert "day" == connector.preview(start("mart"), 20).plan["queue"]
    fake.definition("never")
    refused = connector.preview(start("never"), 20).refused
    assert refused == "no job of never was submitted recently, so its queue is unknown"
    fake.queues[1]["state"] = "DISABLED"
    assert connector.preview(start("mart"), 20).refused == "queue day is disabled: it takes no jobs"


def test_a_start_whose_answer_was_lost_is_found_and_a_repeat_submits_nothing(fake: FakeBatch) -> None:
    connector, key = fake.connector(), new_key()
    preview = connector.preview(start("mart"), 20)
    fake.lost.add("SubmitJob")
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    assert f"{key} was submitted before" == connector.act(preview, key, 20).message
    assert 1 == sum(name == "SubmitJob" for name, _ in fake.calls)


def test_our_job_is_found_behind_a_page_that_is_empty(fake: FakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    connector, key = fake.connector(), new_key()
    preview = connector.preview(start("mart"), 20)
    connector.act(preview, key, 20)
    whole, empty = BatchClient.listed, (list[AwsReply](), "2")

    def later(
        self: BatchClient, queue: str, term: str, value: str, size: int = 100, token: str | None = None
    ) -> tuple[list[AwsReply], str | None]:
        return whole(self, queue, term, value, size) if token else empty

    monkeypatch.setattr(BatchClient, "listed", later)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    monkeypatch.setattr(BatchClient, "listed", lambda *which, **more: empty)
    assert "does not end" in str(connector.look_up(preview, key, 20))


def test_a_termination_carries_our_key_and_why(fake: FakeBatch) -> None:
    job = fake.job("mart", "RUNNABLE", datetime.now(UTC))
    connector, key = fake.connector(), new_key()
    run = runs_of(connector, "mart")[f"{job['jobId']}#1"]
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state, {"why": "it hangs"}), 20)
    connector.act(preview, key, 20)
    assert f"{key} it hangs" == job["statusReason"]
    assert "by us" in str(connector.look_up(preview, key, 20))
    fake.tick()
    assert RunState.CANCELLED == runs_of(connector, "mart")[f"{job['jobId']}#1"].state
    with pytest.raises(NotSupported, match="has ended: Batch reports FAILED; nothing was sent"):
        connector.act(preview, key, 20)


def test_a_job_that_batch_forgot_is_unknown(fake: FakeBatch) -> None:
    old = RunRef("mart", "1", "1#1", '{"job": "1", "attempt": 1}')
    result = {run.attempt_key: run for run in fake.connector().poll("", (old,), 20).runs}["1#1"]
    assert (RunState.UNKNOWN, "(job deleted)") == (result.state, result.native_state)


def test_the_newest_revision_is_the_job(fake: FakeBatch) -> None:
    before = fake.connector().inventory("", 20)
    fake.definition("mart", 2, containerProperties={"image": "mart:2"})
    after = fake.connector().inventory(before.hash, 20)
    assert ["container load-orders:1 run load-orders", "container mart:2"] == [job.definition for job in after.jobs]


def test_a_failed_job_is_what_aws_describes_by_botocores_stubber(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto has no attempts: the answer is checked by AWS's own model, AWS never saw it."""
    batch = boto3.client("batch", region_name="eu-central-1")
    client = BatchClient(OPTIONS, SecretStore())
    monkeypatch.setitem(client._clients, "batch", batch)
    at = milliseconds(NOW)
    attempt = {
        "startedAt": at, "stoppedAt": at + 5000, "statusReason": "Essential container in task exited",
        "container": {"exitCode": 3, "reason": "ResourceInitializationError", "logStreamName": "mart/default/1"},
    }  # fmt: skip
    job = {
        "jobId": "1", "jobName": "mart", "jobQueue": f"{ARN}:job-queue/night", "status": "FAILED", "startedAt": at,
        "stoppedAt": at + 5000, "createdAt": at - 1000, "jobDefinition": f"{ARN}:job-definition/mart:7",
        "attempts": [attempt], "statusReason": "Essential container in task exited",
    }  # fmt: skip
    with Stubber(batch) as stub:
        stub.add_response("describe_jobs", {"jobs": [job]}, {"jobs": ["1"]})
        client.deadline = Deadline(20)
        (run,) = parse.runs(client.jobs(["1"])[0], [], "eu-central-1")
        stub.assert_no_pending_responses()
    assert ("mart", RunState.FAILED, 3, "1#1") == (run.job, run.state, run.exit_code, run.attempt_key)
    assert (NOW, NOW + timedelta(seconds=5)) == (run.started_at, run.ended_at)


def test_pages_without_a_relevant_record_do_not_end_the_walk(fake: FakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filtered list may have empty pages in its midst, and children of arrays may fill some."""
    whole, connector = fake.connector().poll("", (), 20).runs, fake.connector()
    listed = BatchClient.listed

    def in_pieces(
        self: BatchClient, queue: str, term: str, value: str, size: int = 100, token: str | None = None
    ) -> tuple[list[AwsReply], str | None]:
        rows, number = listed(self, queue, term, value, 100)[0], int(token or 0)
        return [rows[:1], [], [], [], rows[1:]][number], str(number + 1) if number < 4 else None

    monkeypatch.setattr(BatchClient, "listed", in_pieces)
    reported, cursor, more = set[str](), "", True
    while more:
        poll = connector.poll(cursor, (), 20)
        reported |= {run.attempt_key for run in poll.runs}
        assert poll.complete, poll.warnings
        cursor, more = poll.cursor, poll.more
    assert {run.attempt_key for run in whole} == reported
