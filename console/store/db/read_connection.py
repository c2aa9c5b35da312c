"""A connection that can only read, to either database. It never leaves a transaction open."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from console.store.db.location import POSTGRES_URLS as POSTGRES_URLS
from console.store.db.location import file_identity, missing_error, sqlite_uri, store_path
from console.store.db.schema_objects import foreign_objects
from console.store.db.session import Row, Session, SqliteAdapter
from console.store.errors import SQLITE_ERRORS, StoreUnusable, damage_text, folder_text, replaced_text, sqlite_text

BUSY_SECONDS = 5.0

AUDIT_TRIGGERS = ("audit_notes_last", "audit_refuses_delete", "audit_refuses_update")


class ReadConnection(Session, Protocol):
    """A session that only reads: each statement sees what is committed by then."""

    place: str
    """The file, or the database without its password, for messages."""

    @property
    def path(self) -> Path | None:
        """The file; None on PostgreSQL."""
        ...

    def contains(self, column: str) -> str:
        """SQL: the text in `column` contains a value, ignoring the case of ASCII letters."""
        ...

    def like(self, column: str) -> str:
        """SQL: the text in `column` matches a pattern (`base.like_pattern`, `base.fuzzy_pattern`), ignoring the case
        of ASCII letters; faster than `contains`."""
        ...

    def interrupt(self) -> None:
        """From another thread: the query in progress fails, if the database supports it."""
        ...

    def triggers_missing(self) -> tuple[str, ...]:
        """Missing or disabled triggers of the audit."""
        ...

    def foreign_objects(self) -> tuple[str, ...]:
        """Objects and grants of the database that Headway did not make, or not in this form (`schema_objects`)."""
        ...

    def data_version(self) -> int:
        """Changes after a commit on any other connection."""
        ...

    def real_now_us(self) -> int:
        """Real time in microseconds, by the clock of leases."""
        ...

    def close(self) -> None: ...


def open_read_connection(url: str) -> ReadConnection:
    """A new connection. Raises StoreUnusable with place, reason and fix."""
    if url.startswith(POSTGRES_URLS):
        from console.store.db.postgres import PostgresReadConnection  # noqa: PLC0415  (psycopg only where it is needed)

        return PostgresReadConnection(url)
    return SqliteReadConnection(store_path(url))


class SqliteReadConnection(SqliteAdapter):
    """A file, opened read only."""

    path: Path

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        if path.is_dir():
            raise StoreUnusable(folder_text(path))
        self.path = path.absolute()
        self._open()

    def _open(self) -> None:
        path = self.path
        if not path.is_file() or path.stat().st_size == 0:  # opened, SQLite would delete a log beside it
            raise missing_error(path)
        try:
            identity = file_identity(path)
            log = path.with_name(f"{path.name}-wal")
            is_written = log.exists() and log.stat().st_size > 0
            # a read-only file system: SQLite cannot create its files beside the store, and needs none
            fixed = "&immutable=1" if os.statvfs(path).f_flag & os.ST_RDONLY and not is_written else ""
            raw = sqlite3.connect(
                sqlite_uri(path) + fixed, uri=True, timeout=BUSY_SECONDS, isolation_level=None,
                check_same_thread=False, cached_statements=256,
            )  # fmt: skip
            raw.execute("PRAGMA query_only=1")
            raw.execute("PRAGMA cache_size=-8192")
            super().__init__(raw)
            self._file: tuple[int, int] | None = identity
        except OSError as error:
            raise StoreUnusable(f"the store at {path} cannot be read: {error.strerror}") from error
        except SQLITE_ERRORS as error:
            raise _unreadable(self.place, error) from error

    def _check_in_place(self) -> None:
        """Opens the file again if another one has replaced it. Raises StoreUnusable if it was moved away: it could
        still be read, and would never change again."""
        try:
            identity = file_identity(self.path)
        except OSError as error:
            raise StoreUnusable(replaced_text(self.place, error.strerror)) from error
        if identity != self._file:
            self._raw.close()
            self._file = None  # if it cannot be opened, the next query tries again
            self._open()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        self._check_in_place()
        return list(self.stream(sql, values))

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        try:
            yield from super().stream(sql, values)
        except SQLITE_ERRORS as error:
            raise _unreadable(self.place, error) from error

    def contains(self, column: str) -> str:
        return f"instr(lower({column}), lower(?)) > 0"

    def like(self, column: str) -> str:
        return f"{column} LIKE ? ESCAPE '!'"

    def interrupt(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # closed: its file was replaced by one that cannot be opened
            self._raw.interrupt()

    def triggers_missing(self) -> tuple[str, ...]:
        rows = self.rows("SELECT name FROM sqlite_master WHERE tbl_name = 'audit' AND type = 'trigger'")
        return tuple(sorted(set(AUDIT_TRIGGERS) - {row.name for row in rows}))

    def foreign_objects(self) -> tuple[str, ...]:
        return foreign_objects(self)

    def data_version(self) -> int:
        return int(self.rows("PRAGMA data_version")[0].data_version)

    def real_now_us(self) -> int:
        return int(self.rows("SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) AS us")[0].us)

    def close(self) -> None:
        self._raw.close()


def _unreadable(place: str, error: Exception) -> StoreUnusable:
    fix = damage_text(error)
    if "readonly" in str(error) or "unable to open" in str(error):
        fix = (
            "; SQLite keeps files beside the store, and this user may not write in that folder. "
            "Fix: run this as the user of the engine"
        )
    return StoreUnusable(f"the store at {place} cannot be read: {sqlite_text(error)}{fix}")
