"""The database of a DSN, by its scheme; SQL Server by python-tds.

Each read and each send has a connection of its own, with the deadline of the call: at it the socket is shut, and the
server ends the statement. Error numbers: learn.microsoft.com, "Database engine events and errors".
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import (
    AccessRefused,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.postgres_agent import agent_session
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.call_limits import Deadline, count_request, socket_watchdog
from connectors.sdk.transport.loopback import is_local_server
from connectors.sdk.transport.postgres import PostgresOptions
from connectors.sql.client import LOG_CHARACTERS, BoundQuery, SqlDatabase
from connectors.sql.options import PROCEDURE, DsnOptions
from connectors.sql.postgres import PostgresDatabase

T = TypeVar("T")
MESSAGE_CHARACTERS = 300
ROWS_AT_A_TIME = 100
LOCK_SHARE = 0.5
"""Share of the time that is left for a lock, so that the server's own error arrives before the deadline."""


@dataclass(frozen=True, slots=True)
class Login:
    """A DSN and the CA. `ca`: None without encryption."""

    host: str
    port: int
    database: str
    user: str
    password: str
    ca: str | None

    @property
    def place(self) -> str:
        """host:port/database as user, without any secret."""
        return f"{self.host}:{self.port}/{self.database} as {self.user}"

    @property
    def unverified(self) -> tuple[str, ...]:
        if self.ca is not None or is_local_server(self.host):
            return ()
        danger = "the server is not verified, another one may read the password and change all data"
        return (f"tls=off in the DSN: {danger}. Fix: leave it out",)


def login_of(dsn: str, ref: SecretRef, ca: str | None) -> Login:
    """Raises AccessRefused, never showing what the DSN holds."""
    try:
        parts = urlsplit(dsn)
        port, query = parts.port or 1433, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        parts, port, query = urlsplit(""), 0, {}
    if not (parts.hostname and parts.username) or query.keys() - {"tls"} or query.get("tls", ["off"]) != ["off"]:
        form = "mssql://user:password@host:1433/database, with ?tls=off where it is not encrypted"
        raise AccessRefused(f"secret {ref.text}: not written as {form}. Fix: write :, / and @ of a password as %3A …")
    trusted = ca or ssl.get_default_verify_paths().cafile
    is_plain = bool(query) or (ca is None and is_local_server(parts.hostname))
    if not (trusted or is_plain):
        raise AccessRefused(f"{parts.hostname}: this machine has no CA file. Fix: sslrootcert = its CA's file")
    return Login(
        parts.hostname, port, parts.path.strip("/") or "master", unquote(parts.username), unquote(parts.password or ""),
        None if is_plain else trusted,
    )  # fmt: skip


