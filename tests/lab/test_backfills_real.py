"""`headway plan backfill --native` on a real Airflow: made, listed, paused, resumed, cancelled, and run to its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from console.cli.exits import Exit
from console.engine.actions.verification import never_arrived
from tests.lab.airflow import AirflowServer
from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import Options
from tests.lab.process import wait_until

PARKED, COUNT = "warehouse-airflow/parked", "warehouse-airflow/stock_count"
NIGHTS = ("--from", "2026-03-03", "--to", "2026-03-05")
SENT = ("--yes", "--why", "the lab's own")


@pytest.fixture(scope="module")
def airflow(fresh: Estate) -> AirflowServer:
    """The group's Airflow without the runs of the files before, whose queue would delay a backfill by minutes."""
    return fresh.airflow


@pytest.fixture(scope="module")
def headway(fresh: Estate, airflow: AirflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headway]:
    folder = tmp_path_factory.mktemp("backfills")
    result = Headway(fresh.write_config(folder, Options(systems=("warehouse-airflow",), poll_every="1s")))
    with result.running_engine():
        wait_until(
            lambda: {PARKED, COUNT} <= {job["name"] for job in result.listed("job", "list")},
            "both DAGs to be known",
        )
        yield result


LOCKED, NEVER_ARRIVED = "Database is locked", never_arrived("").text


def requested_backfill(headway: Headway, *arguments: str) -> str:
    """The printed output; the action has ended well. Airflow on SQLite refuses a backfill while its scheduler writes:
    it is requested again, as Headway advises, once it has verified that nothing arrived."""
    while True:
        done = headway.run("plan", "backfill", *arguments, *SENT)
        if not (LOCKED in done.stdout and NEVER_ARRIVED in done.stdout):
            break
        print(done.stdout)
    assert Exit.OK == done.exit_status, done.stdout + done.stderr
    return done.stdout


def under_way(headway: Headway, *arguments: str) -> list[dict[str, Any]]:
    document: list[dict[str, Any]] = headway.json("plan", "backfill", *arguments, "--list")
    return document


def test_a_backfill_of_airflows_own_is_made_listed_paused_resumed_and_cancelled(
    headway: Headway, airflow: AirflowServer
) -> None:
    """Of a DAG that is paused: none of its runs starts."""
    assert [] == under_way(headway)
    requested_backfill(headway, PARKED, "--native", *NIGHTS)
    [made] = under_way(headway)
    assert ("parked", False, 1) == (made["job"], made["paused"], made["at_once"])
    assert ("2026-03-03", "2026-03-05") == (made["first"][:10], made["last"][:10])
    assert [made] == under_way(headway, PARKED)
    assert [] == under_way(headway, COUNT)
    number = str(made["number"])
    rows = airflow.call("GET", "dags/parked/dagRuns?run_type=backfill")["dag_runs"]
    assert 3 == len(rows)
    again = headway.run("plan", "backfill", PARKED, "--native", *NIGHTS, *SENT)
    assert Exit.OK != again.exit_status, "Airflow has one of a DAG at a time"
    assert 1 == len(under_way(headway))
    for change, paused in (("--pause", True), ("--resume", False)):
        requested_backfill(headway, PARKED, change, number)
        assert [paused] == [row["paused"] for row in under_way(headway, PARKED)]
    requested_backfill(headway, PARKED, "--cancel", number)
    assert [] == under_way(headway, PARKED)
    assert airflow.call("GET", f"backfills/{number}")["completed_at"]
    results = [action for action in headway.json("action") if action["verb"] == "backfill"]
    assert {"verified", "refused"} >= {result["state"] for result in results}
    created_text = next(result["text"] for result in reversed(results) if result["state"] == "verified")
    assert f"backfill {number} was made" in created_text


def test_the_runs_of_a_backfill_are_reported_as_those_of_its_nights(headway: Headway, airflow: AirflowServer) -> None:
    airflow.behave("stock_count", "succeed")
    airflow.schedule("stock_count", "30 2 * * *")
    texts = (COUNT, "--native", "--from", "2026-03-03", "--to", "2026-03-04")
    try:  # Airflow's API uses a DAG that it read half a minute ago, whatever schedule it shows
        wait_until(
            lambda: headway.run_in_process("plan", "backfill", *texts, "--dry-run").exit_status == Exit.OK,
            "the schedule to count",
            pause=2,
        )
        requested_backfill(headway, *texts)
        wait_until(lambda: not under_way(headway, COUNT), "the backfill to be over")
        expected = {"2026-03-03T02:30:00Z", "2026-03-04T02:30:00Z"}

        def reported() -> bool:
            runs = headway.listed("run", COUNT)
            return expected <= {run["period_key"] for run in runs if run["state"] == "succeeded"}

        wait_until(reported, "its runs in the list")
    finally:
        airflow.schedule("stock_count", None)
