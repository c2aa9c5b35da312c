"""Every run and task instance of the example DAGs of a supported Airflow is in the store.

`make soak` runs it; `make test-all` compares the rows of test_airflow_real.py and test_airflow2_real.py."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.lab import venvs
from tests.lab.airflow_versions import compared, kinds_of, running, trigger_all, wait_for_runs, watched

RUNS_LIMIT_SECONDS = 400.0
"""For runs that take 45 s where the machine does nothing else."""
STATES = {"success", "failed", "upstream_failed", "skipped"}


@pytest.mark.parametrize("version", venvs.CHOSEN_AIRFLOWS)
def test_every_run_and_task_in_the_database_of_an_airflow_is_in_the_store(version: str, tmp_path: Path) -> None:
    kinds = kinds_of(version)
    with running(version, kinds) as server, watched(server, tmp_path / "headway") as store:
        started = trigger_all(server)
        wait_for_runs(server, RUNS_LIMIT_SECONDS)
        server.leave_only_the_api()  # rows that move cannot be compared
        runs, tasks = compared(server, store)
        with contextlib.closing(sqlite3.connect(server.database)) as metadata:
            tried = metadata.execute("SELECT state, max(try_number) FROM task_instance GROUP BY state").fetchall()
    assert {} == {**runs.different, **tasks.different}
    assert runs.compared > started > len(kinds)
    people = {"awaiting_input"} if "hitl_operator" in kinds else set()
    assert STATES | people <= {state for state, _ in tried}
    assert max(tries for _, tries in tried) > 2
