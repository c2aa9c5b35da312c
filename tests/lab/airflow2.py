"""A real Airflow 2 on SQLite with the LocalExecutor: web server and scheduler, REST API v1 with basic auth.

Its accounts are those of the lab's Airflow 3; `headway` and `viewer` have the roles that
`headway connector grants airflow` prints.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shlex
import shutil
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx

from tests.lab import venvs
from tests.lab.airflow import PASSWORDS, AirflowServer
from tests.lab.process import Daemon, ask, clean_environment, free_port

DAGS = Path(__file__).with_name("dags2")
DAG_IDS = ("by_interval", "load_orders", "mapped", "parked", "retried", "stock_count", "supply_plan")
ROLES = {"admin": "Admin", "headway": "headway_act", "viewer": "headway_view"}


class Airflow2Server(AirflowServer):
    """One Airflow 2 in `folder`; `url` is its address, `tests.lab.airflow.PASSWORDS` its users."""

    dag_ids: tuple[str, ...] = DAG_IDS
    jobs = ("SchedulerJob",)
    version = venvs.AIRFLOW2_VERSION

    def _launch(self, home: Path, settings: dict[str, str]) -> None:
        for name, texts in self._components().items():
            daemon = Daemon([str(home / "bin/airflow"), *texts], self.folder / f"{name}.log", settings)
            self._daemons[name] = daemon
            daemon.start()

    def _components(self) -> dict[str, list[str]]:
        return {"webserver": ["webserver"], "scheduler": ["scheduler"]}

    def leave_only_the_api(self) -> None:
        """Ends what makes runs, and starts the web server anew: under load one stopped to answer, for good."""
        super().leave_only_the_api()
        [webserver] = self._daemons.values()
        assert isinstance(webserver, Daemon)
        webserver.stop(10)
        webserver.start()
        self._wait("its web server to answer again", self._answers)

    def _prepare(self) -> None:
        shutil.copy(venvs.airflow_database(self.version, grants()), self._database)
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            for user, password in PASSWORDS.items():
                connection.execute("UPDATE ab_user SET password = ? WHERE username = ?", (cheap_hash(password), user))
            connection.commit()
        shutil.copytree(DAGS, self._dags, ignore=shutil.ignore_patterns("__pycache__"))

    def _settings(self) -> dict[str, str]:
        section = {
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}?timeout=60",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": str(self._dags),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "3",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "WEBSERVER__WEB_SERVER_PORT": str(self.port),
            "WEBSERVER__BASE_URL": self.url,
            "WEBSERVER__WORKERS": "1",
            "WEBSERVER__SECRET_KEY": secrets.token_hex(32),
            "SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
            "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "3600",  # a file that has changed is read at once
            "SCHEDULER__PARSING_PROCESSES": "1",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
            "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        settings = {f"AIRFLOW__{name}": value for name, value in section.items()}
        # it wants the SequentialExecutor on SQLite, which runs one task at a time: a hanging one stops all others
        more = {"_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1", "LAB_AIRFLOW_CONTROL": str(self.control)}
        home = {"AIRFLOW_HOME": str(self.folder), "HOME": str(self.folder)}
        path = f"{venvs.AIRFLOWS[self.version].folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return clean_environment(**{**settings, **more, **home, "PATH": path})

    def _answers(self) -> bool:
        try:
            return ask("GET", f"{self.url}/api/v1/version").status_code == 200
        except httpx.TransportError:
            return False

    def _cron_of(self, dag_id: str) -> str:
        [(schedule_interval,)] = self.rows("SELECT schedule_interval FROM dag WHERE dag_id = ?", dag_id)
        return str(json.loads(schedule_interval or "null"))

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
        self.call("POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "conf": conf or {}})

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, user: str = "admin") -> Any:
        """The JSON reply of one API call below /api/v1/. Raises httpx.HTTPStatusError on 4xx and 5xx."""
        where, account = f"{self.url}/api/v1/{path}", (user, PASSWORDS[user])
        reply = ask(method, where, json=body, auth=account)
        reply.raise_for_status()
        return reply.json() if reply.content else None


def cheap_hash(password: str) -> str:
    """What werkzeug's `check_password_hash` accepts, in one round: Airflow checks the password with every request, and
    its own 260,000 rounds took 0.1 s of CPU of each."""
    return f"pbkdf2:sha256:1$lab${hashlib.pbkdf2_hmac('sha256', password.encode(), b'lab', 1).hex()}"


def grants() -> list[list[str]]:
    """The accounts of a fresh metadata database, and the roles that `headway connector grants airflow` prints."""
    text = files("connectors.airflow").joinpath("grants.txt").read_text()
    printed = text.partition("# Airflow 2, to watch")[2].partition("# Either")[0].splitlines()
    roles = [shlex.split(line)[1:] for line in printed if line.startswith("airflow ")]
    named = ("--firstname", "a", "--lastname", "b", "--email")
    users = [
        ["users", "create", "-u", user, "-p", password, "-r", ROLES[user], *named, f"{user}@example.com"]
        for user, password in PASSWORDS.items()
    ]
    return [["db", "migrate"], ["sync-perm"], *roles, *users]
