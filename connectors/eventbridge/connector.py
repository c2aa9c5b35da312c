"""EventBridge Scheduler as a connector: inventory, holds and permissions of one region of one account.

Schedules are held and released; everything else is done where their target runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from connectors.eventbridge import parse
from connectors.eventbridge.options import EventBridgeOptions
from connectors.sdk.action_router import ActionRouter
from connectors.sdk.aws import scheduler, schedules
from connectors.sdk.aws.client import AwsNotFound, read_inventory
from connectors.sdk.aws.options import targets
from connectors.sdk.aws.scheduler import ScheduleCache, ScheduleHolder, SchedulerClient
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, NativeHold, Probe, SecretResolver
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import masked_head, matches_any
from connectors.sdk.records import Inventory, Poll, RunRef, SkippedRecord
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import Transport

CURSOR = "{}"
"""EventBridge reports no runs: the cursor never moves."""


class ScheduleReader:
    def __init__(self, client: SchedulerClient, options: EventBridgeOptions) -> None:
        self._client, self._options = client, options
        self._clocks = ScheduleCache(client)

    def inventory(self, previous_hash: str) -> Inventory:
        """All schedules that the options name. Raises SystemUnreachable or AccessRefused."""
        chosen, region, reason = self._chosen(), self._options.region, "a schedule without a name to ask for"
        unread = (SkippedRecord("ListSchedules", reason, masked_head(str(row), 200)) for row in self._clocks.unread)
        return read_inventory(
            self._client,
            "ListSchedules",
            chosen,
            lambda row: parse.job(row, datetime.now(UTC), region),
            previous_hash,
            self.chooses,
            unread,
        )

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """No run: Scheduler keeps none. Proves only that it answers."""
        next(self._client.schedules(), None)
        return Poll((), CURSOR, clock=self._client.clock)

    def holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """The hold marks in descriptions, bare ones as well."""
        return tuple(hold for item in self._chosen() for hold in scheduler.holds(schedules.full_name(item), [item]))

    def chooses(self, name: str) -> bool:
        return matches_any(name, self._options.schedules)

    def _chosen(self) -> list[AwsReply]:
        return self._clocks.of(lambda row: self.chooses(schedules.full_name(row)), datetime.now(UTC))


NO_RUNS = "EventBridge Scheduler keeps no record of its starts: watch what it starts (Step Functions, Glue, Batch)"


def event_bridge_actions(client: SchedulerClient) -> ActionRouter:

    def schedule(name: str) -> AwsReply:
        group, _, own = name.partition("/")
        try:
            return client.schedule(group, own)
        except AwsNotFound:
            raise NotSupported(f"{client.place}: schedule {name} no longer exists") from None

    holder = ScheduleHolder(client, lambda name: [schedule(name)])
    parts = dict.fromkeys((Verb.HOLD, Verb.RELEASE), holder)
    return ActionRouter("EventBridge Scheduler", client, parts, dict.fromkeys(Capability, NO_RUNS))


def probe(client: SchedulerClient) -> Probe:
    rights = scheduler.schedule_permissions(client, "view")
    return Probe(True, "", (*rights, scheduler.HOLD_PERMISSION), (client.identity(),), client.clock)


class EventBridgeConnector(ComposedConnector):
    def __init__(self, options: EventBridgeOptions, secrets: SecretResolver, transport: Transport = None) -> None:
        client = SchedulerClient("EventBridge Scheduler", options, secrets, transport)
        reader = ScheduleReader(client, options)
        super().__init__(
            client,
            inventory=reader.inventory,
            poll=reader.poll,
            log=unsupported(NO_RUNS),
            acts=event_bridge_actions(client),
            holds=reader.holds,
            probe=lambda: probe(client),
        )


CONNECTOR = ConnectorKind(
    kind="eventbridge",
    title="EventBridge Scheduler",
    options=EventBridgeOptions,
    targets=targets,
    open=lambda options, target, secrets: EventBridgeConnector(options, secrets),
    capabilities=frozenset({Capability.HOLD}),
    missing={
        **dict.fromkeys(
            (Capability.RERUN, Capability.START, Capability.CANCEL, Capability.MARK, Capability.LOG), NO_RUNS
        ),
        Capability.PERIODS: NO_RUNS,
        Capability.TASKS: "a schedule has no tasks",
        Capability.NATIVE_DEPENDENCIES: "the job that a schedule starts belongs to another system",
    },
    proofs=frozenset({ProofLevel.START}),
    verbs={Verb.HOLD: "disable the schedule", Verb.RELEASE: "enable the schedule"},
    schedules="next",
    ladder="Proves nothing about runs: EventBridge Scheduler does not record its starts, so no run is shown or called "
    "missed. It shows the next start of each schedule, what it starts, and whether it is disabled.",
)
