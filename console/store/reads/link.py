"""One connection that can only read, to either database. It never leaves a transaction open."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from console.store.absent import missing_words
from console.store.errors import StoreMissing, StoreUnusable, damage_words, folder_words, gone_words, is_damage
from console.store.place import which_file

POSTGRES_URLS = ("postgresql://", "postgres://")
BUSY_SECONDS = 5.0
Row = tuple[Any, ...]
AUDIT_TRIGGERS = ("audit_notes_last", "audit_refuses_delete", "audit_refuses_update")


class Link(Protocol):
    """Speaks SQL that is written once, with `?` for values and `{ids}` for a list of numbers (a table k, column a)."""

    place: str
    """The file, or the database without its password, for messages."""
    is_postgres: bool

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement."""
        ...

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterable[Row]:
        """The same, row by row; to be read to its end at once."""
        ...

    def by_ids(self, sql: str, ids: Sequence[int], values: Sequence[Any] = ()) -> list[Row]:
        """Rows for the ids; `{ids}` comes before every `?`."""
        ...

    def contains(self, column: str) -> str:
        """SQL that is true where the text in `column` holds a value, whatever the case of ASCII letters."""
        ...

    def like(self, column: str) -> str:
        """SQL that is true where the text in `column` is like a value (`base.holding`, `base.fuzzy`), whatever the
        case of ASCII letters; quicker than `contains`."""
        ...

    def interrupt(self) -> None:
        """From another thread: what is being read now fails, so that who waits behind it need not. A link that cannot
        do this goes on."""
        ...

    def triggers_missing(self) -> tuple[str, ...]:
        """Which of the triggers that keep the audit are gone or turned off, by name; their bodies are not compared."""
        ...

    def data_version(self) -> int:
        """Another number after any other connection has committed something."""
        ...

    def real_now_us(self) -> int:
        """Real time, of the clock that leases use."""
        ...

    def close(self) -> None: ...


def open_link(url: str) -> Link:
    """Raises StoreUnusable with place, reason and mend."""
    if url.startswith(POSTGRES_URLS):
        from console.store.reads.postgres import PostgresLink  # noqa: PLC0415  (psycopg only where it is needed)

        return PostgresLink(url)
    return SqliteLink(Path(url.removeprefix("sqlite:///")).expanduser())


class SqliteLink:
    """A file, opened read only."""

    is_postgres = False

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        if path.is_dir():
            raise StoreUnusable(folder_words(path))
        self._path = path.absolute()
        self._open()

    def _open(self) -> None:
        path = self._path
        if not path.is_file() or path.stat().st_size == 0:  # opened, it would have SQLite take a log beside it away
            raise StoreMissing(missing_words(path))
        try:
            found = which_file(path)
            self._raw = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro{_frozen(path)}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            self._raw.execute("PRAGMA query_only=1")
            self._raw.execute("PRAGMA cache_size=-8192")
            self._file: tuple[int, int] | None = found
        except OSError as error:
            raise StoreUnusable(f"the store at {path} cannot be read: {error.strerror}") from error
        except sqlite3.Error as error:
            raise StoreUnusable(f"the store at {path} cannot be read: {error}{_mend(error)}") from error

    def _still_there(self) -> None:
        """A file that was moved away is read on by whoever has it open, and never changes again: that is no store any
        more. Where another file stands in its place, that one is read from now on."""
        try:
            found = which_file(self._path)
        except OSError as error:
            raise StoreUnusable(gone_words(self.place, error.strerror)) from error
        if found != self._file:
            self._raw.close()
            self._file = None  # where it cannot be opened the next question tries again
            self._open()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        self._still_there()
        try:
            return self._raw.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnusable(f"the store at {self.place} cannot be read: {error}{_mend(error)}") from error

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterable[Row]:
        try:
            yield from self._raw.execute(sql, values)
        except sqlite3.Error as error:
            raise StoreUnusable(f"the store at {self.place} cannot be read: {error}{_mend(error)}") from error

    def by_ids(self, sql: str, ids: Sequence[int], values: Sequence[Any] = ()) -> list[Row]:
        return self.rows(_sqlite_ids(sql), (json.dumps(list(ids)), *values)) if ids else []

    def contains(self, column: str) -> str:
        return f"instr(lower({column}), lower(?)) > 0"

    def like(self, column: str) -> str:
        return f"{column} LIKE ? ESCAPE '!'"

    def interrupt(self) -> None:
        self._raw.interrupt()

    def triggers_missing(self) -> tuple[str, ...]:
        found = self.rows("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")
        return tuple(one for one in AUDIT_TRIGGERS if (one,) not in found)

    def data_version(self) -> int:
        return int(self.rows("PRAGMA data_version")[0][0])

    def real_now_us(self) -> int:
        return int(self.rows("SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)")[0][0])

    def close(self) -> None:
        self._raw.close()


def _frozen(path: Path) -> str:
    """On a file system that nobody can write SQLite cannot make its files beside the store, and needs none."""
    log = path.with_name(f"{path.name}-wal")
    written = log.exists() and log.stat().st_size > 0
    return "&immutable=1" if os.statvfs(path).f_flag & os.ST_RDONLY and not written else ""


def _mend(error: sqlite3.Error) -> str:
    if is_damage(error):
        return damage_words(error)
    if "readonly" not in str(error) and "unable to open" not in str(error):
        return ""
    return (
        "; SQLite keeps files beside the store and this user may not write in that folder. "
        "Look as the user whose engine works there"
    )


@cache
def _sqlite_ids(sql: str) -> str:
    return sql.replace("{ids}", "(SELECT value AS a FROM json_each(?)) AS k")
