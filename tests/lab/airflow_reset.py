"""One Airflow for several nights: what a night has left is forgotten before the next one, which knows of none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.lab.airflow import AirflowServer
from tests.lab.process import wait_until

ASLEEP = "parked"
BY_ASSET = "supply_plan"
LIMIT_SECONDS = 120.0


def reset_server(server: AirflowServer) -> AirflowServer:
    """This server as if it had started now: no run, every switch at succeed, no DAG by the clock, one paused."""
    for switch in server.control.iterdir():
        if switch.name != "timetable.json":
            switch.unlink()
    (server.control / "timetable.json").write_text(json.dumps({"start_date": datetime.now(UTC).isoformat()}))
    server.reread()
    for dag in server.dag_ids:
        server.call("PATCH", f"dags/{dag}", {"is_paused": dag == ASLEEP})
    wait_until(lambda: is_quiet(server), "the end of every run of Airflow", LIMIT_SECONDS, 0.5)
    while results := runs(server):
        for run in results:
            server.call("DELETE", f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}")
    return server


def is_quiet(server: AirflowServer) -> bool:
    """Whether no run is open and none is about to be made. What an asset has queued becomes a run in one transaction,
    so it is requested first."""
    queued = server.call("GET", f"dags/{BY_ASSET}/assets/queuedEvents")["total_entries"]
    return not queued and not runs(server, "&state=queued&state=running")


def runs(server: AirflowServer, more: str = "") -> list[dict[str, Any]]:
    dag_runs: list[dict[str, Any]] = server.call("GET", f"dags/~/dagRuns?limit=100{more}")["dag_runs"]
    return dag_runs
