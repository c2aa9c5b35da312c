"""A real Airflow 3 on SQLite with the LocalExecutor: four processes of ours, the two APIs in one each.

Its start takes 8 s of CPU, so it is begun in the background before the cheap parts are requested. In one process the
two APIs stand still for as long as SQLite waits: a request notes itself in Airflow's log table from the event loop,
which then waits for a task's report that has written and needs the same loop for its commit (3.3.2, read and seen).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.lab import guard, venvs
from tests.lab.process import Daemon, Forked, LabError, ask, clean_environment, free_port, tail, wait_until

DAGS = Path(__file__).with_name("dags")
FORKS = Path(__file__).with_name("airflow_forks.py")
DAG_IDS = ("by_interval", "caught_up", "load_orders", "mapped", "parked", "retried", "stock_count", "supply_plan")
PASSWORDS = {"admin": "admin-pw", "headway": "headway-pw", "viewer": "viewer-pw"}
"""`headway` has Airflow's role `user` (may clear and trigger), `viewer` may only look."""
ROLES = "admin:admin,headway:user,viewer:viewer"
TOUCH_SECONDS = 3.0
"""A change that comes while Airflow reads the file is not seen."""
Behaviour = Literal["succeed", "fail", "hang"]


class AirflowServer:
    """One Airflow in `folder`; `url` is its address, `PASSWORDS` its users.

    `since` is the start date of its DAGs, by default now: Airflow runs the latest instant of a schedule that lies
    between then and now at once, even without catch-up (measured).
    """

    dag_ids: tuple[str, ...] = DAG_IDS
    jobs: tuple[str, ...] = ("SchedulerJob", "DagProcessorJob")
    """What beats, in the words of its database."""
    version: str = venvs.AIRFLOW_VERSION

    def __init__(self, folder: Path, since: datetime | None = None) -> None:
        self.folder = folder
        self.control = folder / "control"
        self._dags = folder / "dags"
        self._database = folder / "airflow.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._execution_port = free_port()
        self._execution_url = f"http://127.0.0.1:{self._execution_port}"
        self._daemons: dict[str, Daemon | Forked] = {}
        self._forks: Daemon | None = None
        self._tokens: dict[str, str] = {}
        self._starter: threading.Thread | None = None
        self._is_given_up = False
        self._failure: BaseException | None = None
        self.control.mkdir(parents=True)
        began = (since or datetime.now(UTC)).isoformat()
        self._write("timetable.json", json.dumps({"start_date": began}))

    # -- life -------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begins the start in the background; `wait_ready()` says when it is usable."""
        self._starter = threading.Thread(target=self._start_and_keep_failure, name="lab-airflow", daemon=True)
        self._starter.start()

    def wait_ready(self) -> AirflowServer:
        """This server, once its API answers, its scheduler beats and every DAG is known. Raises what the start did."""
        if self._starter is None:
            raise LabError("Airflow was not started")
        self._starter.join()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Ends all its processes, workers included; a start in progress is abandoned."""
        self._is_given_up = True
        if self._starter is not None:
            self._starter.join()
        for daemon in self._daemons.values():
            guard.send(daemon.pid, signal.SIGTERM)
        for daemon in self._daemons.values():
            daemon.stop(2)
        self._daemons = {}
        if self._forks is not None:
            self._forks.stop()

    def leave_only_the_api(self) -> None:
        """Ends what makes runs; what is in its database stays as it is put there."""
        for name in list(self._daemons)[1:]:
            self._daemons.pop(name).stop(10)

    @property
    def database(self) -> Path:
        """Its metadata database, a SQLite file."""
        return self._database

    @property
    def logs(self) -> str:
        """The last lines of each of its processes."""
        return "\n".join(f"--- {name}\n{tail(daemon.log)}" for name, daemon in self._daemons.items())

    def _start_and_keep_failure(self) -> None:
        try:
            self._start()
        except BaseException as failure:  # noqa: BLE001  raised again by wait_ready, in the waiting thread
            self._failure = failure

    def _start(self) -> None:
        home = self._environment()
        if self._is_given_up:
            return
        self._prepare()
        self._launch(home, self._settings())
        self._wait("the APIs to answer", self._answers)
        self._wait("the scheduler and the DAG processor to beat", self._is_healthy)
        self._wait("every DAG to be known", self._knows_the_dags)

    def _environment(self) -> Path:
        return venvs.airflow_environment(self.version)

    def _launch(self, home: Path, settings: dict[str, str]) -> None:
        """Starts its processes, forks of one that has imported what all of them need."""
        logs = {name: self.folder / f"{name}.log" for name in self._components()}
        parameters = {name: [str(logs[name]), *texts] for name, texts in self._components().items()}
        path = self.folder / "forks.json"
        argv = [str(home / "bin/python"), "-P", str(FORKS), json.dumps(parameters), str(path)]
        self._forks = self._daemons["forks"] = Daemon(argv, self.folder / "forks.log", settings)
        self._forks.start()
        self._wait("its processes to be forked", path.exists)
        self._daemons = {name: Forked(pid, logs[name]) for name, pid in json.loads(path.read_text()).items()}

    def _components(self) -> dict[str, list[str]]:
        return {
            "api-server": ["api-server", "--apps", "core"],
            "execution-api": ["api-server", "--apps", "execution", "--port", str(self._execution_port)],
            "scheduler": ["scheduler"],
            "dag-processor": ["dag-processor"],
        }

    def _prepare(self) -> None:
        shutil.copy(venvs.airflow_database(self.version, [["db", "migrate"]]), self._database)
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # stored in the file: readers do not block writers
        shutil.copytree(DAGS, self._dags, ignore=shutil.ignore_patterns("__pycache__"))
        passwords = self.folder / "passwords.json"
        passwords.write_text(json.dumps(PASSWORDS))
        passwords.chmod(0o600)

    def _settings(self) -> dict[str, str]:
        section = {
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}?timeout=60",  # 5 s: errors on a busy machine
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": str(self._dags),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "3",  # as many idle workers are forked
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ROLES,
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            # Of another port than the one that listens: tasks stay queued for ever.
            "CORE__EXECUTION_API_SERVER_URL": f"{self._execution_url}/execution/",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": secrets.token_hex(32),
            "API_AUTH__JWT_SECRET": secrets.token_hex(64),  # one for all processes, else workers get 403
            "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",  # else what a file says now counts half a minute later
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",  # a file that has changed is read at once
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "2",  # a loop in which nothing began takes 0.1 s
            "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "METRICS__LEGACY_NAMES_ON": "False",  # each process reads a list of them, for half a second of CPU
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        settings = {f"AIRFLOW__{name}": value for name, value in section.items()}
        home = {"AIRFLOW_HOME": str(self.folder), "HOME": str(self.folder), "LAB_AIRFLOW_CONTROL": str(self.control)}
        path = f"{venvs.AIRFLOWS[self.version].folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return clean_environment(**{**settings, **home, "PATH": path})

    def _wait(self, what: str, condition: Callable[[], object]) -> None:
        def ready_or_dead() -> object:
            running = all(daemon.is_running for daemon in self._daemons.values())
            return self._is_given_up or not running or condition()

        try:
            wait_until(ready_or_dead, f"Airflow on port {self.port}: {what}", pause=0.25)
            ended = [name for name, daemon in self._daemons.items() if not daemon.is_running]
            if self._is_given_up:
                raise LabError(f"Airflow was stopped before {what}")
            if ended:
                raise LabError(f"Airflow's {', '.join(ended)} ended before {what}")
        except LabError as error:
            raise LabError(f"{error}\n{self.logs}") from error

    def _answers(self) -> bool:
        addresses = {
            "api-server": f"{self.url}/api/v2/version",
            "execution-api": f"{self._execution_url}/execution/health",
        }
        started = addresses.keys() & self._daemons.keys()
        try:
            return all(ask("GET", addresses[name]).status_code == 200 for name in started)
        except httpx.TransportError:
            return False

    def _is_healthy(self) -> bool:
        beating = self.rows("SELECT job_type FROM job WHERE state = 'running' AND latest_heartbeat IS NOT NULL")
        return set(self.jobs) <= {job for (job,) in beating}

    def _knows_the_dags(self) -> bool:
        return set(self.dag_ids) <= self._parsed().keys()

    # -- trouble ----------------------------------------------------------------------------------------------------
    def freeze(self, component: str = "") -> None:
        """Stops the API server, or that component (SIGSTOP): connections are accepted and nobody answers; the others
        go on."""
        self._send(component, signal.SIGSTOP)

    def thaw(self, component: str = "") -> None:
        """Lets a frozen one go on."""
        self._send(component, signal.SIGCONT)

    def _send(self, component: str, number: int) -> None:
        for pid in guard.session_members(self._daemons[component or next(iter(self._daemons))].pid):
            guard.send(pid, number)

    # -- jobs -------------------------------------------------------------------------------------------------------
    def behave(self, dag_id: str, how: Behaviour) -> None:
        """Sets the outcome of the next tasks of a DAG; a hanging one reads it within half a second."""
        self._write(dag_id, how)

    def schedule(self, dag_id: str, cron: str | None, since: datetime | None = None) -> None:
        """Changes when a DAG runs (UTC; None: never by the clock) and waits until Airflow has read it. `since`: the
        start date of "caught_up", from which on it makes up for every run."""
        timetable = json.loads((self.control / "timetable.json").read_text())
        begins = {f"{dag_id}.since": since.isoformat()} if since else {}
        self._write("timetable.json", json.dumps({**timetable, dag_id: cron, **begins}))
        if self._daemons:
            self._wait_read(f"schedule {cron} of {dag_id}", lambda: self._cron_of(dag_id) == str(cron))

    def reread(self) -> None:
        """Returns when Airflow has read every DAG again: one without catch-up is due at the instant that was its latest
        when it was read last."""
        began = self._parsed()
        self._wait_read(
            "every DAG to be read anew",
            lambda: all(str(at) > str(began[dag]) for dag, at in self._parsed().items() if dag in self.dag_ids),
        )

    def _wait_read(self, what: str, condition: Callable[[], bool]) -> None:
        """Waits until Airflow has read the files of its DAGs, which it does at once when they have changed."""
        touched = -TOUCH_SECONDS

        def is_read() -> bool:
            nonlocal touched
            if time.monotonic() - touched >= TOUCH_SECONDS:
                touched = time.monotonic()
                for path in self._dags.glob("*.py"):
                    path.touch()
            return condition()

        self._wait(what, is_read)

    def _parsed(self) -> dict[str, str]:
        """When each DAG was read last, in the database's own words, which sort by time."""
        return dict(self.rows("SELECT dag_id, last_parsed_time FROM dag"))

    def _cron_of(self, dag_id: str) -> str:
        """The schedule that Airflow knows; "None" where there is none."""
        [(summary,)] = self.rows("SELECT timetable_summary FROM dag WHERE dag_id = ?", dag_id)
        return str(summary)

    def _write(self, name: str, text: str) -> None:
        fresh = self.control / f".{name}.new"
        fresh.write_text(text)
        fresh.rename(self.control / name)

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
        """Starts a run by hand under our own id."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}}
        self.call("POST", f"dags/{dag_id}/dagRuns", body)

    def state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        [(state,)] = self.rows("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return str(state)

    def wait_for(self, dag_id: str, run_id: str, state: str) -> None:
        """Returns when the run is in this state."""
        what = f"{dag_id} {run_id} to be {state}"
        wait_until(lambda: self.state(dag_id, run_id) == state, what, pause=0.2)

    def rows(self, query: str, *values: object) -> list[Any]:
        """Rows of its metadata database: an answer of its API takes 10 ms of CPU, and a wait asks hundreds of times."""
        with contextlib.closing(sqlite3.connect(self._database, timeout=60)) as connection:
            return connection.execute(query, values).fetchall()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, user: str = "admin") -> Any:
        """The JSON reply of one API call below /api/v2/. Raises httpx.HTTPStatusError on 4xx and 5xx."""
        headers = {"authorization": f"Bearer {self.token(user)}"}
        reply = ask(method, f"{self.url}/api/v2/{path}", json=body, headers=headers)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def token(self, user: str = "admin") -> str:
        """A bearer token, good for a day."""
        if user not in self._tokens:
            login = {"username": user, "password": PASSWORDS[user]}
            reply = ask("POST", f"{self.url}/auth/token", json=login)
            reply.raise_for_status()
            self._tokens[user] = reply.json()["access_token"]
        return self._tokens[user]
