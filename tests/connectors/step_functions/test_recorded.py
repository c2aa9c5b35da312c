"""Step Functions on recorded replies: conformance, and what moto cannot play. AWS never saw these tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar, cast

import boto3
import httpx
import pytest
from botocore.stub import Stubber

from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionSpec, ActionUnknown, Connector, Preview
from connectors.sdk.errors import (
    AccessRefused,
    ActionRefused,
    ConnectorError,
    NotSupported,
    OutcomeUnknown,
    RecordUnreadable,
    SystemUnreachable,
)
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.records import RunRecord, instant_key
from connectors.sdk.states import RunState, Verb
from connectors.step_functions.client import StepFunctionsClient
from connectors.step_functions.connector import CONNECTOR, StepFunctionsConnector
from tests.connectors.aws_world import AwsWorld, keys
from tests.fakes.aws import NastyAws, endless
from tests.fakes.step_functions import OPTIONS, FakeStates, answer
from tests.fakes.unsent import CROWDS

__all__ = ["keys"]
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:load-orders"
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:load-orders:night-1"
HTML = b"<!doctype html><html lang=en><title>500 Internal Server Error</title>"


@pytest.fixture
def fake() -> FakeStates:
    return FakeStates()


class TestRecordedStepFunctions(AwsWorld, Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: AWS's published shapes and replies of moto"
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}

    limits: ClassVar[Mapping[str, str]] = {"schedule": "no schedule starts its machines; test_schedules has some"}
    lists_of_records = 3  # the pages of both lists: one record of each is spoiled

    @pytest.fixture(autouse=True)
    def world(self, fake: FakeStates) -> None:
        self.fake = fake

    def connector(self) -> Connector:
        return self.fake.connector()

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            other.machines = [machine for machine in other.machines if machine["name"] != "load-orders"]
            return other.connector()
        self.fake.date = format_datetime(datetime.now(UTC), usegmt=True)
        more = endless("nextToken")
        nasty = NastyAws(self.fake.handle_request, how, "", "name", more, operations=("ListExecutions",))
        return self.fake.connector(nasty)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        step = {"timestamp": 1795164480.0, "type": "TaskFailed", "taskFailedEventDetails": {"cause": "x" * 30_000}}
        whole = range(size // 30_000, 0, -1)
        self.fake.history = [step | {"id": number, "previousEventId": number - 1} for number in whole]
        self.fake.page_size = 200
        return self.fake.connector(), failed(self.fake.connector())

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        newest = self.fake.add("newest", "SUCCEEDED")["startDate"]

        def put() -> str:
            late = self.fake.add("behind", "FAILED")
            late |= {"startDate": newest - 30, "stopDate": newest - 20}
            self.fake.executions.sort(key=lambda item: -float(item["startDate"]))
            return f"{late['executionArn']}#0"

        return self.fake.connector(), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.refused.add("ListExecutions")
        return self.fake.connector()

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.add("night-9", "HIBERNATING")
        return self.fake.connector()

    def make_success(self) -> str:
        return "mart"

    def make_failure(self) -> str:
        return "load-orders"

    def a_running_run(self) -> RunRecord:
        name = f"slow-{len(self.fake.executions)}"
        self.fake.add(name, "RUNNING")
        return next(run for run in poll_all(self.fake.connector())[0] if run.period_key == name)

    def a_holdable_job(self) -> str:
        if not self.fake.schedules:
            self.fake.schedule("nightly", "mart", Description="the nightly load")
            self.fake.schedule("noon", "mart", ScheduleExpression="cron(0 12 * * ? *)")
        return "mart"

    def pause_by_hand(self, job_id: str) -> None:
        for schedule in self.fake.schedules:
            schedule["State"] = "DISABLED"

    def resume_by_hand(self, job_id: str) -> None:
        for schedule in self.fake.schedules:
            schedule["State"] = "ENABLED"

    def let_it_fall_due(self, job_id: str) -> None:
        for schedule in self.fake.schedules:
            if schedule["State"] == "ENABLED":
                self.fake.add(f"by-the-clock-{len(self.fake.executions)}", "SUCCEEDED", job_id)

    def native_trace(self) -> object:
        written = ("LastModificationDate",)
        rows = [
            {name: value for name, value in schedule.items() if name not in written} for schedule in self.fake.schedules
        ]
        return json.dumps([self.fake.executions, rows], sort_keys=True)

    def advance(self) -> None:
        self.fake.finish()


def poll_all(connector: Connector, cursor: str = "") -> tuple[list[RunRecord], str]:
    runs: list[RunRecord] = []
    more = True
    while more:
        poll = connector.poll(cursor, (), 20)
        runs, cursor, more = runs + list(poll.runs), poll.cursor, poll.more
    return runs, cursor


def failed(connector: Connector) -> RunRecord:
    return next(run for run in poll_all(connector)[0] if run.state == RunState.FAILED)


def test_recorded_executions_become_runs(fake: FakeStates) -> None:
    runs = {run.period_key: run for run in poll_all(fake.connector())[0]}
    reported = {name: (run.job, run.state, run.message) for name, run in runs.items()}
    assert {
        "night-1": ("load-orders", RunState.FAILED, "Orders.Late: orders.csv is not there"),
        "night-2": ("load-orders", RunState.SUCCEEDED, ""),
        "night-3": ("load-orders", RunState.CANCELLED, ""),
        "night-4": ("load-orders", RunState.RUNNING, ""),
        "b1": ("mart", RunState.SUCCEEDED, ""),
    } == reported
    assert datetime(2026, 11, 20, 8, 47, 48, 268000, tzinfo=UTC) == runs["night-1"].started_at


def test_a_poll_without_news_lists_and_reports_only_open_runs(fake: FakeStates) -> None:
    connector = fake.connector()
    _, cursor = poll_all(connector)
    fake.calls.clear()
    assert ["night-4"] == [run.period_key for run in connector.poll(cursor, (), 20).runs], "open runs are seen alive"
    assert ["ListExecutions"] * 5 == [operation for operation, _ in fake.calls]


def test_long_histories_come_in_pages_and_keep_their_page(fake: FakeStates) -> None:
    for number in range(20):
        fake.add(f"more-{number}", "SUCCEEDED")
    connector = fake.connector()
    first = connector.poll("", (), 20)
    assert first.more
    runs, _ = poll_all(connector, first.cursor)
    names = {run.period_key for run in [*first.runs, *runs]}
    assert {f"more-{number}" for number in range(20)} <= names
    assert "night-1" in names


def test_pages_that_repeat_for_ever_are_cut(fake: FakeStates) -> None:
    fake.add("more", "SUCCEEDED")
    connector = fake.connector()
    connector.inventory("", 20)
    connector.poll("", (), 20)  # the list of state machines is known
    fake.tokens_repeat = True
    poll = connector.poll("", (), 20)
    assert not poll.more
    assert not poll.complete
    assert any("pages of ListExecutions repeat" in warning for warning in poll.warnings)
    with pytest.raises(SystemUnreachable, match="its pages repeat"):
        fake.connector().inventory("", 20)


def test_an_expired_page_token_restarts_the_read(fake: FakeStates) -> None:
    for number in range(20):
        fake.add(f"more-{number}", "SUCCEEDED")
    connector = fake.connector()
    cursor = connector.poll("", (), 20).cursor
    fake.faults.append(answer(400, {"__type": "InvalidToken", "message": "Invalid Token: 'Token is expired'"}))
    poll = connector.poll(cursor, (), 20)
    assert (True, False) == (poll.more, poll.complete)
    assert "night-1" in {run.period_key for run in poll_all(connector, poll.cursor)[0]}


def test_a_redrive_is_offered_where_aws_says_so_and_is_a_further_attempt(fake: FakeStates) -> None:
    fake.executions[-2] |= {"redriveStatus": "REDRIVABLE", "redriveCount": 0}
    assert "night-1" == fake.executions[-2]["name"]
    connector, key = fake.connector(), new_key()
    run = failed(connector)
    cursor = poll_all(connector)[1]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    assert ("redrive", ("night-1",)) == (preview.verb, preview.affected)
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)
    sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    assert isinstance(connector.look_up(sent, key, 20), ActionUnknown), "it may still be on its way"
    receipt = connector.act(preview, key, 20)
    assert f"{EXECUTION}#1" == receipt.native_ref, "the attempt by the key that the poll will tell it with"
    assert [("RedriveExecution", {"executionArn": EXECUTION, "clientToken": key})] == [
        call for call in fake.calls if call[0] == "RedriveExecution"
    ]
    reported = [item for item in poll_all(connector, cursor)[0] if item.attempt_key == f"{EXECUTION}#1"]
    assert [("night-1", RunState.RUNNING, run.period_at)] == [
        (item.period_key, item.state, item.period_at) for item in reported
    ]
    assert reported[0].started_at is not None
    assert run.ended_at is not None
    assert reported[0].started_at > run.ended_at


def test_a_redrive_of_an_old_execution_is_found_by_its_filter(fake: FakeStates) -> None:
    connector = fake.connector()
    old = next(execution for execution in fake.executions if execution["name"] == "night-1")
    old["startDate"] -= 30 * 86400
    fake.executions.sort(key=lambda item: -item["startDate"])
    _, cursor = poll_all(connector)
    old |= {"status": "RUNNING", "redriveCount": 2, "redriveDate": fake.now + 5}
    assert f"{EXECUTION}#2" in {run.attempt_key for run in poll_all(connector, cursor)[0]}


def test_a_running_execution_is_not_started_beside_itself(fake: FakeStates) -> None:
    connector = fake.connector()
    run = next(item for item in poll_all(connector)[0] if item.state == RunState.RUNNING)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    assert "night-4 of load-orders is still running: stop it first, or wait for its end" == preview.refused


def test_an_input_that_cannot_be_read_is_not_replaced_by_nothing(fake: FakeStates) -> None:
    connector = fake.connector()
    run = failed(connector)
    fake.executions = [execution | {"inputDetails": {"included": False}} for execution in fake.executions]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    assert preview.refused is not None
    assert "the input of night-1 cannot be read" in preview.refused
    with pytest.raises(NotSupported, match="nothing was sent"):
        connector.act(replace(preview, refused=None), new_key(), 20)


def test_the_input_is_sent_and_never_shown(fake: FakeStates) -> None:
    connector, key = fake.connector(), new_key()
    fake.add("night-5", "FAILED", given='{"password": "s3cr3t-input"}')
    run = next(item for item in poll_all(connector)[0] if item.period_key == "night-5")
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    connector.act(preview, key, 20)
    assert '{"password": "s3cr3t-input"}' == fake.executions[0]["input"]
    assert "s3cr3t-input" not in repr((run, preview, connector.look_up(preview, key, 20)))


def test_a_name_in_use_means_that_the_start_arrived(fake: FakeStates) -> None:
    connector, key = fake.connector(), new_key()
    run = failed(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    connector.act(preview, key, 20)
    fake.finish()
    assert f"{key} was started before" == connector.act(preview, key, 20).message


@pytest.mark.parametrize("days, state", [(1, RunState.LOST), (100, RunState.UNKNOWN)])
def test_an_open_run_that_aws_forgot_is_lost_unless_it_may_have_ended_long_ago(
    fake: FakeStates, days: int, state: RunState
) -> None:
    connector = fake.connector()
    runs, cursor = poll_all(connector)
    run = next(item for item in runs if item.state == RunState.RUNNING)
    fake.executions = [execution for execution in fake.executions if execution["name"] != "night-4"]
    known = replace(ref(run), started_at=datetime.now(UTC) - timedelta(days=days))
    reported = {item.attempt_key: item for item in connector.poll(cursor, (known,), 20).runs}
    assert (state, "(execution deleted)") == (reported[run.attempt_key].state, reported[run.attempt_key].native_state)


def test_f37_the_answer_about_another_execution_is_dropped_and_counted(
    fake: FakeStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise be taken for the run of the requested job."""
    connector = fake.connector()
    runs, cursor = poll_all(connector)
    run = next(item for item in runs if item.state == RunState.RUNNING)
    mixed_up(fake, run)
    monkeypatch.setattr(fake, "_ListExecutions", lambda body: {"executions": []})  # so it is requested by its ARN
    poll = connector.poll(cursor, (ref(run),), 20)
    assert [] == [item for item in poll.runs if item.attempt_key == run.attempt_key]
    assert ["the answer is about arn:" in item.reason for item in poll.skipped] == [True]


