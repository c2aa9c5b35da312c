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
from console.store.db import location
from console.store.db.location import POSTGRES_URLS, missing_text, sqlite_uri, store_path
from console.store.db.session import LOCK_WRITERS, WRITER_LOCK, PostgresAdapter, Session, SqliteAdapter
from console.store.errors import NotAllowed, StoreMissing, StoreUnusable, damage_text, folder_text
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
        raise StoreMissing(missing_text(path))
    try:
        connection = sqlite3.connect(sqlite_uri(path, "rw"), uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            if writes:
                connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            location.check_schema(connection.execute(location.SCHEMA_QUERY), str(path))
            yield SqliteAdapter(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreUnusable(f"the store at {path}: {error}{damage_text(error)}") from error


def _on_postgres(url: str, writes: bool) -> Iterator[Session]:
    import psycopg  # noqa: PLC0415 - an extra, only for a shared store

    from console.store.db.postgres import CONNECT_SECONDS, TimeoutConnection  # noqa: PLC0415

    login, role = "", "headway_store_view"
    try:
        with TimeoutConnection.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            session = PostgresAdapter(connection)
            if writes:  # one after another, the engine included: the audit is one chain
                connection.execute(f"SET LOCAL lock_timeout = '{BUSY_SECONDS:.0f}s'")
                session.rows(LOCK_WRITERS, (WRITER_LOCK,))
            place = f"postgresql://{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
            login = connection.info.user
            location.check_schema(connection.execute(location.SCHEMA_QUERY), place)
            role = "headway_store_act"
            yield session
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(_permission_text(login, role, _first_line(error))) from error
    except psycopg.Error as error:
        raise StoreUnusable(f"the store on PostgreSQL: {_first_line(error)}") from error


def _permission_text(login: str, role: str, reason: str) -> str:
    fix = "The store's owner gives it, with what `headway store grants` prints (once more after each upgrade)"
    if not reason.startswith("permission denied"):
        return f"the store's database refuses it for the login {login}: {reason}. {fix}"
    access = "may only read" if role == "headway_store_act" else "may not even read"
    return f"the login {login} {access} this store: to do this it needs the role {role}. {fix}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
