"""Step Functions against a moto server that really runs state machines. It is not AWS: moto has no redrive, knows no
access rights and no throttling; those are tested on replies of AWS's own shapes, which AWS never saw."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector, Preview
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunEvidence, RunState, Verb
from connectors.step_functions.connector import CONNECTOR
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.process import wait_until

NUMBERS = itertools.count(1)


def connect(endpoint: str, *machines: str) -> Connector:
    options = CONNECTOR.options(
        region=aws.REGION, endpoint_url=endpoint, scheduler_endpoint_url=endpoint, state_machines=machines or ("*",),
        access_key_id={"env": "LAB_KEY_ID"}, secret_access_key={"env": "LAB_KEY"},
    )  # fmt: skip
    return CONNECTOR.open(options, aws.REGION, SecretStore())


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY_ID", aws.CREDENTIALS["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("LAB_KEY", aws.CREDENTIALS["AWS_SECRET_ACCESS_KEY"])


class Machines:
    """State machines of one test, with names that no other test has."""

    def __init__(self, moto: MotoServer) -> None:
        self.moto, self.prefix = moto, f"sf{next(NUMBERS)}"
        self.arns: dict[str, str] = {}
        self.scheduled: dict[str, list[str]] = {}
        """Names of the schedules of each state machine."""

    def create(self, name: str) -> str:
        full = f"{self.prefix}-{name}"
        if full not in self.arns:
            self.arns[full] = self.moto.create(full, aws.by_input())
        return full

    def schedule(self, name: str, suffix: str = "", arguments: dict[str, Any] | None = None, **more: Any) -> str:
        """Name of a new schedule that starts the state machine."""
        full = self.create(name)
        schedule = f"{full}-{suffix or 'main'}"
        self.moto.schedule(schedule, self.arns[full], arguments, **more)
        self.scheduled.setdefault(full, []).append(schedule)
        return schedule

    def written(self, schedule: str) -> dict[str, Any]:
        """All that a schedule says now, less when it was changed."""
        results: dict[str, Any] = self.moto.scheduler().get_schedule(GroupName="default", Name=schedule)
        return {
            name: value for name, value in results.items() if name not in ("ResponseMetadata", "LastModificationDate")
        }

    def run(self, name: str, execution: str, do: str, expected: str, seconds: int = 0) -> str:
        """Starts an execution and waits for a status; the state machine's full name."""
        full = self.create(name)
        arn = self.moto.execute(self.arns[full], execution, {"do": do, "seconds": seconds})
        wait_until(lambda: self.moto.status(arn) == expected, f"{execution} to be {expected}")
        return full

    def connect(self) -> Connector:
        return connect(self.moto.endpoint, f"{self.prefix}-*")


@pytest.fixture
def machines(moto: MotoServer) -> Machines:
    return Machines(moto)


class TestStepFunctionsConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    kind = CONNECTOR
    against = "emulator: moto 5"
    limits: ClassVar[dict[str, str]] = {
        "unknown_word": "moto says no word that it does not have",
        "due": "moto keeps schedules and never starts anything by them",
    }

    @pytest.fixture(autouse=True)
    def world(self, machines: Machines) -> None:
        self.machines = machines

    def connector(self) -> Connector:
        return self.machines.connect()

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}")

    def make_success(self) -> str:
        return self.machines.run("good", f"good{next(NUMBERS)}", "pass", "SUCCEEDED")

    def make_failure(self) -> str:
        return self.machines.run("bad", f"bad{next(NUMBERS)}", "fail", "FAILED")

    def a_running_run(self) -> RunRecord:
        name = self.machines.run("slow", f"slow{next(NUMBERS)}", "wait", "RUNNING", seconds=300)
        connector = self.connector()
        try:
            return next(run for run in poll_all(connector)[0] if run.job == name and run.state.is_open)
        finally:
            connector.close()

    def a_holdable_job(self) -> str:
        name = self.machines.create("nightly")
        if name not in self.machines.scheduled:
            self.machines.schedule("nightly", Description="the nightly load")
            self.machines.schedule("nightly", "noon", ScheduleExpression="cron(0 12 * * ? *)")
        return name

    def pause_by_hand(self, job_id: str) -> None:
        for schedule in self.machines.scheduled[job_id]:
            self.machines.moto.switch(schedule, "DISABLED")

    def resume_by_hand(self, job_id: str) -> None:
        for schedule in self.machines.scheduled[job_id]:
            self.machines.moto.switch(schedule, "ENABLED")

    def native_trace(self) -> object:
        client = self.machines.moto.client()
        executions = [
            execution["executionArn"]
            for arn in self.machines.arns.values()
            for execution in client.list_executions(stateMachineArn=arn)["executions"]
        ]
        return executions, [self.machines.written(name) for names in self.machines.scheduled.values() for name in names]


