"""Each dialect against the parser of its scheduler, where one runs here: croniter as Airflow 2 and 3, Dagster and
Prefect bring it, and pg_cron of PostgreSQL 15. Debian's cron: `test_dst_real.py`; systemd: tests/timing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from connectors.sdk.cron_syntax import croniter_steps
from connectors.sdk.records import Schedule
from console.timing.schedule import next_instant, schedule_fault
from tests.lab import venvs
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS, wait_until

BEGIN = datetime(2026, 1, 1, 0, 0, 30)  # noqa: DTZ001  a local time
EXPRESSIONS = (
    "0 3 * * *", "*/15 * * * *", "0 22-2 * * *", "0 22-2/2 * * *", "0 0 * * fri-sun", "0 0 * * 5-7", "0 0 * * 7-2",
    "0 0 L * *", "0 0 1,L * *", "0 0 * * L5", "0 0 * * 5#2", "0 0 */1 * 5", "0 0 1-31 * 5", "0 0 * * */1", "0 0 1 * 5",
    "0 0 */2 * 1", "0 0 1-7 * */7", "5-5/2 * * * *", "0 5/2 * * *", "*/90 * * * *", "0 0 ? * 5", "0 0 28-3 * *",
    "0 0 * 11-2 *", "0 0 *,5 * 5", "@daily", "* * * * * 30", "0 0 29 2 *", "0 0 31 2 *", "61 * * * *", "0 0 L-3 * *",
    "0 0 LW * *", "0 0 * * 1L", "0 0 0 * *",
)  # fmt: skip
SCRIPT = """
import json, sys
from datetime import datetime
from {module} import croniter
def steps(text):
    try:
        found = croniter(text, datetime.fromisoformat(sys.argv[1]), ret_type=datetime)
        return [str(found.get_next()) for _ in range(30)]
    except Exception:
        return []
print(json.dumps({{text: steps(text) for text in json.load(sys.stdin)}}))
"""


@pytest.mark.parametrize(
    "module, environment",
    [
        ("croniter", lambda: venvs.airflow_environment(venvs.AIRFLOW2_VERSION)),
        ("croniter", lambda: venvs.airflow_environment(venvs.AIRFLOW_VERSION)),
        ("dagster._vendored.croniter", venvs.dagster_environment),
        ("prefect._vendor.croniter", venvs.prefect_environment),
    ],
)
def test_expressions_are_stepped_as_their_scheduler_does(module: str, environment: Callable[[], Path]) -> None:
    line = [str(environment() / "bin/python"), "-c", SCRIPT.format(module=module), BEGIN.isoformat()]
    done = subprocess.run(
        line, input=json.dumps(EXPRESSIONS), capture_output=True, text=True, check=True, timeout=HANGS_SECONDS
    )
    assert json.loads(done.stdout) == {text: _stepped(text) for text in EXPRESSIONS}


def _stepped(text: str) -> list[str]:
    try:
        return [str(at) for at in islice(croniter_steps(text, BEGIN), 30)]
    except ValueError:
        return []


ACCEPTED = (
    "*/2 * * * *", "0 */2 * * * *", "0 3 * * * extra", "0 6 * * 1#1", "*5 * * * *", "5,7#,9 6 * * *", "0 6 * * SUN",
    "0 0 * jan-MAR *", "5-5/2 * * * *", "@daily", "@hourly now", "0 0 */2 * 5",
)  # fmt: skip
REFUSED = (
    "0 3 15,$ * *", "0 0 L * *", "0 6 * * 1L", "5/10 * * * *", "5-9/2x * * * *", "0 0 ? * *", "0 0 0 * *", "5 4 * *",
    "@DAILY", "61 * * * *",
)  # fmt: skip


@pytest.mark.parametrize("expression", ACCEPTED + REFUSED)
def test_pg_cron_takes_what_is_read_and_refuses_what_is_not(postgres: PostgresServer, expression: str) -> None:
    try:
        postgres.schedule("dialect", expression, "SELECT 1")
    except psycopg.Error:
        is_taken = False
    else:
        is_taken = True
        postgres.unschedule("dialect")
    assert (expression in ACCEPTED) == is_taken
    assert is_taken == (schedule_fault(Schedule("pg_cron", expression)) is None)


def test_pg_cron_runs_an_expression_with_more_words_in_the_next_minute(postgres: PostgresServer) -> None:
    jobid = postgres.schedule("wordy", "* *#3 * * *#2 and more", "SELECT 1")
    try:
        due = next_instant(Schedule("pg_cron", "* *#3 * * *#2 and more"), datetime.now(UTC))
        assert due is not None
        wait_until(lambda: bool(postgres.runs(jobid)), "a run of the wordy job")
    finally:
        postgres.unschedule("wordy")
