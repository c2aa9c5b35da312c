"""Schedulers of this machine that answer at once: its crontabs, and PostgreSQL servers with pg_cron."""

from __future__ import annotations

import os
import pwd
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.contract import ConnectorError, Inventory, Probe
from connectors.registry import UnknownKind, load
from connectors.secrets import SecretStore
from console.onboarding.finding import Finding, Machine, Ready

SOME = 3
"""So many files that cron ignores are told; `headway check` tells all."""


def crontabs(machine: Machine) -> Iterator[Finding]:
    """The crontabs of this machine that its user may read; nothing where there are none."""
    settings: dict[str, Any] = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
    where = "/etc/crontab, /etc/cron.d, crontabs of users"
    found = Finding("cron", "crontabs of this machine", where, Ready.NEEDS, "", None, "cron", "cron", settings)
    try:
        inventory, probe = ask("cron", settings, machine.host, machine.seconds)
    except (ConnectorError, UnknownKind) as error:
        yield replace(found, words=str(error))
        return
    if not inventory.jobs and not inventory.skipped and inventory.complete:
        return
    missing = missing_words(probe)
    spread = Counter(job.run_as or "?" for job in inventory.jobs)
    words = "of " + ", ".join(f"{user} {number}" for user, number in spread.most_common(6))
    words += "".join(f"; {one.where}: {one.reason}" for one in inventory.skipped[:SOME])
    ready = Ready.NEEDS if missing else Ready.NOW
    yield replace(found, ready=ready, words=missing or words, jobs=len(inventory.jobs))


def ask(kind: str, settings: Mapping[str, Any], target: str, seconds: float) -> tuple[Inventory, Probe]:
    """What a target says of its jobs and of our rights. Raises ConnectorError or UnknownKind."""
    found = load(kind)
    options = found.options.model_validate({name: one for name, one in settings.items() if name != "timezone"})
    connector = found.open(options, target, SecretStore())
    try:
        return connector.inventory("", seconds), connector.probe(seconds)
    finally:
        connector.close()


def missing_words(probe: Probe) -> str:
    """What keeps us from seeing what runs there, with the mend; empty for nothing."""
    missing = [right for right in probe.rights if right.held is False and right.needed_for == "view"]
    return "; ".join(f"{right.why}. Mend: {right.mend}" for right in missing)


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
    database = machine.env.get("PGDATABASE", "postgres")
    try:
        with psycopg.connect(host=host, port=port, user=user, dbname=database, connect_timeout=3) as connection:
            row = connection.execute("SHOW cron.database_name").fetchone()
    except psycopg.errors.UndefinedObject:
        return "", ""
    except psycopg.Error as error:
        first = re.sub(r"\s+", " ", str(error)).strip()[:200]
        return "", f"{first}. Mend: a login for {user}, or PGUSER and PGPASSWORD; see headway grants pg_cron"
    return (str(row[0]) if row else database), ""


def _settings(machine: Machine, host: str, port: int, user: str) -> dict[str, Any]:
    """Of the system; a password is a reference to where libpq has it from, never the password."""
    found: dict[str, Any] = {"host": host, "port": port, "dbname": "postgres", "user": user}
    if machine.env.get("PGPASSWORD"):
        found["password"] = {"env": "PGPASSWORD"}
    return {**found, "timezone": machine.zone}
