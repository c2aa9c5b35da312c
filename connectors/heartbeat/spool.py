"""The file in which every report is durable before it is answered: SQLite, synced to disk.

One process listens and writes; pollers read. It is separate from the store, so that reports are accepted while no
engine can write there, and ingested later.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from connectors.heartbeat.parse import (
    PING_LOG,
    PING_START,
    RID_SEPARATOR,
    HeartbeatRun,
    PingArrival,
    PingRequest,
    apply_report,
    is_later_run,
    is_repeat,
    open_run,
    overtake_run,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, rid TEXT NOT NULL, wall REAL NOT NULL, boot TEXT NOT NULL,
    up REAL NOT NULL, started REAL, ended REAL, word TEXT NOT NULL, exit_code INTEGER, rows INTEGER, size INTEGER,
    log BLOB NOT NULL, left_out INTEGER NOT NULL, changed INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS run_rid ON run (job, rid) WHERE rid != '';
CREATE INDEX IF NOT EXISTS run_job ON run (job, rid, id);
CREATE INDEX IF NOT EXISTS run_changed ON run (changed);
CREATE TABLE IF NOT EXISTS unread (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, rid TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,
    changed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS unread_changed ON unread (changed);
CREATE TABLE IF NOT EXISTS closed (id INTEGER PRIMARY KEY AUTOINCREMENT, since REAL NOT NULL, until REAL NOT NULL);
"""
_COLUMNS = "id, job, rid, wall, boot, up, started, ended, word, exit_code, rows, size, log, left_out"
MAX_DATABASE_PAGES = 262_144
"""Of 4 KiB: an unread spool refuses reports beyond 1 GiB, rather than filling the disk."""
MAX_RUNS = 10_000
"""Runs kept per job, besides unreported ones."""
MAX_LOGS = 300
OPEN_SECONDS = 15.0
"""A listener that wrote nothing for so long was down."""
BUSY_SECONDS = 5.0


