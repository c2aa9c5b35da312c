"""PostgreSQL sessions for connectors: one deadline for a whole call, reads that cannot write, errors sorted.

libpq knows a timeout for connecting and one for a statement, and none for a server that accepts and goes silent. So a
connection is made on a thread that may be left behind, and a watchdog shuts the socket when a call's time is over.
"""

from __future__ import annotations

import math
import os
import queue
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.adapt import Loader
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composed

from connectors.contract import (
    AccessRefused,
    AnswerUnfit,
    ConnectorError,
    NotSupported,
    OutcomeUnknown,
    RightMissing,
    SystemUnreachable,
    TooBusy,
)
from connectors.transport.counting import count_request
from connectors.transport.deadline import Deadline as Deadline

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

MESSAGE_CHARACTERS = 300
ROWS_AT_A_TIME = 100
TEXT_TYPES = ("text", "varchar", "bpchar", "name")
SHORTEST_CONNECT_SECONDS = 2  # libpq takes a smaller connect_timeout for 2
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

AT_THE_DOOR: tuple[tuple[type[ConnectorError], re.Pattern[str]], ...] = tuple(
    (sort, re.compile(words, re.IGNORECASE))
    for sort, words in (
        (RightMissing, r"permission denied for database|not permitted to log in"),
        (AccessRefused, r"authentication failed|no pg_hba\.conf entry|pg_hba\.conf rejects|authentication method"),
        (AccessRefused, r"role \".*\" does not exist|database \".*\" does not exist|no password supplied"),
        (AccessRefused, r"certificate|server does not support SSL"),
        (TooBusy, r"too many (clients|connections)|connection slots are reserved|no more connections allowed"),
        (AnswerUnfit, r"\bFATAL:|(invalid|unexpected) response|expected authentication request"),
    )
)
"""A failed connect carries no SQLSTATE, only libpq's words, of which the first that fits counts (English; what a server
with another lc_messages says is a fault of its own). The rest is libpq's own: nobody answered."""


class _RawText(Loader):
    """Text as the server has it: bytes that are not UTF-8 survive as surrogates instead of failing the row."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


class Reader:
    """A read-only transaction with one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: LiteralString | Composed, values: Mapping[str, object] | None = None) -> list[Row]:
        """All rows; the statement itself limits their number and the length of their texts."""
        return self._connection.execute(statement, values).fetchall()

    def row(self, statement: LiteralString | Composed, values: Mapping[str, object] | None = None) -> Row:
        """The one row of a statement that always has one."""
        return self.rows(statement, values)[0]

    def each(self, statement: LiteralString | Composed, values: Mapping[str, object]) -> Iterator[Row]:
        """The rows one after the other, of which some are held in memory at a time."""
        with self._connection.cursor(name="headway_each") as cursor:
            cursor.itersize = ROWS_AT_A_TIME
            yield from cursor.execute(statement, values)

    def plan(self, statement: SQL, places: int) -> None:
        """Has the server plan a statement with so many values ($1 …) and executes nothing. Names, types and rights are
        checked as if it were; without a value in it, no call is folded away before its right is asked for."""
        values = SQL(", ").join([SQL("NULL")] * places)
        self._connection.execute("DEALLOCATE ALL")
        self._connection.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)")
        self._connection.execute(SQL("PREPARE headway_plan AS ") + statement)
        self._connection.execute(
            SQL("EXPLAIN EXECUTE headway_plan") + (SQL("(") + values + SQL(")") if places else SQL(""))
        )


