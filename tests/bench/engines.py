"""Several engines on one PostgreSQL under faults: how late polls get, how soon the load is even again, what was lost.

    python -m tests.bench.engines [--json] [--quick | --smoke] [--engines N] [--systems N] [--jobs N] [--interval S]
                                  [--lease S] [--only FAULT]

Each engine is a process that the others take for one on another machine: a dead one is replaced when its lease expires.
Before each fault a job fails in a system of each engine, and one of the failed runs is started again: each failure must
be notified, and each action must arrive once. The gap of a fault is the longest time between two polls of one system,
from the fault to even load. An engine is killed right after a renewal, when its lease lasts longest. A cut is a proxy
that forwards nothing; the clock of one engine is set ahead in its process (leases use that of the database).
Coordination alone, with 10,000 systems and beside two libraries: `tests.bench.coordinators`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, LiteralString
from unittest.mock import patch

from connectors.sdk.contract import ConnectorKind, SecretResolver
from connectors.sdk.records import Inventory, JobRecord, RunRecord
from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.domain.action import ActionView
from console.domain.alert import AlertKind
from console.domain.header import EngineShare
from console.domain.ids import new_action_key
from console.engine.api.client import EngineClient
from console.engine.supervisor.engine import RENEW_SECONDS, exit_process, exit_with_parent, stop_on_signals
from console.engine.supervisor.log_setup import set_up_logs
from console.store.db import lease
from console.store.db.database import open_database
from console.store.db.shards import hold_shards, leave
from console.store.queries import open_queries
from console.timing.clock import Clock
from tests.action_requests import rerun_of
from tests.bench.figures import Figure, Scale, emit, parser_of
from tests.bench.received import is_notified, note_received, received
from tests.fakes.faultproxy import GOOD, Fault, FaultProxy
from tests.invariants.engines import Child, cpu_of, engine_of, forked
from tests.invariants.worlds import NoOptions, Sink, World, WorldConnector, config_of
from tests.lab.postgres import PostgresServer
from tests.lab.process import LabError, private_folder, remove_folder, wait_until

FAULTS = ("cut", "kill", "stop", "clock", "database", "rolling")
SMOKE_FAULTS = ("kill", "stop")
CUT_SECONDS = 40.0
CLOCK_AHEAD = timedelta(seconds=90)
END_SECONDS = 8.0
"""After the last fault. A notification that comes later is late, one that does not come within `LATE_SECONDS` lost."""
LATE_SECONDS = 120.0


@dataclass(frozen=True)
class Sizes:
    engines: int
    systems: int
    jobs: int
    interval: float
    lease: float
    stopped_leases: int
    renewals: int
    """Those that are measured."""


class ManyJobs(WorldConnector):
    def __init__(self, world: World, secrets: SecretResolver, jobs: int) -> None:
        super().__init__(world, secrets)
        self._jobs = jobs

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        names = ("extract", "load", "audit", *(f"job-{number}" for number in range(self._jobs - 3)))
        return Inventory(tuple(map(JobRecord, names)), complete=True, hash=str(self._jobs)).unless_same(previous_hash)


@dataclass
class BigWorld(World):
    jobs: int = 3

    def kind(self) -> ConnectorKind:
        return ConnectorKind(
            kind="world", title="A system of a benchmark", options=NoOptions, targets=lambda _: ["one"],
            open=lambda _options, _target, secrets: ManyJobs(self, secrets, self.jobs),
            capabilities=super().kind().capabilities,
        )  # fmt: skip


def note_poll(folder: Path, system: str, _: float) -> Sequence[RunRecord]:
    with (folder / f"{os.getpid()}.polls").open("a") as file:
        file.write(f"{system} {time.monotonic()}\n")
    return ()


def estate(folder: Path, sizes: Sizes) -> Config:
    names = (f"system-{number}" for number in range(sizes.systems))
    worlds = (BigWorld(folder, name, partial(note_poll, folder, name), jobs=sizes.jobs) for name in names)
    return config_of(folder, *worlds, poll_every=sizes.interval)


def work(folder: Path, log: Path, url: str, sizes: Sizes, machine: str, ahead: timedelta) -> None:
    """One engine, which the others take for one on another machine. `ahead`: of its clock."""
    lease._namespace = lambda: machine  # type: ignore[assignment]
    Clock.__init__.__defaults__ = (None, lambda: datetime.now(UTC) + ahead)
    exit_with_parent()
    patch.object(Sink, "__call__", note_received).start()
    store, secrets = open_database(url), SecretStore()
    set_up_logs(secrets, log)
    engine = engine_of(estate(folder, sizes), store, Sink(folder), secrets, sizes.lease)
    stop_on_signals(engine)
    engine.run()
    store.close()
    exit_process(0)


@dataclass
class Fleet:
    """The engines, and the requests sent to them."""

    folder: Path
    server: PostgresServer
    url: str
    sizes: Sizes
    stack: ExitStack
    engines: list[Child] = field(default_factory=list)
    failures: dict[str, float] = field(default_factory=dict)
    """Name of a failed job -> `time.monotonic` when it failed."""
    keys: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    figures: list[Figure] = field(default_factory=list)
    """Measured by a fault itself."""

    def start(self, url: str = "", ahead: timedelta = timedelta(0)) -> Child:
        number = next(self.numbers)
        log = self.folder / f"engine-{number}.log"
        started = forked(log, work, self.folder, log, url or self.url, self.sizes, f"machine{number}", ahead)
        self.engines.append(self.stack.enter_context(started))
        return self.engines[-1]

    def shares(self) -> list[EngineShare]:
        with open_queries(self.url) as reads:
            return [engine for engine in reads.estate.engines() if pid_of(engine) in self.pids()]

    def pids(self) -> set[int]:
        return {engine.pid for engine in self.engines}

    def is_even(self) -> bool:
        held = [engine.shards for engine in self.shares()]
        return len(held) == len(self.engines) and sum(held) == 256 and max(held) - min(held) <= len(held)

    def until_even(self) -> float:
        began = time.monotonic()
        wait_until(self.is_even, "an even load", pause=0.1)
        return time.monotonic() - began

    def leader(self) -> Child:
        [pid] = [pid_of(engine) for engine in self.shares() if engine.leads]
        return next(engine for engine in self.engines if engine.pid == pid)

    def follower(self) -> Child:
        first, leader = self.engines[0], self.leader()
        return next(engine for engine in self.engines if engine not in (first, leader))

    def lease_left(self, engine: Child) -> float:
        """Seconds until the shards of this engine are free, unless it renews."""
        query: LiteralString = "SELECT until_us - extract(epoch FROM clock_timestamp()) * 1e6, holder FROM engine"
        [us] = [us for us, holder in self._rows(query) if f":{engine.pid}~" in holder]
        return float(us) / 1e6

    def holds_shards(self, engine: Child) -> bool:
        return any(f":{engine.pid}~" in holder for (holder,) in self._rows("SELECT DISTINCT holder FROM shard"))

    def _rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        return self.server.execute(query, database=self.url.rpartition("/")[2])

    def polls(self, since: float) -> dict[str, list[tuple[float, int]]]:
        """System -> (time, process) of its polls since then, in order."""
        results = defaultdict[str, list[tuple[float, int]]](list)
        for path in self.folder.glob("*.polls"):
            for line in path.read_text().splitlines():
                system, _, at = line.partition(" ")
                if at and float(at) >= since:
                    results[system].append((float(at), int(path.stem)))
        return {system: sorted(polls) for system, polls in results.items()}

    def fail_one_each(self, job: str) -> None:
        """Fails this job in one system of each engine, and starts one of the failed runs again."""
        by_engine = {polls[-1][1]: system for system, polls in self.polls(time.monotonic() - 5).items() if polls}
        failed = [f"{system}/{job}" for pid, system in by_engine.items() if pid in self.pids()]
        for name in failed:
            World(self.folder, name.partition("/")[0]).fail(job)
        self.failures |= dict.fromkeys(failed, time.monotonic())
        wait_until(lambda: self.run_of(failed[0]) is not None, f"an incident of {failed[0]}")
        client, key, run_id = EngineClient(self.url), new_action_key(), self.run_of(failed[0])
        assert run_id is not None
        client.act(rerun_of(run_id, client.wait(client.preview(rerun_of(run_id)), 30).data), key)
        self.keys.append(key)

    def run_of(self, job: str) -> int | None:
        """The failed run of this job that an incident is about."""
        with open_queries(self.url) as reads:
            results = [row.root_run_id for row in reads.incidents.list_incidents() if row.root_job == job]
        return results[0] if results else None

    def lost(self) -> list[str]:
        got = received(self.folder)
        with open_queries(self.url) as reads:
            return [job for job in self.failures if not is_notified(job, AlertKind.OPENED, got, reads)]

    def age(self, job: str) -> float:
        return time.monotonic() - self.failures[job]

    def unsent(self) -> list[ActionView]:
        """The actions that did not arrive."""
        keys = set(self.keys) - set(self.sent())
        with open_queries(self.url) as reads:
            return [action for action in reads.actions.list_actions() if action.key in keys]

    def sent(self) -> Counter[str]:
        systems = {job.partition("/")[0] for job in self.failures}
        return Counter(key for system in systems for key in World(self.folder, system).sent)


def pid_of(engine: EngineShare) -> int:
    return int(engine.holder.rpartition(":")[2].partition("~")[0])


def gap(fleet: Fleet, since: float) -> float:
    """The longest time without a poll of one system since then; it is logged with its end."""
    now, longest = time.monotonic(), (0.0, "", 0.0, 0, 0)
    for system, polls in fleet.polls(since - fleet.sizes.interval * 2).items():
        for (before, first), (after, second) in zip(polls, [*polls[1:], (now, 0)], strict=True):
            longest = max(longest, (after - before, system, before - since, first, second))
    seconds, system, at, first, second = longest
    print(f"{system}: from {at:.1f} to {at + seconds:.1f} s, by {first} and {second}", file=sys.stderr)
    return seconds


def kill(fleet: Fleet, _: FaultProxy, __: PostgresServer) -> None:
    """The leader, by kill -9 right after a renewal; another one joins."""
    leader, lease = fleet.leader(), fleet.sizes.lease
    orphans = {system for system, polls in fleet.polls(0.0).items() if polls[-1][1] == leader.pid}
    longest = lease - min(RENEW_SECONDS, lease / 5)
    wait_until(lambda: fleet.lease_left(leader) > longest - 0.3, "a renewal", pause=0.02)
    lease_left, began = fleet.lease_left(leader), time.monotonic()
    leader.kill()
    fleet.engines.remove(leader)
    fleet.start()
    wait_until(lambda: not fleet.holds_shards(leader), "new holders of the orphaned shards", pause=0.02)
    claimed = time.monotonic() - began
    wait_until(lambda: orphans <= fleet.polls(began).keys(), "polls of the orphans", pause=1.0)
    polled = sorted(polls[0][0] - began for system, polls in fleet.polls(began).items() if system in orphans)
    fleet.figures += [
        Figure("kill_orphans", len(orphans), "systems"),
        Figure("kill_lease_left_s", lease_left, "s, of its shards when it was killed"),
        Figure("kill_claimed_s", claimed, "s after the kill, the last of its shards"),
        Figure("kill_first_polled_s", polled[0], "s after the kill, the first orphan"),
        Figure("kill_last_polled_s", polled[-1], "s after the kill, the last orphan", "lease + 1 s", lease + 1),
    ]


def stop(fleet: Fleet, _: FaultProxy, __: PostgresServer) -> None:
    """One that only polls, for three leases; a smoke run for two, after which its shards are lost too."""
    stopped = fleet.follower()
    stopped.signal(signal.SIGSTOP)
    time.sleep(fleet.sizes.stopped_leases * fleet.sizes.lease)
    stopped.signal(signal.SIGCONT)


def cut(fleet: Fleet, proxy: FaultProxy, _: PostgresServer) -> None:
    """The first engine from its database."""
    proxy.fault = Fault(hang=True)
    time.sleep(CUT_SECONDS)
    proxy.fault = GOOD


def clock(fleet: Fleet, _: FaultProxy, __: PostgresServer) -> None:
    """One more joins, with a clock that is ahead, and works for two leases before it ends."""
    joined = fleet.start(ahead=CLOCK_AHEAD)
    fleet.until_even()
    time.sleep(2 * fleet.sizes.lease)
    joined.signal(signal.SIGTERM)
    joined.ended()
    fleet.engines.remove(joined)


def database(_: Fleet, __: FaultProxy, server: PostgresServer) -> None:
    server.stop(crash=True)
    server.start()


def rolling(fleet: Fleet, _: FaultProxy, __: PostgresServer) -> None:
    """Each engine ends by SIGTERM and is followed by a new one."""
    for engine in list(fleet.engines):
        engine.signal(signal.SIGTERM)
        engine.ended()
        fleet.engines.remove(engine)
        fleet.start()
        fleet.until_even()


ACTS: dict[str, Callable[[Fleet, FaultProxy, PostgresServer], None]] = {
    "kill": kill, "stop": stop, "cut": cut, "clock": clock, "database": database, "rolling": rolling,
}  # fmt: skip


def measured(sizes: Sizes, faults: Sequence[str]) -> Iterator[Figure]:
    folder = private_folder("engines")
    server = PostgresServer(folder / "postgres")
    try:
        server.start()
        url = server.create_database()
        open_database(url).close()
        with ExitStack() as stack, FaultProxy(server.port) as proxy:
            fleet = Fleet(folder, server, url, sizes, stack)
            yield from _coordination(url, sizes)
            began = time.monotonic()
            fleet.start(url.replace(f":{server.port}/", f":{proxy.port}/"))
            for _ in range(sizes.engines - 1):
                fleet.start()
            wait_until(lambda: len(fleet.polls(began)) == sizes.systems, "each system to be polled", pause=1.0)
            yield Figure("start_polled_s", time.monotonic() - began, "s, until each system was polled once")
            yield from _start_cpu(fleet)
            yield Figure("start_even_s", fleet.until_even(), "s")
            if not faults:
                return
            yield from _calm(fleet)
            for number, name in enumerate(faults):
                fleet.fail_one_each(f"job-{number}")
                began = time.monotonic()
                ACTS[name](fleet, proxy, server)
                acted = time.monotonic()
                fleet.until_even()
                yield from fleet.figures
                fleet.figures.clear()
                yield Figure(f"{name}_even_s", time.monotonic() - acted, "s after the fault")
                time.sleep(2 * sizes.interval)
                bar = sizes.lease + 1 + sizes.interval
                yield Figure(f"{name}_gap_s", gap(fleet, began), "s", "lease + 1 s + interval", bar)
            try:
                wait_until(lambda: not fleet.lost() and not fleet.unsent(), "alerts, actions")
            except LabError:
                pass  # the figures say so
            late = _late(fleet)
            yield from _totals(fleet, late)
    finally:
        server.stop()
        remove_folder(folder)


def _calm(fleet: Fleet) -> Iterator[Figure]:
    seconds = 6 * fleet.sizes.interval
    before, server, began = sum(engine.cpu_seconds() for engine in fleet.engines), _server_cpu(fleet), time.monotonic()
    time.sleep(seconds)
    polls = fleet.polls(began)
    cpu, server = sum(engine.cpu_seconds() for engine in fleet.engines) - before, _server_cpu(fleet) - server
    numbers = [len(polls.get(f"system-{number}", [])) for number in range(fleet.sizes.systems)]
    yield Figure("calm_polls_per_interval_min", min(numbers) * fleet.sizes.interval / seconds, "polls of a system")
    yield Figure("calm_polls_per_interval_max", max(numbers) * fleet.sizes.interval / seconds, "polls of a system")
    yield Figure("calm_cores", cpu / seconds, "CPU s per s, all engines")
    yield Figure("calm_cpu_ms_per_poll", cpu * 1000 / sum(numbers), "ms, all of the engines' work")
    yield Figure("calm_server_cpu_ms_per_poll", server * 1000 / sum(numbers), "ms, of the backends")


def _start_cpu(fleet: Fleet) -> Iterator[Figure]:
    engines, server = sum(engine.cpu_seconds() for engine in fleet.engines), _server_cpu(fleet)
    yield Figure("start_cpu_ms_per_system", engines * 1000 / fleet.sizes.systems, "ms, all of the engines' work")
    yield Figure("start_server_cpu_ms_per_system", server * 1000 / fleet.sizes.systems, "ms, of the backends")


def _server_cpu(fleet: Fleet) -> float:
    """CPU seconds of the server's processes that run now; connections stay open while nothing fails."""
    return sum(cpu_of(pid) or 0 for pid in fleet.server.children())


