"""Two applications of a real Spark, and its history server on a free port."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx

from tests.lab.process import Daemon, LabError, clean_environment, free_port
from tests.lab.venvs import spark_environment

NIGHT = Path(__file__).with_name("spark_night.py")
RUN_LIMIT_SECONDS = 600


class SparkHistory:
    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._python = spark_environment() / "bin/python"
        find = [str(self._python), "-c", "import pyspark; print(pyspark.__path__[0])"]
        home = subprocess.run(find, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        self._own = {"HOME": str(folder), "SPARK_HOME": home, "SPARK_LOCAL_IP": "127.0.0.1"}
        settings = {"fs.logDirectory": f"file://{folder}", "ui.port": str(self.port), "fs.update.interval": "1s"}
        java = " ".join(f"-Dspark.history.{name}={value}" for name, value in settings.items())
        argv = [f"{home}/bin/spark-class", "org.apache.spark.deploy.history.HistoryServer"]
        environment = clean_environment(**self._own, SPARK_HISTORY_OPTS=java)
        self._server = Daemon(argv, folder.with_suffix(".log"), environment)

    def start(self) -> None:
        """Runs load_orders, which ends well, and load_stock, which fails; then serves both."""
        argv = [str(self._python), str(NIGHT), str(self._folder)]
        done = subprocess.run(
            argv, env=clean_environment(**self._own), capture_output=True, text=True, timeout=RUN_LIMIT_SECONDS
        )
        if done.returncode != 0:
            raise LabError(f"the applications failed: {done.stderr[-2000:]}")
        self._server.start()
        self._server.wait_ready(self._lists_both, "the history server to list both applications", 120)

    def stop(self) -> None:
        self._server.stop()

    def _lists_both(self) -> bool:
        try:
            reply = httpx.get(f"{self.url}/api/v1/applications", timeout=5, trust_env=False)
            return reply.status_code == 200 and len(reply.json()) == 2
        except (httpx.TransportError, ValueError):
            return False