class SqlServerDatabase:
    product = "SQL Server"

    def __init__(self, login: Login) -> None:
        self._login, self.unverified = login, login.unverified

    def read(self, queries: Sequence[BoundQuery], timeout_seconds: float) -> tuple[datetime, str, list[list[Any]]]:
        with self._connected(timeout_seconds, "headway") as cursor:
            now = _dicts(cursor.execute(_CLOCK))[0]
            rows = [_dicts(_executed(cursor, _bounded(query), query)) for query in queries]
            return now["now"].replace(tzinfo=UTC), now["version"], [[_as_json(row) for row in part] for part in rows]

    def read_texts(self, query: BoundQuery, timeout_seconds: float, work: Callable[[Iterator[str]], T]) -> T:
        with self._connected(timeout_seconds, "headway") as cursor:
            _executed(cursor, _filled(query), query)
            return work(_texts(cursor))

    def senders(self, name: str, timeout_seconds: float) -> int:
        """Zero: an account without VIEW SERVER STATE sees its own session only. A statement of a verb writes the key
        before it acts, and `settle.unless_in_flight` waits for what may still arrive."""
        return 0

    def all_rows(self, query: BoundQuery, timeout_seconds: float) -> list[Any]:
        return self.read([query], timeout_seconds)[2][0]

    def check(self, query: BoundQuery, timeout_seconds: float) -> None:
        match = PROCEDURE.match(query.text)
        if match is None:
            raise NotSupported("whether it may be sent is known of EXEC only")
        with self._connected(timeout_seconds, "headway") as cursor:
            [held] = _dicts(cursor.execute(_MAY_EXECUTE, {"name": match[1]}))
        if held["may"] is None:
            raise NotSupported(f"{self._login.place}: no procedure {match[1]}, or no right to it")
        if not held["may"]:
            raise PermissionMissing(f"{self._login.place}: no EXECUTE on {match[1]}")

    def send(self, query: BoundQuery, timeout_seconds: float, name: str) -> str:
        with self._connected(timeout_seconds, name, sends=True) as cursor:
            _executed(cursor, _filled(query), query)
            row = cursor.fetchone() if cursor.description else None
            while cursor.nextset():  # an error may come behind the first rows
                pass
            return "" if row is None or row[0] is None else str(row[0])[:MESSAGE_CHARACTERS]

    def close(self) -> None:
        """Nothing is kept."""

    @contextmanager
    def _connected(self, timeout_seconds: float, name: str, sends: bool = False) -> Iterator[Any]:
        """A cursor on a connection of its own. Errors inside are those of a read, or of a statement that was sent."""
        driver, deadline, login = _driver(), Deadline(timeout_seconds), self._login
        garbage = (driver.Error, OSError, EOFError, LookupError, ValueError, struct.error, AssertionError, TypeError)
        count_request()
        try:
            raw = socket.create_connection((login.host, login.port), timeout=max(0.001, deadline.left))
        except OSError as error:
            raise SystemUnreachable(f"{login.place}: {error}. Fix: start that server, or correct the DSN") from None
        with raw, socket_watchdog(raw.fileno(), deadline.left):
            was_sent = False
            try:
                connection = driver.connect(
                    login.host, login.database, login.user, login.password, port=login.port, sock=raw, appname=name,
                    timeout=max(0.001, deadline.left), login_timeout=max(0.001, deadline.left), autocommit=True,
                    cafile=login.ca, disable_connect_retry=True,
                )  # fmt: skip
                cursor = connection.cursor()
                cursor.execute(f"SET LOCK_TIMEOUT {max(1, int(deadline.left * LOCK_SHARE * 1000))}")
                if deadline.left <= 0:  # this process was suspended meanwhile
                    raise SystemUnreachable(f"{login.place}: connected too late: nothing was sent")
                was_sent = sends
                yield cursor
            except garbage as error:
                late = deadline.left <= 0
                raise _sorted(error, login.place, was_sent, deadline.seconds if late else 0) from None
            finally:
                with suppress(UnboundLocalError, *garbage):
                    connection.close()


SCHEMES: Mapping[str, Callable[[Login], SqlDatabase]] = {"mssql": SqlServerDatabase}
INSTALL = {"mssql": 'pip install "headway[mssql]"'}


def open_database(options: DsnOptions | PostgresOptions, secrets: SecretResolver, scheme: str = "") -> SqlDatabase:
    """The database of the options: of `scheme`, or of any known one where it is "". Raises AccessRefused."""
    dsn = secrets(options.dsn) if options.dsn is not None else ""
    given = urlsplit(dsn).scheme if "://" in dsn[:20] else ""
    if scheme and given != scheme:
        ref = options.dsn.text if options.dsn is not None else "dsn"
        raise AccessRefused(f"secret {ref}: must begin with {scheme}://. Fix: {scheme}://user:password@host/database")
    if options.dsn is not None and given in SCHEMES:
        ca = str(options.sslrootcert) if options.sslrootcert is not None else None
        return SCHEMES[given](login_of(dsn, options.dsn, ca))
    assert isinstance(options, PostgresOptions)
    return PostgresDatabase(agent_session(options, secrets))


_CLOCK = "SELECT SYSUTCDATETIME() AS now, CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(40)) AS version"
_MAY_EXECUTE = "SELECT HAS_PERMS_BY_NAME(%(name)s, 'OBJECT', 'EXECUTE') AS may"
CASTS = {"number": "bigint", "time": "datetimeoffset"}