def poll_all(connector: Connector, cursor: str = "") -> tuple[list[RunRecord], str]:
    runs: list[RunRecord] = []
    more = True
    while more:
        poll = connector.poll(cursor, (), 20)
        runs, cursor, more = runs + list(poll.runs), poll.cursor, poll.more
    return runs, cursor


def test_a_failure_brings_its_error_and_cause(machines: Machines) -> None:
    machines.run("load", "night-1", "fail", "FAILED")
    connector = machines.connect()
    (run,), _ = poll_all(connector)
    connector.close()
    assert (RunState.FAILED, "FAILED", RunEvidence.NATIVE) == (run.state, run.native_state, run.evidence)
    assert "Orders.Late: orders.csv is not there" == run.message
    assert ("night-1", run.started_at) == (run.period_key, run.period_at)
    assert run.attempt_key.endswith(":night-1#0")


def test_an_open_execution_is_followed_to_its_end(machines: Machines) -> None:
    name = machines.run("slow", "slow-1", "wait", "RUNNING", seconds=3)
    connector = machines.connect()
    (run,), cursor = poll_all(connector)
    assert (RunState.RUNNING, None) == (run.state, run.ended_at)

    def ended() -> RunRecord | None:
        runs = connector.poll(cursor, (ref(run),), 20).runs
        return next((run for run in runs if not run.state.is_open), None)

    wait_until(lambda: ended() is not None, f"the end of {name}")
    last = ended()
    assert last is not None
    assert RunState.SUCCEEDED == last.state
    assert run.attempt_key == last.attempt_key


def test_a_stopped_execution_is_cancelled(machines: Machines) -> None:
    machines.run("slow", "slow-1", "wait", "RUNNING", seconds=60)
    client = machines.moto.client()
    arn = machines.arns[machines.create("slow")].replace(":stateMachine:", ":execution:") + ":slow-1"
    client.stop_execution(executionArn=arn, error="Operator", cause="wrong day")
    connector = machines.connect()
    (run,), _ = poll_all(connector)
    connector.close()
    assert (RunState.CANCELLED, "ABORTED") == (run.state, run.native_state)


