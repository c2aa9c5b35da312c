"""PostgreSQL for connectors: login settings, sessions with one deadline per call, read-only reads, errors sorted.

libpq knows a timeout for connecting and one for a statement, and none for a server that accepts and goes silent. So a
connection is made on a thread of its own, and a watchdog shuts the socket at the deadline of the call.
Each kind that lives in a database adds its own default of `dbname` to the settings.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Annotated, Any, Literal, LiteralString, Self, TypeVar

import psycopg
from psycopg import ProgrammingError, pq
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composed, Identifier, Placeholder
from pydantic import Field, model_validator

from connectors.sdk.contract import SecretResolver, ShellSession
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    DatabaseMissing,
    EncryptionRefused,
    InvalidAnswer,
    NotSupported,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.fields import masked_head
from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.call_limits import Deadline, call_on_thread, count_request, socket_watchdog
from connectors.sdk.transport.libpq import unverified_text, verified

T = TypeVar("T")
SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})

SEES_ALL_ROWS: LiteralString = """(NOT row_security_active(c.oid)
           OR (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                          AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                          AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))
               AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive
                          AND p.polcmd IN ('r', '*') AND pg_get_expr(p.polqual, p.polrelid) <> 'true'
                          AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))))"""
"""Whether row security hides no row of the table `c` (pg_class) from our role: it gives no error, only fewer rows."""


class PostgresOptions(StrictOptions):
    """The database and the login role: `dsn`, or `host` and `user` with a `password`."""

    dsn: SecretRef | None = None
    """The whole libpq connection string, as a reference because it holds a password; instead of host and user."""
    host: str | None = None
    """Name or address of the server, or the folder of its socket."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port."""
    dbname: str = "postgres"
    """The database where the scheduler's tables are."""
    user: str | None = None
    """Login role, best a member of headway_view (and of headway_act to act)."""
    password: SecretRef | None = None
    """Its password, where the server requires one."""
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None = None
    """libpq's sslmode; by default verify-full, on this machine prefer. `check` reports a weaker one each time."""
    sslrootcert: FilePath | None = None
    """The CA that verify-ca and verify-full trust; libpq's root.crt, else the machine's own, when not given."""
    require_auth: Annotated[str, formatted_like(r"!?[a-z0-9-]+(,!?[a-z0-9-]+)*", "scram-sha-256,md5")] | None = None
    """libpq's require_auth; by default scram-sha-256, on this machine any. `check` reports a weaker one each time."""
    act_schema: Annotated[str, formatted_like(r"[a-z_][a-z0-9_]{0,62}", "headway")] = "headway"
    """Schema of the functions that grants.sql makes."""

    @model_validator(mode="after")
    def one_way_in(self) -> Self:
        parts = [name for name in ("host", "user", "password") if getattr(self, name) is not None]
        if self.dsn is not None and parts:
            raise ValueError(f"dsn already names host and user: drop {', '.join(parts)}")
        if self.dsn is None and (self.host is None or self.user is None):
            raise ValueError("either dsn, or host and user (with password), is needed")
        return self


def targets(options: PostgresOptions) -> list[str]:
    """The one target: the host, or "database" where only the secret dsn knows it."""
    return [options.host or "database"]


def endpoint(options: PostgresOptions, _target: str) -> str:
    """ "db07:5432"; empty where only the secret dsn knows it."""
    return f"{options.host}:{options.port}" if options.host else ""


def connection_parameters(options: PostgresOptions, secrets: SecretResolver) -> Mapping[str, str]:
    """libpq's keywords with secrets resolved. Raises AccessRefused, never showing what the dsn holds."""
    if options.dsn is not None:
        try:
            given = {key: str(value) for key, value in conninfo_to_dict(secrets(options.dsn)).items()}
        except ProgrammingError:
            text = options.dsn.text
            raise AccessRefused(
                f"secret {text}: not a libpq connection string (postgresql://user:password@host/db)"
            ) from None
        return verified(given)
    parameters = {
        "host": options.host,
        "port": options.port,
        "dbname": options.dbname,
        "user": options.user,
        "password": secrets(options.password) if options.password is not None else None,
        "sslmode": options.sslmode,
        "sslrootcert": options.sslrootcert,
        "require_auth": options.require_auth,
    }
    return verified({key: str(value) for key, value in parameters.items() if value is not None})


