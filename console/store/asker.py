"""The short connection of whoever asks: one transaction, plain SQL with `?`, on either database.

A store of another schema than this program's is refused here, before a word is written into it.

The console needs neither SQLAlchemy nor an engine of its own for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from console.clock import Clock, Hand
from console.model.ids import instant, micros
from console.store import schema
from console.store.absent import missing_words
from console.store.chain import LOCKED, WRITER_LOCK, Run
from console.store.errors import NotAllowed, StoreMissing, StoreUnusable, damage_words, folder_words

BUSY_SECONDS = 5.0


def is_postgres(url: str) -> bool:
    return url.startswith(("postgresql://", "postgres://"))


@contextmanager
def transaction(url: str, writes: bool = True) -> Iterator[Run]:
    """A function that runs one statement in one short transaction of its own. One that only reads waits for no
    writer, and keeps none waiting. Raises StoreUnusable (StoreTooNew where a newer Headway wrote the store), and
    NotAllowed where the login has not the right."""
    yield from _on_postgres(url, writes) if is_postgres(url) else _on_sqlite(url, writes)


def now_us(run: Run) -> int:
    """Now by the store's clock, real or a replay's (µs)."""
    rows = run("SELECT origin_us, started_us, rate, paused FROM clock", ())
    hand = Hand(instant(rows[0][0]), instant(rows[0][1]), rows[0][2], bool(rows[0][3])) if rows else None
    return micros(Clock(lambda: hand).now())


def _on_sqlite(url: str, writes: bool) -> Iterator[Run]:
    path = Path(url.removeprefix("sqlite:///")).expanduser().absolute()
    if path.is_dir():
        raise StoreUnusable(folder_words(path))
    if not path.exists():
        raise StoreMissing(missing_words(path))
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            if writes:
                connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            schema.check(connection.execute(schema.ASKED), str(path))
            yield lambda sql, values: connection.execute(sql, values).fetchall()
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreUnusable(f"the store at {path}: {error}{damage_words(error)}") from error


def _on_postgres(url: str, writes: bool) -> Iterator[Run]:
    import psycopg  # noqa: PLC0415 - an extra, only for a shared store

    from console.store.patient import CONNECT_SECONDS, Patient  # noqa: PLC0415

    login, role = "", "headway_store_view"
    try:
        with Patient.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            if writes:  # one after another, with the engine too: the audit is one chain
                connection.execute(f"SET LOCAL lock_timeout = '{BUSY_SECONDS:.0f}s'")
                connection.execute(LOCKED, (WRITER_LOCK,))

            place = f"postgresql://{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
            login = connection.info.user
            schema.check(connection.execute(schema.ASKED), place)
            role = "headway_store_act"

            def run(sql: str, values: Any) -> list[Any]:
                done = connection.execute(sql.replace("?", "%s"), values)
                return done.fetchall() if done.description else []

            yield run
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(_refused(login, role, _first_line(error))) from error
    except psycopg.Error as error:
        raise StoreUnusable(f"the store on PostgreSQL: {_first_line(error)}") from error


def _refused(login: str, role: str, said: str) -> str:
    """Which right a login lacks, and who gives it; in the database's words where these are our own triggers'."""
    gives = "The store's owner gives it, with what `headway grants store` prints (once more after each upgrade)"
    if not said.startswith("permission denied"):
        return f"the store's database refuses it to the login {login}: {said}. {gives}"
    may = "may only look" if role == "headway_store_act" else "may not even look"
    return f"the login {login} {may} at this store: to do this it needs the role {role}. {gives}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
