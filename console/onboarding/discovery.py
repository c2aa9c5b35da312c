"""Discovery: runs every detector in order of presentation, and asks schedulers of this machine: crontabs, PostgreSQL
with pg_cron.

A detector that fails hides no other.
"""

from __future__ import annotations

import os
import pwd
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sdk.contract import Probe
from connectors.sdk.errors import ConnectorError
from connectors.sdk.fields import masked_head
from connectors.sdk.records import Inventory
from connectors.sdk.registry import UnknownKind, load
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from console.onboarding import answers, local_files
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness, unique_name, with_unique_names
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    import psycopg


MAX_JOBS_SHOWN = 3
"""At most so many files that cron ignores are shown; `headway check` lists all."""


def crontabs(machine: Machine) -> Iterator[DetectedScheduler]:
    """The crontabs of this machine that its user may read, if there are any."""
    settings: dict[str, Any] = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
    where = "/etc/crontab, /etc/cron.d, crontabs of users"
    scheduler = DetectedScheduler(
        "cron", "crontabs of this machine", where, WatchReadiness.NEEDS, "", None, "cron", "cron", settings
    )
    try:
        inventory, probe = probe_target("cron", settings, machine.host, machine.seconds)
    except (ConnectorError, UnknownKind) as error:
        yield replace(scheduler, note=str(error))
        return
    if not inventory.jobs and not inventory.skipped and inventory.complete:
        return
    missing = missing_rights_text(probe)
    spread = Counter(job.run_as or "?" for job in inventory.jobs)
    note = "of " + ", ".join(f"{user} {number}" for user, number in spread.most_common(6))
    note += "".join(f"; {skip.where}: {skip.reason}" for skip in inventory.skipped[:MAX_JOBS_SHOWN])
    note = "\n".join([missing or note, *(text for text in probe.notes if ". Fix: " in text)])
    ready = WatchReadiness.NEEDS if missing else WatchReadiness.NOW
    yield replace(scheduler, ready=ready, note=note, jobs=len(inventory.jobs))


def probe_target(kind: str, settings: Mapping[str, Any], target: str, seconds: float) -> tuple[Inventory, Probe]:
    """A target's inventory and rights. Raises ConnectorError or UnknownKind."""
    loaded = load(kind)
    own = {name: value for name, value in settings.items() if name != "timezone"}
    with closing(loaded.open(loaded.options.model_validate(own), target, SecretStore())) as connector:
        return connector.inventory("", seconds), connector.probe(seconds)


def missing_rights_text(probe: Probe) -> str:
    """The missing rights with their fix; empty if none."""
    missing = [right for right in probe.rights if right.held is False and right.needed_for == "view"]
    return "\n".join(f"{right.why}. Fix: {right.fix}" for right in missing)


ENTER = """SELECT datname FROM pg_database
WHERE datallowconn AND has_database_privilege(oid, 'CONNECT') AND datname <> current_database() ORDER BY datname"""
PG_CRON_QUERY = "SELECT 1 FROM pg_extension WHERE extname = 'pg_cron'"


def databases(machine: Machine) -> Iterator[DetectedScheduler]:
    """PostgreSQL servers of this machine, and which of them have pg_cron."""
    for host, port in _servers(machine):
        yield from _database(machine, host, port)


def _servers(machine: Machine) -> Iterator[tuple[str, int]]:
    """Folder of the socket, or address, and port: from the environment, then from every socket."""
    named, port = machine.env.get("PGHOST", ""), _port(machine.env.get("PGPORT", ""))
    if named and "," not in named:
        yield named, port
    for folder in machine.sockets:
        for path in sorted(folder.glob(".s.PGSQL.*")):
            number = path.name.rpartition(".")[2]
            if number.isdigit() and (str(folder), int(number)) != (named, port) and _is_trusted(path):
                yield str(folder), int(number)


def _is_trusted(socket: Path) -> bool:
    """True if the socket belongs to root, the server or this user: any user may create one in /tmp and receive
    PGPASSWORD."""
    try:
        owner = socket.stat().st_uid
        return owner in (0, os.getuid()) or pwd.getpwuid(owner).pw_name == "postgres"
    except (OSError, KeyError):
        return False


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else 5432


def _database(machine: Machine, host: str, port: int) -> Iterator[DetectedScheduler]:
    user = machine.env.get("PGUSER") or machine.env.get("USER") or "headway"
    name = "pg" if port == 5432 else f"pg-{port}"
    settings = _settings(machine, host, port, user)
    scheduler = DetectedScheduler(
        f"pg_cron:{port}", "PostgreSQL", f"{host}:{port}", WatchReadiness.NEEDS, "", None, name, "pg_cron", settings
    )
    database, why = _cron_database(machine, host, port, user)
    if why:
        yield replace(scheduler, note=f"whether it has pg_cron is not known: {why}")
    if not database:
        return
    settings["dbname"] = database
    scheduler = replace(
        scheduler, title="PostgreSQL with pg_cron", where=f"{host}:{port}, database {database}, as {user}"
    )
    try:
        inventory, probe = probe_target("pg_cron", settings, host, machine.seconds)
    except (ConnectorError, UnknownKind) as error:
        yield replace(scheduler, note=str(error))
        return
    missing = missing_rights_text(probe)
    ready = WatchReadiness.NEEDS if missing else WatchReadiness.NOW
    yield replace(scheduler, ready=ready, note=missing or probe.version, jobs=len(inventory.jobs))


