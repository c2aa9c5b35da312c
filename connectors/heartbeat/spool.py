"""The file in which every report stands before it is answered: SQLite, written through to the disk.

One process listens and writes; whoever polls reads. It is apart from the store, so that the door takes reports also
while no engine may write there: they are ingested later.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from connectors.heartbeat.book import AGAIN, Moment, Run, begun, heard, is_another, is_repeat, overtaken
from connectors.heartbeat.ping import LOG, START, Ping

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
MOST_PAGES = 262_144
"""Of 4 KiB: a spool that nobody reads refuses more at 1 GiB, rather than filling the disk."""
KEPT_RUNS = 10_000
"""Of each job, beside those that nobody has read yet."""
KEPT_LOGS = 300
OPEN_SECONDS = 15.0
"""A door that wrote nothing for so long was closed."""
BUSY_SECONDS = 5.0


def now() -> Moment:
    """This moment, by both clocks."""
    return Moment(time.time(), _boot(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A run, and the number of its last change."""

    run: Run
    number: int


@dataclass(frozen=True, slots=True)
class Unread:
    """A number that a report brought and that is none."""

    job: str
    rid: str
    name: str
    text: str


def _create(path: Path) -> None:
    """Makes the file for nobody else to read. One that is there is not opened: to close it again would end the locks of
    whoever has it open in this process (sqlite.org/howtocorrupt.html §2.2), and its log be removed under the door."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


class Spool:
    """One open file. Not thread safe. Every method raises sqlite3.Error where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
        self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA max_page_count = {MOST_PAGES}")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO fact VALUES ('id', ?)", (uuid.uuid4().hex,))

    # -- the door writes ----------------------------------------------------------------------------------------------
    def take(self, pings: Iterable[tuple[Ping, bytes, int]], at: Moment) -> list[bool]:
        """Writes all (ping, end of its body, bytes before that) in one transaction; it is on the disk when this
        returns. False for each log that belongs to no run."""
        with self._writing():
            number = int(self._fact("changed") or 0)
            told = []
            for ping, body, left_out in pings:
                number += 2
                told.append(self._take(ping, body, left_out, at, number))
            self._keep("changed", number)
            return told

    def _take(self, ping: Ping, body: bytes, left_out: int, at: Moment, number: int) -> bool:
        run = self._run_of(ping, at, number)
        if run is None:
            if ping.word == LOG:
                return False
            run = begun(replace(ping, rid=self._name(ping, number)), at)
        after = heard(run, ping, at, body, left_out)
        if after != run or not run.id:
            self._put(after, number)
            unread = [(run.job, ping.rid, name, text, number) for name, text in ping.unread]
            self._db.executemany("INSERT INTO unread (job, rid, name, text, changed) VALUES (?, ?, ?, ?, ?)", unread)
        return True

    def _run_of(self, ping: Ping, at: Moment, number: int) -> Run | None:
        """The run that a report is about; None where it opens one."""
        if ping.rid:
            run = self._latest(ping)
            if run is None or not is_another(run, ping, at):
                return run
            if run.is_open:
                self._put(overtaken(run, at), number - 1)
            return None
        last = self._one("job = ? AND rid = '' ORDER BY id DESC LIMIT 1", ping.job)
        if ping.word == LOG:
            return (
                last if last is not None and last.is_open else self._one("job = ? ORDER BY id DESC LIMIT 1", ping.job)
            )
        if last is None or is_repeat(last, ping, at):
            return last
        if ping.word != START:
            return last if last.is_open else None
        if last.is_open:
            self._put(overtaken(last, at), number - 1)
        return None

    def _latest(self, ping: Ping) -> Run | None:
        """The latest run under the rid of a report."""
        first = f"{ping.rid}{AGAIN}"
        where = "job = ? AND (rid = ? OR (rid > ? AND rid < ?)) ORDER BY id DESC LIMIT 1"
        return self._one(where, ping.job, ping.rid, first, f"{first}:")

    def _name(self, ping: Ping, number: int) -> str:
        """The rid of a new run: the sender's, which no other run of the job may have."""
        return f"{ping.rid}{AGAIN}{number}" if ping.rid and self._latest(ping) is not None else ping.rid

    def _put(self, run: Run, number: int) -> None:
        values = (
            run.id or None, run.job, run.rid, run.first.wall, run.first.boot, run.first.up, run.started, run.ended,
            run.word, run.exit_code, run.rows, run.size, run.log, run.left_out, number,
        )  # fmt: skip
        self._db.execute(f"INSERT OR REPLACE INTO run VALUES ({','.join('?' * len(values))})", values)  # noqa: S608

    def opens(self, at: Moment) -> None:
        """The door is open from now on; since when it was not is kept."""
        self.listens(at)
        with self._writing():
            self._keep("since", at.wall)

    def listens(self, at: Moment) -> None:
        """The door is open: whatever was answered before now stands here. Since when nothing could be written is kept:
        it was closed, the machine slept, or the disk was full."""
        with self._writing():
            before = self._listened()
            if before is not None and at.since(before) > OPEN_SECONDS:
                self._db.execute("INSERT INTO closed (since, until) VALUES (?, ?)", (before.wall, at.wall))
            self._keep("listened", (at.wall, at.boot, at.up))

    def tidy(self) -> None:
        """Forgets old runs and logs that were read."""
        told = int(self._fact("told") or 0)
        with self._writing():
            self._db.execute("DELETE FROM unread WHERE changed <= ?", (told,))
        for (job,) in self._db.execute("SELECT DISTINCT job FROM run").fetchall():
            with self._writing():
                old = "SELECT id FROM run WHERE job = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
                self._db.execute(f"DELETE FROM run WHERE id IN ({old}) AND changed <= ?", (job, KEPT_RUNS, told))  # noqa: S608
                drop = f"UPDATE run SET left_out = left_out + length(log), log = x'' WHERE id IN ({old}) AND log != x''"  # noqa: S608
                self._db.execute(f"{drop} AND changed <= ?", (job, KEPT_LOGS, told))

    # -- the connector reads ------------------------------------------------------------------------------------------
    @property
    def id(self) -> str:
        """Another one after the file was lost: numbers begin again then."""
        return str(self._fact("id"))

    def changes(self, after: int, most: int) -> list[Changed]:
        """Runs that changed after that number, in the order of their changes."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, changed FROM run WHERE changed > ? ORDER BY changed LIMIT ?",  # noqa: S608
            (after, most),
        )
        return [Changed(_run(row[:-1]), row[-1]) for row in rows]

    def unread(self, after: int, until: int) -> list[Unread]:
        """Numbers that could not be read, of the reports after that change and up to the other one."""
        found = "SELECT job, rid, name, text FROM unread WHERE changed > ? AND changed <= ? ORDER BY id"
        return [Unread(*row) for row in self._db.execute(found, (after, until))]

    def run(self, number: int) -> Run | None:
        return self._one("id = ?", number)

    def closed(self, after: int) -> list[tuple[int, float, float]]:
        """When the door was closed: (number, from, until), those after that number."""
        found = self._db.execute("SELECT id, since, until FROM closed WHERE id > ? ORDER BY id", (after,))
        return [(row[0], row[1], row[2]) for row in found]

    def listened(self) -> tuple[float, Moment] | None:
        """Since when the door is open, and until when it certainly was; None before it was opened first."""
        at, since = self._listened(), self._fact("since")
        return None if at is None or since is None else (float(since), at)

    def told(self, number: int) -> None:
        """Whoever polls has kept all changes up to that one."""
        if number > int(self._fact("told") or 0):
            with self._writing():
                self._keep("told", number)

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

    def _one(self, where: str, *values: Any) -> Run | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM run WHERE {where}", values).fetchone()  # noqa: S608
        return None if row is None else _run(row)

    def _listened(self) -> Moment | None:
        value = self._fact("listened")
        return None if value is None else Moment(*value)

    def _fact(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0]) if name != "id" else row[0]

    def _keep(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, json.dumps(value)))


def _run(row: Sequence[Any]) -> Run:
    number, job, rid, wall, boot, up, *rest = row
    return replace(Run(number, job, rid, Moment(wall, boot, up)), **dict(zip(_REST, rest, strict=True)))


_REST = ("started", "ended", "word", "exit_code", "rows", "size", "log", "left_out")
