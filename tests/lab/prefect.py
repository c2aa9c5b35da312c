"""A real Prefect 3 on SQLite: its server and one process that serves the lab's flows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.lab import venvs
from tests.lab.process import HANGS_SECONDS, Daemon, LabError, ask, clean_environment, free_port, tail, wait_until

FLOWS = Path(__file__).with_name("flows") / "flows.py"
JOBS = ("count-all/by-hand", "load-orders/nightly", "stock-count/hourly")
PASSWORD = "lab-pw"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
Behaviour = Literal["succeed", "fail", "partial", "hang"]


class PrefectServer:
    """One Prefect in `folder`; `url` is its API, its account "headway" with PASSWORD."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = folder / "control"
        self._home = folder / "home"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.control.mkdir(parents=True)
        self._daemons: list[Daemon] = []
        self._ran: dict[tuple[str, Behaviour], str] = {}

    def start(self) -> PrefectServer:
        """Starts it and returns when its API answers and its deployments are served."""
        home = venvs.prefect_environment()
        self._home.mkdir()
        shutil.copy(venvs.prefect_database(), self._home)
        environment = self._settings(home)
        server = self._daemon([str(home / "bin/prefect"), "server", "start"], "server", environment)
        server.wait_ready(self._answers, f"Prefect on port {self.port}")
        runner = self._daemon([str(home / "bin/python"), str(FLOWS)], "runner", environment)
        runner.wait_ready(self._serves, f"the flows of Prefect on port {self.port}")
        return self

    def stop(self) -> None:
        """Ends its processes; runs that go on are ended with the one that serves."""
        for daemon in reversed(self._daemons):
            daemon.stop(5)
        self._daemons = []

    def _daemon(self, argv: list[str], name: str, environment: dict[str, str]) -> Daemon:
        daemon = Daemon(argv, self.folder / f"{name}.log", environment)
        daemon.start()
        self._daemons.append(daemon)
        return daemon

    def _settings(self, home: Path) -> dict[str, str]:
        return clean_environment(
            PATH=f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            HOME=str(self.folder),
            PREFECT_HOME=str(self._home),
            PREFECT_API_URL=self.url,
            PREFECT_API_AUTH_STRING=f"headway:{PASSWORD}",
            PREFECT_SERVER_API_AUTH_STRING=f"headway:{PASSWORD}",
            PREFECT_SERVER_API_HOST="127.0.0.1",
            PREFECT_SERVER_API_PORT=str(self.port),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_UI_ENABLED="false",
            PREFECT_SERVER_DATABASE_TIMEOUT="60",  # SQLite is busy for seconds on a busy machine; else it answers 503
            PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="2",
            PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS="5",  # else 100 rows of a schedule that a test makes
            PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS="5",
            PREFECT_RUNNER_POLL_FREQUENCY="1",
            PREFECT_LOGGING_TO_API_BATCH_INTERVAL="0.5",
            DO_NOT_TRACK="1",
            LAB_PREFECT_CONTROL=str(self.control),
        )

    def _answers(self) -> bool:
        try:
            return ask("GET", f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def _serves(self) -> bool:
        return len(self.call("POST", "deployments/filter", {})) == len(JOBS)

    # -- jobs -------------------------------------------------------------------------------------------------------
    def behave(self, flow: str, how: Behaviour) -> None:
        """Sets the outcome of the next runs of a flow; a hanging one reads it within a second."""
        fresh = self.control / f".{flow}.new"
        fresh.write_text(how)
        fresh.rename(self.control / flow)

    def deployment(self, job: str) -> dict[str, Any]:
        """The row of "flow/deployment"."""
        call: dict[str, Any] = self.call("GET", f"deployments/name/{job}")
        return call

    def change(self, job: str, body: dict[str, Any]) -> None:
        self.call("PATCH", f"deployments/{self.deployment(job)['id']}", body)

    def run(self, job: str, how: Behaviour = "succeed") -> str:
        """Starts a run by hand, as a person would; its id."""
        self.behave(job.partition("/")[0], how)
        return str(self.call("POST", f"deployments/{self.deployment(job)['id']}/create_flow_run", {})["id"])

    def ran(self, job: str, how: Behaviour, end: str) -> str:
        """The run that ended so, which all tests share that need one; a rerun of it may have been an attempt since."""
        if (job, how) not in self._ran:
            self._ran[job, how] = self.run(job, how)
            self.wait_for(self._ran[job, how], end)
        return self._ran[job, how]

    def wait_for(self, run: str, *types: str) -> dict[str, Any]:
        """The run's row once it is in one of these states, by default over."""
        expected = types or ENDED
        wait_until(lambda: self.row(run)["state_type"] in expected, f"run {run} to be {expected}", pause=0.5)
        return self.row(run)

    def row(self, run: str) -> dict[str, Any]:
        call: dict[str, Any] = self.call("GET", f"flow_runs/{run}")
        return call

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON reply of one API call; retried on a server whose database was busy (5xx)."""
        replies = list[httpx.Response]()

        def is_answered() -> bool:
            replies.append(ask(method, f"{self.url}/{path}", json=body, auth=("headway", PASSWORD)))
            return replies[-1].status_code < 500

        try:
            wait_until(is_answered, f"{method} {path}", pause=1.0, grace=HANGS_SECONDS / 10)
        except LabError as error:
            log = tail(self.folder / "server.log")
            raise LabError(f"{error}: {replies[-1].status_code}: {replies[-1].text[:300]}\n{log}") from error
        replies[-1].raise_for_status()
        return replies[-1].json() if replies[-1].content else None
