"""PostgreSQL connections: read-only, one transaction per statement, and with timeouts that libpq does not have."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from connectors.sdk.transport.libpq import verified
from console.store.db.location import checked_url, without_secrets
from console.store.db.postgres_objects import foreign_grants
from console.store.db.schema_objects import AUDIT_TRIGGERS, foreign_objects
from console.store.db.session import PostgresAdapter, Row
from console.store.errors import GRANTS_FIX, StoreUnusable, is_not_permitted

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30.0
"""Per answer; as long as a writer waits for SQLite's lock."""
POLL_SECONDS = 0.1
BLOCKED_SECONDS = 0.2
"""How long a writer's statement runs before the sessions that it waits for are looked up."""
FRESH_SECONDS = 5.0
"""How long after its last answer a connection is used again without a ping."""


class TimeoutConnection(psycopg.Connection[Any]):
    """Closes itself and raises OperationalError where one answer takes longer than `ANSWER_SECONDS`."""

    @classmethod
    def connect(cls, conninfo: str = "", **settings: Any) -> TimeoutConnection:
        """A connection; to another machine one that verifies it, unless the URL says otherwise."""
        own = {key: settings.pop(key) for key in ("autocommit", "prepare_threshold", "context") if key in settings}
        keywords: Any = verified({key: str(value) for key, value in conninfo_to_dict(conninfo, **settings).items()})
        return super().connect("", **keywords, **own)

    unhurried = False
    """A migration's statement has no limit."""
    find_blockers: Callable[[int], str] | None = None
    """Finds the sessions that this server process waits for; set while they are to be found."""
    blocked_by = ""
    """The sessions that it found last, as text."""
    _answered_at = -FRESH_SECONDS
    """By `time.monotonic`."""

    def is_fresh(self) -> bool:
        """Whether it answered lately, and the server has sent nothing since: as it ends, it closes its connections."""
        if self.closed or time.monotonic() - self._answered_at > FRESH_SECONDS:
            return False
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLIN)
        return not waiting.poll(0)

    def wait(self, gen: Any, interval: float = POLL_SECONDS, *args: Any, **kwargs: Any) -> Any:
        """psycopg's own wait, which would repeat every `interval` without end."""
        return super().wait(gen if self.unhurried else self._limited(gen), interval, *args, **kwargs)

    def _limited(self, gen: Any) -> Generator[Any, Any, Any]:
        begun = time.monotonic()
        find_blockers = self.find_blockers
        try:
            wait_for = next(gen)
            while True:
                ready = yield wait_for
                if not ready and time.monotonic() > begun + ANSWER_SECONDS:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {ANSWER_SECONDS:g} s; connection closed")
                if not ready and find_blockers is not None and time.monotonic() > begun + BLOCKED_SECONDS:
                    self.blocked_by, find_blockers = find_blockers(self.pgconn.backend_pid), None
                wait_for = gen.send(ready)
        except StopIteration as end:
            self._answered_at = time.monotonic()
            return end.value


class PostgresReadConnection(PostgresAdapter):
    """One connection, opened again after a loss was noticed."""

    path = None

    def __init__(self, url: str) -> None:
        self._url = url
        super().__init__(self._connect())
        info = self._raw.info
        self.place = f"postgresql://{info.host}:{info.port}/{info.dbname}"

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            raw = TimeoutConnection.connect(
                checked_url(self._url), autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=0
            )
            raw.execute("SET default_transaction_read_only = on")
        except psycopg.Error as error:
            lines = str(error).strip().splitlines()[:1] or [type(error).__name__]
            reason = without_secrets(self._url, lines[0])
            raise StoreUnusable(f"the store on PostgreSQL cannot be reached: {reason}") from error
        return raw

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        if self._raw.closed:
            self._raw = self._connect()
        try:
            return super().rows(sql, values)
        except psycopg.Error as error:
            fix = GRANTS_FIX if is_not_permitted(error) else ""
            raise StoreUnusable(f"the store at {self.place} cannot be read: {error}{fix}") from error

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        return iter(self.rows(sql, values))  # a server-side cursor needs a transaction

    def contains(self, column: str) -> str:
        return f"strpos(lower({column}), lower(?)) > 0"

    def like(self, column: str) -> str:
        return f"{column} ILIKE ? ESCAPE '!'"

    def interrupt(self) -> None:
        """Nothing: a server's answer to a cancel may come late, and would end the next query instead."""

    def triggers_missing(self) -> tuple[str, ...]:
        rows = self.rows(
            "SELECT CAST(tgname AS TEXT) AS name FROM pg_trigger"
            " WHERE tgrelid = CAST('audit' AS regclass) AND tgenabled IN ('O', 'A')"
        )
        return tuple(sorted(AUDIT_TRIGGERS - {row.name for row in rows}))

    def foreign_objects(self) -> tuple[str, ...]:
        return foreign_objects(self) + foreign_grants(self)

    def data_version(self) -> int:
        # of the whole snapshot: its upper end moves when a transaction begins to write, and not when it commits
        return int(self.rows("SELECT hashtextextended(CAST(pg_current_snapshot() AS TEXT), 0) AS id")[0].id)

    def real_now_us(self) -> int:
        return int(self.rows("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS us")[0].us)

    def close(self) -> None:
        self._raw.close()
