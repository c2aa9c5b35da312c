"""Holds on a real Airflow, and on a schedule that moto keeps: neither a start is lost nor one doubled.

cron's `extract_orders` on db07 fails; Airflow's `load_orders` and an EventBridge schedule of the state machine
`publish_orders` are due two minutes later, and held. Repaired after that, each runs once. Whether Airflow makes up for
the instant by itself when its DAG wakes, or Headway starts it, is Airflow's matter: there is one run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import WORKING, Headway
from tests.lab.headway_config import EXTRACT, LOAD, PUBLISH, Options
from tests.lab.jobs import Story, next_minute
from tests.lab.process import wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

SCHEDULE = "orders-by-the-clock"
HELD = (LOAD, PUBLISH)
Row = dict[str, Any]


@dataclass
class Night:
    """What was seen, in order."""

    headway: Headway
    due: datetime
    held: dict[str, Row] = field(default_factory=dict)
    paused: bool = False
    schedule_before: Row = field(default_factory=dict)
    schedule_held: Row = field(default_factory=dict)
    starts_while_held: int = -1
    over: dict[str, Row] = field(default_factory=dict)
    paused_after: bool = True
    schedule_after: Row = field(default_factory=dict)
    dag_runs: list[Row] = field(default_factory=list)
    executions: list[Row] = field(default_factory=list)


@pytest.fixture(scope="module")
def night(fresh: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with Story(fresh).all_well_after() as story:
        fresh.airflow.wait_ready().trigger("load_orders", "earlier")  # a mark is in the note of the latest run
        fresh.airflow.wait_for("load_orders", "earlier", "success")
        story.cron.behave("extract_orders", "fail")
        options = Options(systems=("etl-hosts", "warehouse-airflow", "orders-sfn"), mode="hold")
        config = fresh.write_config(tmp_path_factory.mktemp("holds") / "config", options)
        first = next_minute(timedelta(seconds=30))
        due = first + timedelta(minutes=2)
        expression = f"cron({due.minute} {due.hour} * * ? *)"
        fresh.moto.schedule(
            SCHEDULE, story.machines.arn(), ScheduleExpression=expression, ScheduleExpressionTimezone="UTC"
        )
        story.schedule(first)
        night = Night(Headway(config), due)
        try:
            with night.headway.running_engine() as engine:
                engine.wait_ready(lambda: WORKING in engine.log.read_text(), "the engine to work", 30)
                live(night, fresh, story)
            yield night
        finally:
            fresh.moto.scheduler().delete_schedule(Name=SCHEDULE)
            fresh.airflow.schedule("load_orders", None)
            fresh.db07.remove_crontab("etl")


def stable_schedule(lab: Estate) -> Row:
    """The schedule as AWS has it, less what every writing changes."""
    schedule: Row = lab.moto.scheduler().get_schedule(Name=SCHEDULE)
    return {name: value for name, value in schedule.items() if name not in ("LastModificationDate", "ResponseMetadata")}


def dag_runs(lab: Estate, since: datetime) -> list[Row]:
    """Runs of load_orders that began since then."""
    rows = lab.airflow.call("GET", "dags/load_orders/dagRuns?limit=50&order_by=-run_after")["dag_runs"]
    return [row for row in rows if row["queued_at"] and datetime.fromisoformat(row["queued_at"]) >= since]


def executions(lab: Estate, story: Story, since: datetime) -> list[Row]:
    rows: list[Row] = lab.moto.client().list_executions(stateMachineArn=story.machines.arn())["executions"]  # type: ignore[assignment]
    return [row for row in rows if row["startDate"] >= since]


def live(night: Night, lab: Estate, story: Story) -> None:
    began = datetime.now(UTC)
    night.schedule_before = stable_schedule(lab)

    def held() -> bool:
        night.held = {hold["job"]: hold for hold in night.headway.json("hold") if hold["state"] == "held"}
        return night.held.keys() == set(HELD)

    wait_until(held, "both to be held", 180, 0.5)
    night.paused = lab.airflow.call("GET", "dags/load_orders")["is_paused"]
    night.schedule_held = stable_schedule(lab)
    time.sleep(max((night.due - datetime.now(UTC)).total_seconds(), 0) + 20)
    night.starts_while_held = len(dag_runs(lab, began)) + len(executions(lab, story, began))
    story.cron.behave("extract_orders", "succeed")
    answer = night.headway.run("rerun", EXTRACT, "--yes", "--why", "the file is there", limit_seconds=90)
    assert 0 == answer.exit_status, answer

    def over() -> bool:
        night.over = {hold["job"]: hold for hold in night.headway.json("hold", "--all") if hold["state"] == "released"}
        return set(HELD) <= night.over.keys()

    wait_until(over, "the end of both holds", 180, 1.0)
    wait_until(lambda: all(run["state"] == "success" for run in dag_runs(lab, began)), "the DAG's run", 150, 1.0)
    time.sleep(30)  # a second run, of Airflow's own making, would come now
    night.dag_runs, night.executions = dag_runs(lab, began), executions(lab, story, began)
    night.paused_after = lab.airflow.call("GET", "dags/load_orders")["is_paused"]
    night.schedule_after = stable_schedule(lab)


def test_both_are_held_by_their_schedulers_own_means(night: Night) -> None:
    assert (set(HELD), True, "DISABLED") == (set(night.held), night.paused, night.schedule_held["State"])
    mark = f"headway-hold id={night.held[PUBLISH]['key']} by=headway until="
    assert mark in night.schedule_held["Description"]
    assert [night.due] * 2 == [datetime.fromisoformat(row["due"]) for row in night.held.values()]


def test_nothing_starts_while_it_is_held(night: Night) -> None:
    assert 0 == night.starts_while_held


def test_each_runs_once_after_its_upstream(night: Night) -> None:
    assert (["success"], 1) == ([run["state"] for run in night.dag_runs], len(night.executions))
    [run] = night.dag_runs
    assert datetime.fromisoformat(run["queued_at"]) > night.due
    assert night.executions[0]["startDate"] > night.due


def test_both_are_as_they_were(night: Night) -> None:
    assert (False, night.schedule_before) == (night.paused_after, night.schedule_after)
