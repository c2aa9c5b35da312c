"""What an engine of the crash bench does before it begins: it notes where it crashes, and where its point is seldom
passed, or a test breaks one of its guarantees on purpose, it is made so."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg

from connectors.sdk.records import Poll, RunRef
from console import failpoints
from console.engine.polling import poller
from console.store.db import database as store_open
from tests.bench.received import note_received
from tests.invariants.engines import Child, store_of
from tests.invariants.worlds import Sink, WorldConnector

HITS = "hits"
STACKS = "stacks.log"


def prepared(folder: Path, point: str = "", broken: Callable[[], None] | None = None) -> Callable[[], None]:
    """For `prepare` of an engine's process: crashes are noted in the folder."""
    return partial(_prepare, folder, point, broken)


def hits(folder: Path) -> list[str]:
    """The failpoints at which engines of the folder crashed, in order."""
    path = folder / HITS
    return path.read_text().split() if path.exists() else []


def write_stacks(folder: Path, engine: Child) -> None:
    """Where every thread of an engine is, into the folder: what keeps it from going on is seen there."""
    path = folder / STACKS
    if not path.exists():
        return  # it has not come so far, and the signal would end it
    before, until = path.stat().st_size, time.monotonic() + 5
    with suppress(ProcessLookupError):
        engine.signal(signal.SIGUSR1)
    while path.stat().st_size == before and engine.ended(0.05) is None and time.monotonic() < until:
        pass


def _prepare(folder: Path, point: str, broken: Callable[[], None] | None) -> None:
    with (folder / "stderr.log").open("a") as file:
        os.dup2(file.fileno(), 2)  # a crash's traceback is the night's matter
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1, (folder / STACKS).open("a"))
    patch.object(Sink, "__call__", note_received).start()
    patch.object(failpoints, "_do", partial(_noted, folder, failpoints._do)).start()
    SELDOM.get(point, lambda: None)()
    if broken is not None:
        broken()


def _noted(folder: Path, do: Callable[[str, str], None], name: str, act: str) -> None:
    with (folder / HITS).open("a") as file:
        file.write(f"{name}\n")
        file.flush()
        os.fsync(file.fileno())
    if act == "cut":
        _cut(store_of(folder))
    else:
        do(name, act)


def _cut(url: str) -> None:
    """The server ends every connection of the store, the one in its transaction here too."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _small_batches() -> None:
    """One record in a transaction: two attempts are a long batch."""
    patch.object(poller, "CHUNK_RUNS", 1).start()


def _log_moved_always() -> None:
    patch.object(store_open, "QUIET_SECONDS", 0.0).start()
    patch.object(store_open, "QUIET_LOG_BYTES", 0).start()


def _pages() -> None:
    """The first poll has two pages without a run before the one with all of them."""
    whole = WorldConnector.poll

    def paged(self: WorldConnector, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        page = int(cursor or 0)
        if page < 2:
            return Poll((), str(page + 1), more=True)
        result: Any = whole(self, cursor, open_runs, timeout_seconds)
        return Poll(result.runs, "2", clock=result.clock, seen_until=result.seen_until)

    patch.object(WorldConnector, "poll", paged).start()


SELDOM: dict[str, Callable[[], None]] = {
    "ingest.mid_batch": _small_batches,
    "checkpoint.before": _log_moved_always,
    "poll.mid_pages": _pages,
}
