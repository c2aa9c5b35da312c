"""The state machines of one region, their inventory, and the schedules that start them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from connectors.sdk.aws import scheduler, schedules
from connectors.sdk.aws.client import AwsNotFound, read_inventory
from connectors.sdk.aws.scheduler import ScheduleCache
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.contract import NativeHold
from connectors.sdk.errors import AccessRefused, NotSupported, RecordUnreadable
from connectors.sdk.fields import matches_any
from connectors.sdk.records import Inventory, JobRecord, Schedule
from connectors.sdk.states import SCHEDULE_UNREADABLE
from connectors.step_functions import parse
from connectors.step_functions.client import StepFunctionsClient
from connectors.step_functions.options import StepFunctionsOptions, reads_schedules

NO_ADDRESS = "endpoint_url is the address of Step Functions alone: give scheduler_endpoint_url as well"


class StateMachines:
    def __init__(self, client: StepFunctionsClient, options: StepFunctionsOptions) -> None:
        self._client, self._options = client, options
        self._clocks = ScheduleCache(client)

    def read(self, previous_hash: str, listed: Sequence[AwsReply]) -> Inventory:
        """All listed state machines, with their definitions and schedules."""
        by_machine, unreadable = self.schedules(listed)

        def read(machine: AwsReply) -> JobRecord | None:
            arn = machine.get("stateMachineArn")
            if not isinstance(arn, str):
                raise RecordUnreadable("a state machine without an ARN")
            try:
                job = parse.job({**machine, **self._client.state_machine(arn)}, self._options.region)
            except AwsNotFound:
                return None
            rows = by_machine.get(arn, [])
            text = schedules.schedule_text(rows)
            if unreadable not in ("", NO_ADDRESS):
                text = f"{SCHEDULE_UNREADABLE}{unreadable}"
            # As text: no start is expected by it, since AWS does not record those that it made; a hold goes by it.
            schedule = Schedule("none", text=text, next_at=schedules.next_instant(rows, datetime.now(UTC)))
            return replace(job, schedule=schedule, paused=schedules.is_paused(rows))

        inventory = read_inventory(self._client, "DescribeStateMachine", listed, read, previous_hash, self._chooses)
        if inventory.skipped and not inventory.jobs:
            raise AccessRefused(inventory.skipped[0].reason)
        return replace(inventory, is_selected=lambda name, keys: self._chooses(name, *keys))

    def listed(self) -> Iterator[AwsReply]:
        return (
            machine
            for machine in self._client.state_machines()
            if self._chooses(str(machine.get("name")), str(machine.get("stateMachineArn")))
        )

    def _chooses(self, *names: str) -> bool:
        return any(matches_any(name, self._options.state_machines) for name in names)

    def named(self, name: str) -> AwsReply:
        """The state machine of this name. Raises NotSupported when it no longer exists."""
        for item in self.listed():
            if str(item.get("name")) == name and item.get("stateMachineArn"):
                return item
        raise NotSupported(f"{self._client.place}: state machine {name} no longer exists")

    def schedules(self, machines: Sequence[AwsReply]) -> tuple[dict[str, list[AwsReply]], str]:
        """The schedules of these state machines by ARN; or why they cannot be read."""
        if not reads_schedules(self._options):
            return {}, NO_ADDRESS
        arns = [str(machine["stateMachineArn"]) for machine in machines if machine.get("stateMachineArn")]
        by_machine: dict[str, list[AwsReply]] = {arn: [] for arn in arns}
        try:
            for item in self._clocks.of(lambda row: schedules.machine_of(row) in by_machine, datetime.now(UTC)):
                if schedules.machine_of(item) in by_machine:
                    by_machine[schedules.machine_of(item)].append(item)
            return by_machine, ""
        except AccessRefused as error:
            return {}, str(error)

    def holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """The hold marks in descriptions of schedules. Raises AccessRefused or NotSupported where they are not read."""
        listed = [item for item in self.listed() if item.get("stateMachineArn")]
        by_machine, unreadable = self.schedules(listed)
        if unreadable:
            raise (AccessRefused if reads_schedules(self._options) else NotSupported)(unreadable)
        names = {str(item["stateMachineArn"]): str(item.get("name")) for item in listed}
        return tuple(hold for arn, rows in by_machine.items() for hold in scheduler.holds(names[arn], rows))


def standard_machines(machines: Iterable[AwsReply]) -> dict[str, str]:
    """Name -> ARN of the state machines whose executions can be listed."""
    standard = (row for row in machines if row.get("type") != parse.EXPRESS and row.get("stateMachineArn"))
    return {str(row.get("name")): str(row["stateMachineArn"]) for row in standard}
