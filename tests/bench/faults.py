"""How punctual the polls of good targets stay while a tenth of the targets is bad.

Real sshd, real connections, the whole engine on SQLite. Bad targets are the same host behind proxies that hang, drip,
swallow every answer, reset in the middle of one, or refuse. Needs root, as the lab.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

from connectors.cron.connector import CONNECTOR
from connectors.cron.options import CronOptions
from connectors.sdk.contract import Connector, SecretResolver
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.secrets import SecretStore
from console.config.sections import AlertSettings, Config, EstateSection, SystemConfig, SystemSettings
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import Engine
from console.engine.supervisor.log_setup import set_up_logs
from console.store.db.database import open_database
from console.store.queries import open_queries
from tests.bench.ending import Ending, say
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.fakes.faultproxy import GOOD, Fault, FaultProxy
from tests.invariants.engines import in_thread
from tests.lab.cronhost import CronHost
from tests.lab.process import private_folder, remove_folder

FAULTS = (Fault(hang=True), Fault(drip=3), Fault(swallow=True), Fault(reset_after=3_000), Fault(refuse=True))

PATIENCE_SECONDS = 600.0
SHORTEST = 0.97
"""Share of the period after which a poller begins again at the earliest (`console.engine.polling.poller`)."""


class Recorded:
    """A connector of which the beginnings of its polls are known."""

    def __init__(self, inner: Connector, starts: list[float]) -> None:
        self._inner = inner
        self._starts = starts

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._starts.append(time.monotonic())
        return self._inner.poll(cursor, open_runs, timeout_seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Field:
    """Targets of one host: the good ones directly, the bad ones each behind a proxy."""

    def __init__(self, host: CronHost, count: int, every: float) -> None:
        self.host = host
        self.every = every
        self.bad = max(1, count // 10)
        self.good = count - self.bad
        self.starts: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def watched(self, folder: Path, faults: Sequence[Fault], over: Event) -> Iterator[None]:
        """An engine at work on all of them; the bad ones turn bad once everybody was seen."""
        with ExitStack() as stack:
            proxies = [stack.enter_context(FaultProxy(self.host.port, number)) for number in range(self.bad)]
            store = open_database(str(folder / "headway.db"))
            stack.callback(store.close)
            config = self._config(folder, [proxy.port for proxy in proxies])
            secrets = SecretStore()
            set_up_logs(secrets, folder / "engine.log")
            parts = EngineAssembly(config, store, secrets)
            stack.enter_context(in_thread(Engine(lambda: parts, parts)))
            self._wait_for(self.good + self.bad, "", 0.0, over)
            for number, proxy in enumerate(proxies):
                proxy.fault = faults[number % len(faults)]
                if proxy.fault.refuse:
                    proxy.reset_all()
            yield

    def delays(self, seconds: float, over: Event) -> list[float]:
        """How much later than it was meant each poll of a good target began, in these next seconds and until each was
        polled twice, or until it is over: after the shortest pause between two polls, 97 % of the period; up to 3 % of
        the period are the spread that is meant."""
        since = time.monotonic()
        over.wait(seconds)
        self._wait_for(self.good, "good", since, over)
        results = []
        for name, starts in self.starts.items():
            if name.startswith("good"):
                pairs = [(before, after) for before, after in pairwise(starts) if before >= since]
                results += [after - before - SHORTEST * self.every for before, after in pairs]
        return results

    def _wait_for(self, count: int, prefix: str, since: float, over: Event) -> None:
        """Until `count` targets of this prefix were polled twice since then, or it is over; TimeoutError after ten
        minutes."""
        until = time.monotonic() + PATIENCE_SECONDS

        def seen() -> int:
            polls = [starts for name, starts in list(self.starts.items()) if name.startswith(prefix)]
            return sum(sum(at >= since for at in starts) >= 2 for starts in polls)

        while (polled := seen()) < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{polled} of {count} targets were polled twice in ten minutes")
            if over.wait(0.1):
                return

    def _config(self, folder: Path, proxies: Sequence[int]) -> Config:
        entries = [{"name": f"good{n}", "address": "127.0.0.1", "port": self.host.port} for n in range(self.good)]
        entries += [{"name": f"bad{n}", "address": "127.0.0.1", "port": port} for n, port in enumerate(proxies)]
        options = CronOptions.model_validate(
            {
                "hosts": entries,
                "user": "root",
                "key": str(self.host.key),
                "known_hosts": str(self._known(folder, proxies)),
            }
        )
        settings = SystemSettings(
            kind="cron", poll_every=timedelta(seconds=self.every), poll_timeout=timedelta(seconds=max(2.0, self.every))
        )
        kind = replace(CONNECTOR, open=self._open)
        return Config(
            path=folder / "headway.toml", digest="", estate=EstateSection(starts_in="live"),
            systems={"hosts": SystemConfig("hosts", settings, kind, options)}, jobs={}, dependencies=(), services={},
            routes={}, alerts=AlertSettings(),
        )  # fmt: skip

    def _known(self, folder: Path, proxies: Sequence[int]) -> Path:
        """The host's key, under the port of each proxy too."""
        line = self.host.known_hosts.read_text().splitlines()[0]
        key = line.partition(" ")[2]
        file = folder / "known_hosts"
        file.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for port in (self.host.port, *proxies)))
        return file

    def _open(self, options: Any, target: str, secrets: SecretResolver) -> Connector:
        return Recorded(CONNECTOR.open(options, target, secrets), self.starts[target])