def test_a_start_again_has_our_key_as_its_name_and_is_not_doubled(machines: Machines) -> None:
    """What moto does not have to offer, a redrive, is not offered; the same input fails the same way again."""
    name = machines.run("load", "night-1", "fail", "FAILED")
    connector = machines.connect()
    (run,), cursor = poll_all(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    assert ("start again", None, None) == (preview.verb, preview.overlap, preview.refused)
    assert "orders" not in str(preview.plan), "the input stays in AWS"
    key = new_key()
    connector.act(preview, key, 20)
    connector.act(preview, key, 20)
    executions = machines.moto.client().list_executions(stateMachineArn=machines.arns[name])["executions"]
    assert [key, "night-1"] == [execution["name"] for execution in executions]
    wait_until(lambda: "FAILED" in str(connector.look_up(preview, key, 20)), "the rerun's end")
    again = [run for run in poll_all(connector, cursor)[0] if run.action_key]
    assert [(key, name, RunState.FAILED)] == [(run.action_key, run.job, run.state) for run in again]
    connector.close()


def test_what_runs_now_is_named_before_a_rerun(machines: Machines) -> None:
    machines.run("load", "night-1", "fail", "FAILED")
    machines.run("load", "night-2", "wait", "RUNNING", seconds=60)
    connector = machines.connect()
    run = next(run for run in poll_all(connector)[0] if run.state.is_red)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    connector.close()
    assert preview.overlap is not None
    assert "1 execution(s)" in preview.overlap


def test_a_redrive_that_the_server_does_not_have_is_not_called_throttling(machines: Machines) -> None:
    """moto answers 500 with a web page for what it lacks; nothing happened, and later changes nothing."""
    machines.run("load", "night-1", "fail", "FAILED")
    connector = machines.connect()
    (run,), _ = poll_all(connector)
    arn = run.attempt_key.partition("#")[0]
    preview = Preview("redrive", "", "", plan={"how": "redrive", "arn": arn, "redrives": 0})
    with pytest.raises(NotSupported, match="this server does not have RedriveExecution: 500 with a web page"):
        connector.act(preview, new_key(), 20)
    connector.close()


def test_the_log_contains_every_step_and_the_cause(machines: Machines) -> None:
    machines.run("load", "night-1", "fail", "FAILED")
    connector = machines.connect()
    (run,), _ = poll_all(connector)
    chunk = connector.log(ref(run), None, 65536, 20)
    connector.close()
    lines = chunk.text.splitlines()
    assert (None, False, False) == (chunk.next, chunk.more, chunk.cut)
    assert "1 ExecutionStarted" in lines[0]
    assert "FailStateEntered name=Fail" in chunk.text
    assert lines[-1].endswith("ExecutionFailed error=Orders.Late cause=orders.csv is not there")
    assert "do" not in chunk.text.replace("Orders", ""), "inputs stay out of logs"


def test_only_the_state_machines_of_the_options_are_jobs(machines: Machines) -> None:
    expected, other = machines.create("mart"), machines.create("other")
    connector = connect(machines.moto.endpoint, machines.arns[expected])
    inventory = connector.inventory("", 20)
    connector.close()
    assert [expected] == [job.native_id for job in inventory.jobs]
    assert other not in str(inventory)
    assert ["none"] == [job.schedule.dialect for job in inventory.jobs]


def test_a_changed_definition_changes_the_hash(machines: Machines) -> None:
    name = machines.create("mart")
    connector = machines.connect()
    before = connector.inventory("", 20)
    client = machines.moto.client()
    client.update_state_machine(
        stateMachineArn=machines.arns[name],
        definition='{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}',
    )
    after = connector.inventory(before.hash, 20)
    connector.close()
    assert not after.unchanged
    assert before.jobs[0].definition_hash != after.jobs[0].definition_hash


def test_probe_tries_the_calls_that_watching_needs(machines: Machines) -> None:
    machines.run("load", "night-1", "pass", "SUCCEEDED")
    connector = machines.connect()
    probe = connector.probe(20)
    connector.close()
    calls = ["ListStateMachines", "DescribeStateMachine", "ListExecutions", "DescribeExecution", "GetExecutionHistory"]
    tried = [(f"states:{call}", True) for call in calls]
    assert tried == [(right.name, right.held) for right in probe.rights if right.name.startswith("states:")]
    assert ("scheduler:ListSchedules", True) in [(right.name, right.held) for right in probe.rights]
    assert [("act", None)] * 3 == [(right.needed_for, right.held) for right in probe.rights[-3:]]
    assert any("asks as arn:aws:sts::" in note for note in probe.notes)


def test_a_lookup_finds_what_was_sent(machines: Machines) -> None:
    machines.run("load", "night-1", "fail", "FAILED")
    connector = machines.connect()
    (run,), _ = poll_all(connector)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    key = new_key()
    connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    connector.close()
