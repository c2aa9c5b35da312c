"""pgAgent 4.2 in a database of its own in the lab's PostgreSQL: the extension, the grants, and the agent as a process.

The agent polls each second (`-t 1`), so that a job requested now starts within seconds.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from tests.lab.needs import command
from tests.lab.postgres import PostgresServer
from tests.lab.process import Daemon, LabError, wait_until

GRANTS = Path(__file__).parents[2] / "connectors" / "pgagent" / "grants.sql"
DATABASE = "agents"


class PgAgent:
    """The tables of pgAgent in database `agents`, and one agent that works through them."""

    def __init__(self, postgres: PostgresServer) -> None:
        self.postgres = postgres
        self._daemon: Daemon | None = None

    def build(self) -> None:
        """The database, the extension and our grants."""
        self.postgres.execute("CREATE DATABASE agents", database="postgres")
        self.execute("CREATE EXTENSION pgagent")
        self.run_script(GRANTS.read_bytes())

    # -- life -------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Starts the agent and waits until it has signed in."""
        identity = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        where = f"host=127.0.0.1 port={self.postgres.port} dbname={DATABASE} user=lab"
        argv = [*identity, command("pgagent"), "-f", "-t", "1", "-r", "10", "-l", "1", where]
        home = {"PATH": "/usr/bin:/bin", "HOME": str(self.postgres.folder)}
        self._daemon = Daemon(argv, self.postgres.folder.parent / "pgagent.log", home)
        self._daemon.start()
        self._daemon.wait_ready(self.alive, "pgAgent's sign-in")

    def stop(self, kill: bool = False) -> None:
        """Ends the agent; with `kill` as a power cut would."""
        if self._daemon is not None:
            self._daemon.stop(10, signal.SIGKILL if kill else signal.SIGTERM)
            self._daemon = None

    def wait_until_ended(self) -> None:
        """Until the agent has left by itself, as it does when PostgreSQL goes away."""
        daemon = self._daemon
        if daemon is None:
            raise LabError("pgAgent was not started")
        wait_until(lambda: not daemon.is_running, "pgAgent to leave")
        self.stop()

    def alive(self) -> bool:
        """True where an agent is signed in."""
        rows = self.execute("SELECT count(*) FROM pgagent.pga_jobagent a JOIN pg_stat_activity s ON s.pid = a.jagpid")
        return bool(rows[0][0])

    # -- jobs -------------------------------------------------------------------------------------------------------
    def execute(
        self, statement: LiteralString | sql.Composed, *values: object, role: str = "lab"
    ) -> list[tuple[Any, ...]]:
        """As PostgresServer's, in database `agents`."""
        return self.postgres.execute(statement, *values, database=DATABASE, role=role)

    def run_script(self, script: bytes) -> None:
        """Runs several statements as the superuser."""
        import psycopg

        with psycopg.connect(self.postgres.dsn(DATABASE), autocommit=True) as connection:
            connection.execute(script)

    def job(self, name: str, *steps: tuple[str, str, str]) -> int:
        """The jobid of a new job without a schedule; each step is (kind `s` or `b`, code, what an error does)."""
        jobid = int(
            self.execute("INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, %s) RETURNING jobid", name)[0][0]
        )
        for number, (kind, code, on_error) in enumerate(steps, 1):
            self.execute(
                "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname, jstonerror)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                jobid, f"step {number}", kind, code, DATABASE if kind == "s" else "", on_error,
            )  # fmt: skip
        return jobid

    def each_new_year(self, jobid: int) -> None:
        """A schedule: each 1st of January at 00:00."""
        self.execute(
            "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes, jschours, jscmonthdays, jscmonths)"
            " VALUES (%s, 'new year', array_cat(ARRAY[true], array_fill(false, ARRAY[59])),"
            " array_cat(ARRAY[true], array_fill(false, ARRAY[23])),"
            " array_cat(ARRAY[true], array_fill(false, ARRAY[31])),"
            " array_cat(ARRAY[true], array_fill(false, ARRAY[11])))",
            jobid,
        )

    def run_now(self, jobid: int) -> None:
        """As pgAdmin's "Run now"."""
        self.execute("UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", jobid)

    def runs(self, jobid: int) -> list[tuple[int, str]]:
        """(jlgid, status) of each log row of one job, oldest first."""
        rows = self.execute("SELECT jlgid, jlgstatus FROM pgagent.pga_joblog WHERE jlgjobid = %s ORDER BY jlgid", jobid)
        return [(int(jlgid), str(status)) for jlgid, status in rows]

    def ran(self, jobid: int) -> str:
        """The status of its next run, once that has ended; run now."""
        before = len(self.runs(jobid))
        self.run_now(jobid)
        wait_until(lambda: [term for _, term in self.runs(jobid)[before:] if term not in "ri"], f"job {jobid} to run")
        return self.runs(jobid)[-1][1]
