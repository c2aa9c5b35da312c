"""PostgreSQL by psycopg: every row as JSON, from one read-only snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString, TypeVar

from psycopg.sql import SQL, Composed, Identifier

from connectors.sdk.transport.postgres import PostgresReader, PostgresSession
from connectors.sql.client import LOG_CHARACTERS, BoundQuery
from connectors.sql.options import PLACE

T = TypeVar("T")
CASTS = {"number": "bigint", "time": "timestamptz", "texts": "text[]", "text": "text"}

_SETTINGS: LiteralString = (
    "SELECT clock_timestamp() AS now, current_setting('server_version') AS version,"
    " set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true)"
)


_UNFILTERED: LiteralString = "SELECT set_config('row_security', 'off', true)"


class PostgresDatabase:
    product = "PostgreSQL"

    def __init__(self, session: PostgresSession) -> None:
        self._session = session

    @property
    def unverified(self) -> tuple[str, ...]:
        return self._session.unverified

    def read(self, queries: Sequence[BoundQuery], timeout_seconds: float) -> tuple[datetime, str, list[list[Any]]]:
        def work(reader: PostgresReader) -> tuple[datetime, str, list[list[Any]]]:
            now = reader.row(_SETTINGS)
            return now["now"].astimezone(UTC), now["version"], [_rows(reader, query) for query in queries]

        return self._session.read(work, timeout_seconds)

    def read_texts(self, query: BoundQuery, timeout_seconds: float, work: Callable[[Iterator[str]], T]) -> T:
        outer = SQL("SELECT left(q.v::text, %(most)s) AS text FROM (") + _filled(query) + SQL("\n) AS q(v)")

        def read(reader: PostgresReader) -> T:
            rows = reader.stream(outer, {**query.values, "most": LOG_CHARACTERS})
            return work(str(row["text"] or "") for row in rows)

        return self._session.read(read, timeout_seconds)

    def senders(self, name: str, timeout_seconds: float) -> int:
        return self._session.sessions_named(name, timeout_seconds)

    def all_rows(self, query: BoundQuery, timeout_seconds: float) -> list[Any]:
        return self._session.read(lambda reader: (reader.row(_UNFILTERED), _rows(reader, query))[1], timeout_seconds)

    def check(self, query: BoundQuery, timeout_seconds: float) -> None:
        """Has the server plan it, not execute it."""
        numbers = {name: f"${number}" for number, name in enumerate(query.values, 1)}
        text = PLACE.sub(lambda match: numbers.get(match[1], match[0]), query.text.strip().rstrip(";"))
        self._session.read(lambda reader: reader.plan(SQL(text), len(numbers)), timeout_seconds)

    def send(self, query: BoundQuery, timeout_seconds: float, name: str) -> str:
        return self._session.transact_once(_filled(query), query.values, timeout_seconds, name)

    def close(self) -> None:
        self._session.close()


def _rows(reader: PostgresReader, query: BoundQuery) -> list[Any]:
    column, order = SQL("q.{}").format(Identifier(query.column)), SQL(" ORDER BY q.{}").format(Identifier(query.column))
    rest: Mapping[str, Composed | SQL] = {
        "": order if query.column else SQL(""),
        "missing": SQL(" AND ") + column + SQL(" = ANY(%(missing)s)") + order,
        "key": SQL(" AND ") + column + SQL("::text = %(key)s"),
    }
    outer = SQL("SELECT row_to_json(q)::text AS row FROM (") + _filled(query) + SQL("\n) AS q WHERE %(limit)s > 0")
    values = {**query.values, "limit": query.limit}
    result = reader.rows(outer + rest[query.only] + SQL(" LIMIT %(limit)s"), values)
    return [_read(row["row"]) for row in result]


def _read(text: str) -> Any:
    """The row; its text, which is reported as unreadable, where it is nested deeper than Python reads."""
    try:
        return json.loads(text)
    except RecursionError:
        return text


def _filled(query: BoundQuery) -> SQL:
    text = query.filled("%({name})s")
    for name, cast in query.types.items():
        text = text.replace(f"%({name})s", f"%({name})s::{CASTS[cast]}")
    return SQL(text)
