"""One Airflow for several nights: what a night has left is forgotten before the next one, which knows of none."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime

from tests.lab.airflow import AirflowServer
from tests.lab.process import wait_until

ASLEEP = "parked"


def reset_server(server: AirflowServer) -> AirflowServer:
    """This server as if it had started now: no run, every switch at succeed, no DAG by the clock, one paused."""
    for switch in server.control.iterdir():
        if switch.name != "timetable.json":
            switch.unlink()
    (server.control / "timetable.json").write_text(json.dumps({"start_date": datetime.now(UTC).isoformat()}))
    server.reread()
    for dag in server.dag_ids:
        server.call("PATCH", f"dags/{dag}", {"is_paused": dag == ASLEEP})
    wait_until(lambda: is_quiet(server), "the end of every run of Airflow")
    with contextlib.closing(sqlite3.connect(server.database, timeout=60)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")  # with their tasks, tries and notes
        connection.execute("DELETE FROM dag_run")
        connection.commit()
    return server


def is_quiet(server: AirflowServer) -> bool:
    """Whether no run is open and none is about to be made. What an asset has queued becomes a run at one go."""
    [(busy,)] = server.rows(
        "SELECT EXISTS (SELECT 1 FROM dag_run WHERE state IN ('queued', 'running'))"
        " OR EXISTS (SELECT 1 FROM asset_dag_run_queue)"
    )
    return not busy