def _coordination(url: str, sizes: Sizes) -> Iterator[Figure]:
    """What the renewals of shards cost an engine, without the server's part."""
    with closing(open_database(url)) as store:
        held = hold_shards(store, "measured:1", {}, sizes.lease)
        began = time.process_time()
        for _ in range(sizes.renewals):
            held = hold_shards(store, "measured:1", held.fences, sizes.lease)
        tick_ms = (time.process_time() - began) * 1000 / sizes.renewals
        leave(store, "measured:1", held.fences)
    ticks = sizes.engines / min(RENEW_SECONDS, sizes.lease / 5)
    yield Figure("renewal_cpu_ms", tick_ms, "ms")
    yield Figure("renewal_cpu_ms_per_poll", tick_ms * ticks * sizes.interval / sizes.systems, "ms, CPU of the engines")


def _late(fleet: Fleet) -> int:
    """How many missing notifications come within `LATE_SECONDS`. Each is printed, with its delay once it comes."""
    until = time.monotonic() + LATE_SECONDS
    late = missing = fleet.lost()
    for job in late:
        print(f"{job}: no notification {fleet.age(job):.1f} s after its failure", file=sys.stderr)
    while missing and time.monotonic() < until:
        time.sleep(0.2)
        missing, before = fleet.lost(), missing
        for job in set(before) - set(missing):
            print(f"{job}: notified {fleet.age(job):.1f} s after its failure", file=sys.stderr)
    return len(late) - len(missing)


