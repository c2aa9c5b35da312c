"""The short transaction of a client: plain SQL on a connection of its own, on either database.

A store with another schema than this program's is refused before anything is written. Needs neither SQLAlchemy nor
an engine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from console.domain.ids import micros
from console.store import meta
from console.store.db import schema_version
from console.store.db.location import POSTGRES_URLS, missing_error, sqlite_uri, store_path
from console.store.db.session import PostgresAdapter, Session, SqliteAdapter, lock_writers
from console.store.errors import SQLITE_ERRORS, NotAllowed, StoreUnusable, damage_text, folder_text, sqlite_text
from console.timing.clock import Clock

BUSY_SECONDS = 5.0


def is_postgres(url: str) -> bool:
    return url.startswith(POSTGRES_URLS)


@contextmanager
def client_transaction(url: str, writes: bool = True) -> Iterator[Session]:
    """One short transaction; a read-only one neither waits for writers nor blocks them.

    Raises StoreUnusable (StoreTooNew if a newer Headway wrote the store), and NotAllowed if the login lacks the
    right.
    """
    yield from _on_postgres(url, writes) if is_postgres(url) else _on_sqlite(url, writes)


def store_now_us(session: Session) -> int:
    """Now by the store's clock (µs)."""
    return micros(Clock(lambda: meta.clock_setting(session)).now())


def _on_sqlite(url: str, writes: bool) -> Iterator[Session]:
    path = store_path(url).absolute()
    if path.is_dir():
        raise StoreUnusable(folder_text(path))
    if not path.exists():
        raise missing_error(path)
    try:
        connection = sqlite3.connect(sqlite_uri(path, "rw"), uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            if writes:
                connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            schema_version.check_schema(connection.execute(schema_version.SCHEMA_QUERY), str(path))
            yield SqliteAdapter(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
    except SQLITE_ERRORS as error:
        raise StoreUnusable(f"the store at {path}: {sqlite_text(error)}{damage_text(error)}") from error


def _on_postgres(url: str, writes: bool) -> Iterator[Session]:
    import psycopg  # noqa: PLC0415 - an extra, only for a shared store

    from console.store.db.postgres import CONNECT_SECONDS, TimeoutConnection  # noqa: PLC0415

    login, role = "", "headway_store_view"
    try:
        with TimeoutConnection.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            session, login = PostgresAdapter(connection), connection.info.user
            place = f"postgresql://{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
            schema_version.check_schema(connection.execute(schema_version.SCHEMA_QUERY), place)
            session.is_restricted = not session.rows("SELECT has_table_privilege('lease', 'UPDATE') AS may")[0].may
            role = "headway_store_act"
            if writes and session.is_restricted:
                session.rows("SELECT headway_lock()")
            elif writes:  # one after another, the engine included: the audit is one chain
                connection.execute(f"SET LOCAL lock_timeout = '{BUSY_SECONDS:.0f}s'")
                lock_writers(session)
            yield session
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction) as error:
        raise NotAllowed(_permission_text(login, role, _first_line(error))) from error
    except psycopg.errors.LockNotAvailable as error:
        raise StoreUnusable(
            f"the store on PostgreSQL is locked by {_lock_holders(url)}: {_first_line(error)}"
        ) from error
    except psycopg.Error as error:
        raise StoreUnusable(f"the store on PostgreSQL: {_first_line(error)}") from error


def _permission_text(login: str, role: str, reason: str) -> str:
    fix = "The store's owner gives it, with what `headway store grants` prints (once more after each upgrade)"
    if not reason.startswith("permission denied"):
        return f"the store's database refuses it for the login {login}: {reason}. {fix}"
    access = "may only read" if role == "headway_store_act" else "may not even read"
    return f"the login {login} {access} this store: to do this it needs the role {role}. {fix}"


_LOCK_HOLDERS = (
    "SELECT DISTINCT CAST(a.usename AS TEXT) AS login, a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.relation IN (CAST('switch' AS regclass), CAST('plan' AS regclass), CAST('lease' AS regclass))"
    " AND l.mode = 'RowExclusiveLock' AND l.granted ORDER BY 1, 2"
)
"""Sessions whose open transaction has written a table that clients wait for."""


def _lock_holders(url: str) -> str:
    """The sessions of `_LOCK_HOLDERS` as text: "mallory (process 4711)"."""
    with client_transaction(url, writes=False) as session:
        holders = [f"{row.login} (process {row.pid})" for row in session.rows(_LOCK_HOLDERS)]
    return ", ".join(holders) or "another session"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
