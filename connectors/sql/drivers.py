"""The database of a DSN, by its scheme: SQL Server by python-tds, Oracle by oracledb (thin).

Each read and each send has a connection of its own, with the deadline of the call. Error numbers: learn.microsoft.com,
"Database engine events and errors"; docs.oracle.com, "Database error messages".
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import certifi

from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.fields import masked_head
from connectors.sdk.postgres_agent import agent_session
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.call_limits import Deadline, UninterruptedCalls, count_request, socket_watchdog
from connectors.sdk.transport.loopback import is_local_server
from connectors.sdk.transport.postgres import PostgresOptions
from connectors.sql.client import LOG_CHARACTERS, BoundQuery, SqlDatabase
from connectors.sql.options import PROCEDURE, DsnOptions
from connectors.sql.postgres import PostgresDatabase

T = TypeVar("T")
MESSAGE_CHARACTERS = 300
ROWS_AT_A_TIME = 100
_CHANGES = re.compile(r"\s*(insert|update|delete)\b", re.IGNORECASE)
_ORACLE_CALLS = UninterruptedCalls("headway-oracle")
LOCK_SHARE = 0.5
"""Share of the time that is left for a lock, so that the server's own error arrives before the deadline."""


@dataclass(frozen=True, slots=True)
class Login:
    """A DSN and the CA. `ca`: None without encryption."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
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


PORTS = {"mssql": 1433, "oracle": 1521}


def login_of(dsn: str, ref: SecretRef, ca: str | None) -> Login:
    """Raises AccessRefused, never showing what the DSN holds."""
    try:
        parts = urlsplit(dsn)
        port, query = parts.port or PORTS[parts.scheme], parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        parts, port, query = urlsplit(""), 0, {}
    has_service = parts.scheme != "oracle" or bool(parts.path.strip("/"))
    has_tls = not query.keys() - {"tls"} and query.get("tls", ["off"]) == ["off"]
    if not (parts.hostname and parts.username and has_service and has_tls):
        scheme = dsn.partition(":")[0]
        form = f"{scheme}://user:password@host:{PORTS.get(scheme, 1433)}/database, with ?tls=off for no encryption"
        raise AccessRefused(f"secret {ref.text}: not written as {form}. Fix: write :, / and @ of a password as %3A …")
    trusted = ca or ssl.get_default_verify_paths().cafile or certifi.where()
    is_plain = bool(query) or (ca is None and is_local_server(parts.hostname))
    return Login(
        parts.hostname, port, parts.path.strip("/") or "master", unquote(parts.username), unquote(parts.password or ""),
        None if is_plain else trusted,
    )  # fmt: skip


class DriverDatabase:
    """Base of a database by its DB-API driver: builds, bounds and runs the queries."""

    product: str
    clock: ClassVar[str]
    """SELECT of the time (UTC) and the version."""
    folds_names: ClassVar[bool] = False
    """Names of columns that are written without quotes come in upper case."""

    def __init__(self, login: Login) -> None:
        self._login, self.unverified = login, login.unverified

    def read(self, queries: Sequence[BoundQuery], timeout_seconds: float) -> tuple[datetime, str, list[list[Any]]]:
        def work(cursor: Any) -> tuple[datetime, str, list[list[Any]]]:
            cursor.execute(self.clock)
            now, version = cursor.fetchone()
            parts = [_dicts(self.execute(cursor, self.bounded(query), query), self.folds_names) for query in queries]
            return now.replace(tzinfo=UTC), version, [[_as_json(row) for row in rows] for rows in parts]

        return self.run(work, timeout_seconds, "headway")

    def read_texts(self, query: BoundQuery, timeout_seconds: float, work: Callable[[Iterator[str]], T]) -> T:
        def read(cursor: Any) -> T:
            return work(_texts(self.execute(cursor, self.filled(query), query)))

        return self.run(read, timeout_seconds, "headway")

    def senders(self, name: str, timeout_seconds: float) -> int:
        """Zero: an account without further rights sees its own session only. A statement of a verb writes the key
        before it acts, and `settle.unless_in_flight` waits for what may still arrive."""
        return 0

    def all_rows(self, query: BoundQuery, timeout_seconds: float) -> list[Any]:
        return self.read([query], timeout_seconds)[2][0]

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, work: Callable[[Any], T], timeout_seconds: float, name: str, sends: bool = False) -> T:
        """`work` with a cursor on a connection of its own, called `name`. Raises OutcomeUnknown only if it `sends`."""
        raise NotImplementedError

    def filled(self, query: BoundQuery) -> str:
        """Its text with the driver's places."""
        raise NotImplementedError

    def bounded(self, query: BoundQuery) -> str:
        """Inside a SELECT that bounds its rows. A list is bound as JSON."""
        raise NotImplementedError

    def execute(self, cursor: Any, text: str, query: BoundQuery) -> Any:
        """The cursor, after it executed the text with the values that it names."""
        raise NotImplementedError


