"""Talks to Step Functions and EventBridge Scheduler by boto3: one method per call, replies as boto3 gives them.

Page sizes and rules: API reference. ListExecutions has no "since" and answers newest first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from connectors.aws.scheduler import SchedulerDoor
from connectors.aws.values import Reply as Reply
from connectors.aws.values import given
from connectors.contract import RecordUnreadable, Secrets
from connectors.step_functions.options import StepFunctionsOptions

LIST_SIZE = 1000  # maxResults, "The default is 100 and the maximum allowed page size is 1000"


class StepFunctionsClient(SchedulerDoor):
    """One region as one identity."""

    def __init__(
        self, options: StepFunctionsOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None
    ) -> None:
        addresses = {"scheduler": options.scheduler_endpoint_url}
        super().__init__("Step Functions", options, secrets, transport, addresses)

    def state_machines(self) -> Iterator[Reply]:
        """All of the region, page by page. Raises SystemUnreachable when pages repeat."""

        def page(token: str | None) -> Reply:
            return self._call("list_state_machines", "stateMachines", maxResults=LIST_SIZE, **given(nextToken=token))

        return self.pages("ListStateMachines", page, "stateMachines", "nextToken")

    def state_machine(self, arn: str) -> Reply:
        """Definition, role, type and status of one state machine."""
        return self._about(
            arn, "stateMachineArn", self._call("describe_state_machine", "definition", stateMachineArn=arn)
        )

    def executions(
        self, machine: str, size: int, token: str | None = None, status: str | None = None, redriven: bool = False
    ) -> Reply:
        """One page of executions, newest first."""
        more = given(nextToken=token, statusFilter=status, redriveFilter="REDRIVEN" if redriven else None)
        return self._call("list_executions", "executions", stateMachineArn=machine, maxResults=size, **more)

    def execution(self, arn: str, with_data: bool = False) -> Reply:
        """One execution; its input only where it is needed, since it may hold anything."""
        which = "ALL_DATA" if with_data else "METADATA_ONLY"
        return self._about(
            arn, "executionArn", self._call("describe_execution", "status", executionArn=arn, includedData=which)
        )

    def _about(self, arn: str, name: str, reply: Reply) -> Reply:
        """The reply, which is about what was asked for: a proxy may mix answers up. Raises RecordUnreadable."""
        if reply.get(name) != arn:
            raise RecordUnreadable(f"{self.place}: the answer is about {reply.get(name)}, we asked for {arn}")
        return reply

    def history(self, arn: str, size: int, token: str | None) -> Reply:
        """One page of events, newest first, without inputs and outputs."""
        which = {"maxResults": size, "reverseOrder": True, "includeExecutionData": False, **given(nextToken=token)}
        return self._call("get_execution_history", "events", executionArn=arn, **which)

    def redrive(self, arn: str, key: str) -> Reply:
        """Runs an execution again from its unsuccessful step; the same key within 15 minutes changes nothing."""
        return self._call("redrive_execution", "redriveDate", once=True, executionArn=arn, clientToken=key)

    def start(self, machine: str, name: str, text: str) -> Reply:
        """Starts an execution; the same name with the same input answers the one that runs already."""
        return self._call("start_execution", "executionArn", once=True, stateMachineArn=machine, name=name, input=text)

    def stop(self, arn: str, error: str, cause: str) -> Reply:
        """Stops an execution; error and cause stay with it. One that has ended stays as it is."""
        return self._call("stop_execution", "ResponseMetadata", once=True, executionArn=arn, error=error, cause=cause)

    def _call(
        self, method: str, needed: str, service: str = "stepfunctions", once: bool = False, **parameters: Any
    ) -> Reply:
        return self.call(service, method, needed, once, **parameters)
