"""A luigid of our own on a free port, and workers that run the pipeline of tests/lab/luigi_tasks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx

from tests.lab.process import HANGS_SECONDS, Daemon, ask, clean_environment, free_port
from tests.lab.venvs import luigi_environment

TASKS = Path(__file__).with_name("luigi_tasks")


class Luigi:
    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._bin = luigi_environment() / "bin"
        argv = [str(self._bin / "luigid"), "--port", str(self.port), "--address", "127.0.0.1"]
        config = folder / "luigi.cfg"
        config.write_text("[scheduler]\nworker_disconnect_delay = 1\n")  # one that ended tries nothing again
        environment = clean_environment(HOME=str(folder), LUIGI_CONFIG_PATH=str(config))
        self._server = Daemon(argv, folder / "luigid.log", environment)

    def start(self) -> None:
        self._server.start()
        self._server.wait_ready(self._answers, "luigid to answer")

    def run(self, task: str, day: str) -> None:
        """Runs a task with all that it requires, until nothing more can run."""
        own = {"LAB_LUIGI_OUTPUT": str(self._folder), "PYTHONPATH": str(TASKS), "HOME": str(self._folder)}
        argv = [
            str(self._bin / "luigi"), "--module", "night", task, "--day", day, "--scheduler-host", "127.0.0.1",
            "--scheduler-port", str(self.port),
        ]  # fmt: skip
        subprocess.run(argv, env=clean_environment(**own), capture_output=True, timeout=HANGS_SECONDS, check=False)

    def stop(self) -> None:
        self._server.stop()

    def _answers(self) -> bool:
        try:
            return ask("GET", f"{self.url}/api/task_list").status_code == 200
        except httpx.TransportError:
            return False
