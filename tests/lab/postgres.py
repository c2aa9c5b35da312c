"""A private PostgreSQL 15 with pg_cron, run as user postgres; also the PostgreSQL of the store tests.

pg_cron lives in database `ops`. Roles: `lab` (superuser) and `etl` (owns jobs), trusted on loopback, and with passwords
`headway_view` and `headway_act` (what `connectors/pg_cron/grants.sql` gives them, here as logins) and `headway_blind`
(SELECT, but row security hides the others' rows).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tests.lab.needs import POSTGRES_BIN
from tests.lab.process import Daemon, LabError, free_port, wait_until
from tests.lab.venvs import CACHE, only_one

SUPERUSER = "lab"
CRON_DATABASE = "ops"
PASSWORDS = {"headway_view": "view-pw", "headway_blind": "blind-pw", "headway_act": "act-pw"}
GRANTS = Path(__file__).parents[2] / "connectors" / "pg_cron" / "grants.sql"

SETTINGS = """
listen_addresses='127.0.0.1'
fsync=off
full_page_writes=off
wal_level=minimal
max_wal_senders=0
jit=off
shared_preload_libraries='pg_cron'
cron.database_name='ops'
cron.host='127.0.0.1'
cron.log_run=on
max_worker_processes=32
max_connections=100
password_encryption='scram-sha-256'
log_line_prefix='%m [%p] %u@%d '
"""
# pg_cron connects as a job's owner and brings no password: owners are trusted on loopback, Headway's roles are not.
ACCESS = """\
local all lab                  trust
host  all lab,etl 127.0.0.1/32 trust
host  all all     127.0.0.1/32 scram-sha-256
"""
READ_GRANTS: tuple[LiteralString, ...] = (
    "GRANT USAGE ON SCHEMA cron TO {role}",
    "GRANT SELECT ON cron.job, cron.job_run_details TO {role}",
)


class PostgresServer:
    """One cluster in `folder`, on a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self._numbers = itertools.count(1)
        self._daemon: Daemon | None = None
        self._administrator: psycopg.Connection[Any] | None = None

    # -- life -------------------------------------------------------------------------------------------------------
    def start(self, *options: str) -> None:
        """Makes the cluster where it is not there yet, starts it, waits until it answers. LabError with its log."""
        is_new = not self.data.exists()
        if is_new:
            self._initialise()
        argv = self._as_postgres("postgres", "-D", str(self.data), *options)
        self._daemon = Daemon(argv, self.log, self._environment(), last_signal=signal.SIGQUIT)
        self._daemon.start()
        self._daemon.wait_ready(self._answers, f"PostgreSQL on port {self.port}")
        if is_new:
            self._fill()

    def stop(self, crash: bool = False) -> None:
        """Stops the cluster, at once and without a checkpoint for a crash. Its data stays for another `start()`."""
        if self._administrator is not None:
            self._administrator.close()
        if self._daemon is not None:
            self._daemon.stop(10, signal.SIGQUIT if crash else signal.SIGINT)
            self._daemon = None

    def freeze(self) -> None:
        """Stops the postmaster and its backends (SIGSTOP): connections are accepted and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen cluster go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        children = self.children()
        assert self._daemon is not None
        for pid in (self._daemon.pid, *children):
            os.kill(pid, number)

    def children(self) -> list[int]:
        """The postmaster's processes, such as those of connections."""
        if self._daemon is None:
            raise LabError("PostgreSQL is not running")
        postmaster = self._daemon.pid
        return list(map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()))

    # -- reaching it ------------------------------------------------------------------------------------------------
    def dsn(self, database: str = CRON_DATABASE, role: str = SUPERUSER) -> str:
        """A libpq URL, with the role's password where it has one."""
        password = f":{PASSWORDS[role]}" if role in PASSWORDS else ""
        return f"postgresql://{role}{password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, prefix: str = "store") -> str:
        """The DSN of a fresh, empty database of this cluster, owned by the superuser."""
        name = f"{prefix}_{next(self._numbers)}"
        self.administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        """Drops what `create_database` made, ending the connections that are still there."""
        name = sql.Identifier(dsn.rpartition("/")[2])
        self.administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def administer(self, command: sql.Composed) -> None:
        """Executes a command about databases on the one connection that stays open for them: each test makes one and
        drops it."""
        if self._administrator is None or self._administrator.closed:
            self._administrator = psycopg.connect(self.dsn("postgres"), autocommit=True)
        self._administrator.execute(command)

    def execute(
        self,
        statement: LiteralString | sql.Composed,
        *values: object,
        database: str = CRON_DATABASE,
        role: str = SUPERUSER,
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement on a connection of its own, committed; no rows for a command."""
        with psycopg.connect(self.dsn(database, role), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def run_script(self, script: bytes) -> None:
        """Runs several statements in database `ops` as the superuser."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(script)

    # -- jobs -------------------------------------------------------------------------------------------------------
    def schedule(self, name: str, schedule: str, statement: str, role: str = "etl") -> int:
        """The jobid of a new (or changed) pg_cron job, owned by `role`; the minute is pg_cron's smallest unit."""
        rows = self.execute("SELECT cron.schedule(%s, %s, %s)", name, schedule, statement, role=role)
        return int(rows[0][0])

    def unschedule(self, name: str, role: str = "etl") -> None:
        """Removes a job; its runs stay in job_run_details."""
        self.execute("SELECT cron.unschedule(%s)", name, role=role)

    def runs(self, jobid: int) -> list[tuple[str, str]]:
        """(status, message) of each run of one job, oldest first."""
        rows = self.execute(
            "SELECT status, return_message FROM cron.job_run_details WHERE jobid = %s ORDER BY runid", jobid
        )
        return [(str(status), str(message or "")) for status, message in rows]

    # -- building ---------------------------------------------------------------------------------------------------
    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._call(["cp", "-a", str(self._cluster()), str(self.data)])
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}port={self.port}\nunix_socket_directories='{self.folder}'\n")
        (self.data / "pg_hba.conf").write_text(ACCESS)

    def _cluster(self) -> Path:
        """What initdb makes in half a second of CPU, once, in the user's cache folder."""
        options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        folder = CACHE / f"postgres-15-{hashlib.sha256(repr(options).encode()).hexdigest()[:12]}"
        with only_one("postgres.lock"):
            if not folder.exists():
                fresh, copy = self.folder / "fresh", folder.with_suffix(".new")
                self._call(self._as_postgres("initdb", "-D", str(fresh), *options))
                shutil.rmtree(copy, ignore_errors=True)
                self._call(["mv", str(fresh), str(copy)])
                copy.rename(folder)
        return folder

    def _call(self, argv: list[str]) -> None:
        done = subprocess.run(argv, env=self._environment(), cwd="/", capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"{' '.join(argv)} exited {done.returncode}:\n{done.stdout}{done.stderr}")

    def _as_postgres(self, program: str, *arguments: str) -> list[str]:
        identity = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        return [*identity, str(POSTGRES_BIN / program), *arguments]

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "Etc/UTC"}

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1", database="postgres")
        except psycopg.OperationalError:
            return False
        return True

    def _fill(self) -> None:
        self.execute("CREATE DATABASE ops", database="postgres")
        self.execute("CREATE EXTENSION pg_cron")
        self.execute("CREATE ROLE etl LOGIN")
        self._grant("etl", READ_GRANTS)
        for role, password in PASSWORDS.items():
            query = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            self.execute(query)
            self._grant(role, READ_GRANTS)
        self.run_script(GRANTS.read_bytes())
        self.execute("GRANT CREATE ON DATABASE ops TO etl")
        self.execute("CREATE SCHEMA etl AUTHORIZATION etl")
        self.execute("GRANT EXECUTE ON FUNCTION cron.schedule(text, text, text), cron.unschedule(name) TO etl")
        wait_until(self._launcher_is_there, "pg_cron's launcher to find its database")

    def _grant(self, role: str, statements: tuple[LiteralString, ...]) -> None:
        names = {"role": sql.Identifier(role), "role_all": sql.Identifier(f"{role}_all")}
        for statement in statements:
            self.execute(sql.SQL(statement).format(**names))

    def _launcher_is_there(self) -> bool:
        where = "WHERE backend_type = 'pg_cron launcher' AND datname = 'ops'"
        return bool(self.execute(f"SELECT pid FROM pg_stat_activity {where}"))