class SqlServerDatabase(DriverDatabase):
    product = "SQL Server"
    clock = "SELECT SYSUTCDATETIME() AS now, CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(40)) AS version"
    casts: ClassVar[Mapping[str, str]] = {"number": "bigint", "time": "datetimeoffset"}

    def check(self, query: BoundQuery, timeout_seconds: float) -> None:
        match = PROCEDURE.match(query.text)
        if match is None:
            raise NotSupported("whether it may be sent is known of EXEC only")

        def work(cursor: Any) -> Any:
            cursor.execute(_MAY_EXECUTE, {"name": match[1]})
            return cursor.fetchone()[0]

        may = self.run(work, timeout_seconds, "headway")
        if may is None:
            raise PermissionMissing(f"{self._login.place}: no procedure {match[1]}, or no right to it")
        if not may:
            raise PermissionMissing(f"{self._login.place}: no EXECUTE on {match[1]}")

    def send(self, query: BoundQuery, timeout_seconds: float, name: str) -> str:
        def work(cursor: Any) -> str:
            self.execute(cursor, self.filled(query), query)
            row = cursor.fetchone() if cursor.description else None
            while cursor.nextset():  # an error may come behind the first rows
                pass
            return "" if row is None or row[0] is None else masked_head(str(row[0]), MESSAGE_CHARACTERS)

        return self.run(work, timeout_seconds, name, sends=True)

    def run(self, work: Callable[[Any], T], timeout_seconds: float, name: str, sends: bool = False) -> T:
        """At the deadline the socket is shut, and the server ends the statement."""
        driver, deadline, login = _driver(), Deadline(timeout_seconds), self._login
        driver_errors = (
            driver.Error,
            OSError,
            EOFError,
            LookupError,
            ValueError,
            struct.error,
            AssertionError,
            TypeError,
        )
        count_request()
        try:
            raw = socket.create_connection((login.host, login.port), timeout=max(0.001, deadline.left))
        except OSError as error:
            raise SystemUnreachable(f"{login.place}: {error}. Fix: start that server, or correct the DSN") from None
        with raw, socket_watchdog(raw.fileno(), deadline.left):
            was_sent, connection = False, None
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
                return work(cursor)
            except driver_errors as error:
                late = deadline.left <= 0
                raise _sql_server_error(error, login.place, was_sent, deadline.seconds if late else 0) from None
            finally:
                with suppress(*driver_errors):
                    if connection is not None:
                        connection.close()

    def filled(self, query: BoundQuery) -> str:
        text = query.filled("%({name})s")
        for name, kind in query.types.items():
            if kind in self.casts:
                text = text.replace(f"%({name})s", f"CAST(%({name})s AS {self.casts[kind]})")
        return text

    def bounded(self, query: BoundQuery) -> str:
        column = "q.[" + query.column.replace("]", "]]") + "]"
        numbers = "SELECT CAST(value AS bigint) FROM OPENJSON(%(missing)s)"
        select = f"SELECT TOP ({query.limit}) q.*"
        return _wrapped(select, self.filled(query), ") AS q", column, numbers, "%(key)s", query)

    def execute(self, cursor: Any, text: str, query: BoundQuery) -> Any:
        given = {name: _bound(value) for name, value in query.values.items() if f"%({name})s" in text}
        cursor.execute(text, given) if given else cursor.execute(text.replace("%%", "%"))
        return cursor


