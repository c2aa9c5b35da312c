"""EventBridge Scheduler in memory, with its REST protocol: schedules are stored, and a field missing in UpdateSchedule
is reset, as AWS does. Its answers are checked by botocore's model of AWS, never against AWS itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.eventbridge.connector import EventBridgeConnector
from connectors.eventbridge.options import EventBridgeOptions
from connectors.sdk.secrets import SecretStore
from tests.fakes.aws import Body, FakeAws, Refused, page

OPTIONS = EventBridgeOptions(region="eu-central-1")
ROLE = "arn:aws:iam::123456789012:role/lab"
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:mart"


class FakeScheduler(FakeAws):
    """Schedules in group default."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: list[Body] = []
        self.page_size = 100

    def connector(self, transport: httpx.BaseTransport | None = None, **options: Any) -> EventBridgeConnector:
        """A connector whose only server is this."""
        return EventBridgeConnector(OPTIONS.model_copy(update=options), SecretStore(), transport or self)

    def schedule(self, name: str, target: Body | None = None, **more: Any) -> Body:
        """A new schedule, enabled; it starts the state machine mart unless another target is given."""
        at = datetime.now(UTC) - timedelta(days=30)
        body = {
            "Arn": f"arn:aws:scheduler:eu-central-1:123456789012:schedule/default/{name}", "GroupName": "default",
            "Name": name, "ScheduleExpression": "cron(15 4 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin",
            "State": "ENABLED", "Target": {"Arn": MACHINE, "RoleArn": ROLE, "Input": "{}", **(target or {})},
            "FlexibleTimeWindow": {"Mode": "OFF"}, "CreationDate": at, "LastModificationDate": at, **more,
        }  # fmt: skip
        self.schedules.append(body)
        return body

    def _ListSchedules(self, body: Body) -> Body:
        names = ("Arn", "GroupName", "Name", "State", "CreationDate", "LastModificationDate")
        rows = [
            {name: schedule[name] for name in names} | {"Target": {"Arn": schedule["Target"]["Arn"]}}
            for schedule in self.schedules
        ]
        return page(rows, "Schedules", self.page_size, body.get("NextToken"), "NextToken")

    def _GetSchedule(self, body: Body) -> Body:
        return self._find(body.get("groupName", "default"), body["Name"])

    def _find(self, group: str, name: str) -> Body:
        for schedule in self.schedules:
            if (schedule["GroupName"], schedule["Name"]) == (group, name):
                return schedule
        raise Refused(404, "ResourceNotFoundException", f"Schedule {name} does not exist.")

    def _UpdateSchedule(self, body: Body) -> Body:
        result = self._find(body["GroupName"], body["Name"])
        cached = {name: result[name] for name in ("Arn", "GroupName", "Name", "CreationDate")}
        given = {name: value for name, value in body.items() if name != "ClientToken"}
        for name in ("StartDate", "EndDate"):
            if name in given:
                given[name] = datetime.fromtimestamp(given[name], UTC)
        result.clear()
        result |= {"State": "ENABLED"} | given | cached | {"LastModificationDate": datetime.now(UTC)}
        return {"ScheduleArn": result["Arn"]}
