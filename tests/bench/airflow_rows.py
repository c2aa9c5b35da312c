"""Rows for a big Airflow: DAGs, runs and task instances put into its metadata database as copies of a real one's."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

TASKS = 5
RECENT = 20
"""Runs of each DAG that have task instances: the newest ones."""
AT = "strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('-%d seconds', 3600 * (1 + n / {dags}) - 7 * (n % {dags})))"
NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
RUNS_THAT = "(SELECT r.run_id FROM dag_run r WHERE r.dag_id = task_instance.dag_id AND r.state = '{}')"
"""Of the DAG of a task instance, by state."""


class BigEstate:
    """The database of an Airflow whose scheduler is stopped. `seed` is a run (dag, run id) that really ran."""

    def __init__(self, database: Path, seed: tuple[str, str]) -> None:
        self._database, self._seed = database, seed

    def fill(self, dags: int, runs: int) -> None:
        """So many DAGs, each with an hourly history; 1 of 50 runs failed, the last of each DAG is queued or runs."""
        at, dag = AT.format(dags=dags), f"printf('bench_%04d', n % {dags})"
        with self._open() as connection:
            logical = "execution_date" if "execution_date" in _columns(connection, "dag_run") else "logical_date"
            named = {"dag_id": dag, "run_id": f"'scheduled__' || {at}"}
            times = dict.fromkeys((logical, "run_after", "data_interval_start", "data_interval_end"), at)
            ends = dict.fromkeys(("queued_at", "start_date", "end_date", "updated_at", "created_at"), at)
            state = "CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'success' END"
            _copy(connection, "dag", self._where("dag"), dags, {"dag_id": dag, "is_paused": "0"})
            run = {"id": "100000 + n", **named, "run_type": "'scheduled'", "state": state, "note": "NULL"}
            _copy(connection, "dag_run", self._where("dag_run"), runs, {**run, **times, **ends})
            for task in range(TASKS):
                details = {**named, "id": f"printf('%012x7%03x8%015x', n, {task}, n)", "task_id": f"'task_{task}'"}
                details |= {"updated_at": at, "start_date": at, "end_date": at, "state": "'success'"}
                name = f"{self._where('task_instance')} AND task_id = 'check_file'"
                _copy(connection, "task_instance", name, min(runs, dags * RECENT), details)

    def begin(self, queued: int, running: int) -> None:
        """Makes the newest runs of some DAGs wait, and of others run with waiting tasks."""
        some = "id IN (SELECT id FROM dag_run WHERE id >= 100000 ORDER BY id LIMIT ? OFFSET ?)"
        with self._open() as connection:
            text = f"start_date = NULL, end_date = NULL, updated_at = {NOW}"
            connection.execute(f"UPDATE dag_run SET state = 'queued', {text} WHERE {some}", (queued, 0))
            touched = f"end_date = NULL, updated_at = {NOW}"
            connection.execute(f"UPDATE dag_run SET state = 'running', {touched} WHERE {some}", (running, queued))
            waits = f"UPDATE task_instance SET state = NULL, try_number = 0, updated_at = {NOW}"
            waits += f" WHERE run_id IN {RUNS_THAT.format('running')}"
            connection.execute(waits)

    def go_on(self, ends: int) -> None:
        """What a scheduler does between two polls: it touches what runs, and some runs end."""
        with self._open() as connection:
            connection.execute(f"UPDATE dag_run SET updated_at = {NOW} WHERE state = 'running'")
            some = "id IN (SELECT id FROM dag_run WHERE state = 'running' ORDER BY id LIMIT ?)"
            ended = f"state = 'success', end_date = {NOW}, updated_at = {NOW}"
            connection.execute(f"UPDATE dag_run SET {ended} WHERE {some}", (ends,))
            done = f"state = 'success', try_number = 1, start_date = {NOW}, end_date = {NOW}, updated_at = {NOW}"
            over = f"state IS NULL AND run_id IN {RUNS_THAT.format('success')}"
            connection.execute(f"UPDATE task_instance SET {done} WHERE {over}")

    def scan_seconds(self) -> float:
        """How long SQLite itself takes to find what changed lately: it reads all runs, there is no index for it."""
        began = time.monotonic()
        with self._open() as connection:
            connection.execute(f"SELECT id FROM dag_run WHERE updated_at >= {NOW}").fetchall()
        return time.monotonic() - began

    def _where(self, table: str) -> str:
        dag, run = self._seed
        return f"dag_id = '{dag}'" + ("" if table == "dag" else f" AND run_id = '{run}'")

    @contextlib.contextmanager
    def _open(self):  # type: ignore[no-untyped-def]
        with contextlib.closing(sqlite3.connect(self._database, timeout=60)) as connection, connection:
            yield connection


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _copy(connection: sqlite3.Connection, table: str, seed: str, many: int, details: Mapping[str, str]) -> None:
    """`many` copies of the row that `seed` finds; the columns of `told` get their own expressions of n."""
    columns = _columns(connection, table)
    values = ", ".join(f"{details[name]}" if name in details else f"s.{name}" for name in columns)
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {many})"
    name = f"(SELECT * FROM {table} WHERE {seed} LIMIT 1) s"
    connection.execute(f"{numbers} INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, {name}")
