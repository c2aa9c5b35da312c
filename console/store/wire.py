"""Many rows at once on either database: the few shapes of statement that ingest and apply need, under one name each.

SQL is written once with `?`. SQLite takes key lists as JSON, PostgreSQL as arrays, and rows in bulk by COPY.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Connection

Row = tuple[Any, ...]
BULK_ROWS = 50
"""From how many rows on COPY is used. The crossing point was not measured; below it either way is fast."""
STREAMED_ROWS = 5_000
"""Rows that a stream asks a server for at a time."""


class Wire(Protocol):
    """One transaction, spoken to in bulk."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement; none for a command."""
        ...

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows of one query as the database finds them: of very many, few are in memory at a time."""
        ...

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each of the rows."""
        ...

    def by_keys(self, sql: str, types: str, keys: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        """Rows of a statement in which `{keys}` stands for a table k of the keys: columns a, b, … after `types`.

        `types` names each column: "i" a number, "t" a text. With one column, `keys` are bare values."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """New rows; a key that is there already is an error."""
        ...

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Rows by their first column, which is the key; the other columns are set."""
        ...

    def new_ids(self, table: str, count: int) -> range:
        """Ids for new rows of a table whose key is `id`. That of a row which is gone is never given again."""
        ...

    def forget(self, table: str, ids: Sequence[int]) -> None:
        """Removes rows by their id."""
        ...


def wire(connection: Connection) -> Wire:
    """The wire of a transaction of `Store.write` or `Store.read`."""
    raw: Any = connection.connection.driver_connection
    return SqliteWire(raw) if connection.dialect.name == "sqlite" else PostgresWire(raw)


def single(found: Iterable[Row]) -> Row | None:
    """The first row, if there is one."""
    return next(iter(islice(found, 1)), None)


class SqliteWire:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        found: list[Row] = self._raw.execute(sql, tuple(values)).fetchall()
        return found

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        found: Iterator[Row] = self._raw.execute(sql, tuple(values))
        return found

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._raw.executemany(sql, rows)

    def by_keys(self, sql: str, types: str, keys: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        if not keys:
            return []
        return self.rows(_sqlite_keys(sql, types), (json.dumps(keys), *values))

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.many(_insert(table, tuple(columns)), rows)

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.many(_update(table, tuple(columns)), [(*row[1:], row[0]) for row in rows])

    def new_ids(self, table: str, count: int) -> range:
        gone = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?"
        query = f"SELECT MAX(COALESCE((SELECT MAX(id) FROM {table}), 0), COALESCE(({gone}), 0)) + 1"  # noqa: S608
        first = int(self.rows(query, (f"last_gone_{table}",))[0][0])
        return range(first, first + count)

    def forget(self, table: str, ids: Sequence[int]) -> None:
        self.many(f"DELETE FROM {table} WHERE id = ?", [(one,) for one in ids])  # noqa: S608  (our own names)
        self.rows(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            " WHERE CAST(meta.value AS INTEGER) < CAST(excluded.value AS INTEGER)",
            (f"last_gone_{table}", str(max(ids))),
        )


class PostgresWire:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._streams = 0

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        cursor = self._raw.execute(_marks(sql), tuple(values))
        return cursor.fetchall() if cursor.description is not None else []

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        self._streams += 1
        with self._raw.cursor(name=f"stream_{self._streams}") as cursor:
            cursor.itersize = STREAMED_ROWS
            cursor.execute(_marks(sql), tuple(values))
            yield from cursor

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with self._raw.cursor() as cursor:
                cursor.executemany(_marks(sql), rows)

    def by_keys(self, sql: str, types: str, keys: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        if not keys:
            return []
        columns = [list(keys)] if len(types) == 1 else [list(column) for column in zip(*keys, strict=True)]
        return self.rows(_postgres_keys(sql, types), (*columns, *values))

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if len(rows) < BULK_ROWS:
            self.many(_insert(table, tuple(columns)), rows)
        else:
            self._copy(table, columns, rows)

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if len(rows) < BULK_ROWS:
            self.many(_update(table, tuple(columns)), [(*row[1:], row[0]) for row in rows])
            return
        stage = f"stage_{table}"
        kind = f"SELECT {', '.join(columns)} FROM {table} WITH NO DATA"  # noqa: S608  (our own names)
        self._raw.execute(f"CREATE TEMP TABLE {stage} ON COMMIT DROP AS {kind}")
        self._copy(stage, columns, rows)
        settings = ", ".join(f"{column} = s.{column}" for column in columns[1:])
        key = columns[0]
        self._raw.execute(f"UPDATE {table} SET {settings} FROM {stage} s WHERE {table}.{key} = s.{key}")  # noqa: S608
        self._raw.execute(f"DROP TABLE {stage}")

    def new_ids(self, table: str, count: int) -> range:
        if count == 0:
            return range(0)
        # One writer at a time (the advisory lock of Store.write), so the block is ours alone.
        sequence = f"pg_get_serial_sequence('{table}', 'id')"
        first = int(self.rows(f"SELECT nextval({sequence})")[0][0])
        self.rows(f"SELECT setval({sequence}, {first + count - 1})")
        return range(first, first + count)

    def forget(self, table: str, ids: Sequence[int]) -> None:
        self.many(f"DELETE FROM {table} WHERE id = ?", [(one,) for one in ids])  # noqa: S608  (our own names)

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        with self._raw.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@cache
def _update(table: str, columns: tuple[str, ...]) -> str:
    return f"UPDATE {table} SET {', '.join(f'{column} = ?' for column in columns[1:])} WHERE {columns[0]} = ?"  # noqa: S608


@cache
def _sqlite_keys(sql: str, types: str) -> str:
    if len(types) == 1:
        table = "(SELECT value AS a FROM json_each(?)) AS k"
    else:
        names = ", ".join(f"value->>{number} AS {chr(97 + number)}" for number in range(len(types)))
        table = f"(SELECT {names} FROM json_each(?)) AS k"  # noqa: S608
    return sql.replace("{keys}", table)


@cache
def _postgres_keys(sql: str, types: str) -> str:
    arrays = ", ".join("?::bigint[]" if kind == "i" else "?::text[]" for kind in types)
    names = ", ".join(chr(97 + number) for number in range(len(types)))
    return sql.replace("{keys}", f"unnest({arrays}) AS k({names})")


@cache
def _marks(sql: str) -> str:
    return sql.replace("?", "%s")