def psql_shell(options: PostgresOptions, _target: str, secrets: SecretResolver) -> ShellSession:
    """`psql`, signed in as the connector is: all settings in libpq's variables (PostgreSQL's documentation,
    "Environment Variables"); those without one in the arguments, except secrets."""
    named = {
        default.keyword.decode(): default.envvar.decode() for default in pq.Conninfo.get_defaults() if default.envvar
    }
    given = connection_parameters(options, secrets)
    environment = {named[key]: value for key, value in given.items() if key in named}
    rest = {key: value for key, value in given.items() if key not in named and key not in SECRET}
    return ShellSession(("psql", *((make_conninfo("", **rest),) if rest else ())), environment)


def quoted(name: str) -> str:
    """A role as an SQL identifier."""
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'


def scram_verifier(password: str, salt: bytes) -> str:
    """The password as PostgreSQL stores it (RFC 5803), so that no script or log has to contain it."""
    iterations = 4096
    salted = hashlib.pbkdf2_hmac("sha256", unicodedata.normalize("NFKC", password).encode(), salt, iterations)
    client, server = (hmac.digest(salted, key, "sha256") for key in (b"Client Key", b"Server Key"))
    stored = hashlib.sha256(client).digest()
    texts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{texts[0]}${texts[1]}:{texts[2]}"


def login_script(role: str, of: str, password: str = "") -> str:
    """SQL that makes the role a login and a member of the role `of` in grants.sql; running it again changes nothing but
    the password, if there is one."""
    name, literal = quoted(role), "'" + quoted(role).replace("'", "''") + "'"
    secret = f" PASSWORD '{scram_verifier(password, secrets.token_bytes(16))}'" if password else ""
    member = f"GRANT {of} TO {name};\n" if role not in ("headway_act", of) else ""  # headway_act has what view has
    return (
        f"\n-- The login of Headway.\nDO $$ BEGIN IF to_regrole({literal}) IS NULL THEN CREATE ROLE {name}; END IF; END"
        f" $$;\nALTER ROLE {name} LOGIN{secret};\n{member}"
    )


PostgresRow = dict[str, Any]
Connection = psycopg.Connection[PostgresRow]

MESSAGE_CHARACTERS = 300
ROWS_AT_A_TIME = 100
TEXT_TYPES = ("text", "varchar", "bpchar", "name")
SHORTEST_CONNECT_SECONDS = 2  # libpq takes a smaller connect_timeout for 2
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

CONNECT_STATES: tuple[tuple[type[ConnectorError], re.Pattern[str]], ...] = tuple(
    (error_type, re.compile(text, re.IGNORECASE))
    for error_type, text in (
        (PermissionMissing, r"permission denied for database|not permitted to log in"),
        (AccessRefused, r"authentication failed|no pg_hba\.conf entry|pg_hba\.conf rejects|authentication method"),
        (DatabaseMissing, r"database \".*\" does not exist"),
        (AccessRefused, r"role \".*\" does not exist|no password supplied"),
        (EncryptionRefused, r"certificate|server does not support SSL|authentication method requirement"),
        (RateLimited, r"too many (clients|connections)|connection slots are reserved|no more connections allowed"),
        (InvalidAnswer, r"\bFATAL:|(invalid|unexpected) response|expected authentication request"),
    )
)
"""A failed connect has no SQLSTATE, only libpq's message; the first matching pattern counts (English; messages in
another lc_messages are InvalidAnswer). Other messages are libpq's own: SystemUnreachable."""
FIX_OF_REFUSAL = tuple(
    (re.compile(text, re.IGNORECASE), f". Fix: {fix}.")
    for text, fix in (
        ("does not support SSL", "turn on TLS there, or set sslmode to disable (in a DSN: ?sslmode=disable)"),
        ("no password supplied", "add the password"),
        ("password authentication failed", "correct the user or its password"),
        (r"pg_hba\.conf", "let this user, database and address in by a line of its pg_hba.conf"),
        ("certificate|SSL", "set sslrootcert to its CA's file, or accept any (in a DSN: ?sslmode=require)"),
        ("method requirement", "store the role's password as scram-sha-256, or set require_auth"),
        ('database ".*" does not exist', "name another database"),
        ('role ".*" does not exist', "name another user"),
        ("", "check user, password, database and pg_hba.conf"),
    )
)
"""Of a refused connect, the first that matches."""
LIBPQ_QUESTION = re.compile(r" Is the server running [^?]{0,400}\?")
"""The question of libpq behind "Connection refused", left out before a fix."""
UNREACHABLE_FIX = ". Fix: start that server, or correct its host and port."


