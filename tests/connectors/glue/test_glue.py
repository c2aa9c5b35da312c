"""Glue beside its conformance: attempts, queues, what a start refuses, lost answers. AWS never saw these tests; what
moto lacks (stop, failing runs) is also checked by botocore's Stubber."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import botocore.session
import pytest
from botocore.stub import Stubber

from connectors.glue.client import GlueClient
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AnswerLost, NotSupported
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from tests.connectors.glue.test_conformance import keys, night
from tests.fakes.glue import OPTIONS, FakeGlue

__all__ = ["keys"]


@pytest.fixture
def fake() -> FakeGlue:
    return night()


def runs_of(connector: Connector, job: str) -> dict[str, RunRecord]:
    return {run.attempt_key: run for run in connector.poll("", (), 20).runs if run.job == job}


def start(job: str) -> ActionSpec:
    return ActionSpec(Verb.START, RunRef(job, "2026-11-21T04:15:00Z", "", ""), RunState.PLANNED)


def test_glues_own_retry_is_a_further_attempt_of_the_same_period(fake: FakeGlue) -> None:
    first = fake.run("mart", "FAILED")
    more = {"Id": f"{first['Id']}_attempt_1", "Attempt": 1, "PreviousRunId": first["Id"]}
    again = fake.run("mart", "SUCCEEDED", datetime.now(UTC) - timedelta(hours=1), **more)
    runs = runs_of(fake.connector(), "mart")
    assert (first["Id"], first["Id"]) == (runs[first["Id"]].period_key, runs[again["Id"]].period_key)
    assert RunState.SUCCEEDED == runs[again["Id"]].state


STATES = {
    "STARTING": "queued", "WAITING": "queued", "RUNNING": "running", "STOPPING": "cancelling", "STOPPED": "cancelled",
    "SUCCEEDED": "succeeded", "FAILED": "failed", "ERROR": "failed", "TIMEOUT": "timed_out", "EXPIRED": "failed",
}  # fmt: skip


def test_each_state_of_the_service_is_mapped(fake: FakeGlue) -> None:
    terms = botocore.session.get_session().get_service_model("glue").shape_for("JobRunState").metadata["enum"]
    ids = {term: fake.run("mart", term)["Id"] for term in terms}
    runs = runs_of(fake.connector(), "mart")
    assert STATES == {term: runs[run_id].state.value for term, run_id in ids.items()}
    assert all(runs[ids[term]].native_state == term for term in terms)
    assert all(runs[ids[term]].state.is_open == (runs[ids[term]].ended_at is None) for term in terms)


def test_runs_a_trigger_waited_for_are_reported_as_inputs(fake: FakeGlue) -> None:
    waited = fake.runs["load-orders"][0]["Id"]
    run = fake.run("mart", TriggerName="after-load", PredecessorRuns=[{"JobName": "load-orders", "RunId": waited}])
    result = runs_of(fake.connector(), "mart")[run["Id"]]
    assert [{"job": "load-orders", "period_key": waited}] == result.context["inputs"]


def test_active_conditional_triggers_name_the_upstreams_of_a_job(fake: FakeGlue) -> None:
    waits = {"Conditions": [{"JobName": "load-orders", "State": "SUCCEEDED"}]}
    fake.trigger("after-load", "mart", "CONDITIONAL", Predicate=waits)
    jobs = {job.native_id: job for job in fake.connector().inventory("", 20).jobs}
    assert ("load-orders",) == jobs["mart"].upstreams


def test_a_start_has_the_arguments_of_its_trigger_and_our_key(fake: FakeGlue) -> None:
    connector, key = fake.connector(), new_key()
    preview = connector.preview(start("load-orders"), 20)
    assert ("start", None) == (preview.verb, preview.refused)
    run_id = connector.act(preview, key, 20).native_ref
    assert {"--day": "today", "--headway-action": key} == fake._run("load-orders", run_id)["Arguments"]


def test_triggers_that_differ_leave_a_start_to_a_person(fake: FakeGlue) -> None:
    fake.trigger("noon", "load-orders", Schedule="cron(0 12 * * ? *)", Arguments={"--day": "yesterday"})
    refused = fake.connector().preview(start("load-orders"), 20).refused
    assert refused == "the triggers of load-orders (nightly, noon) start it with different arguments: start it by hand"


def test_a_job_that_may_run_once_at_a_time_is_not_started_beside_itself(fake: FakeGlue) -> None:
    fake.job("once")
    fake.run("once", "RUNNING", datetime.now(UTC))
    preview = fake.connector().preview(start("once"), 20)
    assert preview.refused == "1 run(s) of once are open, and it may have 1 at once: wait for their end"
    assert preview.overlap is not None
    fake.jobs["once"]["JobRunQueuingEnabled"] = True
    assert fake.connector().preview(start("once"), 20).refused is None


def test_a_refused_preview_is_not_sent_nor_one_of_another_version_whose_outcome_is_unknown(fake: FakeGlue) -> None:
    fake.trigger("noon", "load-orders", Schedule="cron(0 12 * * ? *)", Arguments={"--day": "yesterday"})
    refused = fake.connector().preview(start("load-orders"), 20)
    stored = replace(refused, refused=None, plan={"way": "start"})
    for preview, why in ((refused, str(refused.refused)), (stored, "it has no plan")):
        with pytest.raises(NotSupported, match=re.escape(why)):
            fake.connector().act(preview, new_key(), 20)
    assert isinstance(fake.connector().look_up(stored, new_key(), 20), ActionUnknown)


def test_a_start_whose_answer_was_lost_is_found_and_a_repeat_starts_nothing(fake: FakeGlue) -> None:
    connector, key = fake.connector(), new_key()
    preview = connector.preview(start("mart"), 20)
    fake.lost.add("StartJobRun")
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    assert f"{key} was started before" == connector.act(preview, key, 20).message
    assert 1 == sum(name == "StartJobRun" for name, _ in fake.calls)


def test_a_key_that_may_lie_further_back_is_not_called_absent(fake: FakeGlue) -> None:
    for number in range(12):
        fake.run("mart", began=datetime.now(UTC) - timedelta(minutes=number))
    fake.page_size = 2
    connector = fake.connector()
    answer = connector.look_up(connector.preview(start("mart"), 20), new_key(), 20)
    assert isinstance(answer, ActionUnknown)


def test_a_run_that_glue_forgot_is_unknown(fake: FakeGlue) -> None:
    connector = fake.connector()
    old = RunRef("mart", "jr_1", "jr_1", '{"job": "mart", "run": "jr_1"}')
    jr_1 = {run.attempt_key: run for run in connector.poll("", (old,), 20).runs}["jr_1"]
    assert (RunState.UNKNOWN, "(run deleted)") == (jr_1.state, jr_1.native_state)


def test_a_run_that_went_with_its_job_while_it_ran_is_lost(fake: FakeGlue) -> None:
    began = datetime.now(UTC) - timedelta(hours=1)
    young = RunRef("mart", "jr_1", "jr_1", '{"job": "mart", "run": "jr_1"}', began)
    jr_1 = {run.attempt_key: run for run in fake.connector().poll("", (young,), 20).runs}["jr_1"]
    assert (RunState.LOST, began) == (jr_1.state, jr_1.started_at)


def test_logs_are_not_read_where_only_the_address_of_glue_is_known(fake: FakeGlue) -> None:
    run = next(iter(runs_of(fake.connector(), "mart").values()))
    connector = fake.connector(endpoint_url="https://glue.example.com")
    with pytest.raises(NotSupported, match="give logs_endpoint_url as well"):
        connector.log(ref(run), None, 100, 20)
    assert False in [right.held for right in connector.probe(20).rights]


def test_a_log_is_followed_while_it_is_written(fake: FakeGlue) -> None:
    run_id = fake.run("mart", "RUNNING", datetime.now(UTC))["Id"]
    fake.write("/aws-glue/jobs/output", run_id, "one", "größer")
    connector = fake.connector()
    run = runs_of(connector, "mart")[run_id]
    tail = connector.log(ref(run), None, 1000, 20)
    assert "one\ngrößer\n" == tail.text
    assert connector.log(ref(run), tail.next, 1000, 20).text == ""
    fake.write("/aws-glue/jobs/output", run_id, "three")
    fake.write("/aws-glue/jobs/error", run_id, "oops", at=datetime.now(UTC) + timedelta(seconds=1))
    reported, place = "", tail.next
    for _ in range(20):
        piece = connector.log(ref(run), place, 4, 20)
        reported, place = reported + piece.text, piece.next
        if not piece.more:
            break
    assert "three\noops\n" == reported


def test_a_stop_is_what_aws_describes_by_botocores_stubber(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto has no BatchStopJobRun: its parameters and its answer are checked by AWS's own model, AWS never saw it."""
    glue = boto3.client("glue", region_name="eu-central-1")
    client = GlueClient(OPTIONS, SecretStore())
    monkeypatch.setitem(client._clients, "glue", glue)
    requested = {"JobName": "mart", "JobRunIds": ["jr_1"]}
    asked_for = {"JobName": "mart", "JobRunId": "jr_1"}
    message = {"ErrorCode": "InvalidInputException", "ErrorMessage": "Job Run is not in a valid state to be stopped"}
    done = {"SuccessfulSubmissions": [asked_for], "Errors": [], "ResponseMetadata": {"HTTPStatusCode": 200}}
    no = {
        "ResponseMetadata": {"HTTPStatusCode": 200},
        "Errors": [{"JobName": "mart", "JobRunId": "jr_1", "ErrorDetail": message}],
    }
    with Stubber(glue) as stub:
        stub.add_response("batch_stop_job_run", done, requested)
        stub.add_response("batch_stop_job_run", no, requested)
        client.deadline = Deadline(20)
        client.stop("mart", "jr_1")
        with pytest.raises(NotSupported, match="jr_1 of mart was not stopped: InvalidInputException: Job Run is not"):
            client.stop("mart", "jr_1")
        stub.assert_no_pending_responses()


def test_a_run_that_cannot_be_read_shows_none_of_its_arguments(fake: FakeGlue) -> None:
    for run in fake.runs.values():
        run[:] = [{"Arguments": {"--password": "hunter2"}, "StartedOn": item["StartedOn"]} for item in run]
    poll = fake.connector().poll("", (), 20)
    assert poll.skipped
    assert "hunter2" not in repr(poll)
