"""MariaDB and MySQL sessions for connectors: one deadline per call, read-only reads, errors sorted.

PyMySQL has a timeout per read only; a watchdog shuts the socket at the deadline of the call.
Error numbers: MariaDB's knowledge base, "MariaDB Error Code Reference".
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pymysql
from pymysql.cursors import DictCursor

from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    EncryptionRefused,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.fields import masked_head
from connectors.sdk.transport.call_limits import Deadline, count_request, socket_watchdog
from connectors.sdk.transport.loopback import is_local_server

if TYPE_CHECKING:
    _Base = pymysql.Connection[DictCursor]
else:
    _Base = pymysql.Connection  # generic in its stubs alone


Row = dict[str, Any]
T = TypeVar("T")
CLIENT_NUMBERS = range(2000, 3000)
Tls = Literal["off", "prefer", "require", "verify"]
MESSAGE_CHARACTERS = 300
NOT_READABLE = (1044, 1109, 1142, 1143, 1146)
"""No right to a table, or no such table."""
CUT = (1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031)
"""The server or the connection ended: a sent statement may have been executed."""
UNREACHABLE = (2002, 2003, 2005, 2006, 2013, 2055)
"""PyMySQL's own numbers of a server that is not there, or went away; its others are of answers that fit no such
server."""
BY_NUMBER: Mapping[int, type[ConnectorError]] = {
    **dict.fromkeys((*CUT, *UNREACHABLE), SystemUnreachable),
    1045: AccessRefused,
    1049: AccessRefused,  # no such database
    1129: AccessRefused,  # blocked after too many failures, until FLUSH HOSTS
    1130: AccessRefused,  # no such account from this host
    **dict.fromkeys((1251, 1524, 1698, 1820, 1862, 2026, 3118, 3159, 4151), AccessRefused),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370, 1449), PermissionMissing),
    1040: RateLimited,  # too many connections
    1203: RateLimited,  # too many of this account
    1226: RateLimited,  # another limit of it
    **dict.fromkeys((1037, 1038, 1041, 1135), RateLimited),  # no memory, no thread
    **dict.fromkeys((1205, 1213), RateLimited),  # a lock was not available
    **dict.fromkeys((1317, 1969, 3024), RateLimited),  # it was too slow for the time that a statement has
    1021: InvalidAnswer,  # disk full
    **dict.fromkeys((1290, 1836), InvalidAnswer),  # read-only, as a replica is
}
"""Error number -> class. Other numbers of the library are InvalidAnswer, of the server NotSupported."""
GARBAGE = (pymysql.MySQLError, OSError, ValueError, IndexError, struct.error, AssertionError, AttributeError)
"""Errors of PyMySQL, also those for answers that no MySQL server sends."""


@dataclass(frozen=True, slots=True)
class MySqlLogin:
    """Where the server is and who signs in, the secret resolved."""

    host: str
    port: int
    user: str
    password: str
    tls: Tls | None
    """None: verify, on this machine prefer."""
    ssl_ca: str | None

    @property
    def place(self) -> str:
        """host:port as user, without any secret."""
        return f"{self.host}:{self.port} as {self.user}"

    @property
    def effective_tls(self) -> Tls:
        return self.tls or ("prefer" if is_local_server(self.host) else "verify")

    @property
    def unverified(self) -> tuple[str, ...]:
        """Settings weaker than the default for another machine, with their danger; empty without one."""
        if is_local_server(self.host) or self.effective_tls == "verify":
            return ()
        danger = "the server is not verified, another one may read and change all data"
        return (f'tls = "{self.tls}": {danger}. Fix: leave it out',)


_Connection: TypeAlias = "pymysql.Connection[DictCursor]"


class MySqlReader:
    """A read-only transaction with one snapshot."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Mapping[str, object] | Sequence[object] | None = None) -> list[Row]:
        """All rows; the statement itself limits their number and the length of their texts."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def rows_if_readable(self, statement: str, values: Mapping[str, object] | None = None) -> list[Row] | None:
        """As `rows`; None where the account may not read the table, or it does not exist."""
        try:
            return self.rows(statement, values)
        except pymysql.MySQLError as error:
            if _number(error) in NOT_READABLE:
                return None
            raise


class MySqlSession:
    """One server as one account. Keeps a connection between reads; writes go over one of their own."""

    def __init__(self, login: Callable[[], MySqlLogin]) -> None:
        self._login = login
        self._kept: _Connection | None = None
        self.place = "MariaDB"
        """host:port as user, once known: for messages."""
        self.unverified: tuple[str, ...] = ()
        """As of the last login."""

    def read(self, work: Callable[[MySqlReader], T], timeout_seconds: float) -> T:
        """`work` in one read-only snapshot, repeated once where the kept connection turns out to be dead."""
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
        """One statement, committed, on a connection of its own. Raises OutcomeUnknown when it was sent and no answer
        came; any other error means that nothing happened."""
        deadline = Deadline(timeout_seconds)
        connection = self._connect(deadline)
        try:
            if deadline.left <= 0:  # this process was suspended meanwhile
                raise SystemUnreachable(f"{self.place}: connected too late: nothing was sent")
            with _watched(connection, deadline), connection.cursor() as cursor:
                cursor.execute(statement, values)
        except GARBAGE as error:
            raise _after_sending(error, self.place) from None
        finally:
            _close(connection)

    def close(self) -> None:
        connection, self._kept = self._kept, None
        if connection is not None:
            _close(connection)

    def _read(self, connection: _Connection, work: Callable[[MySqlReader], T], deadline: Deadline) -> T:
        try:
            count_request()
            with _watched(connection, deadline):
                reader = MySqlReader(connection)
                reader.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                answer = work(reader)
                connection.rollback()
                return answer
        except GARBAGE as error:
            self.close()
            raise sorted_error(error, self.place) from None

    def _connect(self, deadline: Deadline) -> _Connection:
        login = self._login()
        self.place, self.unverified = login.place, login.unverified
        try:
            connection = _connect(login)
            raw = socket.create_connection((login.host, login.port), timeout=max(0.001, deadline.left))
            raw.settimeout(None)
            with socket_watchdog(raw.fileno(), deadline.left):
                connection.connect(raw)
        except GARBAGE as error:
            raise sorted_error(error, login.place) from None
        return connection


class _NoClearPassword(_Base):
    """A connection to a server that is not verified. It answers challenges and never sends the password itself, neither
    in clear nor with a public key that the server names: a false server could read it."""

    def _request_authentication(self) -> None:
        if getattr(self, "_auth_plugin_name", "") == "sha256_password":  # sends it with its first packet
            raise self._refusal()
        super()._request_authentication()  # type: ignore[misc]

    def write_packet(self, payload: bytes) -> None:
        password: bytes = self.password
        if password and payload in (password, password + b"\0", *PUBLIC_KEY_REQUESTS):
            raise self._refusal()
        super().write_packet(payload)

    def _refusal(self) -> pymysql.MySQLError:
        text = "the server requests the password itself, and its certificate is not verified: nothing was sent"
        return pymysql.err.OperationalError(TLS_NEEDED, text)


PUBLIC_KEY_REQUESTS = (b"\1", b"\2")
"""Of sha256_password and caching_sha2_password."""
TLS_NEEDED = 2026  # CR_SSL_CONNECTION_ERROR


def _connect(login: MySqlLogin) -> _Connection:
    context: ssl.SSLContext | None = None
    tls = login.effective_tls
    if tls in ("require", "verify"):
        context = ssl.create_default_context(cafile=login.ssl_ca)
        context.check_hostname = tls == "verify"
        context.verify_mode = ssl.CERT_REQUIRED if tls == "verify" else ssl.CERT_NONE
    is_trusted = tls == "verify" or is_local_server(login.host)
    return (pymysql.Connection if is_trusted else _NoClearPassword)(
        host=login.host,
        port=login.port,
        user=login.user,
        password=login.password,
        charset="utf8mb4",
        cursorclass=DictCursor,
        autocommit=True,
        defer_connect=True,
        ssl=context,
        ssl_disabled=tls == "off",
        init_command="SET time_zone = '+00:00'",
        program_name="headway",
    )


def _watched(connection: _Connection, deadline: Deadline) -> AbstractContextManager[None]:
    sock = getattr(connection, "_sock", None)
    return nullcontext() if sock is None else socket_watchdog(sock.fileno(), deadline.left)


def _close(connection: _Connection) -> None:
    with suppress(*GARBAGE):
        connection.close()


def _number(error: BaseException) -> int:
    number = error.args[0] if error.args and isinstance(error, pymysql.MySQLError) else 0
    return number if isinstance(number, int) else 0


def sorted_error(error: BaseException, place: str) -> ConnectorError:
    """The contract's error for one of PyMySQL's, by its number."""
    number = _number(error)
    message = f"{place}: {error_text(error)}{f' (error {number})' if number else ''}"
    cause = getattr(error, "original_exception", error)
    if number == 2026 or isinstance(cause, ssl.SSLError):
        return EncryptionRefused(f"{message}; check tls and ssl_ca of the system, and the server's certificate")
    if not number:
        return (SystemUnreachable if isinstance(error, OSError) else InvalidAnswer)(message)
    error_type = BY_NUMBER.get(number) or (InvalidAnswer if number in CLIENT_NUMBERS else NotSupported)
    fix: dict[type[ConnectorError], str] = {
        AccessRefused: "; check user, password and host of the account",
        PermissionMissing: "; grant this right to the account",
    }
    return error_type(f"{message}{fix.get(error_type, '')}")


def error_text(error: BaseException) -> str:
    """The message of the server or the library, on one line."""
    text = str(error.args[1]) if isinstance(error, pymysql.MySQLError) and len(error.args) > 1 else str(error)
    return masked_head(" ".join(text.split()), MESSAGE_CHARACTERS) or type(error).__name__


def _after_sending(error: BaseException, place: str) -> ConnectorError:
    """The error of a write: an error of the server is its answer; after a lost connection the outcome is unknown."""
    number = _number(error)
    if not number or number in CLIENT_NUMBERS or number in CUT:
        return AnswerLost(f"{place}: a statement", error_text(error))
    return sorted_error(error, place)