class PostgresSession:
    """One server as one role. Keeps a connection between reads; writes go over one of their own."""

    def __init__(self, parameters: Callable[[], Mapping[str, str]], application_name: str) -> None:
        """`parameters` gives libpq's keywords, secrets resolved, each time a connection is made."""
        self._parameters = parameters
        self._name = application_name
        self._kept: Connection | None = None
        self.place = "PostgreSQL"
        """host:port/database as user, once known: for messages."""

    @property
    def is_connected(self) -> bool:
        """True while the connection of the last read is kept for the next."""
        return self._kept is not None

    def read(self, work: Callable[[Reader], Any], timeout_seconds: float) -> Any:
        """`work` in one read-only snapshot, rolled back at its end; once more on a fresh connection when the kept one
        turns out to be dead.

        Raises SystemUnreachable, AccessRefused or NotSupported."""
        deadline = Deadline(timeout_seconds)
        if self._kept is not None:
            try:
                return self._read(self._kept, work, deadline)
            except SystemUnreachable:
                if self.is_connected or deadline.left <= 0:
                    raise  # the server answered, or there is no time for another try
        return self._read(self._connected(deadline), work, deadline)

    def write_once(
        self,
        statement: LiteralString | Composed,
        values: Mapping[str, object],
        timeout_seconds: float,
        application_name: str,
    ) -> list[Row]:
        """The rows of one statement, committed, on a connection of its own that bears `application_name`.

        Raises OutcomeUnknown when it was sent and no answer came; any other error means that nothing happened."""
        deadline = Deadline(timeout_seconds)
        connection = self._to_write(deadline, application_name)
        try:
            with _watched(connection, deadline):
                return connection.execute(statement, values).fetchall()
        except psycopg.Error as error:
            raise _after_the_wire(error, self.place) from None
        finally:
            connection.close()

    def transact_once(
        self, statement: SQL, values: Mapping[str, object], timeout_seconds: float, application_name: str
    ) -> str:
        """Somebody's own statement in one transaction, as `write_once` sends its own; what its first row says, "" for a
        statement without rows. One that touches no row, or says false, is rolled back.

        Raises NotSupported then, and OutcomeUnknown for whatever goes wrong once it is being committed."""
        deadline = Deadline(timeout_seconds)
        connection = self._to_write(deadline, application_name)
        try:
            with _watched(connection, deadline):
                connection.execute("BEGIN")
                said = _answer(connection.execute(statement, values), self.place)
                try:
                    connection.execute("COMMIT")
                except psycopg.Error as error:
                    words = words_of(error)
                    raise OutcomeUnknown(f"{self.place}: sent, and its commit was not answered well: {words}") from None
                return said
        except psycopg.Error as error:
            raise _after_the_wire(error, self.place) from None
        finally:
            connection.close()

    def _to_write(self, deadline: Deadline, application_name: str) -> Connection:
        """A connection for one write, on which nothing was sent yet."""
        connection = self._connect(deadline, application_name)
        if deadline.left <= 0:  # this process was stopped meanwhile: nobody counts on it any more
            connection.close()
            raise SystemUnreachable(
                f"{self.place}: connected too late, after {deadline.seconds:.3g} s: nothing was sent"
            )
        try:
            with _watched(connection, deadline):
                connection.execute(_LIMIT_STATEMENT, {"ms": _milliseconds(deadline), "local": False})
        except psycopg.Error as error:
            connection.close()
            raise sorted_error(error, self.place) from None
        return connection

    def close(self) -> None:
        """Closes the kept connection; a second time does nothing."""
        kept, self._kept = self._kept, None
        if kept is not None:
            with suppress(psycopg.Error):
                kept.close()

    def _connected(self, deadline: Deadline) -> Connection:
        self.close()
        self._kept = self._connect(deadline, self._name)
        return self._kept

    def _read(self, connection: Connection, work: Callable[[Reader], Any], deadline: Deadline) -> Any:
        try:
            count_request()
            with _watched(connection, deadline), connection.transaction(force_rollback=True):
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                connection.execute(_LIMIT_STATEMENT, {"ms": _milliseconds(deadline), "local": True})
                return work(Reader(connection))
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                self.close()
            raise sorted_error(error, self.place) from None

    def _connect(self, deadline: Deadline, name: str) -> Connection:
        given = dict(self._parameters())
        self.place = place_of(given)
        given.update(
            application_name=name,
            client_encoding="UTF8",
            connect_timeout=str(max(SHORTEST_CONNECT_SECONDS, math.ceil(deadline.left))),
            **{key: str(value) for key, value in KEEPALIVE.items()},
        )
        try:
            connection = _left_behind_when_late(lambda: _open(given), deadline)
        except TimeoutError:
            raise SystemUnreachable(f"{self.place}: no answer to a connect within {deadline.seconds:.3g} s") from None
        except psycopg.Error as error:
            raise sorted_error(error, self.place) from None
        return connection


_LIMIT_STATEMENT: LiteralString = "SELECT set_config('statement_timeout', %(ms)s, %(local)s)"


def _milliseconds(deadline: Deadline) -> str:
    return str(max(1, int(deadline.left * 1000)))


def _answer(cursor: psycopg.Cursor[Row], place: str) -> str:
    """What the first row says first. Raises NotSupported for a no."""
    row = cursor.fetchone() if cursor.description is not None else None
    first = next(iter(row.values()), None) if row else None
    if cursor.rowcount == 0 or first is False:
        said = "it answered false" if row else "it touches no row"
        raise NotSupported(f"{place}: {said}, and was rolled back: nothing was done")
    return "" if first is None else str(first)[:MESSAGE_CHARACTERS]


def _open(parameters: Mapping[str, str]) -> Connection:
    words = psycopg.conninfo.make_conninfo("", **parameters)
    connection = psycopg.connect(words, autocommit=True, row_factory=dict_row, prepare_threshold=None)
    for name in TEXT_TYPES:
        connection.adapters.register_loader(name, _RawText)
    return connection


