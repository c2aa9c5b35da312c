"""EventBridge Scheduler as a connector: one region of one account."""

from __future__ import annotations

import httpx

from connectors.aws.options import targets
from connectors.aws.scheduler import SchedulerDoor
from connectors.contract import (
    Capability,
    Connector,
    ConnectorKind,
    LogChunk,
    NotSupported,
    Proof,
    RunRef,
    Secrets,
    Verb,
)
from connectors.eventbridge.acts import NO_RUNS, Acts
from connectors.eventbridge.options import EventBridgeOptions
from connectors.eventbridge.probe import probe
from connectors.eventbridge.reader import Reader
from connectors.parts import PartedConnector


class EventBridgeConnector(PartedConnector):
    """The schedules of one region that the options name."""

    def __init__(
        self, options: EventBridgeOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None
    ) -> None:
        client = SchedulerDoor("EventBridge Scheduler", options, secrets, transport)
        reader = Reader(client, options)
        super().__init__(
            client,
            inventory=reader.inventory,
            poll=reader.poll,
            log=_no_log,
            acts=Acts(client),
            holds=reader.holds,
            probe=lambda: probe(client),
        )


def _no_log(run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    del run, start, limit_bytes
    raise NotSupported(NO_RUNS)


def open_eventbridge(options: EventBridgeOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    return EventBridgeConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="eventbridge",
    title="EventBridge Scheduler",
    options=EventBridgeOptions,
    targets=targets,
    open=open_eventbridge,
    capabilities=frozenset({Capability.HOLD}),
    missing={
        **dict.fromkeys(
            (Capability.RERUN, Capability.START, Capability.CANCEL, Capability.MARK, Capability.LOG), NO_RUNS
        ),
        Capability.PERIODS: NO_RUNS,
        Capability.TASKS: "a schedule has no tasks",
        Capability.NATIVE_DEPENDENCIES: "what a schedule starts is of another system, and stands in its definition",
    },
    proofs=frozenset({Proof.START}),
    verbs={Verb.HOLD: "disable the schedule", Verb.RELEASE: "enable the schedule"},
    schedules="next",
    ladder="Proves nothing about runs: Scheduler keeps no record of its starts, so none is told, and none is ever "
    "called missed here. It tells what is due when, what is disabled, and what each schedule starts.",
)