def _driver() -> Any:
    try:
        import pytds
    except ImportError as error:
        raise NotSupported(f"a DSN of mssql:// needs python-tds: {error}. Fix: {INSTALL['mssql']}") from None
    return pytds


def _filled(query: BoundQuery) -> str:
    text = query.filled("%({name})s")
    for name, kind in query.types.items():
        if kind in CASTS:
            text = text.replace(f"%({name})s", f"CAST(%({name})s AS {CASTS[kind]})")
    return text


def _bounded(query: BoundQuery) -> str:
    """A list is bound as JSON: the query says OPENJSON({open})."""
    column = "q.[" + query.column.replace("]", "]]") + "]"
    rest = {
        "": f" ORDER BY {column}" if query.column else "",
        "missing": f" WHERE {column} IN (SELECT CAST(value AS bigint) FROM OPENJSON(%(missing)s)) ORDER BY {column}",  # noqa: S608
        "key": f" WHERE {column} = %(key)s",
    }
    return f"SELECT TOP ({query.limit}) q.* FROM (\n{_filled(query)}\n) AS q{rest[query.only]}"  # noqa: S608 - the config's


def _executed(cursor: Any, text: str, query: BoundQuery) -> Any:
    used = {name: value for name, value in query.values.items() if f"%({name})s" in text}
    given = {name: json.dumps(value) if isinstance(value, list) else value for name, value in used.items()}
    cursor.execute(text, given) if given else cursor.execute(text.replace("%%", "%"))
    return cursor


def _dicts(cursor: Any) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, date):  # and so a datetime
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value).upper()
    return value.hex() if isinstance(value, bytes) else value


def _texts(cursor: Any) -> Iterator[str]:
    while rows := cursor.fetchmany(ROWS_AT_A_TIME):
        yield from (str(row[0] or "")[:LOG_CHARACTERS] for row in rows)


BY_NUMBER: Mapping[int, type[ConnectorError]] = {
    **dict.fromkeys((18452, 18456, 18461, 18470, 18486, 18487, 18488, 4060, 4064), AccessRefused),
    **dict.fromkeys((229, 230, 262, 297, 300, 371, 916, 15247, 14525), PermissionMissing),
    **dict.fromkeys((701, 802, 1204, 1205, 1222, 8645, 8651, 10928, 10929, 17809, 40501), RateLimited),
    **dict.fromkeys((1105, 3906, 3960, 9002, 40613), InvalidAnswer),  # full, read-only, moves
    **dict.fromkeys((596, 6001, 6002, 6005, 17142, 18451), SystemUnreachable),  # killed, shuts down, is paused
}
"""Number of an error of SQL Server -> class; others are NotSupported."""
CUT = (596, 6001, 6002, 6005)
"""After these a sent statement may have been executed."""
FIXES: Mapping[type[ConnectorError], str] = {
    AccessRefused: "; check user, password and database of the DSN",
    PermissionMissing: "; grant this right to the user",
}


def _sorted(error: BaseException, place: str, was_sent: bool, late_seconds: float) -> ConnectorError:
    """The contract's error: an error with a number is the server's answer; after a lost connection the outcome of what
    was sent is unknown."""
    number = int(getattr(error, "msg_no", 0) or 0)
    text = " ".join(str(getattr(error, "text", "") or error).split())[:MESSAGE_CHARACTERS] or type(error).__name__
    if was_sent and (not number or number in CUT):
        return OutcomeUnknown(f"{place}: sent, and the answer was lost: {text}")
    if late_seconds:
        return SystemUnreachable(f"{place}: no answer within {late_seconds:.3g} s")
    if number:
        kind = BY_NUMBER.get(number, NotSupported)
        return kind(f"{place}: {text} (error {number}){FIXES.get(kind, '')}")
    if isinstance(error, ssl.SSLError) or type(error).__module__.startswith("OpenSSL") or "certificate" in text:
        return AccessRefused(f"{place}: {text}; check its certificate and sslrootcert, or set ?tls=off in the DSN")
    is_gone = isinstance(error, OSError | EOFError) or type(error).__name__ == "ClosedConnectionError"
    return (SystemUnreachable if is_gone else InvalidAnswer)(f"{place}: {text}")
