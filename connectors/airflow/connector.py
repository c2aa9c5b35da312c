"""Airflow 3 (REST API v2). Source: airflow.apache.org, stable REST API reference; measured on 3.3.2."""

from __future__ import annotations

import httpx

from connectors.airflow.acts import Acts
from connectors.airflow.auth import auth_of
from connectors.airflow.client import AirflowClient
from connectors.airflow.holding import all_holds
from connectors.airflow.inventory import InventoryReader
from connectors.airflow.log import LogReader
from connectors.airflow.options import AirflowOptions
from connectors.airflow.poll import Poller
from connectors.airflow.probe import probe
from connectors.contract import (
    Capability,
    Connector,
    ConnectorKind,
    Proof,
    Secrets,
    Verb,
)
from connectors.parts import PartedConnector
from connectors.transport.http import HttpDoor

TARGET = "api"

SETTLE_SECONDS = 4.0
"""For how long a key must stay absent before it counts as never arrived; a clear takes 20 to 100 ms, 2 s on a busy
SQLite (measured)."""


class AirflowConnector(PartedConnector):
    """One Airflow through its web server. One write is in flight at a time: SQLite behind it bears no more."""

    def __init__(
        self,
        options: AirflowOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        door = HttpDoor("Airflow", options.url, options.ca_file, transport)
        client = AirflowClient(door, auth_of(options, secrets))
        poller = Poller(client, door.base_url, options.dags)
        super().__init__(
            client,
            inventory=InventoryReader(client, door.base_url, poller.watched).read,
            poll=poller.poll,
            log=LogReader(client).read,
            acts=Acts(client, settle_seconds),
            holds=lambda known: all_holds(client, poller.watched, known),
            probe=lambda: probe(client),
        )


def open_airflow(options: AirflowOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of the only target, not yet connected."""
    if target != TARGET:
        raise ValueError(f"an Airflow has the one target {TARGET!r}, not {target!r}")
    return AirflowConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="airflow",
    title="Airflow 3",
    options=AirflowOptions,
    targets=lambda options: [TARGET],
    open=open_airflow,
    capabilities=frozenset(Capability),
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "clear failed tasks, with what follows or all",
        Verb.START: "trigger",
        Verb.CANCEL: "fail the run",
        Verb.MARK_OK: "mark success",
        Verb.SKIP: "mark skipped",
        Verb.HOLD: "pause the DAG",
        Verb.RELEASE: "resume the DAG",
    },
    ladder=(
        "Full proof: Airflow records start, end, state and log of each run and of each task. A run that is green "
        "although tasks failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)
