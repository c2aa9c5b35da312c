"""The same link to PostgreSQL: every statement is its own transaction, and none of them may write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import psycopg

from console.store.errors import StoreUnusable
from console.store.patient import CONNECT_SECONDS, Patient
from console.store.place import checked, without_secrets
from console.store.reads.link import Row

AUDIT_TRIGGERS = ("audit_notes_last", "audit_refuses", "audit_refuses_truncate")


class PostgresLink:
    """One connection. Reconnects by itself once a lost connection has been noticed."""

    is_postgres = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._raw = self._connect()
        info = self._raw.info
        self.place = f"postgresql://{info.host}:{info.port}/{info.dbname}"

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            raw = Patient.connect(checked(self._url), autocommit=True, connect_timeout=CONNECT_SECONDS)
            raw.execute("SET default_transaction_read_only = on")
        except psycopg.Error as error:
            words = str(error).strip().splitlines()[:1] or [type(error).__name__]
            said = without_secrets(self._url, words[0])
            raise StoreUnusable(f"the store on PostgreSQL cannot be reached: {said}") from error
        return raw

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        if self._raw.closed:
            self._raw = self._connect()
        try:
            return self._raw.execute(_marks(sql), values, prepare=True).fetchall()
        except psycopg.Error as error:
            raise StoreUnusable(f"the store at {self.place} cannot be read: {error}") from error

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterable[Row]:
        return self.rows(sql, values)

    def by_ids(self, sql: str, ids: Sequence[int], values: Sequence[Any] = ()) -> list[Row]:
        return self.rows(sql.replace("{ids}", "unnest(?::bigint[]) AS k(a)"), (list(ids), *values)) if ids else []

    def contains(self, column: str) -> str:
        return f"strpos(lower({column}), lower(?)) > 0"

    def like(self, column: str) -> str:
        return f"{column} ILIKE ? ESCAPE '!'"

    def interrupt(self) -> None:
        """Nothing: a server's answer to a cancel may come late, and would end the next question instead."""

    def triggers_missing(self) -> tuple[str, ...]:
        found = self.rows(
            "SELECT CAST(tgname AS TEXT) FROM pg_trigger"
            " WHERE tgrelid = CAST('audit' AS regclass) AND tgenabled IN ('O', 'A')"
        )
        return tuple(one for one in AUDIT_TRIGGERS if (one,) not in found)

    def data_version(self) -> int:
        # of the whole snapshot: its upper end moves when a transaction begins to write, and not when it commits
        return int(self.rows("SELECT hashtextextended(CAST(pg_current_snapshot() AS TEXT), 0)")[0][0])

    def real_now_us(self) -> int:
        return int(self.rows("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")[0][0])

    def close(self) -> None:
        self._raw.close()


@cache
def _marks(sql: str) -> str:
    return sql.replace("?", "%s")
