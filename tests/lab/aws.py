"""AWS Step Functions as moto serves them, with its execution switch on: state machines really run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.lab.process import Daemon, accepts, ask, clean_environment, free_port

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "lab-key", "AWS_SECRET_ACCESS_KEY": "lab-secret"}
ROLE = "arn:aws:iam::123456789012:role/lab"
# Without this every execution stays RUNNING for ever and its history is a canned one of 2020 (moto 5.2, measured).
EXECUTION_SWITCH = {"stepfunctions": {"execute_state_machine": True}, "batch": {"use_docker": False}}
PAGE_SIZE = 100
"""Of a list of a bucket, where its reader names none: S3's own is 1,000, and an object costs 6 ms."""


def succeeding() -> dict[str, Any]:
    """A state machine of one step that passes."""
    return {"StartAt": "Load", "States": {"Load": {"Type": "Pass", "Result": {"rows": 42}, "End": True}}}


def failing(error: str = "Orders.Empty", cause: str = "no rows for this business date") -> dict[str, Any]:
    """A state machine that fails at its only step with this error and cause."""
    return {"StartAt": "Load", "States": {"Load": {"Type": "Fail", "Error": error, "Cause": cause}}}


def waiting(seconds: int) -> dict[str, Any]:
    """A state machine that is RUNNING for so long and then succeeds."""
    states = {"Wait": {"Type": "Wait", "Seconds": seconds, "Next": "Done"}, "Done": {"Type": "Succeed"}}
    return {"StartAt": "Wait", "States": states}


def by_input() -> dict[str, Any]:
    """A state machine that does what its input says: `{"do": "fail"}`, `{"do": "wait", "seconds": 9}`, else success."""
    choices = [
        {"Variable": "$.do", "StringEquals": "fail", "Next": "Fail"},
        {"Variable": "$.do", "StringEquals": "wait", "Next": "Wait"},
    ]
    states = {
        "Decide": {"Type": "Choice", "Choices": choices, "Default": "Done"},
        "Fail": {"Type": "Fail", "Error": "Orders.Late", "Cause": "orders.csv is not there"},
        "Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "Done"},
        "Done": {"Type": "Succeed"},
    }
    return {"StartAt": "Decide", "States": states}


class MotoServer:
    """A moto server of our own on a free port; `endpoint` is its `endpoint_url`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._daemon: Daemon | None = None

    def start(self) -> None:
        """Starts the server and turns execution on. LabError with its log when it does not answer in time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._daemon = Daemon(argv, self.folder / "moto.log", self._environment())
        self._daemon.start()
        self._daemon.wait_ready(lambda: accepts(self.port), f"moto on port {self.port}")
        self._post("config", EXECUTION_SWITCH)

    def _environment(self) -> dict[str, str]:
        return clean_environment(**CREDENTIALS, MOTO_S3_DEFAULT_MAX_KEYS=str(PAGE_SIZE))

    def stop(self) -> None:
        """Ends the server and forgets everything in it."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    def reset(self) -> None:
        """Forgets every state machine and execution; the execution switch stays on."""
        self._post("reset", {})
        self._post("config", EXECUTION_SWITCH)

    def client(self) -> SFNClient:
        """A Step Functions client for this server; it never retries."""
        config = Config(inject_host_prefix=False, retries={"max_attempts": 0})
        client: SFNClient = boto3.client(
            "stepfunctions", endpoint_url=self.endpoint, region_name=REGION, config=config,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        return client

    def scheduler(self) -> Any:
        """A client of EventBridge Scheduler for this server: it keeps schedules and never starts anything."""
        return self.service("scheduler")

    def service(self, name: str) -> Any:
        """A client of any service for this server; it never retries."""
        config = Config(inject_host_prefix=False, retries={"max_attempts": 0})
        return boto3.client(
            name, endpoint_url=self.endpoint, region_name=REGION, config=config,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def schedule(self, name: str, machine: str, arguments: dict[str, Any] | None = None, **more: Any) -> None:
        """A new schedule of group default that would start the state machine at 04:15 in Berlin."""
        target = {"Arn": machine, "RoleArn": ROLE, "Input": json.dumps(arguments or {"do": "pass"})}
        given = {"ScheduleExpression": "cron(15 4 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin"}
        window = {"Mode": "OFF"}
        self.scheduler().create_schedule(Name=name, Target=target, FlexibleTimeWindow=window, **(given | more))

    def switch(self, name: str, state: str) -> None:
        """Sets a schedule of group default to ENABLED or DISABLED, as a person does in the console."""
        client = self.scheduler()
        schedule = client.get_schedule(GroupName="default", Name=name)
        names = client.meta.service_model.operation_model("UpdateSchedule").input_shape.members
        values = {key: value for key, value in schedule.items() if key in names}
        client.update_schedule(**(values | {"State": state}))

    def create(self, name: str, definition: dict[str, Any]) -> str:
        """The ARN of a new state machine."""
        reply = self.client().create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        return reply["stateMachineArn"]

    def redefine(self, machine: str, definition: dict[str, Any]) -> None:
        """Gives a state machine another definition, as a deployment does; running executions keep theirs."""
        self.client().update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))

    def execute(self, machine: str, name: str, arguments: dict[str, Any] | None = None) -> str:
        """The ARN of a new execution; `name` is unique per state machine, `arguments` its input."""
        text = json.dumps(arguments or {"do": "pass"})
        reply = self.client().start_execution(stateMachineArn=machine, name=name, input=text)
        return reply["executionArn"]

    def status(self, execution: str) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""
        return self.client().describe_execution(executionArn=execution)["status"]

    def _post(self, path: str, body: dict[str, Any]) -> None:
        ask("POST", f"{self.endpoint}/moto-api/{path}", json=body).raise_for_status()
