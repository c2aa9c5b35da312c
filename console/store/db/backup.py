"""Backup of a store in use, and restore of a copy without repeating anything. SQLite only: PostgreSQL has its own
tools.

Pending work of a copy may have been done since. After a restore none of it runs by itself, and the estate is frozen
until a person thaws it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from console.domain.ids import instant, micros
from console.domain.switches import FREEZE
from console.failpoints import failpoint
from console.store import audit, switches
from console.store.access import os_user
from console.store.db.lease import noted_engine
from console.store.db.location import sqlite_uri
from console.store.db.schema_objects import foreign_objects, make_store, tables_as_views
from console.store.db.schema_version import FIRST_SCHEMA, SCHEMA, development_text, too_new_text
from console.store.db.session import SqliteAdapter
from console.store.errors import SQLITE_ERRORS, StoreUnusable, sqlite_text

PAGES = 512
"""Copied at a time: a writer waits for one such step at most."""


@dataclass(frozen=True, slots=True)
class CopySummary:
    """The content of a checked copy."""

    bytes: int
    jobs: int
    runs: int
    audit: int
    """Rows of the audit, whose chain was verified; `head`: hash of the last one."""
    head: str
    newest: datetime | None
    """The latest poll."""
    broken: str = ""
    """Why its audit chain is broken: a copy to keep as evidence, never restored. Then `audit` and `head` are of the
    rows before."""
    foreign_objects: tuple[str, ...] = ()
    """Objects in it that Headway did not make: a restore takes over the rows alone."""


def back_up(store: Path, target: Path, replace: bool = False) -> CopySummary:
    """Writes a checked copy of the store to `target`, mode 0600; concurrent commits may or may not be in it.

    A copy with a broken audit is written as evidence (`broken`), but replaces no older copy. Raises StoreUnusable:
    no store there, an existing target, no space, or damage.
    """
    if target.exists() and not replace:
        raise StoreUnusable(f"{target} exists already; name another file, or say --replace")
    with _atomic_copy(target) as draft:
        with closing(_open(store)) as old, closing(sqlite3.connect(draft)) as new:
            old.backup(new, pages=PAGES, progress=lambda *_: failpoint("backup.mid"), sleep=0.001)
            new.execute("PRAGMA journal_mode=DELETE")
        summary = _inspect(draft, store)
        if summary.broken and target.exists():
            raise StoreUnusable(
                f"{store}: its audit does not hold: {summary.broken}. {target} is kept as it was: name another file for"
                " a copy to keep as evidence"
            )
        return summary


def engine_at_work(store: Path) -> str:
    """The engine that works on the store at that path, or still on a file removed from there; empty without one."""
    noted = noted_engine(store)
    return f"process {noted[1]}" if noted is not None else ""


def inspect_copy(copy: Path) -> CopySummary:
    """Checks a copy to be restored: integrity, schema, and the audit's chain. Raises StoreUnusable, StoreTooNew."""
    summary = _inspect(copy, copy, "; take an older copy")
    if summary.broken:
        raise StoreUnusable(f"{copy}: its audit does not hold: {summary.broken}; take an older copy")
    return summary


def _inspect(copy: Path, named: Path, advice: str = "") -> CopySummary:
    with closing(_open(copy)) as connection, _display_path(named):
        if views := tables_as_views(SqliteAdapter(connection)):
            raise StoreUnusable(
                f"{named} is not a store of Headway: it has views in place of {', '.join(views)}{advice}"
            )
        [integrity, *_] = (text for (text,) in connection.execute("PRAGMA integrity_check"))
        if integrity != "ok":
            raise StoreUnusable(f"{named} is damaged: {integrity.splitlines()[0]}{advice}")
        _check_schema(connection, named)
        rows = connection.execute(f"{audit.SELECT_AUDIT} ORDER BY seq")
        [noted] = connection.execute(f"SELECT {_META}", (audit.HEAD_KEY,)).fetchone()
        [anchor] = connection.execute(f"SELECT {_META}", (audit.ANCHOR_KEY,)).fetchone()
        foreign = foreign_objects(SqliteAdapter(connection))
        verdict = audit.verify_chain(rows, noted or "", anchor=anchor or "")
        jobs, runs, newest = next(
            connection.execute(
                "SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM run), (SELECT max(last_try_us) FROM target)"
            )
        )
    size = copy.stat().st_size
    seen = instant(newest) if newest else None
    broken = "" if verdict.bad is None else verdict.text
    return CopySummary(size, jobs, runs, verdict.rows, verdict.head, seen, broken, foreign)


def restore(
    copy: Path, store: Path, origin: str, now: datetime, replace: bool = False
) -> tuple[CopySummary, Path | None]:
    """Replaces the store by a checked copy, frozen; where the old store was moved to, if there was one.

    The caller has made sure that no engine uses it. Raises StoreUnusable, StoreTooNew.
    """
    summary = inspect_copy(copy)
    if store.exists() and not replace:
        raise StoreUnusable(f"{store} exists; say --replace to move it aside and restore {copy} in its place")
    with _atomic_copy(store) as draft:
        make_store(draft)
        with closing(sqlite3.connect(sqlite_uri(draft, "rw"), uri=True, isolation_level=None)) as new:
            new.execute("PRAGMA journal_mode=DELETE")
            new.execute("PRAGMA trusted_schema=OFF")
            new.execute("ATTACH ? AS copy", (sqlite_uri(copy),))
            new.execute("BEGIN IMMEDIATE")
            _copy_rows(new)
            _neutralize(new, os_user(), origin, now, summary)
            if switches.load_modes(SqliteAdapter(new)).frozen is None:
                raise StoreUnusable(f"{copy} cannot be restored frozen; take an older copy")
            new.execute("COMMIT")
        moved = _move_aside(store, now) if store.exists() else None
    return summary, moved