def _cron_database(machine: Machine, host: str, port: int, user: str) -> tuple[str, str]:
    """The database of pg_cron, or why it is unknown; both empty if the server has none."""
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError:
        return "", 'Fix: pip install "headway[pg_cron]"'
    # autocommit: a refused query does not abort a transaction
    connect = partial(psycopg.connect, host=host, port=port, user=user, connect_timeout=3, autocommit=True)
    first = ""
    for database in dict.fromkeys((machine.env.get("PGDATABASE") or "postgres", "postgres")):
        deadline = Deadline(machine.seconds)
        try:
            with connect(dbname=database) as connection:
                return _find_cron_database(connection, connect, deadline)
        except psycopg.errors.UndefinedObject:
            return "", ""
        except psycopg.Error as error:
            first = first or masked_head(re.sub(r"\s+", " ", str(error)).strip(), 200)
    return "", f"{first}. Fix: a login for {user}, or PGUSER and PGPASSWORD; see headway connector grants pg_cron"


def _find_cron_database(
    connection: psycopg.Connection[Any], connect: Callable[..., psycopg.Connection[Any]], deadline: Deadline
) -> tuple[str, str]:
    """As `_cron_database`, by a connection to one of the server's databases. Raises UndefinedObject without pg_cron."""
    import psycopg  # noqa: PLC0415 - an extra

    try:
        row = connection.execute("SHOW cron.database_name").fetchone()
        return str(row[0]) if row else "", ""
    except psycopg.errors.InsufficientPrivilege:  # the setting is hidden from this user, its extension is not
        pass
    if connection.execute(PG_CRON_QUERY).fetchone() is not None:
        return connection.info.dbname, ""
    names = [str(name) for (name,) in connection.execute(ENTER)]
    for name in names:
        with suppress(psycopg.Error):
            if deadline.left > 0:
                with connect(dbname=name) as database_connection:
                    if database_connection.execute(PG_CRON_QUERY).fetchone() is not None:
                        return name, ""
    searched = ", ".join([connection.info.dbname, *names])
    return "", (
        f"the server has pg_cron, but no database that {connection.info.user} may enter has it ({searched}). "
        f"Fix: GRANT CONNECT on the one that SHOW cron.database_name names to a superuser"
    )


def _settings(machine: Machine, host: str, port: int, user: str) -> dict[str, Any]:
    """Settings of the system; a password is a reference to libpq's source, never the password itself."""
    password = {"password": {"env": "PGPASSWORD"}} if machine.env.get("PGPASSWORD") else {}
    database = machine.env.get("PGDATABASE") or "postgres"
    return {"host": host, "port": port, "dbname": database, "user": user, **password, "timezone": machine.zone}


def database_agent(dsn: str, seconds: float) -> str:
    """The kind of job agent in a database: "pg_cron", "pgagent", or "" for neither. Raises psycopg.Error."""
    import psycopg  # noqa: PLC0415 - an extra

    with psycopg.connect(dsn, connect_timeout=max(2, int(seconds)), autocommit=True) as connection:
        if connection.execute(PG_CRON_QUERY).fetchone() is not None:
            return "pg_cron"
        agent = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'pgagent'").fetchone()
        return "pgagent" if agent is not None else ""


DETECTORS: tuple[tuple[str, Callable[[Machine], Iterator[DetectedScheduler]]], ...] = (
    ("crontabs", crontabs),
    ("systemd timers", local_files.timers),
    ("an Airflow home", local_files.airflow),
    ("PostgreSQL with pg_cron", databases),
    ("DSNs in the environment", answers.dsn_variables),
    ("~/.pgpass", answers.pgpass_servers),
    ("AWS profiles", local_files.aws),
    ("Databricks", local_files.databricks),
    ("GitHub and clones with workflows", local_files.github),
    ("dbt projects", local_files.dbt_projects),
    ("Slurm", local_files.slurm),
    ("Kubernetes", local_files.kube),
    ("~/.ssh/config", local_files.ssh_hosts),
)
"""Name and detector of each kind of finding."""


def discover(machine: Machine, progress: Callable[[str], None]) -> list[DetectedScheduler]:
    """All detected schedulers with unique keys and names ("pg", "pg-2"); `progress` receives each search's name."""
    findings: list[DetectedScheduler] = []
    for title, detector in DETECTORS:
        progress(title)
        try:
            findings += list(detector(machine))
        except Exception as error:  # noqa: BLE001 - a failing detector must not hide the findings of the others
            fault = f"detection failed: {clean_line(f'{type(error).__name__}: {error}')}"
            findings.append(DetectedScheduler("?", title, "here", WatchReadiness.NEEDS, fault))
    # A login may be in a variable and in ~/.pgpass.
    first = {finding.full_title: finding for finding in reversed(findings)}
    findings = [finding for finding in findings if not finding.is_login or first[finding.full_title] is finding]
    keys: list[str] = []
    for finding in findings:
        keys.append(unique_name(finding.key, keys))
    return [replace(finding, key=key) for finding, key in zip(with_unique_names(findings), keys, strict=True)]
