"""The comparison of Airflow's database with the store finds what differs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.airflow_rows import compare

AT, END = "2026-11-20 04:00:00.000000", "2026-11-20 04:00:05.000000"
AT_US, END_US = 1_795_147_200_000_000, 1_795_147_205_000_000
TASK = {"dag_id": "etl", "run_id": "r1", "task_id": "load", "map_index": -1, "start_date": AT, "end_date": END}
RUN = {"id": 1, "dag_id": "etl", "run_id": "r1", "state": "success", "start_date": AT, "end_date": END}
NOTE, DAG = {"dag_run_id": 9, "content": ""}, {"dag_id": "etl", "is_subdag": 0}
HISTORY = {**TASK, "state": "failed", "try_number": 1}
SECOND = {**TASK, "state": "success", "try_number": 2}


def table(path: Path, **tables: list[Mapping[str, Any]]) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for name, rows in tables.items():
            connection.execute(f"CREATE TABLE {name} ({', '.join(rows[0])})")
            for row in rows:
                connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    return path


def attempt(number: int, state: str, run_id: int = 1, task: str = "load", ended_us: int = END_US) -> dict[str, Any]:
    at = {"dag": "etl", "run": "r1", **({"task": task} if task else {})}
    times = {"started_us": AT_US, "ended_us": ended_us}
    return {"run_id": run_id, "number": number, "state": state, **times, "native_ref": json.dumps(at)}


def differences(folder: Path, *attempts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Of the runs and of the tasks, by the last part of their keys."""
    folder.mkdir()
    rows: dict[str, list[Mapping[str, Any]]] = {
        "dag_run": [RUN],
        "task_instance": [SECOND],
        "task_instance_history": [HISTORY],
    }
    metadata = table(folder / "airflow.db", **rows, dag_run_note=[NOTE], dag=[DAG])
    runs, tasks = compare(metadata, table(folder / "headway.db", attempt=list(attempts)))
    assert (1, 1) == (runs.compared, tasks.compared)
    return [key[1] for key in runs.different], [key[2] for key in tasks.different]


def test_equal_rows_do_not_differ_and_each_other_state_time_or_number_of_tries_does(tmp_path: Path) -> None:
    run = attempt(1, "succeeded", 2, "")
    tries = attempt(1, "failed"), attempt(2, "succeeded")
    assert ([], []) == differences(tmp_path / "equal", run, *tries)
    assert ([], ["load"]) == differences(tmp_path / "lost try", run, tries[1])
    assert ([], ["load"]) == differences(tmp_path / "first try", run, attempt(1, "unknown"), tries[1])
    assert ([], ["load"]) == differences(tmp_path / "end", run, tries[0], attempt(2, "succeeded", ended_us=END_US + 1))
    assert (["r1"], []) == differences(tmp_path / "state", attempt(1, "partial", 2, ""), *tries)
    assert (["r1"], []) == differences(tmp_path / "no run", *tries)