class _RawText(Loader):
    """Text as the server has it: bytes that are not UTF-8 survive as surrogates instead of failing the row."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


class PostgresReader:
    """A read-only transaction with one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(
        self, statement: LiteralString | Composed, values: Mapping[str, object] | None = None
    ) -> list[PostgresRow]:
        """All rows; the statement itself limits their number and the length of their texts."""
        return self._connection.execute(statement, values).fetchall()

    def row(self, statement: LiteralString | Composed, values: Mapping[str, object] | None = None) -> PostgresRow:
        """The one row of a statement that always has one."""
        return self.rows(statement, values)[0]

    def stream(self, statement: LiteralString | Composed, values: Mapping[str, object]) -> Iterator[PostgresRow]:
        """The rows, some of which are in memory at a time."""
        with self._connection.cursor(name="headway_each") as cursor:
            cursor.itersize = ROWS_AT_A_TIME
            yield from cursor.execute(statement, values)

    def plan(self, statement: SQL, places: int) -> None:
        """Has the server plan a statement with as many values ($1 …), without executing it. The server checks names,
        types and permissions; values are NULL, so that no call is folded away before its permission is checked."""
        values = SQL(", ").join([SQL("NULL")] * places)
        self._connection.execute("DEALLOCATE ALL")
        self._connection.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)")
        self._connection.execute(SQL("PREPARE headway_plan AS ") + statement)
        self._connection.execute(
            SQL("EXPLAIN EXECUTE headway_plan") + (SQL("(") + values + SQL(")") if places else SQL(""))
        )


SESSIONS: LiteralString = """
SELECT count(*) AS alive FROM pg_stat_activity WHERE application_name = %(name)s AND pid <> pg_backend_pid()
"""


def session_name(key: str) -> str:
    """application_name of the session that sends an action: while it lives, the action may still arrive."""
    return f"headway act {key}"[:63]


