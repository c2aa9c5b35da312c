"""The store as the engine opens it: migrated, with one writer at a time, every write under the lease's fence.

SQLite (WAL) or PostgreSQL through SQLAlchemy Core; the settings below were measured (`python -m tests.bench.ingest`).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from errno import EACCES, EISDIR, EROFS
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from console.failpoints import failpoint
from console.store import meta
from console.store.db import schema_version
from console.store.db.fence import Fence, ShardFence, check_fence
from console.store.db.location import (
    POSTGRES_URLS,
    checked_url,
    file_identity,
    gone_error,
    network_type,
    sqlite_uri,
    store_path,
    without_secrets,
)
from console.store.db.schema_objects import refuse_foreign
from console.store.db.session import PostgresAdapter, Row, SqliteAdapter, WriteSession, lock_writers
from console.store.errors import (
    SQLITE_ERRORS,
    StoreUnusable,
    damage_text,
    folder_text,
    is_damage,
    replaced_text,
    sqlite_text,
)
from console.timing.clock import ClockSetting

if TYPE_CHECKING:
    from console.store.db.postgres import TimeoutConnection

BUSY_MS = 30_000
CHECKPOINT_PAGES = 2_000
"""Log pages before SQLite checkpoints by itself, 8 MB: its own 1,000 slow ingest, and a store that is written to
without a pause (`QUIET_SECONDS`) has a log as large as this."""

CONNECTIONS = 15
"""For each process. More would be opened and closed again for single queries."""
READ_ONLY_STANDBY = "25006"
"""SQLSTATE of a standby server: the driver classifies it as a programming error."""

WRITERS_SECONDS = 20.0
"""How long a writer waits for those before it, and may send nothing while they wait."""
_CONNECTION_SETTINGS = (
    "SELECT set_config('lock_timeout', %s, false), set_config('tcp_keepalives_idle', '10', false),"
    " set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false),"
    " set_config('tcp_user_timeout', '25s', false)"
)
"""So that the server notices a client that is gone, and releases its locks."""
_END_CUT_OFF = (
    "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.relation ="
    " CAST('lease' AS regclass) AND l.mode = 'RowShareLock' WHERE a.usename = current_user AND a.wait_event ="
    " 'ClientRead' AND clock_timestamp() - a.query_start > make_interval(secs => ?)"
)
_BLOCKERS = (
    "SELECT CAST(usename AS TEXT) AS login, pid FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(?))"
    " ORDER BY 1, 2"
)

QUIET_SECONDS = 2.0
QUIET_LOG_BYTES = 4 * 1024 * 1024


class Database:
    """One open store. Safe to use from several threads: writers of one process queue, readers have connections."""

    def __init__(self, url: str, engine: Engine, path: Path | None) -> None:
        self.url = url
        self.path = path
        """The file; None on PostgreSQL."""
        self.engine = engine
        self.is_sqlite = path is not None
        self._writer = threading.Lock()
        self._shard_writer = threading.Lock()
        """Held by polls of shards while they wait for `_writer`: others, such as renewals, wait for one at most."""
        self._written_at = time.monotonic()
        self._file = file_identity(path) if path is not None else None

    def check_fence(self, fence: int) -> None:
        """Raises LeaseLost unless that fence still holds the lease, and StoreError."""
        with self.read() as session:
            check_fence(session, fence)

    @contextmanager
    def write(self, fence: Fence | None, durable: bool = False, of_shards: bool = False) -> Iterator[WriteSession]:
        """One transaction, committed at the end, rolled back on any exception.

        With a `fence` it is refused (LeaseLost) unless that fence still holds the lease, or its shard. `durable`: it is
        on the disk when this returns (intents); others may be lost by a power failure, never by a crash of Headway.
        `of_shards`: polls of several shards, whose fences the caller checks. Raises StoreUnusable where the database
        cannot (full disk, locked for 30 s, connection lost).
        """
        self._check_in_place()
        turn = self._shard_writer if of_shards or isinstance(fence, ShardFence) else nullcontext()
        with self._driver_errors(), turn, self._writer, self.engine.connect() as connection:
            connection.execution_options(headway_write=True)
            if self.is_sqlite:
                _raw(connection).execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            with self._transaction(connection) as session:
                if not self.is_sqlite:
                    self._lock_writers(session)
                with nullcontext() if self.is_sqlite else self._waits_for_no_client(_raw(connection)):
                    check_fence(session, fence)
                    yield session
            self._checkpoint_when_quiet(connection)

    def _lock_writers(self, session: WriteSession) -> None:
        """Waits for the writers before, and ends those of this login that were cut off: their server process waits
        for the rest of a statement, for which no timeout of the server applies."""
        try:
            lock_writers(session)
        except self.engine.dialect.loaded_dbapi.errors.LockNotAvailable:
            self.rows(_END_CUT_OFF, (WRITERS_SECONDS,))
            raise

    @contextmanager
    def _waits_for_no_client(self, raw: TimeoutConnection) -> Iterator[None]:
        """Raises StoreUnusable where another session keeps a lock on a row that is to be written (`lock_writers`)."""
        raw.find_blockers = self._blockers
        try:
            yield
        except self.engine.dialect.loaded_dbapi.errors.LockNotAvailable as error:
            raise StoreUnusable(
                f"{raw.blocked_by or 'another session'} holds a lock on a row that the engine writes. It is written"
                " later. Fix: end that transaction"
            ) from error
        finally:
            raw.find_blockers, raw.blocked_by = None, ""

    def _blockers(self, process: int) -> str:
        with suppress(StoreUnusable):
            return ", ".join(f"{row.login} (process {row.pid})" for row in self.rows(_BLOCKERS, (process,)))
        return ""

    def _checkpoint_when_quiet(self, connection: Connection) -> None:
        """Moves the log into the file after a pause in writing, so that bursts seldom wait for it."""
        before, self._written_at = self._written_at, time.monotonic()
        if self.path is None or self._written_at - before < QUIET_SECONDS:
            return
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size > QUIET_LOG_BYTES:
            failpoint("checkpoint.before")
            with suppress(sqlite3.OperationalError):  # on a full disk: the log keeps what was committed
                _raw(connection).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # waits for no lock

    @contextmanager
    def read(self, consistent: bool = True) -> Iterator[WriteSession]:
        """One consistent snapshot. Keep it short: an open reader keeps the write-ahead log from shrinking. Without
        `consistent`, each statement has a snapshot of its own on PostgreSQL, and costs one round trip instead of
        three."""
        self._check_in_place()
        with self._driver_errors(), self.engine.connect() as connection:
            if not self.is_sqlite:  # by default each statement there has a snapshot of its own
                connection.execution_options(isolation_level="REPEATABLE READ" if consistent else "AUTOCOMMIT")
            with self._transaction(connection) as session:
                yield session

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows of one statement that reads."""
        with self.read(consistent=False) as session:
            return session.rows(sql, values)

    def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row of one statement that reads; None without rows."""
        return next(iter(self.rows(sql, values)), None)

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[WriteSession]:
        """Of a connection that is lost meanwhile, the error it was lost with is raised, and the pool drops it."""
        with connection.begin():
            try:
                yield self._session(connection)
            except Exception:
                if not self.is_sqlite and _raw(connection).closed:
                    connection.invalidate()
                raise

    def _session(self, connection: Connection) -> WriteSession:
        return (SqliteAdapter if self.is_sqlite else PostgresAdapter)(_raw(connection))

    def _check_in_place(self) -> None:
        """Raises StoreUnusable if the file was moved or replaced: writes to a moved file are never read, and the log of
        another file would be damaged."""
        if self.path is not None and self._is_replaced(self.path):
            raise StoreUnusable(
                f"the store {self.path} was replaced by another file: put the original back, or let"
                ' the engine start on this one: "headway engine stop", then start it'
            )

    def _is_replaced(self, path: Path) -> bool:
        try:
            return file_identity(path) != self._file
        except OSError as error:
            raise StoreUnusable(replaced_text(path, error.strerror)) from error

    @contextmanager
    def _driver_errors(self) -> Iterator[None]:
        driver: Any = self.engine.dialect.loaded_dbapi
        try:
            yield
        except TimeoutError as error:
            raise StoreUnusable(f"the store at {self.place}: all connections of this process are busy") from error
        except (DBAPIError, driver.Error) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            known = isinstance(reason, driver.OperationalError) or is_damage(reason)
            if not known and getattr(reason, "sqlstate", "") != READ_ONLY_STANDBY:
                raise
            raise StoreUnusable(
                without_secrets(self.url, f"the store at {self.place}: {reason}{damage_text(reason)}")
            ) from error

    @property
    def place(self) -> str:
        """The file or the server's database, without a password."""
        return str(self.path or self.engine.url.set(drivername="postgresql", query={}).render_as_string())

    def changed_seq(self) -> int:
        """Number of the newest committed change; 0 before the first."""
        with self.read(consistent=False) as session:
            return int(meta.get_meta(session, "changed_seq") or 0)

    def clock_setting(self) -> ClockSetting | None:
        """The clock row, for `console.timing.clock.Clock`; None for real time."""
        with self.read(consistent=False) as session:
            return meta.clock_setting(session)

    def close(self) -> None:
        """Closes all connections, unless another file is in place of ours: SQLite would delete its log."""
        with suppress(StoreUnusable):
            if self.path is not None and self._is_replaced(self.path):
                return
        self.engine.dispose()


