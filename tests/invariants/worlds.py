"""Systems that misbehave as a test wants, and an estate of them: a "good" one beside a "bad" one, one route.

What a system holds, what it was sent and what the receiver got are files in one folder, so that engines in processes
of their own see the same world and a kill takes nothing away.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ConnectorKind,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRecord, RunRef, TargetClock
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import Capability, RunState
from console.config.alerts import RouteSettings
from console.config.sections import (
    AlertSettings,
    Config,
    DependencySettings,
    EstateSection,
    SystemConfig,
    SystemSettings,
)
from console.domain.alert import AlertingSettings, RouteRule
from console.domain.job import Safety
from console.domain.message import Message, body_text, title_text
from console.domain.policy import Policy
from console.domain.settings import Declared, JobSetting, ServiceSetting
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.senders import SendResult

ROUTE = "INVARIANTS_URL"
Trouble = Callable[[float], Sequence[RunRecord]]
"""What a poll does beyond telling its runs, given its timeout: it may wait or raise, and returns more runs."""


class NoOptions(BaseModel):
    """These systems need no settings."""


@dataclass
class World:
    """One system in one folder."""

    folder: Path
    name: str
    trouble: Trouble | None = None
    polled: list[float] = field(default_factory=list)
    """`time.monotonic` at the start of each poll, in this process."""

    def kind(self) -> ConnectorKind:
        return ConnectorKind(
            kind="world",
            title="A system of a test",
            options=NoOptions,
            targets=lambda _: ["one"],
            open=lambda _options, _target, _secrets: WorldConnector(self, _secrets),
            capabilities=frozenset({Capability.RERUN, Capability.LOG}),
        )

    def fail(self, job: str, key: str = "a1") -> None:
        """An attempt of `job` ended red a minute ago."""
        at = datetime.now(UTC) - timedelta(minutes=1)
        line = {"job": job, "key": key, "at": at.isoformat(), "period": f"{job}@{at:%Y-%m-%d}"}
        _append(self._file("failed"), json.dumps(line))

    @property
    def sent(self) -> list[str]:
        """Keys of actions in the order in which they arrived, once for each time one touched the wire."""
        return [line.partition(" ")[0] for line in _lines(self._file("acted"))]

    @property
    def sent_jobs(self) -> list[str]:
        """The job of each of `sent`."""
        return [line.partition(" ")[2] for line in _lines(self._file("acted"))]

    def act(self, key: str, job: str = "extract") -> None:
        _append(self._file("acted"), f"{key} {job}")

    def runs(self) -> Iterator[RunRecord]:
        """What failed, and one attempt for each action that arrived."""
        state = RunState.FAILED if (self.folder / RERUNS_FAIL).exists() else RunState.SUCCEEDED
        for line in map(json.loads, _lines(self._file("failed"))):
            at = datetime.fromisoformat(line["at"])
            yield _record(line["job"], line["key"], RunState.FAILED, at, period_key=line["period"])
        for number, (key, job) in enumerate(zip(self.sent, self.sent_jobs, strict=True)):
            yield _record(job, f"again {number}", state, datetime.now(UTC), action_key=key)

    def _file(self, what: str) -> Path:
        return self.folder / f"{self.name}.{what}"


class WorldConnector:
    def __init__(self, world: World, secrets: SecretResolver) -> None:
        self._world = world
        del secrets

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        return Inventory(tuple(map(JobRecord, ("extract", "load", "audit"))), complete=True, hash="3")

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._world.polled.append(time.monotonic())
        more = self._world.trouble(timeout_seconds) if self._world.trouble is not None else ()
        now = datetime.now(UTC)
        return Poll((*self._world.runs(), *more), "{}", clock=TargetClock(now, now), seen_until=now)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        return LogChunk("no space left on device\n")

    def preview(self, ask: ActionSpec, timeout_seconds: float) -> Preview:
        return Preview("run again", f"run {ask.run.job} again", "1 run", plan={"job": ask.run.job})

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        self._world.act(key, str(preview.plan["job"]))
        return Receipt("", "accepted")

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported("this world: holds are not kept by this kind")

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return ActionFound("") if key in self._world.sent else ActionAbsent()

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(True, "1")

    def close(self) -> None:
        return


@dataclass(frozen=True)
class Alert:
    """What a receiver got."""

    url: str
    title: str
    body: str
    key: str
    """Dedup key of its incident."""
    action: PageAction


@dataclass(frozen=True)
class Sink:
    """A receiver whose mail is a file."""

    folder: Path

    def __call__(self, url: str, message: Message, page: Page) -> SendResult:
        alert = Alert(url, title_text(message.title), body_text(message.blocks), page.key, page.action)
        _append(self.folder / "alerts", json.dumps(asdict(alert)))
        return SendResult(True)

    @property
    def got(self) -> list[Alert]:
        rows = map(json.loads, _lines(self.folder / "alerts"))
        return [Alert(**row | {"action": PageAction(row["action"])}) for row in rows]

    def failures(self, job: str) -> list[Alert]:
        """What notified of a failed run of a job, by the name of both: "good/extract"."""
        return [alert for alert in self.got if alert.action is PageAction.OPEN and alert.key.startswith(f"run:{job}@")]


PATIENT = "patient"
"""A file of this name in the folder: the route waits an hour before it notifies."""
REPAIRING = "repairing"
"""A file of this name in the folder: a policy reruns every failure."""
RERUNS_FAIL = "reruns-fail"
"""A file of this name in the folder: each rerun fails too."""


def config_of(folder: Path, *worlds: World, poll_every: float = 0.2) -> Config:
    """In each system `extract` feeds `load` and `audit` is alone; one service on the first system's `load`;
    every failure notifies "oncall"."""
    os.environ[ROUTE] = "json://sink.example/TOKEN"
    now = datetime.now(UTC).replace(microsecond=0)
    far = (now + timedelta(hours=12)).time()
    settings = SystemSettings(
        kind="world",
        cutoff=far,
        poll_every=timedelta(seconds=poll_every),
        poll_timeout=timedelta(seconds=60),
    )
    jobs = [f"{world.name}/{native}" for world in worlds for native in ("extract", "load")]
    deadline = (now + timedelta(hours=2)).time()
    names, wait = [world.name for world in worlds], timedelta(hours=1 if (folder / PATIENT).exists() else 0)
    service = ServiceSetting("supply", "supply", (f"{names[0]}/load",), deadline, "UTC", cutoff=far)
    repairs = (Policy("all", "rerun", mode="active"),) if (folder / REPAIRING).exists() else ()
    return Config(
        path=folder / "headway.toml",
        digest=f"waits {wait}",
        estate=EstateSection(name="invariants", starts_in="live"),
        systems={world.name: SystemConfig(world.name, settings, world.kind(), NoOptions()) for world in worlds},
        jobs={job: JobSetting(job, owner="team", expected=timedelta(minutes=10), rerun=Safety.SAFE) for job in jobs},
        dependencies=tuple(DependencySettings(upstream=f"{name}/extract", downstream=f"{name}/load") for name in names),
        services={"supply": service},
        routes={"oncall": RouteSettings(urls=(SecretRef(env=ROUTE),))},
        alerts=AlertSettings(default_route="oncall"),
        declared=Declared(alerting=AlertingSettings(routes=(RouteRule("oncall", wait=wait),)), policies=repairs),
    )


def _record(job: str, key: str, state: RunState, at: datetime, **more: Any) -> RunRecord:
    return RunRecord(job, key, state, state.value, started_at=at, ended_at=at, native_ref=key, **more)


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
