"""Airflow 2 (REST API v1) and 3 (v2). Source: airflow.apache.org, REST API reference; measured on 2.11 and 3.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import httpx

from connectors.airflow.acts import Acts
from connectors.airflow.alive import Alive
from connectors.airflow.auth import auth_of
from connectors.airflow.client import AirflowClient
from connectors.airflow.client2 import Airflow2Client
from connectors.airflow.holding import all_holds
from connectors.airflow.inventory import InventoryReader
from connectors.airflow.log import LogReader
from connectors.airflow.options import AirflowOptions
from connectors.airflow.poll import Poller
from connectors.airflow.probe import probe
from connectors.airflow.versions import major_of
from connectors.contract import (
    Capability,
    Connector,
    ConnectorKind,
    NotSupported,
    Poll,
    Proof,
    RunRef,
    Secrets,
    SystemUnreachable,
    Verb,
)
from connectors.parts import PartedConnector
from connectors.transport.http import HttpDoor

TARGET = "api"

SETTLE_SECONDS = 4.0
"""For how long a key must stay absent before it counts as never arrived; a clear takes 20 to 100 ms, 2 s on a busy
SQLite (measured)."""


class AirflowConnector(PartedConnector):
    """One Airflow through its web server. One write is in flight at a time: SQLite behind it bears no more.

    Which Airflow it is, is asked before the first call, and again after one that failed."""

    def __init__(
        self,
        options: AirflowOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
        outside: httpx.BaseTransport | None = None,
    ) -> None:
        """`transport` and `outside` are for tests: what answers as Airflow, and as the clouds that sign in to it."""
        self._door = HttpDoor("Airflow", options.url, options.ca_file, transport)
        self._options, self._secrets, self._settle_seconds = options, secrets, settle_seconds
        self._major = 0
        self._auth = auth_of(options, secrets, outside=outside)
        self._speak(AirflowClient(self._door, self._auth))

    def _speak(self, client: AirflowClient) -> None:
        self._spoken = client.major
        poller, alive = Poller(client, self._door.base_url, self._options.dags), Alive(client)

        def poll(cursor: str, open_runs: Sequence[RunRef]) -> Poll:
            found = poller.poll(cursor, open_runs)
            return replace(found, warnings=(*alive.warnings(), *found.warnings))

        super().__init__(
            client,
            inventory=InventoryReader(client, self._door.base_url, poller.watched).read,
            poll=poll,
            log=LogReader(client).read,
            acts=Acts(client, self._settle_seconds),
            holds=lambda known: all_holds(client, poller.watched, known),
            probe=lambda: probe(client),
        )

    def _begin(self, timeout_seconds: float) -> None:
        super()._begin(timeout_seconds)
        if not self._major:
            deadline = self._client.deadline
            self._turn_to(major_of(self._door, self._auth, deadline))
            self._client.deadline = deadline

    def _turn_to(self, major: int) -> None:
        if major != self._spoken:
            kind = Airflow2Client if major == 2 else AirflowClient
            if not self._auth.guards_all:
                self._auth = auth_of(self._options, self._secrets, major)
            self._speak(kind(self._door, self._auth))
        self._major = major

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        try:
            return super().poll(cursor, open_runs, timeout_seconds)
        except (NotSupported, SystemUnreachable):
            self._major = 0  # it may come back as another one
            raise


def open_airflow(options: AirflowOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of the only target, not yet connected."""
    if target != TARGET:
        raise ValueError(f"an Airflow has the one target {TARGET!r}, not {target!r}")
    return AirflowConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="airflow",
    title="Airflow 2 and 3",
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
        Verb.BACKFILL: "backfill, made, paused, resumed and cancelled (Airflow 3)",
    },
    takes={Verb.RERUN: frozenset({"version"}), Verb.START: frozenset({"conf"})},
    schedules="expression",
    ladder=(
        "Full proof: Airflow records start, end, state and log of each run and of each task. A run that is green "
        "although tasks failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)