def current_time() -> PingArrival:
    return PingArrival(time.time(), _boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class ChangedRun(NamedTuple):
    """A run, and the number of its last change."""

    run: HeartbeatRun
    number: int


class InvalidNumber(NamedTuple):
    job: str
    rid: str
    name: str
    text: str


class ListenerGap(NamedTuple):
    """A time during which the listener was down, in seconds since the epoch."""

    number: int
    since: float
    until: float


class Spool:
    """One open file. Not thread safe. Every method raises sqlite3.Error where the file is not usable."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Readable by its owner only. An existing file is not opened: closing it would release the locks of other
        # connections of this process (sqlite.org/howtocorrupt.html §2.2).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA max_page_count = {MAX_DATABASE_PAGES}")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO fact VALUES ('id', ?)", (uuid.uuid4().hex,))

    # -- the listener writes ------------------------------------------------------------------------------------------
    def take(self, pings: Iterable[tuple[PingRequest, bytes, int]], at: PingArrival) -> list[bool]:
        """Writes all (ping, end of its body, bytes before that) in one transaction; it is on the disk when this
        returns. False for each log that belongs to no run."""
        with self._writing():
            number = int(self._fact("changed") or 0)
            stored = []
            for ping, body, left_out in pings:
                number += 2
                stored.append(self._store(ping, body, left_out, at, number))
            self._set_fact("changed", number)
            return stored

    def _store(self, ping: PingRequest, body: bytes, left_out: int, at: PingArrival, number: int) -> bool:
        run = self._run_of(ping, at, number)
        if run is None:
            if ping.kind == PING_LOG:
                return False
            is_taken = ping.rid and self._latest(ping) is not None
            rid = f"{ping.rid}{RID_SEPARATOR}{number}" if is_taken else ping.rid
            run = open_run(replace(ping, rid=rid), at)
        after = apply_report(run, ping, at, body, left_out)
        if after != run or not run.id:
            self._put(after, number)
            unread = [(run.job, ping.rid, name, text, number) for name, text in ping.unread]
            self._db.executemany("INSERT INTO unread (job, rid, name, text, changed) VALUES (?, ?, ?, ?, ?)", unread)
        return True

    def _run_of(self, ping: PingRequest, at: PingArrival, number: int) -> HeartbeatRun | None:
        """The run that a report is about; None where it opens one."""
        if ping.rid:
            run = self._latest(ping)
            if run is None or not is_later_run(run, ping, at):
                return run
            if run.is_open:
                self._put(overtake_run(run, at), number - 1)
            return None
        last = self._select_run("job = ? AND rid = '' ORDER BY id DESC LIMIT 1", ping.job)
        if ping.kind == PING_LOG:
            is_open = last is not None and last.is_open
            return last if is_open else self._select_run("job = ? ORDER BY id DESC LIMIT 1", ping.job)
        if last is None or is_repeat(last, ping, at):
            return last
        if ping.kind != PING_START:
            return last if last.is_open else None
        if last.is_open:
            self._put(overtake_run(last, at), number - 1)
        return None

    def _latest(self, ping: PingRequest) -> HeartbeatRun | None:
        first = f"{ping.rid}{RID_SEPARATOR}"
        where = (
            "id = (SELECT max(id) FROM (SELECT max(id) AS id FROM run WHERE job = ? AND rid = ?"
            " UNION ALL SELECT max(id) FROM run WHERE job = ? AND rid > ? AND rid < ?))"
        )  # two searches by index: OR would read all runs of the job
        return self._select_run(where, ping.job, ping.rid, ping.job, first, f"{first}:")

    def _put(self, run: HeartbeatRun, number: int) -> None:
        values = (
            run.id or None, run.job, run.rid, run.first.wall, run.first.boot, run.first.up, run.started, run.ended,
            run.kind, run.exit_code, run.rows, run.size, run.log, run.left_out, number,
        )  # fmt: skip
        self._db.execute(f"INSERT OR REPLACE INTO run VALUES ({','.join('?' * len(values))})", values)  # noqa: S608

    def mark_listening(self, at: PingArrival) -> None:
        """Notes that the listener is up, and a gap if it was down: closed, the machine asleep, or the disk full."""
        with self._writing():
            before = self.last_listened()
            if before is not None and at.since(before) > OPEN_SECONDS:
                self._db.execute("INSERT INTO closed (since, until) VALUES (?, ?)", (before.wall, at.wall))
            self._set_fact("listened", (at.wall, at.boot, at.up))

    def tidy(self) -> None:
        reported = int(self._fact("told") or 0)
        with self._writing():
            self._db.execute("DELETE FROM unread WHERE changed <= ?", (reported,))
        for (job,) in self._db.execute("SELECT DISTINCT job FROM run").fetchall():
            with self._writing():
                old = "SELECT id FROM run WHERE job = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
                self._db.execute(f"DELETE FROM run WHERE id IN ({old}) AND changed <= ?", (job, MAX_RUNS, reported))  # noqa: S608
                drop = f"UPDATE run SET left_out = left_out + length(log), log = x'' WHERE id IN ({old}) AND log != x''"  # noqa: S608
                self._db.execute(f"{drop} AND changed <= ?", (job, MAX_LOGS, reported))

    # -- the connector reads ------------------------------------------------------------------------------------------
    @property
    def id(self) -> str:
        """Changes with the file: the numbers of another file begin at 1."""
        return str(self._fact("id"))

    def changes(self, after: int, limit: int) -> list[ChangedRun]:
        """Runs that changed after that number, in the order of their changes."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, changed FROM run WHERE changed > ? ORDER BY changed LIMIT ?",  # noqa: S608
            (after, limit),
        )
        return [ChangedRun(_run_of_row(row[:-1]), row[-1]) for row in rows]

    def unread(self, after: int, until: int) -> list[InvalidNumber]:
        """Invalid numbers of the reports after one change and up to another."""
        query = "SELECT job, rid, name, text FROM unread WHERE changed > ? AND changed <= ? ORDER BY id"
        return [InvalidNumber(*row) for row in self._db.execute(query, (after, until))]

    def run(self, number: int) -> HeartbeatRun | None:
        return self._select_run("id = ?", number)

    def closed(self, after: int) -> list[ListenerGap]:
        """The gaps of the listener after that number."""
        query = "SELECT id, since, until FROM closed WHERE id > ? ORDER BY id"
        return [ListenerGap(*row) for row in self._db.execute(query, (after,))]

    def last_listened(self) -> PingArrival | None:
        """When the listener was last known to be up; None before it was first opened."""
        value = self._fact("listened")
        return None if value is None else PingArrival(*value)

    def mark_reported(self, number: int) -> None:
        """Notes that all changes up to that number are stored by the engine."""
        if number > int(self._fact("told") or 0):
            with self._writing():
                self._set_fact("told", number)

    def close(self) -> None:
        self._db.close()

    # -- helpers ------------------------------------------------------------------------------------------------------
    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _select_run(self, where: str, *values: Any) -> HeartbeatRun | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM run WHERE {where}", values).fetchone()  # noqa: S608
        return None if row is None else _run_of_row(row)

    def _fact(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0]) if name != "id" else row[0]

    def _set_fact(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, json.dumps(value)))


def _run_of_row(row: Sequence[Any]) -> HeartbeatRun:
    number, job, rid, wall, boot, up, *rest = row
    return replace(
        HeartbeatRun(number, job, rid, PingArrival(wall, boot, up)), **dict(zip(_UPDATED_FIELDS, rest, strict=True))
    )


_UPDATED_FIELDS = ("started", "ended", "kind", "exit_code", "rows", "size", "log", "left_out")
"""Fields of a run, in the order of the columns: the column "word" is the field `kind`."""