class OracleDatabase(DriverDatabase):
    product = "Oracle Database"
    folds_names = True
    clock = (
        "SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) AS now,"
        " (SELECT MAX(version) FROM product_component_version) AS version FROM dual"
    )
    casts: ClassVar[Mapping[str, str]] = {"number": "TO_NUMBER({})", "time": "TO_UTC_TIMESTAMP_TZ({})"}

    def check(self, query: BoundQuery, timeout_seconds: float) -> None:
        """Has the server parse it, not execute it."""
        self.run(lambda cursor: cursor.parse(self.filled(query)), timeout_seconds, "headway")

    def send(self, query: BoundQuery, timeout_seconds: float, name: str) -> str:
        def work(cursor: Any) -> str:
            self.execute(cursor, self.filled(query), query)
            row = cursor.fetchone() if cursor.description else None
            if cursor.rowcount == 0 and not cursor.description and _CHANGES.match(query.text):
                cursor.connection.rollback()
                raise NotSupported(f"{self._login.place}: it touches no row, and was rolled back: nothing was done")
            cursor.connection.commit()
            return "" if row is None or row[0] is None else masked_head(str(row[0]), MESSAGE_CHARACTERS)

        return self.run(work, timeout_seconds, name, sends=True)

    def run(self, work: Callable[[Any], T], timeout_seconds: float, name: str, sends: bool = False) -> T:
        """On a thread of its own: no timeout of the driver bounds a whole call. A round trip that is late is cancelled
        at the server."""
        driver, deadline, login = _oracle_driver(), Deadline(timeout_seconds), self._login
        sent: list[bool] = []
        count_request()

        def call() -> T:
            context = ssl.create_default_context(cafile=login.ca) if login.ca else None
            connection = driver.connect(
                user=login.user, password=login.password, host=login.host, port=login.port,
                service_name=login.database, protocol="tcps" if context else "tcp", ssl_context=context, program=name,
                tcp_connect_timeout=max(0.001, deadline.left), retry_count=0,
            )  # fmt: skip
            try:
                connection.call_timeout = max(1, int(deadline.left * 1000))
                cursor = connection.cursor()
                if not sends:
                    cursor.execute("SET TRANSACTION READ ONLY")
                if deadline.left <= 0:
                    raise SystemUnreachable(f"{login.place}: connected too late: nothing was sent")
                sent.append(sends)
                return work(cursor)
            finally:
                with suppress(driver.Error, OSError):
                    connection.close()

        try:
            return _ORACLE_CALLS.call(login.place, call, deadline.left)
        except (driver.Error, OSError, ValueError, LookupError, TypeError) as error:
            raise _oracle_error(error, login.place, any(sent)) from None

    def filled(self, query: BoundQuery) -> str:
        """Places are named p_…: a bind variable may not have the name of an SQL keyword."""
        text = re.sub(r"(:p_\w+)\.", r"\1_", query.filled(":p_{name}")).replace("%%", "%")
        for name, kind in query.types.items():
            if kind in self.casts:
                text = re.sub(rf":p_{name}\b", self.casts[kind].format(f":p_{name}"), text)
        return text

    def bounded(self, query: BoundQuery) -> str:
        column = 'q."' + query.column.upper().replace('"', "") + '"'
        numbers = "SELECT n FROM JSON_TABLE(:p_missing, '$[*]' COLUMNS (n NUMBER PATH '$'))"
        text = _wrapped("SELECT q.*", self.filled(query), ") q", column, numbers, ":p_key", query)
        return f"{text} FETCH FIRST {query.limit} ROWS ONLY"

    def execute(self, cursor: Any, text: str, query: BoundQuery) -> Any:
        values = {f"p_{name.replace('.', '_')}": value for name, value in query.values.items()}
        used = {name: value for name, value in values.items() if re.search(rf":{name}\b", text)}
        if lists := [name for name, value in used.items() if isinstance(value, list)]:
            cursor.setinputsizes(**dict.fromkeys(lists, _oracle_driver().DB_TYPE_CLOB))
        cursor.execute(text, {name: _bound(value) for name, value in used.items()}, fetch_lobs=False)
        return cursor


SCHEMES: Mapping[str, Callable[[Login], SqlDatabase]] = {"mssql": SqlServerDatabase, "oracle": OracleDatabase}
INSTALL = {name: f'pip install "headway[{name}]"' for name in SCHEMES}


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


_MAY_EXECUTE = "SELECT HAS_PERMS_BY_NAME(%(name)s, 'OBJECT', 'EXECUTE') AS may"


