"""The config's queries, each bounded by a SELECT of ours; a `SqlDatabase` builds and sends them.

Values between braces are bound, so the server takes one statement only. Statements of verbs are sent unchanged, each
in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from connectors.sdk.errors import NotSupported, PermissionMissing
from connectors.sdk.field_mapping import text_at
from connectors.sdk.log_chunks import chunk_of_parts
from connectors.sdk.records import LogChunk, RunRef, TargetClock
from connectors.sdk.states import Capability
from connectors.sdk.transport.call_limits import Deadline, list_call, lists_requests
from connectors.sdk.transport.postgres import session_name
from connectors.sql.options import PLACE, SqlMapping, SqlRunsQuery, SqlVerbQuery

PAGE_ROWS = 1000
MAX_JOBS = 20_000
LOG_CHARACTERS = 64 * 1024**2
FIRST = {"number": "-1", "time": "1970-01-01T00:00:00+00:00"}
LAST = {
    "number": str(2**62),
    "time": "9999-12-31T00:00:00+00:00",
}  # behind every row: from there on only rows of {open} are read
MAX_AGAIN = 10_000


@dataclass(frozen=True, slots=True)
class SqlRows:
    """Rows as JSON objects, and the server's clock. `again`: rows requested apart from the page."""

    rows: list[Any]
    is_full: bool
    clock: TargetClock
    version: str
    again: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A query of the config, and the values of its places."""

    text: str
    values: Mapping[str, Any]
    limit: int = 0
    """Rows that are read."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Place -> "number", "time", "texts" (a list) or "text", where the server must know it."""
    column: str = ""
    """The column that `only` compares with the value of that name; without `only`, and with "missing", it orders."""
    only: Literal["", "missing", "key"] = ""

    def filled(self, place: str) -> str:
        """Its text with each place written as `place` says ("%({name})s"), in a form that pyformat leaves alone."""
        bare = self.text.strip().rstrip(";").replace("%", "%%")
        return PLACE.sub(lambda match: place.format(name=match[1]) if match[1] in self.values else match[0], bare)

    @property
    def shown(self) -> str:
        """The statement for people, on one line, with its values in their places."""
        text = PLACE.sub(lambda match: repr(self.values[match[1]]) if match[1] in self.values else match[0], self.text)
        return " ".join(text.strip().rstrip(";").split())


class SqlDatabase(Protocol):
    """A database by its driver. Reads have one deadline and change nothing. Raises ConnectorError."""

    product: str
    """Its name for people."""

    @property
    def unverified(self) -> tuple[str, ...]:
        """Settings of the last connection weaker than the default, with their danger."""

    def read(self, queries: Sequence[BoundQuery], timeout_seconds: float) -> tuple[datetime, str, list[list[Any]]]:
        """The server's clock (UTC) and version, and the rows of each query as JSON objects."""

    def read_texts(self, query: BoundQuery, timeout_seconds: float, work: Any) -> LogChunk | None:
        """`work` with the first column of all rows, each text cut at LOG_CHARACTERS; its result."""

    def senders(self, name: str, timeout_seconds: float) -> int:
        """Sessions of that name that are alive: an action may still arrive from them."""

    def all_rows(self, query: BoundQuery, timeout_seconds: float) -> list[Any]:
        """The rows where nothing may hide one. Raises PermissionMissing."""

    def check(self, query: BoundQuery, timeout_seconds: float) -> None:
        """Raises PermissionMissing or NotSupported where the statement cannot be sent, as far as this is known without
        sending it."""

    def send(self, query: BoundQuery, timeout_seconds: float, name: str) -> str:
        """The first value of a statement that is sent once, by a session of that name. Raises OutcomeUnknown after a
        lost answer; NotSupported, and nothing was done, where it touches no row, or in PostgreSQL answers false."""

    def close(self) -> None: ...


