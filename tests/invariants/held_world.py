"""A system that can be held, in one folder: what it was sent, and when its own clock started what nobody held.

Time is a clock that runs fast from a moment of the night (`Hand`), the same for the engine's store and for this world.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ConnectorKind,
    HoldMark,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import (
    Inventory,
    JobRecord,
    LogChunk,
    Poll,
    RunRecord,
    RunRef,
    Schedule,
    TargetClock,
    instant_key,
)
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import Capability, RunState, Verb
from console.config.alerts import RouteSettings
from console.config.sections import (
    AlertSettings,
    Config,
    DependencySettings,
    EstateSection,
    SystemConfig,
    SystemSettings,
)
from console.domain.settings import JobSetting
from console.store.meta import set_clock
from console.timing.clock import ClockSetting, real_now
from tests.invariants.engines import server, store_of
from tests.invariants.worlds import ROUTE, NoOptions
from tests.store.ready import open_ready

DUE = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
"""When `load` starts by its clock."""
LEAD = timedelta(minutes=10)
"""How long before DUE `load` may be held."""
EVENING = DUE - LEAD - timedelta(minutes=2)
POLLED, HAND = "polled", "hand"
ABLE = frozenset({Capability.RERUN, Capability.LOG, Capability.START, Capability.HOLD})


@dataclass(frozen=True)
class Line:
    """One thing that happened: "hold", "release" or "start", under which key of ours, when."""

    verb: str
    key: str
    at: datetime
    about: str = ""
    """The mark's id; of a start nothing."""