def _left_behind_when_late(make: Callable[[], Connection], deadline: Deadline) -> Connection:
    """What `make` gives within the deadline. A connection that comes later is closed by its own thread."""
    answers: queue.SimpleQueue[Connection | BaseException] = queue.SimpleQueue()
    lock, late = threading.Lock(), threading.Event()

    def run() -> None:
        try:
            answer: Connection | BaseException = make()
        except BaseException as error:  # noqa: BLE001 - raised again below, on the thread that asked
            answer = error
        with lock:
            if late.is_set() and isinstance(answer, psycopg.Connection):
                answer.close()
            answers.put(answer)

    threading.Thread(target=run, daemon=True, name="headway-sql-connect").start()
    try:
        answer = answers.get(timeout=deadline.left)
    except queue.Empty:
        with lock:
            late.set()
        with suppress(queue.Empty):
            in_between = answers.get_nowait()
            if isinstance(in_between, psycopg.Connection) and not in_between.closed:
                in_between.close()
        raise TimeoutError from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


@contextmanager
def _watched(connection: Connection, deadline: Deadline) -> Iterator[None]:
    """Shuts the connection's socket when the deadline passes inside the block: libpq then gives up its wait."""
    lock, over = threading.Lock(), threading.Event()

    def cut() -> None:
        with lock:
            if over.is_set() or connection.closed:
                return
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(deadline.left, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        timer.cancel()


def place_of(parameters: Mapping[str, str]) -> str:
    """host:port/database as user, without any secret."""
    host = parameters.get("host") or parameters.get("hostaddr") or "local socket"
    where = f"{host}:{parameters.get('port') or 5432}/{parameters.get('dbname') or parameters.get('user') or ''}"
    return f"{where} as {parameters['user']}" if parameters.get("user") else where


def words_of(error: psycopg.Error) -> str:
    """The server's own first words, or libpq's, on one line."""
    text = error.diag.message_primary or " ".join(str(error).split())
    return text[:MESSAGE_CHARACTERS] or type(error).__name__


BY_STATE: Mapping[str, type[ConnectorError]] = {
    "08": SystemUnreachable,
    "08P01": AnswerUnfit,  # protocol_violation: no PostgreSQL speaks there
    "25": AnswerUnfit,  # a standby took over and is read-only
    "28": AccessRefused,
    "3D": AccessRefused,
    "40": AnswerUnfit,  # rolled back for the sake of others, or of a standby's recovery
    "42501": RightMissing,
    "53": TooBusy,  # connections, memory, other limits
    "53100": AnswerUnfit,  # disk_full
    "55": AnswerUnfit,
    "55006": TooBusy,  # object_in_use
    "55P03": TooBusy,  # lock_not_available
    "57": AnswerUnfit,  # starts, recovers
    "57014": TooBusy,  # query_canceled: it was too slow for the time that a call has
    "57P01": SystemUnreachable,  # admin_shutdown
    "57P02": SystemUnreachable,  # crash_shutdown
    "57P04": AccessRefused,  # database_dropped
    "57P05": SystemUnreachable,  # idle_session_timeout
    "58": AnswerUnfit,  # its disk, its files
    "F0": AnswerUnfit,  # its configuration file
    "HV": AnswerUnfit,  # a foreign table's server
    "XX": AnswerUnfit,
    **dict.fromkeys(
        (
            "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "26",
            "27", "2B", "2D", "2F", "34", "38", "39", "3B", "3F", "42", "44", "54", "72", "P0",
        ),
        NotSupported,
    ),
}  # fmt: skip
"""What happens next, by SQLSTATE or its class (PostgreSQL's documentation, appendix A); any other is NotSupported."""
MEND_BY_STATE = {
    "42501": "grant this right to the role",
    "28": "check user, password and pg_hba.conf",
    "3D": "name the database in the system's settings",
    "57P04": "name another database in the system's settings",
}


def sorted_error(error: psycopg.Error, place: str) -> ConnectorError:
    """The contract's error for one of psycopg's, by SQLSTATE class, else by libpq's words."""
    state, words = error.sqlstate or "", words_of(error)
    if not state:
        return _at_the_door(place, words)
    sort = BY_STATE.get(state) or BY_STATE.get(state[:2], NotSupported)
    mend = MEND_BY_STATE.get(state) or MEND_BY_STATE.get(state[:2], "")
    return sort(f"{place}: {words} (SQLSTATE {state}){mend and f'; {mend}'}")


def _at_the_door(place: str, words: str) -> ConnectorError:
    sort = next((sort for sort, pattern in AT_THE_DOOR if pattern.search(words)), SystemUnreachable)
    mend: dict[type[ConnectorError], str] = {
        AccessRefused: ". Check user, password, database and pg_hba.conf.",
        RightMissing: ". Grant this right to the role: LOGIN, CONNECT on the database.",
    }
    return sort(f"{place}: {words}{mend.get(sort, '')}")


def _after_the_wire(error: psycopg.Error, place: str) -> ConnectorError:
    """An error with a SQLSTATE is an answer: the transaction is gone whole. A lost connection is none."""
    state = error.sqlstate or ""
    if not state or state.startswith(("08", "57P")):
        return OutcomeUnknown(f"{place}: sent, and the answer was lost: {words_of(error)}")
    return sorted_error(error, place)