def _totals(fleet: Fleet, late: int) -> Iterator[Figure]:
    sent, got = fleet.sent(), received(fleet.folder)
    yield Figure("failures", len(fleet.failures), "jobs")
    yield Figure("late_notifications", late, f"of these, more than {END_SECONDS:g} s after the end")
    yield Figure("lost_notifications", len(fleet.lost()), f"of these, after {LATE_SECONDS:g} s more")
    yield Figure("repeated_notifications", sum(each.is_repeat for each in got), "marked as repeats")
    yield Figure("actions", len(fleet.keys), "requested")
    unsent = [action for action in fleet.unsent() if action.state in ("failed", "refused")]
    for action in fleet.unsent():
        print(f"{action.key} {action.state}: {action.text}", file=sys.stderr)
    yield Figure("unsent_actions", len(unsent), "reported as not sent")
    yield Figure("lost_actions", len(fleet.unsent()) - len(unsent), "neither sent nor reported")
    yield Figure("doubled_actions", sum(number > 1 for number in sent.values()), "actions")


def main() -> None:
    parser = parser_of(__doc__ or "")
    for name, kind in (("engines", int), ("systems", int), ("jobs", int), ("interval", float), ("lease", float)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument(
        "--only", action="append", choices=(*FAULTS, "start"), help="a fault, or the start alone; may be repeated"
    )
    chosen = parser.parse_args()
    faults = [fault for fault in chosen.only or _faults(chosen.quick) if fault in FAULTS]
    emit("engines", measured(_sizes(chosen), faults), chosen.json)


def _faults(scale: Scale) -> Sequence[str]:
    return SMOKE_FAULTS if scale is Scale.SMOKE else FAULTS


def _sizes(chosen: argparse.Namespace) -> Sizes:
    scale: Scale = chosen.quick
    return Sizes(
        chosen.engines or scale.of(4, 3, 3),
        chosen.systems or scale.of(10_000, 60, 12),
        chosen.jobs or scale.of(100, 10, 8),
        chosen.interval or scale.of(30, 2, 1) / 2,
        chosen.lease or scale.of(15, 5, 3),
        scale.of(3, 3, 2),
        scale.of(200, 200, 5),
    )


if __name__ == "__main__":
    main()
