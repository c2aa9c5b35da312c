"""Engines: in a thread of the test, or in a process of their own that may be killed, stopped and armed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import Engine, exit_process, exit_with_parent, stop_on_signals
from console.engine.supervisor.log_setup import set_up_logs
from console.failpoints import VARIABLE
from console.store.db.database import Database
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import HANGS_SECONDS
from tests.store.ready import open_ready, place_ready

LEASE_SECONDS = 2.0
"""Of an engine that loses it in its test: another one takes over soon."""
LONG_LEASE_SECONDS = 30.0
"""Of one that must not, however long a busy machine lets it stand still. The lease of a killed engine is free at
once."""
STORE = "store.url"
PRELOAD = ["tests.invariants.engines", "psycopg", "sqlalchemy.dialects.postgresql.psycopg", "console.store.db.postgres"]


def store_of(folder: Path) -> str:
    """The store of the engines of a test: a file in its folder, or the database that a file of this name there says."""
    named = folder / STORE
    return named.read_text() if named.exists() else str(folder / "headway.db")


def server(*more: str) -> ForkServerContext:
    """Processes forked from one that has imported everything: 50 ms instead of 1 s for each engine. `more`: modules
    that it imports too, where this is the first call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, *more])
    forkserver.ensure_running()
    return context


class Child:
    """An engine in a process of its own."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self.process = process
        self.log = log
        self._handle = _handle(process)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: int) -> None:
        """To this very process; ProcessLookupError once it has ended, whoever has its number then: thousands of
        engines use all numbers up within minutes."""
        if self._handle is None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._handle, number)

    def ended(self, seconds: float = HANGS_SECONDS) -> int | None:
        """Its exit code (minus the signal's number), once it has ended; None when it still runs then."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self) -> None:
        """At once, where it still runs; returns when it has ended."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.join(HANGS_SECONDS)

    def close(self) -> None:
        """Ends it, in good order where it can."""
        for number, seconds in ((signal.SIGCONT, 0), (signal.SIGTERM, 20), (signal.SIGKILL, 6)):
            if self.process.is_alive():
                with suppress(ProcessLookupError):
                    self.signal(number)
                self.process.join(seconds)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def is_stopped(self) -> bool:
        return self._stat()[0] == "T"

    def cpu_seconds(self) -> float:
        """What it has worked so far; much, where it has ended."""
        seconds = cpu_of(self.pid) if self.process.is_alive() else None
        return float("inf") if seconds is None else seconds

    def _stat(self) -> list[str]:
        return stat_of(self.pid) if self.process.is_alive() else ["X"]

    def events(self) -> list[str]:
        """What it logged, in order."""
        return [str(line["event"]) for line in self.lines()]

    def lines(self) -> list[dict[str, Any]]:
        whole = self.log.read_text().rpartition("\n")[0] if self.log.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]


def stat_of(pid: int) -> list[str]:
    """From proc(5) what comes after the name of a process; "X" alone for one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X"]


def cpu_of(pid: int) -> float | None:
    """CPU seconds of a process so far; None for one that has ended."""
    stat = stat_of(pid)
    return None if stat[0] in "XZ" else (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _handle(process: BaseProcess) -> int | None:
    """A handle on a process that was just started; None where it has ended already."""
    try:
        number = os.pidfd_open(process.pid or 0)
    except ProcessLookupError:
        return None
    if process.is_alive():  # it had its number when the handle was made
        return number
    os.close(number)
    return None


@contextmanager
def forked(log: Path, work: Callable[..., None], *arguments: object) -> Iterator[Child]:
    """An engine that `work` is, ended at the end whatever became of it."""
    process = server().Process(target=work, args=arguments)
    process.start()
    made = Child(process, log)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def child(
    folder: Path, name: str = "engine", failpoint: str = "", url: str = "", prepare: Callable[[], None] | None = None,
    lease: float = LONG_LEASE_SECONDS,
) -> Iterator[Child]:  # fmt: skip
    """An engine on `folder`'s store and its one world "good". `prepare` is called in its process before anything
    else."""
    log, store = folder / f"{name}.log", url or store_of(folder)
    place_ready(store)
    with forked(log, _work, folder, log, failpoint, store, prepare, lease) as made:
        yield made


def _work(folder: Path, log: Path, failpoint: str, url: str, prepare: Callable[[], None] | None, lease: float) -> None:
    if prepare is not None:
        prepare()
    if failpoint:
        os.environ[VARIABLE] = failpoint
    exit_with_parent()
    config = config_of(folder, World(folder, "good"))
    store, secrets = open_ready(url), SecretStore()
    set_up_logs(secrets, log)
    engine = engine_of(config, store, Sink(folder), secrets, lease)
    stop_on_signals(engine)
    engine.run()
    store.close()
    exit_process(0)


def engine_of(
    config: Config, store: Database, sink: Sink, secrets: SecretStore | None = None, lease: float = LEASE_SECONDS,
    is_standby: bool = True,
) -> Engine:  # fmt: skip
    def parts() -> EngineAssembly:
        return EngineAssembly(config, store, secrets or SecretStore(), sink)

    return Engine(parts, parts(), lease, is_standby)


@dataclass
class Running:
    """An engine at work in a thread of this process."""

    folder: Path
    worlds: Sequence[World]
    sink: Sink
    store: Database
    engine: Engine
    thread: threading.Thread

    def reads(self) -> Queries:
        return open_queries(str(self.folder / "headway.db"))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.rows(sql)]


@contextmanager
def running(folder: Path, *worlds: World, lease: float = 15.0, poll_every: float = 0.2) -> Iterator[Running]:
    """An engine in a thread; the test fails when it does not end within twenty seconds."""
    store = open_ready(str(folder / "headway.db"))
    sink = Sink(folder)
    engine = engine_of(config_of(folder, *worlds, poll_every=poll_every), store, sink, lease=lease)
    try:
        with in_thread(engine) as thread:
            yield Running(folder, worlds, sink, store, engine, thread)
    finally:
        store.close()


@contextmanager
def in_thread(engine: Engine) -> Iterator[threading.Thread]:
    """The thread in which the engine works; AssertionError where it does not end."""
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        engine.stop()
        thread.join(HANGS_SECONDS)
    assert not thread.is_alive(), "the engine did not end"
