"""Step Functions as a connector: inventory, polls and permissions of one region of one account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from connectors.sdk.aws import scheduler
from connectors.sdk.aws.client import try_permission, untried_permission
from connectors.sdk.aws.newest_first import (
    MAX_CODES,
    NewestFirstCursor,
    NewestFirstPoller,
    NewestFirstPosition,
    NewestFirstReader,
)
from connectors.sdk.aws.options import targets
from connectors.sdk.aws.values import AwsReply, instant
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SourcePermission
from connectors.sdk.errors import AccessRefused, NotSupported, RateLimited
from connectors.sdk.fields import EPOCH
from connectors.sdk.records import Inventory, RunRecord, RunRef
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.step_functions import log, parse
from connectors.step_functions.actions import MISSING, StepFunctionsActions
from connectors.step_functions.client import SERVICE, StepFunctionsClient
from connectors.step_functions.inventory import StateMachines, standard_machines
from connectors.step_functions.options import StepFunctionsOptions, reads_schedules

MAX_DESCRIBED = 60
"""DescribeExecution refills 10 to 15 a second, by region: the rest waits for its turn."""
MACHINES_FOR_REDRIVES = 10


@dataclass(slots=True)
class ExecutionReader(NewestFirstReader):
    operation: ClassVar[str] = "ListExecutions"
    retention: ClassVar[timedelta] = timedelta(days=90)
    gone_status: ClassVar[str] = "(execution deleted)"
    gone_message: ClassVar[str] = (
        "Step Functions no longer has this execution: its state machine was deleted, or it is too old"
    )

    client: StepFunctionsClient

    def page(self, where: str, size: int, mark: NewestFirstPosition) -> tuple[Sequence[AwsReply], str | None]:
        return self.client.executions(where, size, mark.token)

    def began(self, row: AwsReply) -> datetime | None:
        return instant(row.get("startDate"))

    def state_of(self, row: AwsReply) -> tuple[str, str, bool]:
        identity = f"{row.get('executionArn')}#{row.get('redriveCount') or 0}"
        return identity, str(row.get("status")), parse.is_open(row)

    def read(self, row: AwsReply, name: str) -> list[RunRecord]:
        return [parse.run(row, name, self.client.region)]

    def read_rest(self, open_runs: Sequence[RunRef], places: Mapping[str, str], at: NewestFirstCursor) -> None:
        """Reads redrives of older executions, the open ones that no page showed, and why the newest failed."""
        self._read_redriven(places, at.marks, at.turn)
        shown = {execution_arn(run) for run in self.result.records.values()}
        rest = [(arn, ref) for ref in open_runs if (arn := parse.reference(ref).get("arn")) and arn not in shown]
        for arn, ref in self.in_turns(rest, MAX_DESCRIBED, at.turn):
            if not self.has_time or not self.request(ref.job, partial(self.client.execution, arn), ref):
                break
        # The list has no error and cause. Without them here they are in the log.
        runs = self.result.records.values()
        failed = [run for run in runs if run.native_state in parse.FAILURES and not run.message]
        newest = sorted(failed, key=lambda run: run.ended_at or run.started_at or EPOCH, reverse=True)[:MAX_DESCRIBED]
        for run in newest:
            fetch = partial(self.client.execution, execution_arn(run), with_data=True)
            if not self.has_time or not self.request(run.job, fetch):
                return

    def _read_redriven(self, machines: Mapping[str, str], before: Mapping[str, NewestFirstPosition], turn: int) -> None:
        """Redrives of executions that are older than the floor: some state machines each time."""
        for name in self.in_turns(sorted(machines), MACHINES_FOR_REDRIVES, turn):
            if not self.has_time:
                return
            try:
                redriven, _ = self.client.executions(machines[name], self.live_size, redriven=True)
            except (AccessRefused, NotSupported, RateLimited):
                continue  # the reading of the machine itself has reported it
            mark, past = self.marks[name], before.get(name, NewestFirstPosition())
            codes = dict.fromkeys(mark.reported)
            for row in redriven:
                at = instant(row.get("redriveDate"))
                if row.get("redriveCount") and at and at.timestamp() >= past.floor:
                    code, is_reported = self.end_code(row, past.reported)
                    codes |= {code: None} if code else {}
                    if not is_reported:
                        self.add(row, name)
            self.marks[name] = replace(mark, reported=tuple(codes)[-MAX_CODES:])


def execution_arn(run: RunRecord) -> str:
    return run.attempt_key.rpartition("#")[0]


ACTION_PERMISSIONS = (
    untried_permission(
        "rerun or start an execution",
        "allow states:StartExecution on the state machines and states:RedriveExecution on their executions",
    ),
    untried_permission("stop an execution", "allow states:StopExecution on the executions"),
    scheduler.HOLD_PERMISSION,
)
NO_SCHEDULES = SourcePermission(
    "scheduler:ListSchedules",
    False,
    "endpoint_url is the address of Step Functions alone",
    "give scheduler_endpoint_url as well",
    needed_for="act",
)


def probe(client: StepFunctionsClient, machines: StateMachines, has_schedules: bool) -> Probe:
    """Each call that watching needs, tried; those that change something cannot be tried."""
    rows: list[AwsReply] = []
    held = [try_permission(SERVICE, "ListStateMachines", lambda: rows.extend(machines.listed()))]
    held += _execution_permissions(client, rows)
    held += scheduler.schedule_permissions(client, "act") if has_schedules else [NO_SCHEDULES]
    notes = [client.identity()]
    if express := [str(machine.get("name")) for machine in rows if machine.get("type") == parse.EXPRESS]:
        text = "EXPRESS state machines keep no list of executions, their runs cannot be seen"
        notes.append(f"{text}: {', '.join(express[:20])}")
    return Probe(True, "", (*held, *ACTION_PERMISSIONS), tuple(notes), client.clock)


def _execution_permissions(client: StepFunctionsClient, machines: Sequence[AwsReply]) -> Iterator[SourcePermission]:
    """Tried on the first state machine and execution that there are."""
    machine = next(iter(standard_machines(machines).values()), None)
    if machine is None:
        return
    rows: list[AwsReply] = []
    yield try_permission(SERVICE, "DescribeStateMachine", partial(client.state_machine, machine))
    yield try_permission(SERVICE, "ListExecutions", lambda: rows.extend(client.executions(machine, 1)[0][:1]))
    for arn in [str(row.get("executionArn")) for row in rows]:
        yield try_permission(SERVICE, "DescribeExecution", partial(client.execution, arn))
        yield try_permission(SERVICE, "GetExecutionHistory", partial(client.history, arn, 1, None))


class StepFunctionsConnector(ComposedConnector):
    def __init__(self, client: StepFunctionsClient, options: StepFunctionsOptions, settle_seconds: float = 1.0) -> None:
        machines = StateMachines(client, options)
        poller = NewestFirstPoller(lambda: standard_machines(machines.listed()), partial(ExecutionReader, client))

        def inventory(previous_hash: str) -> Inventory:
            listed = list(machines.listed())
            poller.cache(standard_machines(listed))
            return machines.read(previous_hash, listed)

        super().__init__(
            client,
            inventory=inventory,
            poll=poller.poll,
            log=lambda run, start, limit_bytes: log.chunk(client, run, start, limit_bytes),
            acts=StepFunctionsActions(client, machines, settle_seconds),
            holds=machines.holds,
            probe=lambda: probe(client, machines, reads_schedules(options)),
        )


CONNECTOR = ConnectorKind(
    kind="step_functions",
    title="AWS Step Functions",
    options=StepFunctionsOptions,
    targets=targets,
    open=lambda options, target, secrets: StepFunctionsConnector(StepFunctionsClient(options, secrets), options),
    capabilities=frozenset(Capability) - set(MISSING),
    starts_held=True,
    missing=MISSING,
    proofs=frozenset({ProofLevel.START, ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "redrive, or start again",
        Verb.START: "start",
        Verb.CANCEL: "stop",
        Verb.HOLD: "disable its schedules",
        Verb.RELEASE: "enable its schedules",
    },
    schedules="next",
    ladder="Proves start, end, outcome, error and every step of each execution of STANDARD state machines, "
    "for 90 days. EXPRESS state machines keep no list of executions: their runs cannot be seen.",
)