def out_of_reach(folder: Path) -> int:
    """Targets whose last poll failed."""
    with open_queries(str(folder / "headway.db")) as reads:
        return sum(target.failing_since is not None for target in reads.estate.systems())


def p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def figures(quick: Scale, over: Event) -> list[Figure]:
    """Once without and once with faults; of what was taken before it was over."""
    folder = Path(private_folder("bench-faults"))
    count, every, seconds = ((200, 10.0, 60.0), (60, 3.0, 9.0), (10, 1.0, 3.0))[quick]
    host = CronHost(folder / "db07", "db07", cron_level=15)
    results: dict[str, list[float]] = {}
    failing: dict[str, int] = {}
    try:
        host.start()
        for name, faults in (("calm", (GOOD,)), ("faulty", FAULTS)):
            if over.is_set():
                break
            say(f"{name}: {count} targets, each polled every {every:.0f} s; looked at for {seconds:.0f} s")
            field = Field(host, count, every)
            (folder / name).mkdir()
            with field.watched(folder / name, faults, over):
                results[name] = field.delays(seconds, over)
                failing[name] = out_of_reach(folder / name)
            say(f"{name}: {len(results[name])} good polls")
    finally:
        host.stop()
        remove_folder(folder)
    return list(fault_figures(results, failing, count))


def fault_figures(results: Mapping[str, Sequence[float]], failing: Mapping[str, int], count: int) -> Iterator[Figure]:
    """With faults beside without them; of a run that was cut short without them alone."""
    polls = {name: values for name, values in results.items() if values}
    if "calm" not in polls:
        return
    whole = "faulty" in polls
    named: dict[str, tuple[Callable[[str], float], str]] = {
        "good_poll_delay_p99": (lambda name: p99(polls[name]), "s"),
        "good_poll_delay_max": (lambda name: max(polls[name]), "s"),
        "targets_out_of_reach": (lambda name: failing[name], f"of {count}"),
        "good_polls": (lambda name: len(polls[name]), "polls"),
    }
    for name, (value, unit) in named.items():
        if whole:
            yield Figure(name, value("faulty"), unit, "the same without faults", value("calm"))
        else:
            yield Figure(f"{name}_without_faults", value("calm"), unit)


if __name__ == "__main__":
    options, over = arguments(__doc__ or ""), Event()
    ending = Ending(over.set)
    try:
        emit("faults", figures(options.quick, over), options.json)
    finally:
        ending.leave()
