"""Dagster (GraphQL API). Source: docs.dagster.io, GraphQL API; measured on 1.13.27."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

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
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RunRef,
    Secrets,
    Verb,
)
from connectors.dagster import inventory, log
from connectors.dagster.acts import Acts
from connectors.dagster.client import DagsterClient
from connectors.dagster.options import DagsterOptions
from connectors.dagster.poll import Poller
from connectors.dagster.probe import probe
from connectors.transport.account import Account
from connectors.transport.http import Deadline, HttpDoor

TARGET = "webserver"
SETTLE_SECONDS = 3.0
"""For how long a key must stay absent before it counts as never arrived."""
NO_HOLD = "Dagster has no place for a note on a schedule or sensor, so nobody could tell our hold from a person's stop"


class DagsterConnector:
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
        self._options = options
        self._url = door.base_url
        self._client = DagsterClient(door, account)
        self._poller = Poller(self._client, self._watched, self._url)
        self._acts = Acts(self._client, settle_seconds)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        self._begin(timeout_seconds)
        return inventory.read(self._client, self._watched, previous_hash, self._url)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._begin(timeout_seconds)
        return self._poller.poll(cursor, open_runs)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        self._begin(timeout_seconds)
        return log.read(self._client, run, start, limit_bytes)

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
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        self._begin(timeout_seconds)
        return probe(self._client)

    def close(self) -> None:
        self._client.close()

    def _watched(self, job: str) -> bool:
        return any(fnmatchcase(job, pattern) for pattern in self._options.jobs)

    def _begin(self, timeout_seconds: float) -> None:
        self._client.deadline = Deadline(timeout_seconds)


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
            Capability.LOG,
            Capability.NATIVE_DEPENDENCIES,
        }
    ),
    missing={
        Capability.MARK: "nobody sets the state of a run of Dagster; Headway asserts it itself",
        Capability.HOLD: NO_HOLD,
        Capability.TASKS: "the steps of a run are no jobs here; a run whose steps failed names them in its message",
        Capability.PERIODS: "a job gets no date: whenever it runs, it runs for now",
    },
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "re-execute, from failure or all steps",
        Verb.START: "launch",
        Verb.CANCEL: "terminate",
    },
    ladder=(
        "Full proof: Dagster records start, end, status and events of each run and of its steps. A run that is SUCCESS "
        "although steps failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)
