"""Prefect 3 (REST API). Source: docs.prefect.io, REST API reference; measured on 3.8.8."""

from __future__ import annotations

import httpx

from connectors.contract import (
    Capability,
    Connector,
    ConnectorKind,
    Proof,
    Secrets,
    Verb,
)
from connectors.parts import PartedConnector
from connectors.prefect.acts import Acts
from connectors.prefect.client import PrefectClient
from connectors.prefect.hold import all_holds
from connectors.prefect.inventory import InventoryReader
from connectors.prefect.log import LogReader
from connectors.prefect.names import Names
from connectors.prefect.options import PrefectOptions
from connectors.prefect.poll import Poller
from connectors.prefect.probe import probe
from connectors.transport.account import Account
from connectors.transport.http import HttpDoor

TARGET = "api"
SETTLE_SECONDS = 3.0
"""For how long a key must stay absent before it counts as never arrived; a busy SQLite takes a second (measured)."""


class PrefectConnector(PartedConnector):
    """One Prefect through its API."""

    def __init__(
        self,
        options: PrefectOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        door = HttpDoor("Prefect", options.url, options.ca_file, transport)
        ui = door.base_url.removesuffix("/api") if door.base_url.endswith("/api") else ""
        client = PrefectClient(door, Account(secrets, options.username, options.password, options.token))
        names = Names(client, options.deployments)
        super().__init__(
            client,
            inventory=InventoryReader(client, names, ui).read,
            poll=Poller(client, names, ui).poll,
            log=LogReader(client).read,
            acts=Acts(client, settle_seconds),
            holds=lambda known: all_holds(client, names),
            probe=lambda: probe(client),
        )


def open_prefect(options: PrefectOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of the only target, not yet connected."""
    if target != TARGET:
        raise ValueError(f"a Prefect has the one target {TARGET!r}, not {target!r}")
    return PrefectConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="prefect",
    title="Prefect 3",
    options=PrefectOptions,
    targets=lambda options: [TARGET],
    open=open_prefect,
    capabilities=frozenset(Capability) - {Capability.TASKS},
    missing={
        Capability.TASKS: "Prefect knows a task only once it runs; a run whose tasks failed names them in its message",
    },
    starts_held=True,
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "schedule the run again",
        Verb.START: "create a flow run",
        Verb.CANCEL: "cancel the run",
        Verb.MARK_OK: "set the run's state to Completed",
        Verb.SKIP: "set the run's state to Skipped",
        Verb.HOLD: "pause the deployment",
        Verb.RELEASE: "resume the deployment",
    },
    schedules="expression",
    ladder=(
        "Full proof: Prefect records every state of each flow run, with its time, and its log. A run that is Completed "
        "although task runs failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)