def test_f37_no_execution_is_started_with_the_input_of_another(fake: FakeStates) -> None:
    connector, key = fake.connector(), new_key()
    run = failed(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    mixed_up(fake, run)
    with pytest.raises(RecordUnreadable, match="the answer is about arn:"):
        connector.act(preview, key, 20)
    assert [] == [execution for execution in fake.executions if execution["name"] == key]


def mixed_up(fake: FakeStates, run: RunRecord) -> None:
    """The next description is of another execution."""
    other = next(execution for execution in fake.executions if execution["executionArn"] not in run.native_ref)
    fake.fault_at["DescribeExecution"] = answer(200, other)


def json_error(status: int, code: str, **headers: str) -> httpx.Response:
    return answer(status, {"__type": f"com.amazonaws.states#{code}", "message": "no"}, **headers)


READ_ERRORS: list[tuple[httpx.Response, type[ConnectorError], str]] = [
    (json_error(400, "AccessDeniedException"), AccessRefused, "allow states:ListStateMachines"),
    (json_error(403, "AccessDenied"), AccessRefused, "allow states:ListStateMachines"),
    (json_error(400, "UnrecognizedClientException"), AccessRefused, "Check the keys"),
    (json_error(403, "SignatureDoesNotMatch"), AccessRefused, "Check the keys"),
    (json_error(400, "ExpiredTokenException"), AccessRefused, "Check the keys"),
    (json_error(400, "ThrottlingException"), SystemUnreachable, "ThrottlingException"),
    (json_error(429, "TooManyRequestsException"), SystemUnreachable, "429"),
    (json_error(503, "ServiceUnavailable"), SystemUnreachable, "503"),
    (json_error(500, "InternalFailure"), SystemUnreachable, "500"),
    (json_error(400, "ValidationException"), NotSupported, "ValidationException"),
    (answer(500, HTML, "text/html; charset=utf-8"), SystemUnreachable, "ListStateMachines answered 500"),
    (answer(502, HTML, "text/html"), SystemUnreachable, "502"),
    (answer(200, b"<html>Sign in</html>", "text/html"), AccessRefused, "a login or a proxy is in between"),
    (answer(302, b"", location="https://login"), AccessRefused, "a login or a proxy is in between"),
    (answer(200, b'{"stateMachines": ['), SystemUnreachable, "not whole JSON"),
    (answer(200, b"{}"), SystemUnreachable, "without stateMachines"),
    (answer(200, b"[]"), SystemUnreachable, "a JSON list, not an object"),
    (answer(200, b'{"stateMachines": [1]}'), SystemUnreachable, "cannot be read"),
    (answer(200, b"[" * 100_000), SystemUnreachable, "nested too deep to be read"),
    (answer(200, b"\xff\xfe\x00"), SystemUnreachable, "is not UTF-8 at byte 0"),
]


@pytest.mark.parametrize("index", range(len(READ_ERRORS)))
def test_each_answer_is_sorted_by_what_happens_next(fake: FakeStates, index: int) -> None:
    reply, expected, text = READ_ERRORS[index]
    for _ in range(2):  # what a fault of the server answers is requested once more
        fake.faults.append(httpx.Response(reply.status_code, headers=reply.headers, stream=reply.stream))
    with pytest.raises(expected, match=text) as caught:
        fake.connector().inventory("", 20)
    assert "s3cr3t-aws-key" not in repr(caught.value)


def test_throttling_says_when_to_come_back(fake: FakeStates) -> None:
    fake.faults.append(json_error(400, "ThrottlingException", retry_after="7"))
    with pytest.raises(SystemUnreachable) as caught:
        fake.connector().inventory("", 20)
    assert 7.0 == caught.value.retry_after_seconds


def test_throttling_in_the_middle_preserves_what_was_read(fake: FakeStates) -> None:
    connector = fake.connector()
    connector.poll("", (), 20)
    fake.page_size = 100
    fake.faults += [None, json_error(400, "ThrottlingException")]
    poll = connector.poll("", (), 20)
    assert not poll.complete
    assert poll.runs
    again = connector.poll(poll.cursor, (), 20)
    assert {"load-orders", "mart"} == {run.job for run in [*poll.runs, *again.runs]}


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=request)