class SqlClient:
    def __init__(
        self,
        options: SqlMapping,
        database: SqlDatabase,
        values: Mapping[str, Any] | None = None,
        lacks: Mapping[Capability, str] | None = None,
    ) -> None:
        """Of a profile `values`, place -> its value in every query, and `lacks`, why a capability is missing."""
        self.options, self.database, self.deadline = options, database, Deadline(0.0)
        self.values, self.lacks = values or {}, lacks or {}

    def jobs(self) -> SqlRows:
        return self._rows(BoundQuery(self.options.jobs.query, self.values, MAX_JOBS))

    def runs(self, after: str, open_ids: Sequence[str], missing: Sequence[int]) -> SqlRows:
        """The next rows by the cursor's column; and apart, so that they take no place in the page, the runs with these
        ids and the rows with these numbers."""
        runs = self.options.runs
        if "%" in runs.cursor:
            raise NotSupported(f"cursor = {runs.cursor!r}: column names with a percent sign are not supported")
        apart = []
        if open_ids and "open" in runs.places:
            apart.append(self._runs(LAST[runs.cursor_is], MAX_AGAIN, open=list(open_ids)))
        if missing:
            apart.append(self._runs(str(min(missing) - 1), MAX_AGAIN, "missing", missing=list(missing)))
        return self._rows(self._runs(after or FIRST[runs.cursor_is], PAGE_ROWS), *apart)

    def lost(self, after: str, until: str) -> int:
        """How many rows between two positions were deleted before they were read."""
        assert self.options.runs.lost is not None
        values = {**self.values, "cursor": after, "until": until}
        query = BoundQuery(self.options.runs.lost.query, values, 1, {"cursor": "number", "until": "number"})
        _, _, [rows] = self._read(query)
        return int(next(iter(rows[0].values())) or 0) if rows else 0

    def liveness(self) -> Any:
        """The row that shows whether the scheduler starts jobs; None without one."""
        assert self.options.liveness is not None, "read only where the mapping names it"
        _, _, [rows] = self._read(BoundQuery(self.options.liveness.query, self.values, 1))
        return next(iter(rows), None)

    def log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk | None:
        """A piece of the rows of the log's query, one after the other; None without a row."""
        assert self.options.log is not None
        values = {**self.values, "run": run.native_ref, "id": run.native_ref, "job": run.job}
        query = BoundQuery(self.options.log.query, values, types={"id": "text"})

        def work(texts: Iterator[str]) -> LogChunk | None:
            first = next(texts, None)
            return None if first is None else chunk_of_parts(_lines(first, texts), start, limit_bytes, is_open=False)

        return self.database.read_texts(query, self.deadline.left, work)

    def run_with_key(self, key: str) -> tuple[str | None, str]:
        """The id of the run that shows our key; without one, why its absence is not proved ("" where it is)."""
        runs = self.options.runs
        alive = self.senders(key)
        query = self._runs(FIRST[runs.cursor_is], 1, "key", key=key)
        _, _, [rows] = self._read(query)
        if rows:
            return text_at(rows[0], runs.id), ""
        if alive:
            return None, alive
        try:
            rows = self.database.all_rows(query, self.deadline.left)
        except PermissionMissing as error:
            return None, f"row security may hide its run: {error}"
        return text_at(rows[0], runs.id) if rows else None, ""

    def senders(self, key: str) -> str:
        """Why an action may still arrive; "" where no session of ours that sends it is alive. Read before its trace."""
        alive = self.database.senders(session_name(key), self.deadline.left)
        return f"{alive} session of ours that sends it is still alive" if alive else ""

    def check(self, verb: SqlVerbQuery) -> None:
        """Raises PermissionMissing for a permission that the role lacks, and NotSupported for a statement that the
        server cannot read (and for each CALL)."""
        self.database.check(BoundQuery(verb.query, dict.fromkeys(verb.places)), self.deadline.left)

    def send(self, verb: SqlVerbQuery, values: Mapping[str, Any]) -> str:
        """The first row of a statement that is sent once, in one transaction."""
        given = {name: str({**self.values, **values}[name]) for name in verb.places}
        return self.database.send(BoundQuery(verb.query, given), self.deadline.left, session_name(str(values["key"])))

    def close(self) -> None:
        self.database.close()

    def _runs(self, cursor: str, limit: int, only: Literal["", "missing", "key"] = "", **given: Any) -> BoundQuery:
        runs: SqlRunsQuery = self.options.runs
        values = {**self.values, "cursor": cursor, "open": [], **given}
        types = {"cursor": runs.cursor_is, "open": "texts"}
        return BoundQuery(runs.query, values, limit, types, runs.key if only == "key" else runs.cursor, only)

    def _read(self, *queries: BoundQuery) -> tuple[datetime, str, list[list[Any]]]:
        if lists_requests():
            for query in queries:
                list_call(query.shown)
        return self.database.read(queries, self.deadline.left)

    def _rows(self, page: BoundQuery, *apart: BoundQuery) -> SqlRows:
        now, version, (rows, *again) = self._read(page, *apart)
        clock = TargetClock(now, datetime.now(UTC))
        return SqlRows(rows, len(rows) >= page.limit, clock, version, [row for part in again for row in part])


def _lines(first: str, texts: Iterable[str]) -> Iterator[str]:
    text = first
    yield text
    for following in texts:
        if not text.endswith("\n"):
            yield "\n"
        text = following
        yield text
