"""One way to the store on either database: a session runs SQL that is written once, and its rows have names.

Placeholders are `?`. SQLite takes lists of keys as JSON, PostgreSQL as arrays, and many new rows by COPY. Standard
library only: the console opens a session without SQLAlchemy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    Maker = Callable[[Iterable[Any]], "Row"]

COPY_ROWS = 50
"""Number of rows from which COPY is used. The crossing point was not measured; below it either way is fast."""
STREAMED_ROWS = 5_000
"""Rows fetched from a server at a time."""
_LOCK_WRITERS = (
    "WITH held AS MATERIALIZED (SELECT 1 FROM lease WHERE name = 'engine' FOR UPDATE) SELECT"
    " set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '500ms', true)"
    " FROM held"
)
"""The settings are made once the row is locked."""
_LOCKED_ROW = (
    "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us) VALUES ('engine', '', 0, 0, 0, 0)"
    " ON CONFLICT (name) DO NOTHING"
)

_streams = count()

Values = tuple[Any, ...]
"""Values of one row, in the order of its columns."""


class Row(tuple[Any, ...]):
    """A tuple whose columns are attributes, by their names in the statement."""

    __slots__ = ()
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


@cache
def row_maker(names: tuple[str, ...]) -> Maker:
    """Maker of rows with these columns. Of two columns with the same name the attribute is the last."""
    columns = {name: property(itemgetter(place)) for place, name in enumerate(names)}
    return partial(tuple.__new__, type("Row", (Row,), {"__slots__": (), **columns}))


class Session(Protocol):
    """Reads a store, and runs single statements. A `Database` session is one transaction."""

    is_postgres: bool
    is_restricted: bool = False
    """True for a login that writes through the functions of grants.sql only."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement; none of a command."""
        ...

    def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row of one statement; None without rows."""
        return next(iter(self.rows(sql, values)), None)

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Rows as the database finds them, few in memory at a time; to be read to the end at once."""
        ...

    def by_keys(self, sql: str, keys: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        """Rows of a statement in which `{keys}`, before every `?`, is a table k of the keys (numbers or texts):
        columns a, b, … for tuples, a for bare values. No rows for no keys."""
        ...


class WriteSession(Session, Protocol):
    """The engine's transaction, with bulk writes."""

    def many(self, sql: str, rows: Sequence[Values]) -> None:
        """One statement for each of the rows."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        """New rows; a key that exists already is an error."""
        self.many(_insert(table, tuple(columns)), rows)

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        """Rows by their first column, which is the key; the other columns are set."""
        self.many(_update(table, tuple(columns)), [(*values, key) for key, *values in rows])

    def new_ids(self, table: str, count: int) -> range:
        """Ids for new rows of a table with the key `id`. The id of a deleted row is never used again."""
        ...

    def delete(self, table: str, ids: Sequence[int]) -> None:
        """Removes rows by their id."""
        self.many(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in ids])  # noqa: S608  (our own names)


def lock_writers(session: Session) -> None:
    """On PostgreSQL: one writer at a time until the transaction ends, so that changed_seq follows commits and the audit
    is one chain. The lock is a row, which clients with the roles of grants.sql cannot lock (any login can take an
    advisory lock). Its holder waits half a second for any other lock: all writers of the store wait meanwhile. A writer
    without a connection loses its transaction after ten seconds, not after TCP's timeout."""
    if not session.rows(_LOCK_WRITERS):
        session.rows(_LOCKED_ROW)
        session.rows(_LOCK_WRITERS)


class SqliteAdapter(WriteSession):
    """Over one sqlite3 connection."""

    is_postgres = False

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return list(self.stream(sql, values))

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        cursor = self._raw.execute(sql, values)
        return map(row_maker(tuple([name for name, *_ in cursor.description or ()])), cursor)

    def by_keys(self, sql: str, keys: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        if not keys:
            return []
        width = len(keys[0]) if isinstance(keys[0], tuple) else 1
        return self.rows(_sqlite_keys(sql, width), (json.dumps(keys), *values))

    def many(self, sql: str, rows: Sequence[Values]) -> None:
        if rows:
            self._raw.executemany(sql, rows)

    def new_ids(self, table: str, count: int) -> range:
        meta_query = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?"
        query = f"SELECT MAX(COALESCE((SELECT MAX(id) FROM {table}), 0), COALESCE(({meta_query}), 0)) + 1 AS id"  # noqa: S608
        first = int(self.rows(query, (f"last_gone_{table}",))[0].id)
        return range(first, first + count)

    def delete(self, table: str, ids: Sequence[int]) -> None:
        super().delete(table, ids)
        self.rows(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            " WHERE CAST(meta.value AS INTEGER) < CAST(excluded.value AS INTEGER)",
            (f"last_gone_{table}", str(max(ids))),
        )


class PostgresAdapter(WriteSession):
    """Over one psycopg connection."""

    is_postgres = True

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._raw.cursor(row_factory=_named_rows) as cursor:
            cursor.execute(_marks(sql), values)
            return cursor.fetchall() if cursor.description is not None else []

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        with self._raw.cursor(name=f"stream_{next(_streams)}", row_factory=_named_rows) as cursor:
            cursor.itersize = STREAMED_ROWS
            cursor.execute(_marks(sql), values)
            yield from cursor

    def by_keys(self, sql: str, keys: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        if not keys:
            return []
        columns = [list(column) for column in zip(*keys, strict=True)] if isinstance(keys[0], tuple) else [list(keys)]
        kinds = tuple("text" if isinstance(column[0], str) else "bigint" for column in columns)
        return self.rows(_postgres_keys(sql, kinds), (*columns, *values))

    def many(self, sql: str, rows: Sequence[Values]) -> None:
        if rows:
            with self._raw.cursor() as cursor:
                cursor.executemany(_marks(sql), rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        if len(rows) < COPY_ROWS:
            super().insert(table, columns, rows)
        else:
            self._copy(table, columns, rows)

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        if len(rows) < COPY_ROWS:
            super().update(table, columns, rows)
            return
        stage, key = f"stage_{table}", columns[0]
        kind = f"SELECT {', '.join(columns)} FROM {table} WITH NO DATA"  # noqa: S608  (our own names)
        self._raw.execute(f"CREATE TEMP TABLE {stage} ON COMMIT DROP AS {kind}")
        self._copy(stage, columns, rows)
        settings = ", ".join(f"{column} = s.{column}" for column in columns[1:])
        self._raw.execute(f"UPDATE {table} SET {settings} FROM {stage} s WHERE {table}.{key} = s.{key}")  # noqa: S608
        self._raw.execute(f"DROP TABLE {stage}")

    def new_ids(self, table: str, count: int) -> range:
        if count == 0:
            return range(0)
        # One writer at a time (`lock_writers`), so the block is ours alone.
        sequence = f"pg_get_serial_sequence('{table}', 'id')"
        last = int(self.rows(f"SELECT setval({sequence}, nextval({sequence}) + ? - 1) AS id", (count,))[0].id)
        return range(last - count + 1, last + 1)

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        with self._raw.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _named_rows(cursor: Any) -> Maker:
    return row_maker(tuple([column.name for column in cursor.description or ()]))


@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@cache
def _update(table: str, columns: tuple[str, ...]) -> str:
    return f"UPDATE {table} SET {', '.join(f'{column} = ?' for column in columns[1:])} WHERE {columns[0]} = ?"  # noqa: S608


@cache
def _sqlite_keys(sql: str, width: int) -> str:
    if width == 1:
        columns = "value AS a"
    else:
        columns = ", ".join(f"value->>{place} AS {chr(97 + place)}" for place in range(width))
    return sql.replace("{keys}", f"(SELECT {columns} FROM json_each(?)) AS k")  # noqa: S608


@cache
def _postgres_keys(sql: str, kinds: tuple[str, ...]) -> str:
    arrays = ", ".join(f"?::{kind}[]" for kind in kinds)
    names = ", ".join(chr(97 + place) for place in range(len(kinds)))
    return sql.replace("{keys}", f"unnest({arrays}) AS k({names})")


@cache
def _marks(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
