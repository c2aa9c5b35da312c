"""The config's queries, each inside a SELECT of ours that bounds it and gives every row as JSON.

Values between braces are bound, so the server takes one statement only; the transaction is read-only. Statements of
verbs are sent unchanged, each in a transaction of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString

from psycopg.sql import SQL, Composed, Identifier

from connectors.sdk.errors import NotSupported, PermissionMissing
from connectors.sdk.field_mapping import text_at
from connectors.sdk.log_chunks import chunk_of_parts
from connectors.sdk.records import LogChunk, RunRef, TargetClock
from connectors.sdk.states import Capability
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.postgres import PostgresReader, PostgresSession, session_name
from connectors.sql.options import PLACE, SqlMapping, SqlRunsQuery, SqlVerbQuery

BITE_ROWS = 1000
MAX_JOBS = 20_000
LOG_CHARACTERS = 64 * 1024**2
CASTS = {"number": "bigint", "time": "timestamptz"}
FIRST = {"number": "-1", "time": "1970-01-01T00:00:00Z"}
LAST = {"number": str(2**62), "time": "infinity"}  # behind every row: from there on only rows of {open} are read
MAX_AGAIN = 10_000


_SETTINGS: LiteralString = (
    "SELECT clock_timestamp() AS now, current_setting('server_version') AS version,"
    " set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true)"
)


_UNFILTERED: LiteralString = "SELECT set_config('row_security', 'off', true)"


@dataclass(frozen=True, slots=True)
class SqlRows:
    """Rows as JSON objects, and the server's clock. `again`: rows requested apart from the bite."""

    rows: list[Any]
    is_full: bool
    clock: TargetClock
    version: str
    again: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _BoundedQuery:
    inner: SQL
    rest: Composed | SQL
    limit: int
    values: Mapping[str, Any]

    def rows(self, reader: PostgresReader) -> list[Any]:
        outer = SQL("SELECT row_to_json(q)::text AS row FROM (") + self.inner + SQL("\n) AS q WHERE %(limit)s > 0")
        result = reader.rows(outer + self.rest + SQL(" LIMIT %(limit)s"), {**self.values, "limit": self.limit})
        return [json.loads(row["row"]) for row in result]


