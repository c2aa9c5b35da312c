"""The DAGs of the lab's Airflow; read by Airflow's own Python, never imported by ours.

What a DAG does is switched by the file LAB_AIRFLOW_CONTROL/<dag_id>: "fail", "hang" (until the file says otherwise),
else it succeeds. When it runs by the clock is said by LAB_AIRFLOW_CONTROL/timetable.json:
{"start_date": ISO 8601, dag_id: cron expression}.
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, TaskGroup, get_current_context, task

CONTROL = Path(os.environ["LAB_AIRFLOW_CONTROL"])
TIMETABLE = json.loads((CONTROL / "timetable.json").read_text())
ORDERS = Asset(uri="file:///warehouse/orders", name="orders")
COMMON = {
    "start_date": datetime.fromisoformat(TIMETABLE["start_date"]),
    "catchup": False,
    "tags": ["lab"],
    "default_args": {"owner": "data-platform", "retries": 0},
}


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
with DAG("load_orders", schedule=TIMETABLE.get("load_orders"), **COMMON) as load_orders:

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

# Started by the asset; `supply_plan.publish` delivers a service.
with DAG("supply_plan", schedule=[ORDERS], **COMMON) as supply_plan:

    @task
    def build() -> None:
        obey("supply_plan")

    @task(task_id="publish")
    def publish_plan() -> None:
        print("plan published")

    build() >> publish_plan()

# Neighbours that have nothing to do with the orders.
with DAG("stock_count", schedule=TIMETABLE.get("stock_count"), **COMMON) as stock_count:

    @task
    def count() -> None:
        obey("stock_count")

    count()

# The same, but Airflow makes up for every run that it missed.
SINCE = datetime.fromisoformat(TIMETABLE.get("caught_up.since", TIMETABLE["start_date"]))
with DAG(
    "caught_up", schedule=TIMETABLE.get("caught_up"), **{**COMMON, "catchup": True, "start_date": SINCE}
) as caught_up:

    @task
    def catch_up() -> None:
        obey("caught_up")

    catch_up()

# Its runs cover data intervals: each is due at the end of its own.
BY_INTERVAL = TIMETABLE.get("by_interval")
with DAG("by_interval", schedule=CronDataIntervalTimetable(BY_INTERVAL, "UTC") if BY_INTERVAL else None, **COMMON):

    @task
    def cover() -> None:
        obey("by_interval")

    cover()

with DAG("retried", schedule=None, **COMMON) as retried:

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def second_time() -> None:
        if get_current_context()["ti"].try_number < 2:
            raise RuntimeError("the first try always fails")

    second_time()

with DAG("mapped", schedule=None, **COMMON) as mapped, TaskGroup("regions"):

    @task
    def count_region(divisor: int) -> int:
        return 10 // divisor

    count_region.expand(divisor=[1, 2, 0])

with DAG("parked", schedule="0 3 * * *", is_paused_upon_creation=True, **COMMON) as parked:

    @task
    def never() -> None:
        print("nobody unpaused this")

    never()
