"""Step Functions and EventBridge Scheduler by boto3: one method per call.

Page sizes and rules: API reference. ListExecutions has no "since" and answers newest first.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.sdk.aws.scheduler import SchedulerClient
from connectors.sdk.aws.values import AwsReply, given
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import RecordUnreadable
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
        return self._about(arn, "stateMachineArn", reply)

    def executions(
        self, machine: str, size: int, token: str | None = None, status: str | None = None, redriven: bool = False
    ) -> AwsReply:
        filters = given(nextToken=token, statusFilter=status, redriveFilter="REDRIVEN" if redriven else None)
        return self.call(SERVICE, "list_executions", "executions", stateMachineArn=machine, maxResults=size, **filters)

    def execution(self, arn: str, with_data: bool = False) -> AwsReply:
        """One execution; its input only where it is needed, since it may hold anything."""
        which = "ALL_DATA" if with_data else "METADATA_ONLY"
        reply = self.call(SERVICE, "describe_execution", "status", executionArn=arn, includedData=which)
        return self._about(arn, "executionArn", reply)

    def _about(self, arn: str, name: str, reply: AwsReply) -> AwsReply:
        """The reply, which must be about `arn`: a proxy may mix answers up. Raises RecordUnreadable."""
        if reply.get(name) != arn:
            raise RecordUnreadable(f"{self.place}: the answer is about {reply.get(name)}, the request was for {arn}")
        return reply

    def history(self, arn: str, size: int, token: str | None) -> AwsReply:
        """One page of events, newest first, without inputs and outputs."""
        which = {"maxResults": size, "reverseOrder": True, "includeExecutionData": False, **given(nextToken=token)}
        return self.call(SERVICE, "get_execution_history", "events", executionArn=arn, **which)

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