def _copy_rows(connection: sqlite3.Connection) -> None:
    """Copies the rows of `copy` into the tables of a new store: no trigger, view or default of it comes along."""
    tables = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
    for table in sorted(tables, key=lambda name: name == "meta"):  # last: a trigger of the audit writes it
        listed = connection.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,))
        columns = ", ".join(f'"{name}"' for (name,) in listed)
        connection.execute(f"DELETE FROM main.{table}")  # noqa: S608  (our own names)
        connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM copy.{table}")  # noqa: S608


def _neutralize(connection: sqlite3.Connection, by: str, origin: str, now: datetime, summary: CopySummary) -> None:
    """Prevents the copy's pending work from running again. The fence jumps to the milliseconds of now: no engine of
    the time after the copy, nor of an earlier restore, can write into the restored store."""
    connection.execute(
        "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us) VALUES ('engine', '', ?, 0, 0, 0)"
        " ON CONFLICT (name) DO UPDATE SET fence = max(fence + 1, excluded.fence), holder = '', until_us = 0",
        (micros(now) // 1_000,),
    )
    connection.execute(
        "UPDATE action SET state = 'failed', ended_us = ?, text = 'restored from a copy before it was sent, as far as"
        " the copy knows. Check the scheduler, then request it again.' WHERE state = 'requested'",
        (micros(now),),
    )
    connection.execute("UPDATE action SET state = 'unknown', next_us = 0 WHERE state IN ('sending', 'sent')")
    connection.execute("UPDATE plan SET state = 'paused', text = 'restored from a copy' WHERE state = 'running'")
    connection.execute(
        "UPDATE request SET state = 'refused', answered_us = ?, answer = json_object('error', 'restored from a copy:"
        " ask again') WHERE state IN ('pending', 'ordered', 'answering')",
        (micros(now),),
    )
    connection.execute(
        "UPDATE delivery SET wire_us = COALESCE(wire_us, ?), repeats = repeats + 1, state = 'pending'"
        " WHERE state IN ('pending', 'claimed')",
        (micros(now),),
    )
    newest = f"{summary.newest:%Y-%m-%d %H:%M:%S}Z" if summary.newest else "an empty store"
    why = f"restored from a copy of {newest}: check holds and actions, then thaw"

    session = SqliteAdapter(connection)
    audit.append(session, micros(now), by, origin, "restored", "store", {"newest": newest, "audit": summary.audit}, why)
    switches.set_switch(session, FREEZE, "on", by, origin, why, micros(now))


_META = "(SELECT value FROM meta WHERE name = ?)"


def _check_schema(connection: sqlite3.Connection, copy: Path) -> None:
    try:
        [(schema,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        [writer] = connection.execute(f"SELECT {_META}", ("version",)).fetchone()
    except (sqlite3.Error, ValueError):
        raise StoreUnusable(f"{copy} is not a store of Headway") from None
    if schema > SCHEMA:
        raise too_new_text(f"{copy}", schema, SCHEMA, writer)
    if schema < FIRST_SCHEMA:
        raise StoreUnusable(development_text(f"{copy}", schema))
    if schema < SCHEMA:
        text = f"{copy} has schema {schema}; this Headway's is {SCHEMA}"
        raise StoreUnusable(f"{text}. Migrate it first: headway --store {copy} engine, and end that engine")


def _move_aside(store: Path, now: datetime) -> Path:
    with suppress(*SQLITE_ERRORS), closing(sqlite3.connect(store)) as connection:  # damaged: moved unchanged
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    moved = store.with_name(f"{store.name}.{now:%Y%m%dT%H%M%SZ}.before-restore")
    os.link(store, moved)
    for suffix in ("-wal", "-shm"):
        beside = store.with_name(store.name + suffix)
        if beside.exists():
            beside.replace(moved.with_name(moved.name + suffix))
    return moved


@contextmanager
def _atomic_copy(target: Path) -> Iterator[Path]:
    """A draft beside the target that replaces it, complete and on the disk, when the block succeeds."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.draft")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with _display_path(target):
            yield draft
        _sync_to_disk(draft)
        failpoint("backup.before_swap")
        draft.replace(target)
        _sync_to_disk(target.parent)
    except OSError as error:
        raise StoreUnusable(f"{target}: {error.strerror}; nothing was changed there") from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreUnusable(f"there is no file {path}")
    return sqlite3.connect(sqlite_uri(path), uri=True, timeout=30)


@contextmanager
def _display_path(path: Path) -> Iterator[None]:
    try:
        yield
    except SQLITE_ERRORS as error:
        raise StoreUnusable(f"{path}: {sqlite_text(error)}; nothing was changed there") from error
