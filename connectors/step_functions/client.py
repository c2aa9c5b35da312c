"""Step Functions and EventBridge Scheduler by boto3: one method per call.

Page sizes and rules: API reference. ListExecutions has no "since" and answers newest first.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.sdk.aws.scheduler import SchedulerClient
from connectors.sdk.aws.values import AwsReply, given
from connectors.sdk.contract import SecretResolver
from connectors.sdk.transport.http import Transport
from connectors.step_functions.options import StepFunctionsOptions

SERVICE = "stepfunctions"
LIST_SIZE = 1000  # maxResults, "The default is 100 and the maximum allowed page size is 1000"


class StepFunctionsClient(SchedulerClient):
    def __init__(self, options: StepFunctionsOptions, secrets: SecretResolver, transport: Transport = None) -> None:
        addresses = {"scheduler": options.scheduler_endpoint_url}
        super().__init__("Step Functions", options, secrets, transport, addresses)

    def state_machines(self) -> Iterator[AwsReply]:
        """All of the region. Raises SystemUnreachable when pages repeat."""
        return self.rows(SERVICE, "list_state_machines", "stateMachines", "nextToken", maxResults=LIST_SIZE)

    def state_machine(self, arn: str) -> AwsReply:
        reply = self.call(SERVICE, "describe_state_machine", "definition", stateMachineArn=arn)
        return self.about(arn, "stateMachineArn", reply)

    def executions(
        self, machine: str, size: int, token: str | None = None, status: str | None = None, redriven: bool = False
    ) -> tuple[list[AwsReply], str | None]:
        """One page of executions, newest first, and the token of the next."""
        filters = given(statusFilter=status, redriveFilter="REDRIVEN" if redriven else None)
        which = {"stateMachineArn": machine, "maxResults": size, **filters}
        return self.page(SERVICE, "list_executions", "executions", "nextToken", token, **which)

    def execution(self, arn: str, with_data: bool = False) -> AwsReply:
        """One execution; its input only where it is needed, since it may hold anything."""
        which = "ALL_DATA" if with_data else "METADATA_ONLY"
        reply = self.call(SERVICE, "describe_execution", "status", executionArn=arn, includedData=which)
        return self.about(arn, "executionArn", reply)

    def history(self, arn: str, size: int, token: str | None) -> tuple[list[AwsReply], str | None]:
        """One page of events, newest first, without inputs and outputs, and the token of the next."""
        which = {"executionArn": arn, "maxResults": size, "reverseOrder": True, "includeExecutionData": False}
        return self.page(SERVICE, "get_execution_history", "events", "nextToken", token, **which)

    def redrive(self, arn: str, key: str) -> AwsReply:
        """Runs an execution again from its unsuccessful step; the same key within 15 minutes changes nothing."""
        return self.call(SERVICE, "redrive_execution", "redriveDate", once=True, executionArn=arn, clientToken=key)

    def start(self, machine: str, name: str, text: str) -> AwsReply:
        """Starts an execution; the same name with the same input answers the one that runs already."""
        return self.call(
            SERVICE, "start_execution", "executionArn", once=True, stateMachineArn=machine, name=name, input=text
        )

    def stop(self, arn: str, error: str, cause: str) -> AwsReply:
        """Stops an execution; error and cause stay with it. One that has ended stays as it is."""
        return self.call(
            SERVICE, "stop_execution", "ResponseMetadata", once=True, executionArn=arn, error=error, cause=cause
        )
