"""PostgreSQL servers of this machine, and in which of their databases pg_cron lives, for a login that may hide it."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.contract import ConnectorError
from connectors.registry import UnknownKind
from connectors.transport.deadline import Deadline
from console.onboarding.finding import Finding, Machine, Ready
from console.onboarding.schedulers import ask, missing_words

if TYPE_CHECKING:
    import psycopg

ENTER = """SELECT datname FROM pg_database
WHERE datallowconn AND has_database_privilege(oid, 'CONNECT') AND datname <> current_database() ORDER BY datname"""
IS_HERE = "SELECT 1 FROM pg_extension WHERE extname = 'pg_cron'"


def databases(machine: Machine) -> Iterator[Finding]:
    """PostgreSQL servers of this machine, those with pg_cron told from the others."""
    for host, port in _servers(machine):
        yield from _database(machine, host, port)


def _servers(machine: Machine) -> Iterator[tuple[str, int]]:
    """Folder of the socket, or address, and port: what the environment names, then every socket."""
    named, port = machine.env.get("PGHOST", ""), _port(machine.env.get("PGPORT", ""))
    if named and "," not in named:
        yield named, port
    for folder in machine.sockets:
        for path in sorted(folder.glob(".s.PGSQL.*")):
            number = path.name.rpartition(".")[2]
            if number.isdigit() and (str(folder), int(number)) != (named, port) and _is_trusted(path):
                yield str(folder), int(number)


def _is_trusted(socket: Path) -> bool:
    """Whether it is root's, the server's or ours: anybody may put one into /tmp and be told PGPASSWORD."""
    try:
        owner = socket.stat().st_uid
        return owner in (0, os.getuid()) or pwd.getpwuid(owner).pw_name == "postgres"
    except (OSError, KeyError):
        return False


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else 5432


def _database(machine: Machine, host: str, port: int) -> Iterator[Finding]:
    user = machine.env.get("PGUSER") or machine.env.get("USER") or "headway"
    name = "pg" if port == 5432 else f"pg-{port}"
    settings = _settings(machine, host, port, user)
    found = Finding(f"pg_cron:{port}", "PostgreSQL", f"{host}:{port}", Ready.NEEDS, "", None, name, "pg_cron", settings)
    database, why = _cron_database(machine, host, port, user)
    if why:
        yield replace(found, words=f"whether it has pg_cron is not known: {why}")
    if not database:
        return
    settings["dbname"] = database
    found = replace(found, title="PostgreSQL with pg_cron", where=f"{host}:{port}, database {database}, as {user}")
    try:
        inventory, probe = ask("pg_cron", settings, host, machine.seconds)
    except (ConnectorError, UnknownKind) as error:
        yield replace(found, words=str(error))
        return
    missing = missing_words(probe)
    ready = Ready.NEEDS if missing else Ready.NOW
    yield replace(found, ready=ready, words=missing or probe.version, jobs=len(inventory.jobs))


def _cron_database(machine: Machine, host: str, port: int, user: str) -> tuple[str, str]:
    """The database in which pg_cron lives, else why nobody can tell; neither where the server has none."""
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError:
        return "", 'Mend: pip install "headway[pg_cron]"'
    first = ""
    for database in dict.fromkeys((machine.env.get("PGDATABASE") or "postgres", "postgres")):
        way = _Way(host, port, user, machine.seconds)
        try:
            with way.into(database) as connection:
                return way.told(connection)
        except psycopg.errors.UndefinedObject:
            return "", ""
        except psycopg.Error as error:
            first = first or re.sub(r"\s+", " ", str(error)).strip()[:200]
    return "", f"{first}. Mend: a login for {user}, or PGUSER and PGPASSWORD; see headway grants pg_cron"


class _Way:
    """Into the databases of one server, as one user, within so many seconds."""

    def __init__(self, host: str, port: int, user: str, seconds: float) -> None:
        self._host, self._port, self._user = host, port, user
        self._deadline = Deadline(seconds)

    def into(self, database: str) -> psycopg.Connection[Any]:
        """A connection without transactions: a question that is refused ends none. Raises psycopg.Error."""
        import psycopg  # noqa: PLC0415 - an extra

        return psycopg.connect(
            host=self._host, port=self._port, user=self._user, dbname=database, connect_timeout=3, autocommit=True
        )

    def told(self, connection: psycopg.Connection[Any]) -> tuple[str, str]:
        """The database of pg_cron, or why it is not known. Raises UndefinedObject where the server has none."""
        import psycopg  # noqa: PLC0415 - an extra

        try:
            row = connection.execute("SHOW cron.database_name").fetchone()
            return str(row[0]) if row else "", ""
        except psycopg.errors.InsufficientPrivilege:  # the setting is hidden, its extension is not
            pass
        if connection.execute(IS_HERE).fetchone() is not None:
            return connection.info.dbname, ""
        others = [str(name) for (name,) in connection.execute(ENTER)]
        if found := next(filter(self._has_it, others), ""):
            return found, ""
        looked = ", ".join([connection.info.dbname, *others])
        return "", (
            f"the server has pg_cron, in none of the databases that {self._user} may enter ({looked}). "
            f"Mend: GRANT CONNECT on the one that SHOW cron.database_name names to a superuser"
        )

    def _has_it(self, database: str) -> bool:
        import psycopg  # noqa: PLC0415 - an extra

        if self._deadline.left <= 0:
            return False
        try:
            with self.into(database) as connection:
                return connection.execute(IS_HERE).fetchone() is not None
        except psycopg.Error:
            return False


def _settings(machine: Machine, host: str, port: int, user: str) -> dict[str, Any]:
    """Of the system; a password is a reference to where libpq has it from, never the password."""
    found: dict[str, Any] = {
        "host": host,
        "port": port,
        "dbname": machine.env.get("PGDATABASE") or "postgres",
        "user": user,
    }
    if machine.env.get("PGPASSWORD"):
        found["password"] = {"env": "PGPASSWORD"}
    return {**found, "timezone": machine.zone}
