"""Talks to Step Functions and EventBridge Scheduler by boto3: one method per call, replies as boto3 gives them.

Page sizes and rules: the API references of both. ListExecutions has no "since" and answers newest first; ListSchedules
tells target and state of each schedule, and neither expression nor description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from connectors.contract import AccessRefused, Clock, OutcomeUnknown, RecordUnreadable, Secrets, SystemUnreachable
from connectors.step_functions.errors import sorted_client_error, sorted_local_error
from connectors.step_functions.options import StepFunctionsOptions
from connectors.step_functions.wire import AwsWire
from connectors.transport.http_wire import Deadline

Reply = dict[str, Any]
LIST_SIZE = 1000  # maxResults, "The default is 100 and the maximum allowed page size is 1000"
MOST_PAGES = 100
SCHEDULES_SIZE = 100  # MaxResults of ListSchedules, "Valid Range: Minimum value of 1. Maximum value of 100"


class StepFunctionsClient:
    """One region as one identity. Clients are made at the first call, and anew after a refusal."""

    def __init__(
        self, options: StepFunctionsOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._options, self._secrets = options, secrets
        self.place = f"Step Functions {options.endpoint_url or options.region}"
        self._wire = AwsWire(self.place, options.ca_file, transport)
        self._clients: dict[str, Any] = {}
        self.deadline = Deadline(0.0)

    @property
    def clock(self) -> Clock | None:
        """The service's clock, by the last answer."""
        return self._wire.clock

    def begin(self, timeout_seconds: float) -> Deadline:
        """From now on all calls together have so long."""
        self.deadline = self._wire.deadline = Deadline(timeout_seconds)
        return self.deadline

    def state_machines(self) -> Iterator[Reply]:
        """All of the region, page by page. Raises SystemUnreachable when pages repeat."""

        def page(token: str | None) -> Reply:
            return self._call("list_state_machines", "stateMachines", maxResults=LIST_SIZE, **_given(nextToken=token))

        return self._pages("ListStateMachines", page, "stateMachines", "nextToken")

    def schedules(self) -> Iterator[Reply]:
        """All of EventBridge Scheduler in the region: group, name, state, target; neither times nor description."""

        def page(token: str | None) -> Reply:
            more = {"MaxResults": SCHEDULES_SIZE, **_given(NextToken=token)}
            return self._call("list_schedules", "Schedules", service="scheduler", **more)

        return self._pages("ListSchedules", page, "Schedules", "NextToken")

    def schedule(self, group: str, name: str) -> Reply:
        """One schedule, whole. Raises Gone."""
        return self._call("get_schedule", "Target", service="scheduler", GroupName=group, Name=name)

    def update_schedule(self, fields: Reply, token: str) -> Reply:
        """Writes a whole schedule: what is not among the fields is reset. The same token again changes nothing."""
        return self._call("update_schedule", "ScheduleArn", "scheduler", once=True, ClientToken=token, **fields)

    def _pages(self, operation: str, page: Callable[[str | None], Reply], rows: str, next_name: str) -> Iterator[Reply]:
        token, seen = None, set()
        for _ in range(MOST_PAGES):
            reply = page(token)
            yield from reply[rows]
            token = reply.get(next_name)
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
        raise SystemUnreachable(f"{self.place}: {operation} never ends: its pages repeat")

    def state_machine(self, arn: str) -> Reply:
        """Definition, role, type and status of one state machine."""
        return self._about(
            arn, "stateMachineArn", self._call("describe_state_machine", "definition", stateMachineArn=arn)
        )

    def executions(
        self, machine: str, size: int, token: str | None = None, status: str | None = None, redriven: bool = False
    ) -> Reply:
        """One page of executions, newest first."""
        more = _given(nextToken=token, statusFilter=status, redriveFilter="REDRIVEN" if redriven else None)
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
        which = {"maxResults": size, "reverseOrder": True, "includeExecutionData": False, **_given(nextToken=token)}
        return self._call("get_execution_history", "events", executionArn=arn, **which)

    def redrive(self, arn: str, key: str) -> Reply:
        """Runs an execution again from its unsuccessful step; the same key within 15 minutes changes nothing."""
        return self._call("redrive_execution", "redriveDate", once=True, executionArn=arn, clientToken=key)

    def start(self, machine: str, name: str, given: str) -> Reply:
        """Starts an execution; the same name with the same input answers the one that runs already."""
        return self._call("start_execution", "executionArn", once=True, stateMachineArn=machine, name=name, input=given)

    def stop(self, arn: str, error: str, cause: str) -> Reply:
        """Stops an execution; error and cause stay with it. One that has ended stays as it is."""
        return self._call("stop_execution", "ResponseMetadata", once=True, executionArn=arn, error=error, cause=cause)

    def identity(self) -> str:
        """ARN of who asks, by sts:GetCallerIdentity, which needs no right."""
        return str(self._call("get_caller_identity", "Arn", service="sts")["Arn"])

    def close(self) -> None:
        """Closes connections."""
        self._wire.close()
        self._clients.clear()

    def _call(
        self, method: str, needed: str, service: str = "stepfunctions", once: bool = False, **parameters: Any
    ) -> Reply:
        """The reply, which has at least the key `needed`: an empty one must not look like an empty list."""
        if self.deadline.left <= 0:
            raise SystemUnreachable(f"{self.place}: no answer within {self.deadline.seconds:g} s")
        try:
            call: Callable[..., Reply] = getattr(self._client(service), method)
            self._wire.once = once
            reply = call(**parameters)
        except ClientError as error:
            found = sorted_client_error(error, self.place, once)
            if isinstance(found, AccessRefused):
                self._clients.clear()  # keys may have been changed: they are read again next time
            raise found from None
        except (BotoCoreError, ResponseParserError) as error:
            raise sorted_local_error(error, self.place, once) from None
        except (ValueError, OverflowError, RecursionError, TypeError, KeyError, AttributeError) as error:
            words = f"{self.place}: the answer to {method} cannot be read: {type(error).__name__}: {str(error)[:200]}"
            raise (OutcomeUnknown if once else SystemUnreachable)(words) from None
        finally:
            self._wire.once = False
        if needed not in reply:
            words = f"{self.place}: the answer to {method} is without {needed}"
            raise (OutcomeUnknown if once else SystemUnreachable)(words)
        return reply

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._made(service)
        return self._clients[service]

    def _made(self, service: str) -> Any:
        import boto3
        import botocore.session
        from botocore.config import Config

        options, keys = self._options, self._keys()
        config = Config(
            retries={"total_max_attempts": 1},
            inject_host_prefix=False,
            parameter_validation=True,
            user_agent_extra="headway",
        )
        bare = botocore.session.Session()
        bare.register_component("data_loader", _loader())
        session: Any = boto3.session.Session(
            botocore_session=bare, profile_name=options.profile, region_name=options.region
        )
        address = options.scheduler_endpoint_url if service == "scheduler" else options.endpoint_url
        client = session.client(service, endpoint_url=address, config=config, **keys)
        client.meta.events.register("before-send", self._wire.send)
        return client

    def _keys(self) -> dict[str, str]:
        given = {
            "aws_access_key_id": self._options.access_key_id,
            "aws_secret_access_key": self._options.secret_access_key,
            "aws_session_token": self._options.session_token,
        }
        return {name: self._secrets(reference) for name, reference in given.items() if reference is not None}


@cache
def _loader() -> Loader:
    """botocore's models of AWS, read once per process."""
    return create_loader()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