class SqlClient:
    def __init__(
        self,
        options: SqlMapping,
        session: PostgresSession,
        values: Mapping[str, Any] | None = None,
        lacks: Mapping[Capability, str] | None = None,
    ) -> None:
        """Of a profile `values`, place -> its value in every query, and `lacks`, why a capability is missing."""
        self.options, self.session, self.deadline = options, session, Deadline(0.0)
        self.values, self.lacks = values or {}, lacks or {}

    def jobs(self) -> SqlRows:
        return self._rows(_BoundedQuery(self._own(self.options.jobs.query, {}), SQL(""), MAX_JOBS, self.values))

    def runs(self, after: str, open_ids: Sequence[str], missing: Sequence[int]) -> SqlRows:
        """The next rows by the cursor's column; and apart, so that they take no place in the bite, the runs with these
        ids and the rows with these numbers."""
        runs = self.options.runs
        if "%" in runs.cursor:
            raise NotSupported(f"cursor = {runs.cursor!r}: column names with a percent sign are not supported")
        inner, column = self._own(runs.query, _places(runs)), SQL("q.{}").format(Identifier(runs.cursor))
        order = SQL(" ORDER BY ") + column
        first = after or FIRST[runs.cursor_is]
        bite = _BoundedQuery(inner, order, BITE_ROWS, {**self.values, "cursor": first, "open": []})
        apart = []
        if open_ids and "open" in PLACE.findall(runs.query):
            apart.append(
                _BoundedQuery(
                    inner, order, MAX_AGAIN,
                    {**self.values, "cursor": LAST[runs.cursor_is], "open": list(open_ids)},
                )
            )  # fmt: skip
        if missing:
            only = SQL(" AND ") + column + SQL(" = ANY(%(missing)s)") + order
            values = {**self.values, "cursor": str(min(missing) - 1), "open": [], "missing": list(missing)}
            apart.append(_BoundedQuery(inner, only, MAX_AGAIN, values))
        return self._rows(bite, *apart)

    def log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk | None:
        """A piece of the rows of the log's query, one after the other; None without a row."""
        assert self.options.log is not None
        inner = self._own(self.options.log.query, {"id": "%(run)s::text", "run": "%(run)s", "job": "%(job)s"})
        outer = SQL("SELECT left(q.v::text, %(most)s) AS text FROM (") + inner + SQL("\n) AS q(v)")
        values = {**self.values, "run": run.native_ref, "job": run.job, "most": LOG_CHARACTERS}

        def work(reader: PostgresReader) -> LogChunk | None:
            rows = reader.stream(outer, values)
            first = next(rows, None)
            return None if first is None else chunk_of_parts(_lines(first, rows), start, limit_bytes, is_open=False)

        return self.session.read(work, self.deadline.left)

    def run_with_key(self, key: str) -> tuple[str | None, str]:
        """The id of the run that shows our key; without one, why its absence is not proved ("" where it is)."""
        runs = self.options.runs
        alive = self.session.sessions_named(session_name(key), self.deadline.left)
        only = SQL(" AND q.{}::text = %(key)s").format(Identifier(runs.key))
        inner = self._own(runs.query, _places(runs))
        values = {**self.values, "cursor": FIRST[runs.cursor_is], "open": [], "key": key}
        part = _BoundedQuery(inner, only, 1, values)
        rows = self.session.read(part.rows, self.deadline.left)
        if rows:
            return text_at(rows[0], runs.id), ""
        if alive:
            return None, f"{alive} session of ours that sends it is still alive"
        try:
            rows = self.session.read(lambda reader: (reader.row(_UNFILTERED), part.rows(reader))[1], self.deadline.left)
        except PermissionMissing as error:
            return None, f"row security may hide its run: {error}"
        return text_at(rows[0], runs.id) if rows else None, ""

    def check(self, verb: SqlVerbQuery) -> None:
        """Has the server plan a statement, not execute it. Raises PermissionMissing for a permission that the role
        lacks, and NotSupported for a statement that it cannot read (and for each CALL)."""
        numbers = {name: f"${number}" for number, name in enumerate(verb.places, 1)}
        text = PLACE.sub(lambda match: numbers[match[1]], verb.query.strip().rstrip(";"))
        self.session.read(lambda reader: reader.plan(SQL(text), len(numbers)), self.deadline.left)

    def send(self, verb: SqlVerbQuery, values: Mapping[str, Any]) -> str:
        """The first row of a statement that is sent once, in one transaction."""
        statement = _own(verb.query, {name: f"%({name})s" for name in verb.places})
        given = {name: str({**self.values, **values}[name]) for name in verb.places}
        return self.session.transact_once(statement, given, self.deadline.left, session_name(str(values["key"])))

    def _rows(self, bite: _BoundedQuery, *apart: _BoundedQuery) -> SqlRows:
        def work(reader: PostgresReader) -> SqlRows:
            now = reader.row(_SETTINGS)
            rows = bite.rows(reader)
            again = [row for part in apart for row in part.rows(reader)]
            clock = TargetClock(now["now"].astimezone(UTC), datetime.now(UTC))
            return SqlRows(rows, len(rows) >= bite.limit, clock, now["version"], again)

        return self.session.read(work, self.deadline.left)

    def close(self) -> None:
        self.session.close()

    def _own(self, text: str, places: Mapping[str, str]) -> SQL:
        return _own(text, {**{name: f"%({name})s" for name in self.values}, **places})


def _places(runs: SqlRunsQuery) -> Mapping[str, str]:
    return {"cursor": f"%(cursor)s::{CASTS[runs.cursor_is]}", "open": "%(open)s::text[]"}


def _own(text: str, places: Mapping[str, str]) -> SQL:
    bare = text.strip().rstrip(";").replace("%", "%%")
    return SQL(PLACE.sub(lambda match: places.get(match[1], match[0]), bare))


def _lines(first: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    text = str(first["text"] or "")
    yield text
    for row in rows:
        if not text.endswith("\n"):
            yield "\n"
        text = str(row["text"] or "")
        yield text