def not_sent(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.mark.parametrize(
    "fault, expected",
    [
        (lost, OutcomeUnknown),
        (not_sent, SystemUnreachable),
        (json_error(500, "InternalFailure"), OutcomeUnknown),
        (json_error(503, "ServiceUnavailable"), OutcomeUnknown),
        (answer(200, b'{"executionArn"'), OutcomeUnknown),
        (json_error(400, "ThrottlingException"), SystemUnreachable),
        (json_error(400, "AccessDeniedException"), AccessRefused),
        (json_error(400, "StateMachineDeleting"), NotSupported),
        (json_error(400, "ExecutionLimitExceeded"), NotSupported),
    ],
)
def test_an_action_whose_answer_is_lost_is_unknown_and_never_repeated(
    fake: FakeStates, fault: Any, expected: type[ConnectorError]
) -> None:
    connector = fake.connector()
    run = failed(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    fake.calls.clear()
    fake.fault_at["StartExecution"] = fault
    with pytest.raises(expected):
        connector.act(preview, new_key(), 20)
    assert 1 == [operation for operation, _ in fake.calls].count("StartExecution")


def test_a_dead_pooled_connection_is_replaced_once_for_reads(fake: FakeStates) -> None:
    fake.faults.append(lost)
    assert fake.connector().inventory("", 20).jobs
    fake.faults += [lost, lost]
    with pytest.raises(SystemUnreachable, match="connection reset"):
        fake.connector().inventory("", 20)


def test_one_refused_state_machine_leaves_the_others(fake: FakeStates) -> None:
    connector = fake.connector()
    connector.poll("", (), 20)
    fake.faults.append(json_error(400, "AccessDeniedException"))
    poll = connector.poll("", (), 20)
    assert not poll.complete
    assert {"mart"} == {run.job for run in poll.runs}
    assert any("allow states:ListExecutions" in warning for warning in poll.warnings)


def test_express_state_machines_are_shown_and_never_listed(fake: FakeStates) -> None:
    fake.machines[1]["type"] = "EXPRESS"
    connector = fake.connector()
    assert {"load-orders": "full", "mart": "start"} == {
        job.native_id: job.proof for job in connector.inventory("", 20).jobs
    }
    assert {"load-orders"} == {run.job for run in poll_all(connector)[0]}
    assert any("EXPRESS" in note and "mart" in note for note in connector.probe(20).notes)


def test_a_missing_right_is_named_by_the_probe(fake: FakeStates) -> None:
    fake.fault_at["DescribeStateMachine"] = json_error(400, "AccessDeniedException")
    missing = [right for right in fake.connector().probe(20).rights if right.held is False]
    assert [("states:DescribeStateMachine", "allow states:DescribeStateMachine to this identity")] == [
        (right.name, right.fix) for right in missing
    ]


def test_without_any_identity_the_fix_is_named(fake: FakeStates, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AccessRefused, match="Give access_key_id and secret_access_key, a profile, or a role"):
        fake.connector().inventory("", 20)


def stubbed(connector: StepFunctionsConnector) -> Stubber:
    """botocore's own model of AWS checks every parameter and the shape of every reply."""
    client = boto3.client("stepfunctions", region_name="eu-central-1")
    cast(StepFunctionsClient, connector._client)._clients["stepfunctions"] = client
    return Stubber(client)


def test_a_redrive_is_well_formed_for_aws(fake: FakeStates) -> None:
    connector, key = fake.connector(), new_key()
    at = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
    described = {
        "executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "night-1", "status": "FAILED", "startDate": at,
        "stopDate": at, "input": "{}", "redriveCount": 0, "redriveStatus": "REDRIVABLE",
    }  # fmt: skip
    with stubbed(connector) as stub:
        stub.add_response("describe_execution", described, {"executionArn": EXECUTION, "includedData": "ALL_DATA"})
        running = {"stateMachineArn": MACHINE, "maxResults": 10, "statusFilter": "RUNNING"}
        stub.add_response("list_executions", {"executions": []}, running)
        meta = {"executionArn": EXECUTION, "includedData": "METADATA_ONLY"}
        stub.add_response("describe_execution", described, meta)
        stub.add_response("redrive_execution", {"redriveDate": at}, {"executionArn": EXECUTION, "clientToken": key})
        stub.add_response("describe_execution", described | {"redriveCount": 1, "redriveDate": at}, meta)
        native = json.dumps({"arn": EXECUTION, "machine": MACHINE, "redrives": 0})
        run = RunRecord(
            "load-orders", f"{EXECUTION}#0", RunState.FAILED, "FAILED", period_key="night-1", native_ref=native
        )
        preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
        assert Preview is type(preview)
        assert f"states:RedriveExecution executionArn={EXECUTION} clientToken=<key>" == preview.native_calls[0]
        connector.act(preview, key, 20)
        assert isinstance(connector.look_up(preview, key, 20), ActionUnknown)
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("cursor", ["{", "[]", '{"turn": "x"}', '{"turn": 1, "marks": []}', "null"])
def test_a_foreign_cursor_restarts_the_read_with_a_notice(fake: FakeStates, cursor: str) -> None:
    poll = fake.connector().poll(cursor, (), 20)
    first = fake.connector().poll("", (), 20)
    assert (poll.runs, poll.cursor) == (first.runs, first.cursor)
    assert poll.warnings[0].startswith(CURSOR_UNREADABLE)


def test_the_inventory_says_which_machines_the_options_ask_for(fake: FakeStates) -> None:
    """One that they leave out is watched no more; it is not gone."""
    is_selected = fake.connector().inventory("", 20).is_selected
    assert is_selected is not None
    assert is_selected("load-orders", (MACHINE,))
    chosen = OPTIONS.model_copy(update={"state_machines": ("nightly-*", "arn:*:load-*")})
    connector = StepFunctionsConnector(StepFunctionsClient(chosen, fake.secret, fake), chosen)
    narrowed = connector.inventory("", 20).is_selected
    assert narrowed is not None
    assert [True, True, False] == [
        narrowed(name, keys) for name, keys in (("nightly-1", ()), ("load-orders", (MACHINE,)), ("load-orders", ("x",)))
    ]


def test_the_options_choose_by_name_or_arn() -> None:
    assert ("*",) == OPTIONS.state_machines
    assert ["eu-central-1"] == CONNECTOR.targets(OPTIONS)


def test_an_execution_that_was_redriven_since_the_preview_is_not_redriven_again(fake: FakeStates) -> None:
    fake.executions[-2] |= {"redriveStatus": "REDRIVABLE", "redriveCount": 0}
    connector = fake.connector()
    run = failed(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    fake.executions[-2] |= {"redriveCount": 1}
    with pytest.raises(ActionRefused, match="was redriven since the preview; nothing was sent"):
        connector.act(preview, new_key(), 20)
    assert "RedriveExecution" not in {call for call, _ in fake.calls}


@pytest.mark.parametrize("seconds", [60, 7200])
def test_a_redrive_that_another_user_may_have_sent_does_not_prove_ours(fake: FakeStates, seconds: int) -> None:
    fake.executions[-2] |= {"redriveStatus": "REDRIVABLE", "redriveCount": 0}
    connector, key = fake.connector(), new_key()
    run = failed(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    sent = datetime.fromtimestamp(fake.now, UTC)
    plan = {**preview.plan, SENT_AT: instant_key(sent)}
    fake.executions[-2] |= {"redriveCount": 1, "redriveDate": fake.now + seconds}
    assert isinstance(connector.look_up(replace(preview, plan=plan), key, 20), ActionUnknown)
