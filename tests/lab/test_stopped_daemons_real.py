"""Four schedulers whose daemon is stopped in turn while all else of them answers: each is one incident."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from console.store.db.lease import is_alive
from tests.lab import guard
from tests.lab.airflow import PASSWORDS
from tests.lab.dagster import DagsterServer
from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.process import private_folder, remove_folder, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.quiet]

CONFIG = """
[estate]
name = "night"
[systems.etl]
kind = "cron"
hosts = [{{ name = "db07", address = "127.0.0.1", port = {port} }}]
user = "headway"
key = "{key}"
known_hosts = "{known}"
poll_every = "5s"
[systems.dwh]
kind = "pg_cron"
dsn = {{ env = "DWH" }}
poll_every = "5s"
[systems.lake]
kind = "dagster"
url = "{dagster}"
poll_every = "5s"
[systems.warehouse]
kind = "airflow"
url = "{airflow}"
username = "headway"
password = {{ env = "AIRFLOW" }}
poll_every = "5s"
"""


@dataclass(frozen=True)
class Scheduler:
    """`stop` ends what starts its jobs, and nothing else."""

    system: str
    stop: Callable[[], object]
    start: Callable[[], object]


@pytest.fixture(scope="module")
def dagster() -> Iterator[DagsterServer]:
    folder = private_folder("dagster")
    server = DagsterServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        remove_folder(folder)


def kill_cron(estate: Estate) -> None:
    pid = estate.db07.pid_of("cron")
    guard.send(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "cron to be gone")


def restart_postgres(estate: Estate, *options: str) -> None:
    estate.postgres.stop()
    estate.postgres.start(*options)


def test_each_of_four_daemons_that_stops_is_told_within_two_minutes_as_one_incident_that_ends_with_it(
    fresh: Estate, dagster: DagsterServer, tmp_path: Path
) -> None:
    host, postgres, airflow = fresh.db07, fresh.postgres, fresh.airflow
    later = cron_of(next_minute(timedelta(hours=6)))
    CronJobs(host).schedule({"load": later})
    postgres.schedule("load", later, "SELECT 1")
    airflow.schedule("load_orders", later)
    dagster.start_schedule("minute_bell")
    config = tmp_path / "headway.toml"
    config.write_text(
        CONFIG.format(
            port=host.port, key=host.key, known=host.known_hosts, dagster=dagster.url, airflow=airflow.url
        )
    )  # fmt: skip
    headway = Headway(config, DWH=postgres.dsn(role="headway_view"), AIRFLOW=PASSWORDS["headway"])
    schedulers = (
        Scheduler("etl", lambda: kill_cron(fresh), lambda: host.run("root", "/usr/sbin/cron")),
        Scheduler("dwh", lambda: restart_postgres(fresh, "-c", "shared_preload_libraries="),
                  lambda: restart_postgres(fresh)),
        Scheduler("lake", dagster.stop_daemon, dagster.start_daemon),
        Scheduler("warehouse", lambda: airflow.freeze("scheduler"), lambda: airflow.thaw("scheduler")),
    )  # fmt: skip
    with headway.running_engine():
        systems = {scheduler.system for scheduler in schedulers}
        wait_until(lambda: systems <= polled(headway), "all four to be read", pause=0.5)
        for scheduler in schedulers:
            stopped_at = time.monotonic()
            scheduler.stop()
            wait_until(lambda: titles(headway), f"an incident of {scheduler.system}", pause=0.5)
            took = time.monotonic() - stopped_at
            (title,) = titles(headway)
            assert title.startswith(scheduler.system)
            assert title.endswith(" starts nothing")
            assert took <= 120, (scheduler.system, took)
            scheduler.start()
            wait_until(lambda: not titles(headway), f"the end of {scheduler.system}'s incident", pause=0.5)


def titles(headway: Headway) -> list[str]:
    return [str(incident["title"]) for incident in headway.json("incident", "list")]


def polled(headway: Headway) -> set[str]:
    return {str(row["system"]) for row in headway.json("system") if row["last_ok"] is not None}
