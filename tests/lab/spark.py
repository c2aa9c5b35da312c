"""A Spark history server on a free port, and the applications of `spark_night.py`, whose event logs it reads."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.lab.needs import JAVA_HOME
from tests.lab.process import Daemon, ask, clean_environment, free_port, wait_until
from tests.lab.venvs import spark_environment

NIGHT = Path(__file__).with_name("spark_night.py")
LAST = "load_stock"
SETTINGS = """\
spark.driver.memory 512m
spark.ui.enabled false
spark.eventLog.enabled true
spark.eventLog.compress false
spark.eventLog.dir {events}
spark.history.fs.logDirectory {events}
spark.history.fs.update.interval 1s
spark.history.ui.port {port}
"""
"""Logs are not compressed, so that `add_earlier_log` can change the instants in one."""


class SparkHistory:
    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._events, self._stock = folder / "events", folder / "stock.csv"
        environment = spark_environment()
        [home] = environment.glob("lib/python3*/site-packages/pyspark")
        python = str(environment / "bin/python")
        own = clean_environment(
            HOME=str(folder), JAVA_HOME=str(JAVA_HOME), SPARK_HOME=str(home), SPARK_CONF_DIR=str(folder),
            SPARK_LOG_DIR=str(folder), SPARK_NO_DAEMONIZE="1", SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=python,
            SPARK_DAEMON_MEMORY="256m", JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        )  # fmt: skip
        self._server = Daemon([str(home / "sbin/start-history-server.sh")], folder / "server.log", own)
        self._night = Daemon([python, str(NIGHT), str(self._stock)], folder / "night.log", own)

    def start(self) -> None:
        """Starts the server and the applications; all but the last have ended, and that runs, when this returns."""
        self._events.mkdir()
        settings = SETTINGS.format(events=self._events.as_uri(), port=self.port)
        (self._folder / "spark-defaults.conf").write_text(settings)
        self._server.start()
        self._night.start()
        self._server.wait_ready(self._answers, "the history server to answer")
        self._night.wait_ready(lambda: LAST in self._is_completed(), f"{LAST} to be listed")

    def end_night(self) -> None:
        """Lets the last application die, and waits until the server has read so."""
        self._stock.touch()
        wait_until(lambda: all(self._is_completed().values()), "all applications to be listed as completed")

    def add_earlier_log(self, application_id: str, earlier: timedelta) -> str:
        """Adds a copy of an application's log with earlier instants, and returns its id once it is listed."""
        milliseconds = earlier // timedelta(milliseconds=1)

        def moved(text: str) -> str:
            return re.sub(r"\b\d{13}\b", lambda instant: str(int(instant[0]) - milliseconds), text)

        log, copied_id = self._events / f"eventlog_v2_{application_id}", moved(application_id)
        copy = self._folder / "copy"
        copy.mkdir()
        for path in log.glob("[!.]*"):
            (copy / moved(path.name)).write_text(moved(path.read_text()))
        copy.rename(self._events / moved(log.name))
        wait_until(lambda: copied_id in {row["id"] for row in self.applications()}, f"{copied_id} to be listed")
        return copied_id

    def stop(self) -> None:
        self._night.stop()
        self._server.stop()

    def applications(self) -> list[dict[str, Any]]:
        """As the server lists them."""
        reply = ask("GET", f"{self.url}/api/v1/applications")
        rows: list[dict[str, Any]] = reply.raise_for_status().json()
        return rows

    def _answers(self) -> bool:
        """Whether its API does: a server that starts answers 200 without a body for a moment."""
        try:
            return "spark" in ask("GET", f"{self.url}/api/v1/version").text
        except httpx.TransportError:
            return False

    def _is_completed(self) -> dict[str, bool]:
        """Application name -> whether it is listed as completed."""
        return {row["name"]: row["attempts"][0]["completed"] for row in self.applications()}