@dataclass(frozen=True)
class HeldWorld:
    """`extract` (no clock) fails at 03:12 and is good again at `good`; `load` is due at DUE."""

    folder: Path
    good: datetime

    @property
    def hand(self) -> ClockSetting:
        """As every process sees it, also after `set_hand`."""
        origin, started, rate = json.loads((self.folder / HAND).read_text())
        return ClockSetting(datetime.fromisoformat(origin), datetime.fromisoformat(started), rate)

    def set_hand(self, hand: ClockSetting) -> None:
        """Gives this world and the engines' store that clock."""
        draft = self.folder / f"{HAND}.new"
        draft.write_text(json.dumps([hand.origin.isoformat(), hand.started.isoformat(), hand.rate]))
        draft.replace(self.folder / HAND)
        with closing(open_ready(store_of(self.folder))) as store, store.write(None) as connection:
            set_clock(connection, hand)

    def now(self) -> datetime:
        return self.hand.at(real_now())

    def lines(self) -> list[Line]:
        path = self.folder / "held.log"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [Line(row[0], row[1], datetime.fromisoformat(row[2]), row[3]) for row in rows]

    def add(self, verb: str, key: str, about: str = "") -> None:
        with (self.folder / "held.log").open("a") as file:
            file.write(json.dumps([verb, key, self.now().isoformat(), about]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def polls(self) -> list[tuple[str, datetime]]:
        """By which process, when."""
        path = self.folder / POLLED
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(row[0], datetime.fromisoformat(row[1])) for row in rows if len(row) == 2]

    def polled(self, now: datetime) -> None:
        with suppress(OSError), (self.folder / POLLED).open("a") as file:  # a full disk is the store's matter
            file.write(f"{os.getpid()} {now.isoformat()}\n")

    def mark(self, until: datetime | None = None) -> str:
        """The current mark; empty without one."""
        result = ""
        for line in self.lines():
            if until is None or line.at <= until:
                result = {"hold": line.key, "release": ""}.get(line.verb, result)
        return result

    def starts(self) -> list[tuple[str, datetime]]:
        """("clock" or the key, when) of every real start of `load`."""
        ours = [(line.key, line.at) for line in self.lines() if line.verb == "start"]
        by_clock = self.now() >= DUE and not self.mark(DUE)
        return [*([("clock", DUE)] if by_clock else []), *ours]

    def runs(self) -> Iterator[RunRecord]:
        now = self.now()
        failed = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
        yield _record("extract", "e1", RunState.FAILED, failed, period_key="night")
        if now >= self.good:
            yield _record("extract", "e2", RunState.SUCCEEDED, self.good, period_key="night")
        for by, at in self.starts():
            mine = {"period_key": None, "action_key": by} if by != "clock" else {"period_key": instant_key(DUE)}
            yield _record("load", f"l {by}", RunState.SUCCEEDED, at, period_at=DUE, **mine)

    def kind(self) -> ConnectorKind:
        return ConnectorKind(
            kind="world",
            title="A system that can be held",
            options=NoOptions,
            targets=lambda _: ["one"],
            open=lambda _options, _target, _secrets: HeldConnector(self, _secrets),
            capabilities=ABLE,
        )


class HeldConnector:
    def __init__(self, world: HeldWorld, secrets: SecretResolver) -> None:
        self._world = world
        del secrets

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        load = JobRecord("load", schedule=Schedule("debian-cron", "0 4 * * *", "UTC"))
        held = bool(self._world.mark())
        return Inventory((JobRecord("extract"), replace(load, paused=held)), complete=True, hash=f"{held}")

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        now = self._world.now()
        self._world.polled(now)
        return Poll(tuple(self._world.runs()), "{}", clock=TargetClock(now, now), seen_until=now)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        return LogChunk("no space left on device\n")

    def preview(self, ask: ActionSpec, timeout_seconds: float) -> Preview:
        return Preview(ask.verb, f"{ask.verb} {ask.run.job}", "1 job", plan={**ask.parameters, "verb": ask.verb})

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        verb, there = str(preview.plan["verb"]), self._world.mark()
        if verb == Verb.HOLD and there not in ("", key):
            raise NotSupported("it is held already")
        if verb == Verb.RELEASE and there != preview.plan["hold"]:
            raise NotSupported("that mark is not there")
        self._world.add(verb, key, str(preview.plan.get("hold", "")))
        return Receipt(key, "accepted")

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        there = self._world.mark()
        return (NativeHold("load", HoldMark(there, "headway", DUE + timedelta(hours=6)), "a file"),) if there else ()

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return ActionFound(key) if any(line.key == key for line in self._world.lines()) else ActionAbsent()

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(True, "1")

    def close(self) -> None:
        return


SLOWEST = 3.0
"""Seconds; more is not waited for when an engine starts."""


def begin_night(folder: Path, rate: float) -> HeldWorld:
    """A store whose clock runs `rate` times as fast from EVENING on, slower on a busy machine, so that engines are
    there before the start that is held. It begins when an engine that is started now works, about; `extract` is good
    two minutes after DUE."""
    takes = min(start_seconds(), SLOWEST)
    world = HeldWorld(folder, DUE + timedelta(minutes=2))
    world.set_hand(ClockSetting(EVENING, real_now() + timedelta(seconds=0.3 + 2 * takes), fast(rate, takes)))
    return world


def fast(rate: float, takes: float) -> float:
    """That rate, slower where a process needs `takes` seconds to start."""
    return max(rate / (1 + takes), rate / 4)


def start_seconds() -> float:
    """How long a process needs to start and to end, just now."""
    began = time.monotonic()
    process = server().Process(target=os.getpid)
    process.start()
    process.join()
    return time.monotonic() - began


def config_of(world: HeldWorld) -> Config:
    """`extract` holds `load`; every failure notifies "oncall"."""
    os.environ[ROUTE] = "json://sink.example/TOKEN"
    settings = SystemSettings(kind="world", poll_every=timedelta(seconds=30), poll_timeout=timedelta(seconds=60))
    return Config(
        path=world.folder / "headway.toml",
        digest="digest",
        estate=EstateSection(name="held", starts_in="live"),
        systems={"good": SystemConfig("good", settings, world.kind(), NoOptions())},
        jobs={"good/load": JobSetting("good/load", owner="team")},
        dependencies=(DependencySettings(upstream="good/extract", downstream="good/load", mode="hold"),),
        services={},
        routes={"oncall": RouteSettings(urls=(SecretRef(env=ROUTE),))},
        alerts=AlertSettings(default_route="oncall"),
    )


def _record(job: str, key: str, state: RunState, at: datetime, **more: object) -> RunRecord:
    return RunRecord(job, key, state, state.value, started_at=at, ended_at=at, native_ref=key, **more)  # type: ignore[arg-type]
