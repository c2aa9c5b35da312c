"""Step Functions and EventBridge Scheduler in memory, speaking their wire protocols (JSON 1.0 and REST), begun from
replies recorded at a moto server.

What moto lacks is after AWS's API reference: redrives, throttling, refusals. AWS never saw it; botocore's model of AWS
checks our requests and reads these replies.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from connectors.sdk.secrets import SecretStore
from connectors.step_functions.client import StepFunctionsClient
from connectors.step_functions.connector import StepFunctionsConnector
from connectors.step_functions.options import StepFunctionsOptions

RECORDING = Path(__file__).parents[1] / "recordings" / "step_functions" / "moto.json"
DATE = "Fri, 20 Nov 2026 08:47:55 GMT"
OPTIONS = StepFunctionsOptions(region="eu-central-1")

Body = dict[str, Any]


class Refused(Exception):
    """An error answer: status, AWS's word, message."""


class FakeStates(httpx.BaseTransport):
    """State machines and executions; `calls` are the requests.

    `faults` are answers that come first (None: as usual), `fault_at` the next answer to one operation."""

    def __init__(self) -> None:
        recorded: Body = json.loads(RECORDING.read_text())
        self.machines: list[Body] = [item["body"] for item in recorded["DescribeStateMachine"]]
        described = {item["body"].get("executionArn"): item["body"] for item in recorded["DescribeExecution"]}
        listed = [execution for reply in recorded["ListExecutions"] for execution in reply["body"]["executions"]]
        self.executions: list[Body] = [described.get(item["executionArn"], item) for item in listed]
        self.history: list[Body] = recorded["GetExecutionHistory"][0]["body"]["events"]
        self.schedules: list[Body] = []
        self.calls: list[tuple[str, Body]] = []
        self.faults: deque[httpx.Response | Callable[[httpx.Request], httpx.Response] | None] = deque()
        self.fault_at: dict[str, httpx.Response | Callable[[httpx.Request], httpx.Response]] = {}
        self.page_size = 2
        self.tokens_repeat = False
        self.now = 1795164480.0
        self.date = DATE
        self.refused: set[str] = set()
        """Operations that this identity may not call."""

    def connector(self, transport: httpx.BaseTransport | None = None) -> StepFunctionsConnector:
        """A connector whose only server is this one, or a proxy in front of it."""
        return StepFunctionsConnector(StepFunctionsClient(OPTIONS, self.secret, transport or self), OPTIONS, 0.05)

    @staticmethod
    def secret(reference: Any) -> str:
        return SecretStore()(reference)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        operation = request.headers.get("X-Amz-Target", "sts").partition(".")[2] or _scheduler_operation(request)
        if not operation:
            return answer(404, b"", "text/plain")  # sts lives elsewhere
        body: Body = json.loads(request.read() or b"{}") | dict(request.url.params)
        if request.url.path.startswith("/schedules/"):
            body["Name"] = request.url.path.rpartition("/")[2]
        self.calls.append((operation, body))
        if operation in self.fault_at or self.faults:
            fault = self.fault_at.pop(operation, None) or self.faults.popleft()
            if fault is not None:
                return fault(request) if callable(fault) else fault
        try:
            if operation in self.refused:
                raise Refused(400, "AccessDeniedException", f"not authorized to perform {operation}")
            result: Body = getattr(self, f"_{operation}")(body)
        except Refused as error:
            status, code, message = error.args
            return answer(status, {"__type": code, "message": message}, x_amzn_errortype=code)
        return answer(200, result, date=self.date)

    def add(self, name: str, status: str, machine: str = "load-orders", given: str = "{}", **more: Any) -> Body:
        """A new execution, newest of all."""
        arn = next(item["stateMachineArn"] for item in self.machines if item["name"] == machine)
        self.now += 1
        body = {
            "executionArn": arn.replace(":stateMachine:", ":execution:") + ":" + name,
            "stateMachineArn": arn, "name": name, "status": status, "startDate": self.now, "input": given, **more,
        }  # fmt: skip
        if status not in ("RUNNING", "PENDING_REDRIVE"):
            body["stopDate"] = self.now + 0.5
        self.executions.insert(0, body)
        return body

    def finish(self) -> None:
        """What runs under a key of ours comes to its end."""
        for execution in self.executions:
            if execution["status"] == "RUNNING" and (
                execution["name"].startswith("headway-") or execution.get("redriveCount")
            ):
                self.now += 1
                execution |= {"status": "SUCCEEDED", "stopDate": self.now}

    def schedule(self, name: str, machine: str = "mart", **more: Any) -> Body:
        """A new schedule in group default, enabled, with the fields of AWS."""
        arn = next(item["stateMachineArn"] for item in self.machines if item["name"] == machine)
        target = {"Arn": arn, "RoleArn": "arn:aws:iam::123456789012:role/lab", "Input": '{"do":"pass"}'}
        self.now += 1
        body = {
            "Arn": f"arn:aws:scheduler:eu-central-1:123456789012:schedule/default/{name}",
            "GroupName": "default", "Name": name, "ScheduleExpression": "cron(15 4 * * ? *)",
            "ScheduleExpressionTimezone": "Europe/Berlin", "State": "ENABLED", "Target": target,
            "FlexibleTimeWindow": {"Mode": "OFF"}, "ActionAfterCompletion": "NONE",
            "CreationDate": self.now, "LastModificationDate": self.now, **more,
        }  # fmt: skip
        self.schedules.append(body)
        return body

    def _ListSchedules(self, body: Body) -> Body:
        names = ("Arn", "GroupName", "Name", "State", "CreationDate", "LastModificationDate")
        rows = [
            {name: schedule[name] for name in names} | {"Target": {"Arn": schedule["Target"]["Arn"]}}
            for schedule in self.schedules
        ]
        page = self._page("Schedules", rows, {"nextToken": body["NextToken"]} if "NextToken" in body else {})
        return {"NextToken" if name == "nextToken" else name: value for name, value in page.items()}

    def _GetSchedule(self, body: Body) -> Body:
        for schedule in self.schedules:
            if (schedule["GroupName"], schedule["Name"]) == (body["groupName"], body["Name"]):
                return schedule
        raise Refused(404, "ResourceNotFoundException", f"Schedule {body['Name']} does not exist.")

    def _UpdateSchedule(self, body: Body) -> Body:
        """As AWS does: what is not given is reset."""
        schedule = self._GetSchedule({"groupName": body["GroupName"], "Name": body["Name"]})
        cached = {name: schedule[name] for name in ("Arn", "GroupName", "Name", "CreationDate")}
        self.now += 1
        given = {name: value for name, value in body.items() if name != "ClientToken"}
        schedule.clear()
        schedule |= cached | {"State": "ENABLED"} | given | {"LastModificationDate": self.now}
        return {"ScheduleArn": schedule["Arn"]}

    def _StopExecution(self, body: Body) -> Body:
        result = self._find(body["executionArn"])
        if result["status"] == "RUNNING":
            self.now += 1
            result |= {"status": "ABORTED", "stopDate": self.now}
            result |= {name: body[name] for name in ("error", "cause") if name in body}
        return {"stopDate": result["stopDate"]}

    def _ListStateMachines(self, body: Body) -> Body:
        names = ("stateMachineArn", "name", "type", "creationDate")
        rows = [{name: machine[name] for name in names} for machine in self.machines]
        return self._page("stateMachines", rows, body)

    def _DescribeStateMachine(self, body: Body) -> Body:
        return next(machine for machine in self.machines if machine["stateMachineArn"] == body["stateMachineArn"])

    def _ListExecutions(self, body: Body) -> Body:
        hidden = (
            "input",
            "output",
            "inputDetails",
            "outputDetails",
            "error",
            "cause",
            "redriveStatus",
            "redriveStatusReason",
        )
        rows = [
            {name: value for name, value in execution.items() if name not in hidden}
            for execution in self.executions
            if execution["stateMachineArn"] == body["stateMachineArn"]
            and body.get("statusFilter") in (None, execution["status"])
            and (body.get("redriveFilter") != "REDRIVEN" or execution.get("redriveCount"))
        ]
        return self._page("executions", rows, body)

    def _page(self, term: str, rows: list[Body], body: Body) -> Body:
        first = int(body.get("nextToken", "0").partition("-")[0])
        if self.tokens_repeat:
            return {term: rows[: self.page_size], "nextToken": f"0-{len(self.calls)}"}
        page: Body = {term: rows[first : first + self.page_size]}
        more = first + self.page_size < len(rows)
        return page | ({"nextToken": f"{first + self.page_size}-token"} if more else {})

    def _find(self, arn: str) -> Body:
        for execution in self.executions:
            if execution["executionArn"] == arn:
                return execution
        raise Refused(400, "ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")

    def _DescribeExecution(self, body: Body) -> Body:
        return self._find(body["executionArn"])

    def _GetExecutionHistory(self, body: Body) -> Body:
        self._find(body["executionArn"])
        return self._page("events", self.history, body)

    def _StartExecution(self, body: Body) -> Body:
        machine = next(item["name"] for item in self.machines if item["stateMachineArn"] == body["stateMachineArn"])
        arn = body["stateMachineArn"].replace(":stateMachine:", ":execution:") + ":" + body["name"]
        for execution in self.executions:
            if (
                execution["executionArn"] == arn
                and execution["status"] == "RUNNING"
                and execution["input"] == body["input"]
            ):
                return {"executionArn": arn, "startDate": execution["startDate"]}
            if execution["executionArn"] == arn:
                raise Refused(400, "ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        started = self.add(body["name"], "RUNNING", machine, body["input"])
        return {"executionArn": arn, "startDate": started["startDate"]}

    def _RedriveExecution(self, body: Body) -> Body:
        result = self._find(body["executionArn"])
        if result.get("redriveStatus") != "REDRIVABLE":
            raise Refused(400, "ExecutionNotRedrivable", "Execution is not redrivable")
        self.now += 1
        count = int(result.get("redriveCount", 0)) + 1
        result |= {
            "status": "RUNNING",
            "redriveCount": count,
            "redriveDate": self.now,
            "redriveStatus": "NOT_REDRIVABLE",
        }
        result.pop("stopDate", None)
        return {"redriveDate": self.now}


def _scheduler_operation(request: httpx.Request) -> str:
    """The operation of EventBridge Scheduler's REST API; "" for what is none."""
    if request.url.path == "/schedules":
        return "ListSchedules"
    if request.url.path.startswith("/schedules/"):
        return "UpdateSchedule" if request.method == "PUT" else "GetSchedule"
    return ""


def answer(status: int, body: Body | bytes, kind: str = "application/x-amz-json-1.0", **headers: str) -> httpx.Response:
    """An answer as it comes over a wire: not read yet."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": kind, "date": DATE} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=given, stream=httpx.ByteStream(content))
