"""What polling costs an engine, and how late polls get beside targets that hang.

    python -m tests.bench.polling [--json] [--quick | --smoke] [--systems N] [--hanging N] [--interval S] [--seconds S]

One engine in this process on SQLite, each system with one target and three jobs, in memory: the CPU time is that of
the engine, its store and its evaluation. Then the first systems hang until their deadline, whatever the interval. A
poll is late by the time beyond the interval since the one before it.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from connectors.sdk.contract import ConnectorKind
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.store.db.database import open_database
from tests.bench.figures import Figure, emit, parser_of
from tests.invariants.engines import engine_of, in_thread
from tests.invariants.worlds import Sink, World, WorldConnector, config_of
from tests.lab.process import private_folder, remove_folder, wait_until

TIMEOUT_SECONDS = 20.0
"""The default of `poll_timeout`."""


class QuietConnector(WorldConnector):
    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._world.polled.append(time.monotonic())
        if self._world.trouble is not None:
            self._world.trouble(timeout_seconds)
        return Poll((), "{}")


@dataclass
class QuietWorld(World):
    """Nothing happens there."""

    hangs: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.trouble = self._hang

    def _hang(self, timeout_seconds: float) -> Sequence[RunRecord]:
        if self.hangs.is_set():
            time.sleep(timeout_seconds)
            raise SystemUnreachable("no answer")
        return ()

    def kind(self) -> ConnectorKind:
        return replace(super().kind(), open=lambda _options, _target, secrets: QuietConnector(self, secrets))


def estate(folder: Path, worlds: Sequence[QuietWorld], interval: float) -> Config:
    config = config_of(folder, *worlds, poll_every=interval)
    timeout = timedelta(seconds=TIMEOUT_SECONDS)
    systems = {
        name: replace(system, settings=system.settings.model_copy(update={"poll_timeout": timeout}))
        for name, system in config.systems.items()
    }
    return replace(config, systems=systems)


def lateness(worlds: Sequence[QuietWorld], since: float, interval: float) -> list[float]:
    """Of each poll since then, in order; of a poll that is overdue now, so far."""
    now = time.monotonic()
    results = list[float]()
    for world in worlds:
        before = [at for at in world.polled if at < since][-1:]
        times = [*before, *(at for at in world.polled if at >= since)]
        results += [after - at - interval for at, after in zip(times, [*times[1:], now], strict=True)]
    return sorted(max(0.0, late) for late in results)


def measured(systems: int, hanging: int, interval: float, seconds: float) -> Iterator[Figure]:
    folder = private_folder("polling")
    worlds = [QuietWorld(folder, f"system-{number}") for number in range(systems)]
    store = open_database(str(folder / "headway.db"))
    try:
        engine = engine_of(estate(folder, worlds, interval), store, Sink(folder), SecretStore(), lease=60.0)
        with in_thread(engine):
            began = time.monotonic()
            wait_until(lambda: all(world.polled for world in worlds), "each system to be polled")
            yield Figure("first_polls_s", time.monotonic() - began, "s, all systems")
            time.sleep(2 * interval)
            yield from _period("calm", worlds, interval, seconds)
            for world in worlds[:hanging]:
                world.hangs.set()
            yield from _period("hanging", worlds[hanging:], interval, seconds)
    finally:
        store.close()
        remove_folder(folder)


def _period(name: str, worlds: Sequence[QuietWorld], interval: float, seconds: float) -> Iterator[Figure]:
    began, cpu, before = time.monotonic(), time.process_time(), sum(len(world.polled) for world in worlds)
    threads = 0
    while time.monotonic() < began + seconds:
        time.sleep(0.5)
        threads = max(threads, threading.active_count())
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    polls, late = sum(len(world.polled) for world in worlds) - before, lateness(worlds, began, interval)
    yield Figure(f"{name}_polls_per_interval", polls * interval / took / len(worlds), "polls of a system")
    yield Figure(f"{name}_cores", cpu / took, "CPU s per s")
    yield Figure(f"{name}_cpu_ms_per_poll", cpu * 1000 / polls, "ms, all of the engine's work")
    yield Figure(f"{name}_late_p99_s", late[len(late) * 99 // 100], "s")
    yield Figure(f"{name}_threads", threads, "threads")
    yield Figure(f"{name}_memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB, most so far")


def main() -> None:
    parser = parser_of(__doc__ or "")
    for name, kind in (("systems", int), ("hanging", int), ("interval", float), ("seconds", float)):
        parser.add_argument(f"--{name}", type=kind)
    chosen = parser.parse_args()
    systems = chosen.systems or chosen.quick.of(10_000, 500, 40)
    hanging = chosen.hanging if chosen.hanging is not None else systems // 10
    interval = chosen.interval or chosen.quick.of(15, 2, 1)
    figures = measured(systems, hanging, interval, chosen.seconds or chosen.quick.of(60, 10, 3))
    emit("polling", figures, chosen.json)


if __name__ == "__main__":
    main()
