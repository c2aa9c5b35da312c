"""A real Dagster on SQLite: a code server, a webserver, one more that is read-only, and the daemon."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.lab import venvs
from tests.lab.process import Daemon, LabError, accepts, ask, clean_environment, free_port, tail, wait_until

JOBS = Path(__file__).with_name("dagster_jobs") / "defs.py"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
INSTANCE = """telemetry: {enabled: false}
run_monitoring: {enabled: true, start_timeout_seconds: 120}
concurrency: {runs: {max_concurrent_runs: 20, tag_concurrency_limits: [{key: database, value: redshift, limit: 2}]}}
"""
WORKSPACE = "load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: lab}}\n"
LAUNCH = """mutation($p:ExecutionParams!){launchRun(executionParams:$p){__typename
... on LaunchRunSuccess{run{runId}} ... on PythonError{message}}}"""
STATUS = "query($r:ID!){runOrError(runId:$r){... on Run{status}}}"
RUNS = "query($j:String){runsOrError(filter:{pipelineName:$j}){... on Runs{results{runId}}}}"
SCHEDULES = """{repositoriesOrError{... on RepositoryConnection{nodes{schedules{name canReset
scheduleState{id status}}}}}}"""
STOP = "mutation($i:String!){stopRunningSchedule(id:$i){__typename}}"
START = "mutation($s:ScheduleSelector!){startSchedule(scheduleSelector:$s){__typename}}"
Behaviour = Literal["succeed", "fail", "hang"]


class DagsterServer:
    """One Dagster in `folder`; `url` is its webserver, `read_only_url` one that lets nobody act."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = folder / "control"
        self.control.mkdir(parents=True)
        self._ports = [free_port() for _ in range(3)]
        self.url, self.read_only_url = (f"http://127.0.0.1:{port}" for port in self._ports[1:])
        self._daemons: dict[str, Daemon] = {}
        self._ran: dict[tuple[str, Behaviour], str] = {}

    def start(self) -> DagsterServer:
        """Starts it and returns when its jobs are known. Its webserver makes the files of the instance, before two
        could do it."""
        (self.folder / "dagster.yaml").write_text(INSTANCE)
        (self.folder / "workspace.yaml").write_text(WORKSPACE.format(port=self._ports[0]))
        self._serve()
        self._webserver(self.read_only_url, "--read-only")
        return self

    def restart(self) -> None:
        """Ends all but the read-only webserver, as an upgrade does, and starts it again."""
        for name in [name for name in reversed(self._daemons) if name != self.read_only_url]:
            self._daemons.pop(name).stop(5)
        self._serve()

    def stop(self) -> None:
        """Ends its processes and their runs."""
        for daemon in reversed(self._daemons.values()):
            daemon.stop(5)
        self._daemons = {}

    def _serve(self) -> None:
        port = self._ports[0]
        code = self._daemon("code", "dagster", "api", "grpc", "-f", str(JOBS), "-h", "127.0.0.1", "-p", str(port))
        code.wait_ready(lambda: accepts(port), f"Dagster's code server on {port}")
        self._webserver(self.url)
        self.start_daemon()

    def start_daemon(self) -> None:
        self._daemon("daemon", "dagster-daemon", "run", "-w", str(self.folder / "workspace.yaml"))

    def stop_daemon(self) -> None:
        """The webserver goes on."""
        self._daemons.pop("daemon").stop(5)

    def _webserver(self, url: str, *more: str) -> None:
        port = url.rpartition(":")[2]
        argv = ["dagster-webserver", "-w", str(self.folder / "workspace.yaml"), "-h", "127.0.0.1", "-p", port, *more]
        daemon = self._daemon(url, *argv)
        daemon.wait_ready(lambda: answers(url), f"Dagster on port {port}")

    def _daemon(self, name: str, program: str, *arguments: str) -> Daemon:
        bin_folder = venvs.dagster_environment() / "bin"
        environment = clean_environment(
            PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            HOME=str(self.folder),
            DAGSTER_HOME=str(self.folder),
            DAGSTER_DISABLE_TELEMETRY="true",
            LAB_DAGSTER_CONTROL=str(self.control),
        )
        log = self.folder / f"{name.rpartition(':')[2]}.log"
        self._daemons[name] = Daemon([str(bin_folder / program), *arguments], log, environment)
        self._daemons[name].start()
        return self._daemons[name]

    # -- jobs -------------------------------------------------------------------------------------------------------
    def behave(self, job: str, how: Behaviour) -> None:
        """Sets the outcome of the next runs of a job; a hanging one reads it within half a second."""
        fresh = self.control / f".{job}.new"
        fresh.write_text(how)
        fresh.rename(self.control / job)

    def run(self, job: str, how: Behaviour = "succeed") -> str:
        """Starts a run by hand, as a person would; its id."""
        self.behave(job, how)
        selector = {"repositoryLocationName": "lab", "repositoryName": "__repository__", "jobName": job}
        launch_run = self.ask(LAUNCH, {"p": {"selector": selector, "runConfigData": {}}})["launchRun"]
        if "run" not in launch_run:
            raise LabError(f"Dagster did not launch {job}: {launch_run}")
        return str(launch_run["run"]["runId"])

    def ran(self, job: str, how: Behaviour, end: str) -> str:
        """The run that ended so, which all tests share that need one."""
        if (job, how) not in self._ran:
            self._ran[job, how] = self.run(job, how)
            self.wait_for(self._ran[job, how], end)
        return self._ran[job, how]

    def schedule(self, job: str) -> tuple[str, bool]:
        """Whether the schedule of a job is RUNNING or STOPPED, and whether somebody said so by hand."""
        row = self._schedule(job)
        return str(row["scheduleState"]["status"]), bool(row["canReset"])

    def stop_schedule(self, job: str) -> None:
        """As a person does it."""
        self.ask(STOP, {"i": self._schedule(job)["scheduleState"]["id"]})

    def start_schedule(self, job: str) -> None:
        """As a person does it."""
        place = {"repositoryLocationName": "lab", "repositoryName": "__repository__"}
        self.ask(START, {"s": {**place, "scheduleName": f"{job}_schedule"}})

    def _schedule(self, job: str) -> dict[str, Any]:
        (node,) = self.ask(SCHEDULES, {})["repositoriesOrError"]["nodes"]
        results: dict[str, Any] = next(
            schedule for schedule in node["schedules"] if schedule["name"] == f"{job}_schedule"
        )
        return results

    def runs(self, job: str) -> list[str]:
        """Ids of its runs, newest first."""
        results = self.ask(RUNS, {"j": job})["runsOrError"]["results"]
        return [str(result["runId"]) for result in results]

    def status(self, run: str) -> str:
        return str(self.ask(STATUS, {"r": run})["runOrError"]["status"])

    def wait_for(self, run: str, *statuses: str) -> str:
        """The run's status once it is one of these, by default over."""
        expected = statuses or ENDED
        wait_until(lambda: self.status(run) in expected, f"run {run} to be {expected}", pause=0.5)
        return self.status(run)

    def ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of one answer."""
        body = {"query": query, "variables": variables}
        reply = ask("POST", f"{self.url}/graphql", json=body)
        results: dict[str, Any] | None = reply.json().get("data")
        if results is None:
            logs = "\n".join(tail(daemon.log) for daemon in self._daemons.values())
            raise LabError(f"Dagster answered {reply.status_code}: {reply.text[:300]}\n{logs}")
        return results


def answers(url: str) -> bool:
    """Whether a webserver is there."""
    try:
        return ask("GET", f"{url}/server_info").status_code == 200
    except httpx.TransportError:
        return False