class PostgresSession:
    """One server as one role. Keeps a connection between reads; writes go over one of their own."""

    def __init__(self, parameters: Callable[[], Mapping[str, str]], application_name: str) -> None:
        """`parameters` gives libpq's keywords, secrets resolved, each time a connection is made."""
        self._parameters = parameters
        self._name = application_name
        self._connection: Connection | None = None
        self.place = "PostgreSQL"
        """host:port/database as user, once known: for messages."""
        self.unverified: tuple[str, ...] = ()
        """`unverified_text` of the last connection."""

    @property
    def is_connected(self) -> bool:
        """True while the connection of the last read is kept for the next."""
        return self._connection is not None

    def read(self, work: Callable[[PostgresReader], T], timeout_seconds: float) -> T:
        """`work` in one read-only snapshot, repeated once where the kept connection turns out to be dead."""
        deadline = Deadline(timeout_seconds)
        if self._connection is not None:
            try:
                return self._read(self._connection, work, deadline)
            except SystemUnreachable:
                if self.is_connected or deadline.left <= 0:
                    raise  # the server answered, or the time is up
        self.close()
        self._connection = self._connect(deadline, self._name)
        return self._read(self._connection, work, deadline)

    def sessions_named(self, name: str, timeout_seconds: float) -> int:
        """The number of other sessions with this application_name. Read before their traces: the commit of a session
        that ended is then in the later snapshot."""
        return int(self.read(lambda reader: reader.row(SESSIONS, {"name": name}), timeout_seconds)["alive"])

    def call_once(
        self, schema: str, function: str, values: Mapping[str, object], timeout_seconds: float, application_name: str
    ) -> list[PostgresRow]:
        """The rows of one call of a function, its result as "done"; `values` in the order of its parameters. Committed,
        on a connection of its own named `application_name`. Raises OutcomeUnknown when it was sent and no answer came;
        any other error means that nothing happened."""
        places = SQL(", ").join(Placeholder(name) for name in values)
        statement = SQL("SELECT {}.{}({}) AS done").format(Identifier(schema), Identifier(function), places)
        with self._writing(timeout_seconds, application_name) as connection:
            return connection.execute(statement, values).fetchall()

    def transact_once(
        self, statement: SQL, values: Mapping[str, object], timeout_seconds: float, application_name: str
    ) -> str:
        """The first value of the first row of a user's statement, "" without rows; sent as by `call_once`. One that
        touches no row, or returns false, is rolled back: NotSupported. An error of the commit is OutcomeUnknown."""
        with self._writing(timeout_seconds, application_name) as connection:
            connection.execute("BEGIN")
            cursor = connection.execute(statement, values)
            row = cursor.fetchone() if cursor.description is not None else None
            first = next(iter(row.values()), None) if row else None
            if cursor.rowcount == 0 or first is False:
                text = "it answered false" if row else "it touches no row"
                raise NotSupported(f"{self.place}: {text}, and was rolled back: nothing was done")
            try:
                connection.execute("COMMIT")
            except psycopg.Error as error:
                text = error_text(error)
                raise OutcomeUnknown(f"{self.place}: sent, and its commit was not answered well: {text}") from None
            return "" if first is None else masked_head(str(first), MESSAGE_CHARACTERS)

    @contextmanager
    def _writing(self, timeout_seconds: float, application_name: str) -> Iterator[Connection]:
        """A connection for one write, on which nothing was sent yet. Errors inside are errors after sending."""
        deadline = Deadline(timeout_seconds)
        connection = self._connect(deadline, application_name)
        try:
            if deadline.left <= 0:  # this process was suspended meanwhile
                text = f"connected too late, after {deadline.seconds:.3g} s: nothing was sent"
                raise SystemUnreachable(f"{self.place}: {text}")
            try:
                with _watched(connection, deadline):
                    connection.execute(_LIMIT_STATEMENT, {"ms": _milliseconds(deadline), "local": False})
            except psycopg.Error as error:
                raise sorted_error(error, self.place) from None
            try:
                with _watched(connection, deadline):
                    yield connection
            except psycopg.Error as error:
                raise _after_sending(error, self.place) from None
        finally:
            connection.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _read(self, connection: Connection, work: Callable[[PostgresReader], T], deadline: Deadline) -> T:
        try:
            count_request()
            with _watched(connection, deadline), connection.transaction(force_rollback=True):
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                connection.execute(_LIMIT_STATEMENT, {"ms": _milliseconds(deadline), "local": True})
                return work(PostgresReader(connection))
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                self.close()
                if deadline.left <= 0:  # cut by `_watched`, whatever the driver calls it
                    text = f"{self.place}: no answer within {deadline.seconds:.3g} s"
                    raise SystemUnreachable(text) from None
            raise sorted_error(error, self.place) from None

    def _connect(self, deadline: Deadline, name: str) -> Connection:
        given = dict(self._parameters())
        self.place, self.unverified = server_of(given), unverified_text(given)
        given.update(
            application_name=name,
            client_encoding="UTF8",
            connect_timeout=str(max(SHORTEST_CONNECT_SECONDS, math.ceil(deadline.left))),
            **{key: str(value) for key, value in KEEPALIVE.items()},
        )
        try:
            return call_on_thread(lambda: _open(given), deadline.left, "headway-sql-connect", Connection.close)
        except TimeoutError:
            text = f"no answer to a connect within {deadline.seconds:.3g} s{UNREACHABLE_FIX}"
            raise SystemUnreachable(f"{self.place}: {text}") from None
        except psycopg.Error as error:
            reason = sorted_error(error, self.place)
            if type(reason) is SystemUnreachable and not error.sqlstate:
                raise SystemUnreachable(f"{reason}{UNREACHABLE_FIX}") from None
            raise reason from None


_LIMIT_STATEMENT: LiteralString = "SELECT set_config('statement_timeout', %(ms)s, %(local)s)"


def _milliseconds(deadline: Deadline) -> str:
    return str(max(1, int(deadline.left * 1000)))


def _open(parameters: Mapping[str, str]) -> Connection:
    conninfo = make_conninfo("", **parameters)
    connection = psycopg.connect(conninfo, autocommit=True, row_factory=dict_row, prepare_threshold=None)
    for name in TEXT_TYPES:
        connection.adapters.register_loader(name, _RawText)
    return connection


