"""A private MariaDB with its event scheduler, run as user mysql, on a free port of 127.0.0.1.

Accounts: `root` without a password, and with passwords `headway_view` and `headway_act` (what
`connectors/mysql_events/grants.sql` gives its roles, here as logins) and `headway_blind` (signs in, and nothing else).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql

from tests.lab.needs import command
from tests.lab.process import Daemon, LabError, free_port, wait_until

GRANTS = Path(__file__).parents[2] / "connectors" / "mysql_events" / "grants.sql"
PASSWORDS = {"headway_view": "view-pw", "headway_blind": "blind-pw", "headway_act": "act-pw"}
SETTINGS = (
    "--no-defaults", "--user=mysql", "--bind-address=127.0.0.1", "--event-scheduler=ON", "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M", "--default-time-zone=+00:00",
)  # fmt: skip


class MariaDb:
    """One server in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._daemon: Daemon | None = None

    # -- life -------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Makes the data where they are not there yet, starts the server, waits until it answers."""
        data, is_new = self.folder / "data", not (self.folder / "data").exists()
        if is_new:
            self._initialise(data)
        files = [f"--datadir={data}", f"--socket={self.folder}/s.sock", f"--pid-file={self.folder}/pid"]
        argv = [command("mariadbd"), *SETTINGS, *files, f"--port={self.port}"]
        self._daemon = Daemon(argv, self.folder / "error.log")
        self._daemon.start()
        self._daemon.wait_ready(self._answers, f"MariaDB on port {self.port}")
        if is_new:
            self._fill()

    def stop(self, crash: bool = False) -> None:
        """Stops the server; its data stay for another `start()`."""
        if self._daemon is not None:
            self._daemon.stop(20, signal.SIGKILL if crash else signal.SIGTERM)
            self._daemon = None

    # -- reaching it ------------------------------------------------------------------------------------------------
    def execute(self, statement: str, *values: object, role: str = "root") -> Sequence[Sequence[Any]]:
        """The rows of one statement on a connection of its own, committed."""
        with (
            pymysql.connect(
                host="127.0.0.1", port=self.port, user=role, password=PASSWORDS.get(role, ""), autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values or None)
            return cursor.fetchall()

    def run_script(self, path: Path) -> None:
        """A file for the command line client, as its first lines say to run it."""
        argv = [command("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{self.port}", "-uroot"]
        with path.open("rb") as script:
            done = subprocess.run(argv, stdin=script, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"{path.name}: {done.stderr}")

    # -- building ---------------------------------------------------------------------------------------------------
    def _initialise(self, data: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")
        texts = ["--no-defaults", "--user=mysql", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        argv = [command("mariadb-install-db"), *texts, "--skip-test-db"]
        done = subprocess.run(argv, cwd="/", capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"mariadb-install-db exited {done.returncode}:\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except pymysql.Error:
            return False
        return True

    def _fill(self) -> None:
        self.execute("CREATE DATABASE ops")
        self.run_script(GRANTS)
        for role, password in PASSWORDS.items():
            self.execute(f"CREATE USER {role}@'%%' IDENTIFIED BY %s", password)
        for role in ("headway_view", "headway_act"):
            self.execute(f"GRANT {role}_role TO {role}")
            self.execute(f"SET DEFAULT ROLE {role}_role FOR {role}")
        wait_until(self._scheduler_is_there, "the event scheduler")

    def _scheduler_is_there(self) -> bool:
        rows = self.execute("SELECT count(*) FROM information_schema.processlist WHERE user = 'event_scheduler'")
        return bool(rows[0][0])
