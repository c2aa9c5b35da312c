"""The DAGs of the lab's Airflow 2: as those of Airflow 3 beside, in its own words; read by Airflow's Python only.

What a DAG does is switched by the file LAB_AIRFLOW_CONTROL/<dag_id>: "fail", "hang" (until the file says otherwise),
else it succeeds. When it runs by the clock is said by LAB_AIRFLOW_CONTROL/timetable.json:
{"start_date": ISO 8601, dag_id: cron expression}; "by_interval" covers data intervals, the others run at an instant.
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow import DAG
from airflow.datasets import Dataset
from airflow.decorators import task
from airflow.operators.python import get_current_context
from airflow.timetables.trigger import CronTriggerTimetable
from airflow.utils.task_group import TaskGroup

CONTROL = Path(os.environ["LAB_AIRFLOW_CONTROL"])
TIMETABLE = json.loads((CONTROL / "timetable.json").read_text())
ORDERS = Dataset("file:///warehouse/orders")
COMMON = {
    "start_date": datetime.fromisoformat(TIMETABLE["start_date"]),
    "catchup": False,
    "tags": ["lab"],
    "default_args": {"owner": "data-platform", "retries": 0},
}


def clocked(dag_id: str) -> CronTriggerTimetable | None:
    cron = TIMETABLE.get(dag_id)
    return CronTriggerTimetable(cron, timezone="UTC") if cron else None


def obey(dag_id: str) -> None:
    """Does what the DAG's switch says."""
    switch = CONTROL / dag_id
    while (text := switch.read_text().strip() if switch.exists() else "succeed") == "hang":
        print("waiting for a lock on table orders")
        time.sleep(0.5)
    if text == "fail":
        print("reading /data/orders.csv")
        raise FileNotFoundError("/data/orders.csv of this business date is not there")


# By the clock; its end makes supply_plan start.
with DAG("load_orders", schedule=clocked("load_orders"), **COMMON):

    @task
    def check_file() -> None:
        print("looking for /data/orders.csv")

    @task
    def load() -> None:
        obey("load_orders")
        print("4711 rows loaded")

    @task(outlets=[ORDERS])
    def publish() -> None:
        print("orders published")

    check_file() >> load() >> publish()

# Started by the dataset.
with DAG("supply_plan", schedule=[ORDERS], **COMMON):

    @task
    def build() -> None:
        obey("supply_plan")

    @task(task_id="publish")
    def publish_plan() -> None:
        print("plan published")

    build() >> publish_plan()

with DAG("stock_count", schedule=clocked("stock_count"), **COMMON):

    @task
    def count() -> None:
        obey("stock_count")

    count()

# Its runs cover data intervals: each is due at the end of its own.
with DAG("by_interval", schedule=TIMETABLE.get("by_interval"), **COMMON):

    @task
    def cover() -> None:
        obey("by_interval")

    cover()

with DAG("retried", schedule=None, **COMMON):

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def second_time() -> None:
        if get_current_context()["ti"].try_number < 2:
            raise RuntimeError("the first try always fails")

    second_time()

with DAG("mapped", schedule=None, **COMMON), TaskGroup("regions"):

    @task
    def count_region(divisor: int) -> int:
        return 10 // divisor

    count_region.expand(divisor=[1, 2, 0])

with DAG("parked", schedule="0 3 * * *", is_paused_upon_creation=True, **COMMON):

    @task
    def never() -> None:
        print("nobody unpaused this")

    never()
