"""Airflow 3 (REST API v2). Source: airflow.apache.org, stable REST API reference; measured on 3.3.2."""

from __future__ import annotations

from collections.abc import Collection, Sequence

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
from connectors.arrival import time_to_send
from connectors.contract import (
    Ask,
    Capability,
    Connector,
    ConnectorKind,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RunRef,
    Secrets,
    Verb,
)
from connectors.transport.http import Deadline, HttpDoor

TARGET = "api"

SETTLE_SECONDS = 4.0
"""For how long a key must stay absent before it counts as never arrived; a clear takes 20 to 100 ms, 2 s on a busy
SQLite (measured)."""


class AirflowConnector:
    """One Airflow through its web server. One write is in flight at a time: SQLite behind it bears no more."""

    def __init__(
        self,
        options: AirflowOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        door = HttpDoor("Airflow", options.url, options.ca_file, transport)
        self._client = AirflowClient(door, auth_of(options, secrets))
        self._poller = Poller(self._client, door.base_url, options.dags)
        self._inventory = InventoryReader(self._client, door.base_url, self._poller.watched)
        self._log = LogReader(self._client)
        self._acts = Acts(self._client, settle_seconds)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        self._begin(timeout_seconds)
        return self._inventory.read(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._begin(timeout_seconds)
        return self._poller.poll(cursor, open_runs)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        self._begin(timeout_seconds)
        return self._log.read(run, start, limit_bytes)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        self._begin(timeout_seconds)
        return self._acts.preview(ask)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        self._begin(time_to_send(preview, timeout_seconds))
        return self._acts.act(preview, key)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        self._begin(timeout_seconds)
        return all_holds(self._client, self._poller.watched, known)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        self._begin(timeout_seconds)
        return self._acts.look_up(preview, key)

    def probe(self, timeout_seconds: float) -> Probe:
        self._begin(timeout_seconds)
        return probe(self._client)

    def close(self) -> None:
        self._client.close()

    def _begin(self, timeout_seconds: float) -> None:
        self._client.deadline = Deadline(timeout_seconds)


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
