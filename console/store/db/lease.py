"""The lease: which engine works on a store, and whether a holder is alive, provably dead, or unable to write.

A lease is on real time, never on a replay's clock; on PostgreSQL it is the database's time. Every new holder gets a
greater fence, and `Database.write(fence)` refuses older ones in the same transaction: a holder that was stopped and
resumes can write nothing.
"""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.domain.ids import instant, micros
from console.store.db.location import engine_note, file_identity, free_bytes
from console.store.db.schema_version import SCHEMA_QUERY, check_schema
from console.store.db.session import Session
from console.store.errors import LeaseLost
from console.store.meta import STORE_ID_KEY, get_meta, set_meta, set_store_id

if TYPE_CHECKING:
    from console.store.db.database import Database


MIN_FREE_BYTES = 64 * 1024
"""A commit needs at least this much space."""
CLOCK_SLACK_SECONDS = 5.0
"""The clock may have been set since the lease was got."""


def holder_name() -> str:
    """As "host:pid~namespace", with a hash of this boot and process namespace."""
    return f"{socket.gethostname()}:{os.getpid()}~{_namespace()}"


def is_provably_dead(holder: str) -> bool:
    """True if `holder` was a process of this machine, boot and namespace, and is gone."""
    pid = local_pid(holder)
    return pid is not None and not is_alive(pid)


def local_pid(holder: str) -> int | None:
    """The process of `holder`; None on another host, boot or process namespace (containers often share the host's
    name)."""
    host, _, process = holder.rpartition(":")
    pid, _, namespace = process.partition("~")
    if not namespace or not (pid.isascii() and pid.isdigit()) or host != socket.gethostname():
        return None
    return int(pid) if namespace == _namespace() else None


def is_alive(pid: int) -> bool:
    """False also for a zombie: its parent (a console that started it) has not reaped it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def stuck_text(path: Path | None, holder: str = "", since: datetime | None = None) -> str:
    """Why no other engine should be started though the lease expired; empty if one may be. `path`: of the store's
    file; None on PostgreSQL."""
    try:
        is_full = path is not None and free_bytes(path) < MIN_FREE_BYTES
    except OSError:
        is_full = False
    full = "the disk of the store is full" if is_full else ""
    if (pid := living_holder(path, holder, since)) is None:
        return f"{full}: no engine can write there; free space first" if full else ""
    state = f"cannot write ({full})" if full else "has not written since; its log says why"
    return f"process {pid} lives and {state}; it goes on by itself once it can; start no other"


def living_holder(path: Path | None, holder: str, since: datetime | None) -> int | None:
    """The process of `holder` if it lives on this machine and works on the store with this file (None: on PostgreSQL).
    One started after the lease only has the same number; the lease in a copy of a file is of the engine of the other
    one."""
    pid = local_pid(holder)
    if pid is None or since is None or not is_alive(pid) or (path is not None and _noted_text(path) != holder):
        return None
    return pid if _process_started(pid) <= since.timestamp() + CLOCK_SLACK_SECONDS else None


def is_of_other_file(path: Path | None, holder: str) -> bool:
    """True if the note in the store's folder names `holder` as the engine of another file: both were
    copied."""
    noted, file = ("", "") if path is None else _note(path)
    return path is not None and bool(holder) and noted == holder and file != _identity(path)


def note_engine(path: Path | None, holder: str) -> None:
    """Notes next to the store's file which engine works on it, and which file the note is: a copy of the folder has a
    copy of the note."""
    if path is not None:
        with suppress(OSError):
            note = engine_note(path)
            note.touch()
            note.write_text(f"{holder} {_identity(path)}\n", encoding="utf-8")


def note_engine_end(path: Path | None, holder: str) -> None:
    """Notes that this engine has ended. The note itself remains, as the sign that a store was there."""
    if path is not None and _noted_text(path) == holder:
        note_engine(path, "")


def noted_engine(path: Path) -> tuple[str, int] | None:
    """The engine that was noted beside the store and lives on this machine, with its process."""
    if holder := _noted_text(path):
        with suppress(OSError):  # removed since
            pid = living_holder(path, holder, datetime.fromtimestamp(engine_note(path).stat().st_mtime, UTC))
            return None if pid is None else (holder, pid)
    return None


def _noted_text(path: Path) -> str:
    """The holder in the note next to the store; empty for a note that was copied along from another store."""
    holder, file = _note(path)
    return holder if file == _identity(path) else ""


def _note(path: Path) -> tuple[str, str]:
    """The holder in the note next to the store, and the file that the note was written to; empty without one."""
    try:
        holder, _, file = engine_note(path).read_text(encoding="utf-8").removesuffix("\n").partition(" ")
    except (OSError, UnicodeError):
        return "", ""
    return holder, file


def _identity(path: Path) -> str:
    """The identity of the note next to the store; empty if it was removed since."""
    try:
        return "{}:{}".format(*file_identity(engine_note(path)))
    except OSError:
        return ""


def _process_started(pid: int) -> float:
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return math.inf
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


@cache
def _namespace() -> str:
    import hashlib  # noqa: PLC0415 - 2 ms that only a lease held on this host needs

    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:6]


TROUBLE_KEY = "engine_trouble"
"""Key in `meta` of the engine's own recent failures."""


