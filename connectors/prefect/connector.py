"""Prefect 3 (REST API). Source: docs.prefect.io, REST API reference; measured on 3.8.8."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import httpx

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
from connectors.transport.http import Deadline, HttpDoor

TARGET = "api"
SETTLE_SECONDS = 3.0
"""For how long a key must stay absent before it counts as never arrived; a busy SQLite takes a second (measured)."""


class PrefectConnector:
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
        self._client = PrefectClient(door, Account(secrets, options.username, options.password, options.token))
        self._names = Names(self._client, options.deployments)
        self._inventory = InventoryReader(self._client, self._names, ui)
        self._poller = Poller(self._client, self._names, ui)
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

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        self._begin(timeout_seconds)
        return self._acts.look_up(preview, key)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        self._begin(timeout_seconds)
        return all_holds(self._client, self._names)

    def probe(self, timeout_seconds: float) -> Probe:
        self._begin(timeout_seconds)
        return probe(self._client)

    def close(self) -> None:
        self._client.close()

    def _begin(self, timeout_seconds: float) -> None:
        self._client.deadline = Deadline(timeout_seconds)


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
    ladder=(
        "Full proof: Prefect records every state of each flow run, with its time, and its log. A run that is Completed "
        "although task runs failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)