def open_database(url: str) -> Database:
    """The store at a file's path or a `postgresql://` URL, created or migrated as needed.

    Raises StoreTooNew (written by a newer Headway) or StoreUnusable (with the reason and the fix)."""
    if url.startswith(POSTGRES_URLS):
        store = Database(url, _postgres(url), None)
    else:
        path = store_path(url)
        if path.is_dir():
            raise StoreUnusable(folder_text(path))
        if kind := network_type(path):  # two machines that write one file damage it without an error
            raise StoreUnusable(
                f"the store at {path}: it is on a network file system ({kind}), where SQLite's log does not work; "
                "name a path on a local disk, or for several machines a postgresql:// URL"
            )
        if error := gone_error(path):
            raise error
        _check_own_file(path)
        _make_private(path)
        store = Database(url, _sqlite(path), path)
    try:
        if not _has_current_schema(store.engine):
            from console.store.db.migrate import migrate  # noqa: PLC0415 - Alembic: 9 MB that a store in use never needs

            migrate(store.engine, store.path)
        with store.read() as session:
            refuse_foreign(session, store.place)
    except BaseException:
        store.close()
        raise
    return store


def _has_current_schema(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    except DBAPIError:
        return False  # the migration reports it
    return [row.version_num for row in rows] == [schema_version.SCHEMA]


def open_read_only(url: str) -> Database:
    """The store as it is: nothing is created, migrated or written. `store.queries.open_queries` has checked its
    schema. Raises StoreUnusable if it is gone since."""
    if url.startswith(POSTGRES_URLS):
        return Database(url, _postgres(url), None)
    path = store_path(url)
    try:
        return Database(url, _sqlite(path), path)
    except OSError as error:
        raise StoreUnusable(replaced_text(path, error.strerror)) from error


def _check_own_file(path: Path) -> None:
    """Raises StoreUnusable for a file of another program, before its mode or content changes."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(sqlite_uri(path), uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except SQLITE_ERRORS as error:
        if not os.access(path, os.W_OK):
            return  # `_make_private` reports it
        raise StoreUnusable(
            f"the store at {path}: {sqlite_text(error)}{damage_text(error) or '; name another store'}"
        ) from error
    if tables and "alembic_version" not in tables:
        raise StoreUnusable(f"{path} holds tables that Headway did not make; name another store")


def _make_private(path: Path) -> None:
    """Creates the file with mode 0600, a new folder with 0700. An existing file is not opened: closing it would end the
    locks of other connections of this process (sqlite.org/howtocorrupt.html §2.2)."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        elif path.is_dir() or not os.access(path, os.R_OK | os.W_OK):
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            fault = EISDIR if path.is_dir() else EROFS if read_only else EACCES
            raise OSError(fault, os.strerror(fault))
        if path.stat().st_uid == os.geteuid():
            path.chmod(0o600)
    except OSError as error:
        raise StoreUnusable(f"{path}: {error.strerror}; the store needs a file that it may write") from error


def _sqlite(path: Path) -> Engine:
    at = sqlite_uri(path).partition("?")[0]  # "rw": another connection never creates a missing store
    url = URL.create("sqlite", database=at, query={"mode": "rw", "uri": "true"})
    engine = create_engine(url, hide_parameters=True, pool_size=CONNECTIONS, max_overflow=0, pool_use_lifo=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin in `_begin_sqlite`: a writer's with IMMEDIATE
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"journal_size_limit={QUIET_LOG_BYTES}",
        "temp_store=MEMORY",
        "cache_size=-8192",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that becomes a writer fails at once, whatever its timeout: a writer takes the lock first.
    writes = connection.get_execution_options().get("headway_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: str) -> Engine:
    _, _, rest = checked_url(url).partition("://")
    engine = create_engine(
        f"postgresql+psycopg://{rest}", hide_parameters=True, pool_pre_ping=True, pool_size=CONNECTIONS, max_overflow=0,
        pool_use_lifo=True, pool_recycle=1_800,
    )  # fmt: skip
    event.listen(engine, "do_connect", _connect_with_timeouts)
    ping = engine.dialect.do_ping
    engine.dialect.do_ping = lambda raw: raw.is_fresh() or ping(raw)  # type: ignore[method-assign,assignment]
    return engine


def _connect_with_timeouts(_: Any, __: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
    from console.store.db.postgres import CONNECT_SECONDS, TimeoutConnection  # noqa: PLC0415 - psycopg, only for a shared store

    connection = TimeoutConnection.connect(*arguments, **{"connect_timeout": CONNECT_SECONDS, **parameters})
    connection.execute(_CONNECTION_SETTINGS, (f"{WRITERS_SECONDS:g}s",))
    connection.commit()
    return connection


def _raw(connection: Connection) -> Any:
    return connection.connection.driver_connection
