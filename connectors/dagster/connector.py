"""Dagster (GraphQL API). Source: docs.dagster.io, GraphQL API; measured on 1.13.27."""

from __future__ import annotations

from fnmatch import fnmatchcase

import httpx

from connectors.contract import (
    Capability,
    Connector,
    ConnectorKind,
    Proof,
    Secrets,
    Verb,
)
from connectors.dagster import inventory, log
from connectors.dagster.acts import Acts
from connectors.dagster.client import DagsterClient
from connectors.dagster.hold import all_holds
from connectors.dagster.options import DagsterOptions
from connectors.dagster.poll import Poller
from connectors.dagster.probe import probe
from connectors.parts import PartedConnector
from connectors.transport.account import Account
from connectors.transport.http import HttpDoor

TARGET = "webserver"
SETTLE_SECONDS = 3.0
"""For how long a key must stay absent before it counts as never arrived."""


class DagsterConnector(PartedConnector):
    """One Dagster through its webserver."""

    def __init__(
        self,
        options: DagsterOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        door = HttpDoor("Dagster", options.url, options.ca_file, transport)
        account = Account(secrets, options.username, options.password, options.token, options.token_header)
        client = DagsterClient(door, account)

        def watched(job: str) -> bool:
            return any(fnmatchcase(job, pattern) for pattern in options.jobs)

        super().__init__(
            client,
            inventory=lambda previous: inventory.read(client, watched, previous, door.base_url),
            poll=Poller(client, watched, door.base_url).poll,
            log=lambda run, start, limit_bytes: log.read(client, run, start, limit_bytes),
            acts=Acts(client, settle_seconds),
            holds=lambda known: all_holds(client, watched),
            probe=lambda: probe(client),
        )


def open_dagster(options: DagsterOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of the only target, not yet connected."""
    if target != TARGET:
        raise ValueError(f"a Dagster has the one target {TARGET!r}, not {target!r}")
    return DagsterConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="dagster",
    title="Dagster",
    options=DagsterOptions,
    targets=lambda options: [TARGET],
    open=open_dagster,
    capabilities=frozenset(
        {
            Capability.RERUN,
            Capability.START,
            Capability.CANCEL,
            Capability.HOLD,
            Capability.LOG,
            Capability.NATIVE_DEPENDENCIES,
        }
    ),
    missing={
        Capability.MARK: "nobody sets the state of a run of Dagster; Headway asserts it itself",
        Capability.TASKS: "the steps of a run are no jobs here; a run whose steps failed names them in its message",
        Capability.PERIODS: "a job gets no date: whenever it runs, it runs for now",
    },
    starts_held=True,
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "re-execute, from failure or all steps",
        Verb.START: "launch",
        Verb.CANCEL: "terminate",
        Verb.HOLD: "stop the schedule",
        Verb.RELEASE: "start the schedule",
    },
    schedules="expression",
    ladder=(
        "Full proof: Dagster records start, end, status and events of each run and of its steps. A run that is SUCCESS "
        "although steps failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)