class HeldLease(NamedTuple):
    """Our lease. `fence` goes into every write."""

    holder: str
    fence: int
    until: datetime
    since: datetime


class LeaseHolder(NamedTuple):
    holder: str
    since: datetime
    until: datetime


def acquire_lease(store: Database, holder: str, seconds: float, now_us: int | None = None) -> HeldLease | LeaseHolder:
    """The lease for `seconds` with a new fence, or its holder. `now_us` is for tests. Raises StoreTooNew or
    StoreOutdated for a free lease of a store that an engine of another version has migrated meanwhile."""
    with store.write(None) as session:
        at_us = _now(session, store) if now_us is None else now_us
        row = session.first("SELECT holder, fence, until_us, since_us FROM lease WHERE name = 'engine'")
        if row is not None and row.holder and row.until_us > at_us:
            return LeaseHolder(row.holder, instant(row.since_us), instant(row.until_us))
        check_schema(session.rows(SCHEMA_QUERY), store.place)
        fence = 1 if row is None else row.fence + 1
        until = at_us + round(seconds * 1_000_000)
        session.rows(
            "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us) VALUES ('engine', ?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = excluded.fence,"
            " until_us = excluded.until_us, since_us = excluded.since_us, heartbeat_us = excluded.heartbeat_us",
            (holder, fence, until, at_us, at_us),
        )
        session.rows("DELETE FROM meta WHERE name = ?", (TROUBLE_KEY,))
        set_store_id(session)
    return HeldLease(holder, fence, instant(until), instant(at_us))


def store_id(store: Database) -> str:
    """The identity of the store; empty before the first lease."""
    with store.read(consistent=False) as session:
        return get_meta(session, STORE_ID_KEY) or ""


def renew_lease(store: Database, lease: HeldLease, seconds: float, now_us: int | None = None) -> HeldLease:
    """Extends the lease. Raises LeaseLost if another holder has it, and StoreTooNew or StoreOutdated as
    `acquire_lease`; an expired one without a new holder is ours again."""
    with store.write(None) as session:
        check_schema(session.rows(SCHEMA_QUERY), store.place)
        now = _now(session, store) if now_us is None else now_us
        until = now + round(seconds * 1_000_000)
        renewed = session.rows(
            "UPDATE lease SET until_us = ?, heartbeat_us = ? WHERE name = 'engine' AND fence = ? AND holder = ?"
            " RETURNING fence",
            (until, now, lease.fence, lease.holder),
        )
    if not renewed:
        raise LeaseLost(f"the lease with fence {lease.fence} is lost: another engine holds the store now")
    return lease._replace(until=instant(until))


def renew_fence(store: Database, lease: HeldLease) -> HeldLease:
    """The same lease with the next fence, without a gap: threads with the old one can write nothing more. Raises
    LeaseLost."""
    with store.write(None) as session:
        renewed = session.rows(
            "UPDATE lease SET fence = fence + 1 WHERE name = 'engine' AND fence = ? AND holder = ? RETURNING fence",
            (lease.fence, lease.holder),
        )
        session.rows("DELETE FROM meta WHERE name = ?", (TROUBLE_KEY,))
    if not renewed:
        raise LeaseLost(f"the lease with fence {lease.fence} is lost: another engine holds the store now")
    return lease._replace(fence=renewed[0].fence)


def release_lease(store: Database, lease: HeldLease) -> None:
    """Frees it at once; nothing if it is lost already."""
    with store.write(None) as session:
        session.rows(
            "UPDATE lease SET holder = '', until_us = 0 WHERE name = 'engine' AND fence = ? AND holder = ?",
            (lease.fence, lease.holder),
        )


def free_dead(store: Database, held: LeaseHolder) -> None:
    """Frees the lease of a dead holder, unless it has a new one."""
    with store.write(None) as session:
        session.rows(
            "UPDATE lease SET holder = '', until_us = 0 WHERE name = 'engine' AND holder = ? AND since_us = ?",
            (held.holder, micros(held.since)),
        )


def record_trouble(store: Database, fence: int, text: str) -> None:
    """For every header and "headway status"; empty: none."""
    with store.write(fence) as session:
        set_meta(session, {TROUBLE_KEY: text})


def _now(session: Session, store: Database) -> int:
    return time.time_ns() // 1_000 if store.is_sqlite else database_now_us(session)


def database_now_us(session: Session) -> int:
    """The present time by the clock of a PostgreSQL server."""
    return int(session.rows("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS us")[0].us)