def _watched(connection: Connection, deadline: Deadline) -> AbstractContextManager[None]:
    return socket_watchdog(connection.fileno(), deadline.left)


def server_of(parameters: Mapping[str, str]) -> str:
    """host:port/database as user, without any secret."""
    host = parameters.get("host") or parameters.get("hostaddr") or "local socket"
    where = f"{host}:{parameters.get('port') or 5432}/{parameters.get('dbname') or parameters.get('user') or ''}"
    return f"{where} as {parameters['user']}" if parameters.get("user") else where


def error_text(error: psycopg.Error) -> str:
    """The server's own first text, or libpq's, on one line."""
    text = error.diag.message_primary or LIBPQ_QUESTION.sub("", " ".join(str(error).split()))
    return masked_head(text, MESSAGE_CHARACTERS) or type(error).__name__


BY_STATE: Mapping[str, type[ConnectorError]] = {
    "08": SystemUnreachable,
    "08P01": InvalidAnswer,  # protocol_violation: no PostgreSQL speaks there
    "25": InvalidAnswer,  # a standby took over and is read-only
    "28": AccessRefused,
    "3D": AccessRefused,
    "40": InvalidAnswer,  # rolled back for the sake of others, or of a standby's recovery
    "42501": PermissionMissing,
    "53": RateLimited,  # connections, memory, other limits
    "53100": InvalidAnswer,  # disk_full
    "55": InvalidAnswer,
    "55006": RateLimited,  # object_in_use
    "55P03": RateLimited,  # lock_not_available
    "57": InvalidAnswer,  # starts, recovers
    "57014": RateLimited,  # query_canceled: it was too slow for the time that a call has
    "57P01": SystemUnreachable,  # admin_shutdown
    "57P02": SystemUnreachable,  # crash_shutdown
    "57P04": AccessRefused,  # database_dropped
    "57P05": SystemUnreachable,  # idle_session_timeout
    "58": InvalidAnswer,  # its disk, its files
    "F0": InvalidAnswer,  # its configuration file
    "HV": InvalidAnswer,  # a foreign table's server
    "XX": InvalidAnswer,
    **dict.fromkeys(
        (
            "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "26",
            "27", "2B", "2D", "2F", "34", "38", "39", "3B", "3F", "42", "44", "54", "72", "P0",
        ),
        NotSupported,
    ),
}  # fmt: skip
"""SQLSTATE or its class -> error (PostgreSQL's documentation, appendix A); any other is NotSupported."""
FIX_BY_STATE = {
    "42501": "grant this right to the role",
    "28P01": "correct the user or its password",
    "28": "check user, password and pg_hba.conf",
    "3D": "name the database in the system's settings",
    "57P04": "name another database in the system's settings",
}


def sorted_error(error: psycopg.Error, place: str) -> ConnectorError:
    """The contract's error for one of psycopg's, by SQLSTATE class, else by libpq's text."""
    state, text = error.sqlstate or "", error_text(error)
    if state:
        error_type = BY_STATE.get(state) or BY_STATE.get(state[:2], NotSupported)
        fix = FIX_BY_STATE.get(state) or FIX_BY_STATE.get(state[:2], "")
        return error_type(f"{place}: {text} (SQLSTATE {state}){fix and f'; {fix}'}")
    error_type = next((error_type for error_type, pattern in CONNECT_STATES if pattern.search(text)), SystemUnreachable)
    fix = ""
    if error_type in (AccessRefused, DatabaseMissing, EncryptionRefused):
        fix = next(fix for pattern, fix in FIX_OF_REFUSAL if pattern.search(text))
    elif error_type is PermissionMissing:
        fix = ". Grant this right to the role: LOGIN, CONNECT on the database."
    return error_type(f"{place}: {text}{fix}")


def _after_sending(error: psycopg.Error, place: str) -> ConnectorError:
    """A SQLSTATE means that the transaction was rolled back; after a lost connection the outcome is unknown."""
    state = error.sqlstate or ""
    if not state or state.startswith(("08", "57P")):
        return AnswerLost(f"{place}: a statement", error_text(error))
    return sorted_error(error, place)
