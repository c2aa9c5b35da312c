"""nightly by its REST API: a list of jobs, a list of runs by their change. Change paths, fields and words to yours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, model_validator

from connectors.sdk.contract import (
    ActionSpec,
    Connector,
    ConnectorKind,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
    SourcePermission,
)
from connectors.sdk.errors import NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.field_mapping import (
    MappedJobFields,
    MappedRunFields,
    jobs_of,
    read_run,
    rows_at,
    skipped,
    unknown_states,
)
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRef
from connectors.sdk.states import Capability, ProofLevel, RunState
from connectors.sdk.fields import digest
from connectors.sdk.log_chunks import chunk_of
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, HttpReply, checked_origin

JOBS = MappedJobFields(id="name", schedule="cron", paused="paused", definition="command")
RUNS = MappedRunFields(id="id", job="job", state="state", started="started", ended="ended", message="error")
STATES = {"queued": RunState.QUEUED, "running": RunState.RUNNING, "ok": RunState.SUCCEEDED, "failed": RunState.FAILED}
OBSERVES = "this kind watches; it sends nothing yet"


class Options(BaseModel):
    """Where it answers and who asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Its address."""
    token: SecretRef
    """Sent as Authorization: Bearer."""
    plain_http: bool = False
    """Allows http:// to a host that is not this one."""

    @model_validator(mode="after")
    def one_origin(self) -> Options:
        checked_origin(self.url, self.plain_http)
        return self


class NightlyConnector:
    """One server, asked as one account."""

    def __init__(self, options: Options, secrets: SecretResolver, transport: httpx.BaseTransport | None = None) -> None:
        self._door = HttpEndpoint("nightly", options.url, transport=transport)
        self._token = lambda: secrets(options.token)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        reply = self._ask("/api/jobs", timeout_seconds)
        jobs, bad = jobs_of(rows_of(reply, "jobs"), JOBS, ProofLevel.FULL)
        now = digest([str(job) for job in jobs])
        same = now == previous_hash
        return Inventory(() if same else tuple(jobs), not bad, now, same, reply.clock, tuple(bad))

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The cursor is the newest change that was read; the server repeats what changed at that instant."""
        reply = self._ask("/api/runs", timeout_seconds, since=cursor.strip('"'))
        runs, bad = [], []
        rows = rows_of(reply, "runs")
        for number, row in enumerate(rows, 1):
            try:
                runs.append(read_run(row, RUNS, STATES, reply.clock))
            except RecordUnreadable as error:
                bad.append(skipped(f"run {number}", row, error))
        newest = max([str(row.get("changed", "")) for row in rows if isinstance(row, dict)], default="")
        after = f'"{max(newest, cursor.strip(chr(34)))}"'
        more = bool(reply.table().get("more")) and after != cursor
        seen = None if more or bad else reply.clock.target if reply.clock else datetime.now(UTC)
        words = unknown_states(runs)
        return Poll(tuple(runs), after, more, not bad, reply.clock, tuple(bad), seen_until=seen, warnings=words)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        reply = self._ask(f"/api/runs/{int(run.native_ref)}/log", timeout_seconds)
        return chunk_of(reply.body.decode("utf-8", "surrogateescape"), start, limit_bytes, is_open=False)

    def probe(self, timeout_seconds: float) -> Probe:
        reply = self._ask("/api/jobs", timeout_seconds)
        return Probe(True, "", (SourcePermission("read", True),), clock=reply.clock)

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        raise NotSupported(OBSERVES)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        raise NotSupported(OBSERVES)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        raise NotSupported(OBSERVES)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(OBSERVES)

    def close(self) -> None:
        self._door.close()

    def _ask(self, path: str, timeout_seconds: float, **query: str) -> HttpReply:
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "*/*"}
        return self._door.call("GET", path, Deadline(timeout_seconds), params=query, headers=headers)


def rows_of(reply: HttpReply, name: str) -> list[Any]:
    """The list of that name. No list is no answer: it never means "nothing ran"."""
    rows = rows_at(reply.table(), name)
    if rows is None:
        raise SystemUnreachable(f"{reply.place} has no list {name!r}")
    return rows


def open_connector(options: Options, target: str, secrets: SecretResolver) -> Connector:
    return NightlyConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="nightly",
    title="Nightly",
    options=Options,
    targets=lambda options: ["api"],
    open=open_connector,
    capabilities=frozenset({Capability.LOG}),
    missing={one: OBSERVES for one in Capability if one is not Capability.LOG},
    proofs=frozenset({ProofLevel.FULL}),
    schedules="expression",
    ladder="Proves start, end, outcome and output of each run, as its API tells them.",
)