def _driver() -> Any:
    try:
        import pytds
    except ImportError as error:
        raise NotSupported(f"a DSN of mssql:// needs python-tds: {error}. Fix: {INSTALL['mssql']}") from None
    return pytds


def _oracle_driver() -> Any:
    try:
        import oracledb
    except ImportError as error:
        raise NotSupported(f"a DSN of oracle:// needs oracledb: {error}. Fix: {INSTALL['oracle']}") from None
    return oracledb


def _wrapped(
    select: str, inner: str, end: str, column: str, numbers: str, key: str, query: BoundQuery
) -> str:  # fmt: skip
    order = f" ORDER BY {column}" if query.column else ""
    rest = {"": order, "missing": f" WHERE {column} IN ({numbers}){order}", "key": f" WHERE {column} = {key}"}
    return f"{select} FROM (\n{inner}\n{end}{rest[query.only]}"


def _bound(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _dicts(cursor: Any, folds_names: bool) -> list[dict[str, Any]]:
    names = [str(column[0]) for column in cursor.description or ()]
    names = [name.lower() if folds_names and name.isupper() else name for name in names]
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
        yield from (masked_head(str(row[0] or ""), LOG_CHARACTERS) for row in rows)


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


def _sql_server_error(error: BaseException, place: str, was_sent: bool, late_seconds: float) -> ConnectorError:
    """The contract's error: an error with a number is the server's answer; after a lost connection the outcome of what
    was sent is unknown."""
    number = int(getattr(error, "msg_no", 0) or 0)
    text = (
        masked_head(" ".join(str(getattr(error, "text", "") or error).split()), MESSAGE_CHARACTERS)
        or type(error).__name__
    )
    if was_sent and (not number or number in CUT):
        return AnswerLost(f"{place}: a statement", text)
    if late_seconds:
        return SystemUnreachable(f"{place}: no answer within {late_seconds:.3g} s")
    if number:
        kind = BY_NUMBER.get(number, NotSupported)
        return kind(f"{place}: {text} (error {number}){FIXES.get(kind, '')}")
    if isinstance(error, ssl.SSLError) or type(error).__module__.startswith("OpenSSL") or "certificate" in text:
        return AccessRefused(f"{place}: {text}; check its certificate and sslrootcert, or set ?tls=off in the DSN")
    is_gone = isinstance(error, OSError | EOFError) or type(error).__name__ == "ClosedConnectionError"
    return (SystemUnreachable if is_gone else InvalidAnswer)(f"{place}: {text}")


BY_ORACLE_NUMBER: Mapping[int, type[ConnectorError]] = {
    **dict.fromkeys((1017, 12154, 12505, 12514, 28000, 28001, 28040), AccessRefused),
    **dict.fromkeys((942, 1031, 1045, 27486), PermissionMissing),
    **dict.fromkeys((18, 20, 54, 60, 1013, 4021, 12516, 12519, 12520, 30006), RateLimited),
    **dict.fromkeys((1555, 16000, 1653), InvalidAnswer),  # snapshot too old, read-only, full
    **dict.fromkeys(
        (28, 600, 603, 1012, 1033, 1034, 1089, 1092, 3113, 3114, 3135, 12170, 12537, 12541, 12545), SystemUnreachable
    ),
}
"""Number of an ORA error -> class; others are NotSupported."""


def _oracle_error(error: BaseException, place: str, was_sent: bool) -> ConnectorError:
    info = error.args[0] if error.args else None
    code, text = str(getattr(info, "full_code", "")), masked_head(" ".join(str(error).split()), MESSAGE_CHARACTERS)
    text = text or type(error).__name__
    number = int(code.removeprefix("ORA-")) if re.fullmatch(r"ORA-\d+", code) else 0
    kind = BY_ORACLE_NUMBER.get(number, NotSupported) if number else SystemUnreachable
    if was_sent and kind is SystemUnreachable:
        return AnswerLost(f"{place}: a statement", text)
    if isinstance(error, ssl.SSLError) or "certificate" in text.lower():
        return AccessRefused(f"{place}: {text}; check its certificate and sslrootcert, or set ?tls=off in the DSN")
    return kind(f"{place}: {text}{FIXES.get(kind, '')}")
