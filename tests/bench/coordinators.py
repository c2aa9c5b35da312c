"""How a table of leases, chancy and procrastinate share 256 shards of 10,000 fake systems among 4 engines.

    python -m tests.bench.coordinators [table | chancy | procrastinate | none] [--json] [--quick | --smoke]
                                       [--only FAULT]

The engines are processes in network namespaces of one machine, and poll each system every 15 s; their polls do nothing,
so that what is left is the coordination. Its CPU time per poll is that beyond `none`, where each engine has its shards
for ever. Before each fault an action is requested for each shard. Faults: one engine cut from PostgreSQL for 40 s,
`kill -9`, SIGSTOP for three leases, an engine with a clock 90 s ahead that joins and leaves (libfaketime), PostgreSQL
killed and restarted, rolling restart. The two libraries need `pip install chancy procrastinate`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from console.store.db.shards import SHARDS
from tests.bench.coordinator_engines import COORDINATORS, LIBPQ, Work, seed
from tests.bench.figures import Figure, emit, parser_of
from tests.bench.namespaces import BRIDGE_ADDRESS, Namespace, namespaces
from tests.lab.postgres import PostgresServer
from tests.lab.process import Daemon, LabError, private_folder, remove_folder, tail, wait_until

LIBRARIES = ("chancy", "procrastinate")
FAULTS = ("cut", "kill", "stop", "clock", "database", "rolling")
CUT_SECONDS = 40.0
EVEN_BAR = 60.0
LOAD = 2.0
"""Seconds of polls that say which engine polls a shard."""
ROOT = Path(__file__).parents[2]
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass(frozen=True)
class Sizes:
    engines: int
    systems: int
    interval: float
    lease: float
    calm: float

    @property
    def concurrency(self) -> int:
        """Shards that an engine must be able to take when one of them is dead."""
        return -(-SHARDS // (self.engines - 1))


@dataclass
class Fleet:
    coordinator: str
    folder: Path
    server: PostgresServer
    url: str
    sizes: Sizes
    free: list[Namespace]
    bridge: str
    stack: ExitStack
    engines: list[Daemon] = field(default_factory=list)
    places: dict[int, Namespace] = field(default_factory=dict)
    """Process -> its namespace."""
    started: int = 0
    acts: int = 0

    def start(self, ahead: bool = False) -> Daemon:
        sizes, number = self.sizes, self.started
        self.started += 1
        work = Work(
            self.coordinator, self.url, str(self.folder), f"machine{number}", sizes.systems, sizes.interval,
            sizes.lease, sizes.concurrency, tuple(range(number, SHARDS, sizes.engines)),
        )  # fmt: skip
        code = "import sys; from tests.bench.coordinator_engines import main; main(sys.argv[1])"
        place = self.free.pop(0)
        argv = [*place.prefix, sys.executable, "-c", code, json.dumps(dataclasses.asdict(work))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if ahead:
            environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+90s"}
            environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        engine = Daemon(argv, self.folder / f"engine-{number}.log", environment)
        engine.start()
        self.stack.callback(engine.stop)
        self.places[engine.pid] = place
        self.engines.append(engine)
        return engine

    def end(self, engine: Daemon, number: int) -> None:
        os.kill(engine.pid, number)
        wait_until(lambda: not engine.is_running, "the end of an engine")
        self.engines.remove(engine)
        self.free.append(self.places[engine.pid])

    def polls(self, since: float) -> list[tuple[float, int, int, float]]:
        """(time, system, process, beginning of its task) of each poll since then, in order."""
        results = []
        for path in self.folder.glob("*.polls"):
            for line in path.read_text().splitlines():
                texts = line.split(" ")
                if len(texts) == 3 and float(texts[1]) >= since:
                    results.append((float(texts[1]), int(texts[0]), int(path.stem), float(texts[2])))
        return sorted(results)

    def shares(self) -> Counter[int]:
        """Process -> shards that it polled last; engines that poll none are counted too."""
        owners = {system % SHARDS: pid for _, system, pid, _ in self.last_polls()}
        counter = Counter(owners.values())
        return Counter({pid: counter[pid] for pid in {engine.pid for engine in self.engines} | counter.keys()})

    @property
    def window(self) -> float:
        return LOAD * self.sizes.interval * SHARDS / self.sizes.systems + 1.0

    def last_polls(self) -> list[tuple[float, int, int, float]]:
        """As `polls`, those of the last `window`, from the ends of the files."""
        since = time.monotonic() - self.window
        results = []
        for path in self.folder.glob("*.polls"):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 200_000))
                lines = file.read().decode().splitlines()[1:]
            texts = [line.split(" ") for line in lines]
            pid = int(path.stem)
            results += [
                (float(w[1]), int(w[0]), pid, float(w[2])) for w in texts if len(w) == 3 and float(w[1]) >= since
            ]
        return sorted(results)

    def is_covered(self) -> bool:
        return sum(self.shares().values()) == SHARDS

    def is_even(self) -> bool:
        held = self.shares().values()
        return len(held) == len(self.engines) and sum(held) == SHARDS and max(held) - min(held) <= len(held)

    def until_even(self) -> float:
        """Seconds until the load is even; at most a tenth more than the bar, where it does not become so."""
        began = time.monotonic()
        while not self.is_even() and time.monotonic() < began + EVEN_BAR * 1.1:
            time.sleep(0.3)
        return time.monotonic() - began

    def request_actions(self) -> None:
        self.server.execute(
            "INSERT INTO bench.act (shard) SELECT generate_series(0, %s - 1)", SHARDS, database=self.url_database
        )
        self.acts += SHARDS

    @property
    def url_database(self) -> str:
        return self.url.partition("?")[0].rpartition("/")[2]

    def fullest(self) -> Daemon:
        shares = self.shares()
        return max(self.engines, key=lambda engine: shares[engine.pid])

    def lines(self, name: str) -> list[str]:
        return [line for path in self.folder.glob(f"*.{name}") for line in path.read_text().splitlines()]

    def cpu(self) -> tuple[float, float]:
        """CPU seconds of the engines, and of PostgreSQL with its children."""
        return sum(_cpu(engine.pid) for engine in self.engines), _server_cpu(self.server)


def _cpu(pid: int, with_children: bool = False) -> float:
    try:
        texts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, texts[11 : 15 if with_children else 13])) / os.sysconf("SC_CLK_TCK")


def _server_cpu(server: PostgresServer) -> float:
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return _cpu(postmaster, True) + sum(_cpu(int(child)) for child in children)


def kill(fleet: Fleet) -> Iterator[Figure]:
    """The fullest engine; another one joins at once."""
    victim, bar = fleet.fullest(), fleet.sizes.lease + 1
    owners = {system % SHARDS: pid for _, system, pid, _ in fleet.last_polls()}
    orphans = {system for system in range(fleet.sizes.systems) if owners.get(system % SHARDS) == victim.pid}
    began = time.monotonic()
    fleet.end(victim, signal.SIGKILL)
    fleet.start()
    firsts: dict[int, float] = {}
    while time.monotonic() < began + 4 * bar and len(firsts) < len(orphans):
        time.sleep(0.5)
        for at, system, pid, _ in fleet.last_polls():
            if system in orphans and pid != victim.pid and at >= began:
                firsts.setdefault(system, at - began)
    yield Figure("kill_orphans", len(orphans), "systems")
    yield Figure("kill_polled_again", len(firsts), "of these")
    yield Figure("kill_last_polled_s", max(firsts.values(), default=-1.0), "s, the last system", "lease + 1 s", bar)


def stop(fleet: Fleet) -> Iterator[Figure]:
    stopped = fleet.fullest()
    os.kill(stopped.pid, signal.SIGSTOP)
    time.sleep(3 * fleet.sizes.lease)
    os.kill(stopped.pid, signal.SIGCONT)
    yield from ()


def cut(fleet: Fleet) -> Iterator[Figure]:
    place = fleet.places[fleet.fullest().pid]
    place.cut()
    time.sleep(CUT_SECONDS)
    place.join(fleet.bridge)
    yield from ()


def clock(fleet: Fleet) -> Iterator[Figure]:
    """An engine joins with its clock ahead, works for two leases, and leaves."""
    joined = fleet.start(ahead=True)
    yield Figure("clock_join_even_s", fleet.until_even(), "s after the join", "bar", EVEN_BAR)
    time.sleep(2 * fleet.sizes.lease)
    fleet.end(joined, signal.SIGTERM)


def database(fleet: Fleet) -> Iterator[Figure]:
    fleet.server.stop(crash=True)
    fleet.server.start()
    yield from ()


def rolling(fleet: Fleet) -> Iterator[Figure]:
    for engine in list(fleet.engines):
        fleet.end(engine, signal.SIGTERM)
        fleet.start()
        deadline = time.monotonic() + EVEN_BAR
        while not fleet.is_covered() and time.monotonic() < deadline:
            time.sleep(0.3)
    yield from ()


ACTS: dict[str, Callable[[Fleet], Iterator[Figure]]] = {
    "kill": kill, "stop": stop, "cut": cut, "clock": clock, "database": database, "rolling": rolling,
}  # fmt: skip


def strays(polls: Sequence[tuple[float, int, int, float]]) -> int:
    """Polls of a shard by a task after a later task of another engine has polled it."""
    newest, number = dict[int, tuple[float, int]](), 0
    for _, system, pid, began in polls:
        shard = system % SHARDS
        task = (began, pid)
        number += shard in newest and task < newest[shard] and pid != newest[shard][1]
        newest[shard] = max(task, newest.get(shard, task))
    return number


def gap(fleet: Fleet, since: float) -> float:
    """The longest time without a poll of one system from then to now."""
    now, times = time.monotonic(), defaultdict[int, list[float]](list)
    for at, system, _, _ in fleet.polls(since - 2 * fleet.sizes.interval):
        times[system].append(at)
    return max(
        (after - max(before, since - 2 * fleet.sizes.interval) for results in times.values()
         for before, after in zip(results, [*results[1:], now], strict=True) if after > since),
        default=now - since,
    )  # fmt: skip


def measured(coordinator: str, sizes: Sizes, faults: Sequence[str]) -> Iterator[Figure]:
    folder = private_folder("coordinators")
    server = PostgresServer(folder / "postgres")
    try:
        server.start()
        _listen_everywhere(server)
        local = server.create_database()
        url = f"{local.replace('127.0.0.1', BRIDGE_ADDRESS)}?{LIBPQ}"
        with ExitStack() as stack:
            bridge, places = stack.enter_context(namespaces(sizes.engines + 2))
            asyncio.run(seed(coordinator, local, sizes.concurrency))
            fleet = Fleet(coordinator, folder, server, url, sizes, list(places), bridge, stack)
            for _ in range(sizes.engines):
                fleet.start()
            try:
                wait_until(fleet.is_covered, "each shard to be polled", pause=0.5)
            except LabError as error:
                raise LabError("\n".join([str(error), *(tail(engine.log) for engine in fleet.engines)])) from error
            yield Figure("start_even_s", fleet.until_even(), "s", "bar", EVEN_BAR)
            yield from _calm(fleet)
            for name in faults:
                fleet.request_actions()
                began = time.monotonic()
                yield from ACTS[name](fleet)
                even = fleet.until_even()
                yield Figure(f"{name}_even_s", even, "s after the fault", "bar", EVEN_BAR)
                yield Figure(f"{name}_shards", sum(fleet.shares().values()), f"of {SHARDS} polled then")
                time.sleep(1.5 * sizes.interval)
                bar = sizes.lease + 1 + sizes.interval
                yield Figure(f"{name}_gap_s", gap(fleet, began), "s", "lease + 1 s + interval", bar)
                yield Figure(f"{name}_strays", strays(fleet.polls(began)), "polls beside a newer owner")
            time.sleep(sizes.interval)
            sent = Counter(fleet.lines("sent"))
            yield Figure("actions", fleet.acts, "requested")
            yield Figure("lost_actions", fleet.acts - len(sent), "of these")
            yield Figure("doubled_actions", sum(number > 1 for number in sent.values()), "of these")
            yield Figure(
                "refused_writes", sum(line.endswith("refused") for line in fleet.lines("refused")), "by a fence"
            )
    finally:
        server.stop()
        remove_folder(folder)


def _calm(fleet: Fleet) -> Iterator[Figure]:
    began, (engines, server) = time.monotonic(), fleet.cpu()
    time.sleep(fleet.sizes.calm)
    engines_after, server_after = fleet.cpu()
    number = len(fleet.polls(began))
    took = time.monotonic() - began
    yield Figure("calm_polls_per_interval", number * fleet.sizes.interval / took / fleet.sizes.systems, "of a system")
    yield Figure("calm_engines_cpu_ms_per_poll", (engines_after - engines) * 1000 / number, "ms, polls included")
    yield Figure("calm_server_cpu_ms_per_poll", (server_after - server) * 1000 / number, "ms, writes included")
    yield Figure("load_average", os.getloadavg()[0], "of this machine")


def _listen_everywhere(server: PostgresServer) -> None:
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("listen_addresses='*'\nmax_connections=200\n")
    with (server.data / "pg_hba.conf").open("a") as file:
        file.write("host all lab 10.213.0.0/16 trust\n")
    server.stop()
    server.start()


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("coordinator", nargs="?", default="table", choices=sorted(COORDINATORS))
    parser.add_argument("--only", action="append", choices=FAULTS, help="a fault; may be given several times")
    chosen = parser.parse_args()
    if os.geteuid():
        parser.error("network namespaces need root")
    if chosen.coordinator in LIBRARIES and importlib.util.find_spec(chosen.coordinator) is None:
        parser.error(f"{chosen.coordinator} is not installed. Fix: pip install {chosen.coordinator}")
    scale = chosen.quick
    sizes = Sizes(
        scale.of(4, 3, 2), scale.of(10_000, 1_000, SHARDS), scale.of(15, 5, 2), scale.of(15, 5, 3), scale.of(60, 10, 2)
    )
    faults = () if chosen.coordinator == "none" else chosen.only or (FAULTS, ("kill",), ("kill",))[scale]
    if "clock" in faults and not FAKETIME.exists():
        parser.error("libfaketime is not installed. Fix: apt-get install libfaketime")
    emit(f"coordinators {chosen.coordinator}", measured(chosen.coordinator, sizes, faults), chosen.json)


if __name__ == "__main__":
    main()
