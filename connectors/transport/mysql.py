"""MariaDB and MySQL sessions for connectors: one deadline for a whole call, reads that cannot write, errors sorted.

PyMySQL waits for each piece of an answer on its own; so the socket is ours, and is shut when a call's time is over.
Error numbers: MariaDB's knowledge base, "MariaDB Error Code Reference".
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pymysql
from pymysql.cursors import DictCursor

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
from connectors.transport.deadline import Deadline

Row = dict[str, Any]
CLIENT_NUMBERS = range(2000, 3000)
Tls = Literal["off", "prefer", "require", "verify"]

MESSAGE_CHARACTERS = 300
NOT_READABLE = (1044, 1109, 1142, 1143, 1146)
"""No right to a table, or no such table."""
CUT = (1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031)
"""The server ended, or ended the connection: what was sent may have been done."""
NOBODY = (2002, 2003, 2005, 2006, 2013, 2055)
"""PyMySQL's own numbers of a server that is not there, or went away; its others are of answers that fit no such
server."""
BY_NUMBER: Mapping[int, type[ConnectorError]] = {
    **dict.fromkeys((*CUT, *NOBODY), SystemUnreachable),
    1045: AccessRefused,
    1049: AccessRefused,  # no such database
    1129: AccessRefused,  # a host that failed too often stays out until somebody flushes the hosts
    1130: AccessRefused,  # no such account from this host
    **dict.fromkeys((1251, 1524, 1698, 1820, 1862, 2026, 3118, 3159, 4151), AccessRefused),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370, 1449), RightMissing),
    1040: TooBusy,  # too many connections
    1203: TooBusy,  # too many of this account
    1226: TooBusy,  # another limit of it
    **dict.fromkeys((1037, 1038, 1041, 1135), TooBusy),  # no memory, no thread
    **dict.fromkeys((1205, 1213), TooBusy),  # a lock was not to be had
    **dict.fromkeys((1317, 1969, 3024), TooBusy),  # it was too slow for the time that a statement has
    1021: AnswerUnfit,  # disk full
    **dict.fromkeys((1290, 1836), AnswerUnfit),  # read-only, as a replica is
}
"""What happens next; of other numbers the library's are AnswerUnfit, the server's NotSupported."""
GARBAGE = (pymysql.MySQLError, OSError, ValueError, IndexError, struct.error, AssertionError, AttributeError)
"""What PyMySQL raises: its own errors, and others where the answer is no answer of such a server."""


@dataclass(frozen=True, slots=True)
class Login:
    """Where the server is and who signs in, the secret resolved."""

    host: str
    port: int
    user: str
    password: str
    tls: Tls
    ssl_ca: str | None

    @property
    def place(self) -> str:
        """host:port as user, without any secret."""
        return f"{self.host}:{self.port} as {self.user}"


_Connection: TypeAlias = "pymysql.Connection[DictCursor]"


class Reader:
    """A read-only transaction with one snapshot."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Mapping[str, object] | Sequence[object] | None = None) -> list[Row]:
        """All rows; the statement itself limits their number and the length of their texts."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def rows_if_readable(self, statement: str, values: Mapping[str, object] | None = None) -> list[Row] | None:
        """As `rows`; None where the account may not read the table, or there is none."""
        try:
            return self.rows(statement, values)
        except pymysql.MySQLError as error:
            if _number(error) in NOT_READABLE:
                return None
            raise


class MySqlSession:
    """One server as one account. Keeps a connection between reads; writes go over one of their own."""

    def __init__(self, login: Callable[[], Login]) -> None:
        """`login` is asked each time a connection is made."""
        self._login = login
        self._kept: _Connection | None = None
        self.place = "MariaDB"
        """host:port as user, once known: for messages."""

    def read(self, work: Callable[[Reader], Any], timeout_seconds: float) -> Any:
        """`work` in one read-only snapshot; once more on a fresh connection when the kept one turns out to be dead.

        Raises SystemUnreachable, AccessRefused or NotSupported."""
        deadline = Deadline(timeout_seconds)
        if self._kept is not None:
            try:
                return self._read(self._kept, work, deadline)
            except SystemUnreachable:
                if deadline.left <= 0:
                    raise
        self._kept = self._connect(deadline)
        return self._read(self._kept, work, deadline)

    def write_once(self, statement: str, values: Sequence[object], timeout_seconds: float) -> None:
        """One statement, committed, on a connection of its own.

        Raises OutcomeUnknown when it was sent and no answer came; any other error means that nothing happened."""
        deadline = Deadline(timeout_seconds)
        connection = self._connect(deadline)
        try:
            if deadline.left <= 0:  # this process was stopped meanwhile: nobody counts on it any more
                raise SystemUnreachable(f"{self.place}: connected too late: nothing was sent")
            with _watched(connection, deadline), connection.cursor() as cursor:
                cursor.execute(statement, values)
        except GARBAGE as error:
            raise _after_the_wire(error, self.place) from None
        finally:
            _close(connection)

    def close(self) -> None:
        """Closes the kept connection; a second time does nothing."""
        kept, self._kept = self._kept, None
        if kept is not None:
            _close(kept)

    def _read(self, connection: _Connection, work: Callable[[Reader], Any], deadline: Deadline) -> Any:
        try:
            count_request()
            with _watched(connection, deadline):
                reader = Reader(connection)
                reader.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                answer = work(reader)
                connection.rollback()
                return answer
        except GARBAGE as error:
            self.close()
            raise sorted_error(error, self.place) from None

    def _connect(self, deadline: Deadline) -> _Connection:
        login = self._login()
        self.place = login.place
        try:
            connection = _made(login)
            # TLS is wrapped around it inside: what watches needs a handle of its own, which it takes by number.
            raw = socket.create_connection((login.host, login.port), timeout=max(0.001, deadline.left))
            raw.settimeout(None)
            with _watched_socket(raw, deadline):
                connection.connect(raw)
        except GARBAGE as error:
            raise sorted_error(error, login.place) from None
        return connection


def _made(login: Login) -> _Connection:
    context: ssl.SSLContext | None = None
    if login.tls in ("require", "verify"):
        context = ssl.create_default_context(cafile=login.ssl_ca)
        context.check_hostname = login.tls == "verify"
        context.verify_mode = ssl.CERT_REQUIRED if login.tls == "verify" else ssl.CERT_NONE
    return pymysql.Connection(
        host=login.host,
        port=login.port,
        user=login.user,
        password=login.password,
        charset="utf8mb4",
        cursorclass=DictCursor,
        autocommit=True,
        defer_connect=True,
        ssl=context,
        ssl_disabled=login.tls == "off",
        init_command="SET time_zone = '+00:00'",
        program_name="headway",
    )


@contextmanager
def _watched(connection: _Connection, deadline: Deadline) -> Iterator[None]:
    sock = getattr(connection, "_sock", None)
    if sock is None:
        yield
        return
    with _watched_socket(sock, deadline):
        yield


@contextmanager
def _watched_socket(sock: socket.socket, deadline: Deadline) -> Iterator[None]:
    """Shuts the socket when the deadline passes inside the block: whoever waits for it gives up."""
    twin = socket.socket(fileno=os.dup(sock.fileno()))

    def cut() -> None:
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(deadline.left, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        twin.close()


def _close(connection: _Connection) -> None:
    with suppress(*GARBAGE):
        connection.close()


def _number(error: BaseException) -> int:
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def sorted_error(error: BaseException, place: str) -> ConnectorError:
    """The contract's error for one of PyMySQL's, by its number."""
    number = _number(error) if isinstance(error, pymysql.MySQLError) else 0
    message = f"{place}: {words_of(error)}{f' (error {number})' if number else ''}"
    cause = getattr(error, "original_exception", error)
    if number == 2026 or isinstance(cause, ssl.SSLError):
        return AccessRefused(f"{message}; check tls and ssl_ca of the system, and the server's certificate")
    if not number:
        return (SystemUnreachable if isinstance(error, OSError) else AnswerUnfit)(message)
    sort = BY_NUMBER.get(number) or (AnswerUnfit if number in CLIENT_NUMBERS else NotSupported)
    mend: dict[type[ConnectorError], str] = {
        AccessRefused: "; check user, password and host of the account",
        RightMissing: "; grant this right to the account",
    }
    return sort(f"{message}{mend.get(sort, '')}")


def words_of(error: BaseException) -> str:
    """The server's own words, or the library's, on one line."""
    text = str(error.args[1]) if isinstance(error, pymysql.MySQLError) and len(error.args) > 1 else str(error)
    return " ".join(text.split())[:MESSAGE_CHARACTERS] or type(error).__name__


def _after_the_wire(error: BaseException, place: str) -> ConnectorError:
    """An error that the server numbered is an answer; a lost connection is none."""
    number = _number(error) if isinstance(error, pymysql.MySQLError) else 0
    if not number or number in CLIENT_NUMBERS or number in CUT:
        return OutcomeUnknown(f"{place}: sent, and the answer was lost: {words_of(error)}")
    return sorted_error(error, place)
