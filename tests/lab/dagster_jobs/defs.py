"""The jobs of the lab's Dagster; a file named like the job says what its next runs do: succeed, fail or hang."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201  Dagster reads annotations as types of its own
import os
import time
from pathlib import Path

from dagster import (
    DefaultScheduleStatus,
    Definitions,
    ScheduleDefinition,
    asset,
    define_asset_job,
    in_process_executor,
    job,
    op,
)

CONTROL = Path(os.environ["LAB_DAGSTER_CONTROL"])


def behaviour(name):
    path = CONTROL / name
    return path.read_text().strip() if path.exists() else "succeed"


@op
def extract():
    return 10


@op
def transform(context, rows):
    if behaviour("load_orders") == "fail":
        raise ValueError("bad row 7")
    context.log.info(f"{rows} rows")
    return rows


@op
def load(context, rows):
    context.log.info(f"loaded {rows}")


@job(tags={"team": "data"}, executor_def=in_process_executor)
def load_orders():
    load(transform(extract()))


@op
def count(context):
    context.log.info("counting")
    until = time.monotonic() + 300
    while behaviour("stock_count") == "hang" and time.monotonic() < until:
        time.sleep(0.5)


@job(executor_def=in_process_executor)
def stock_count():
    count()


@op
def strike():
    return 1


@job(executor_def=in_process_executor)
def minute_bell():
    strike()


@job(executor_def=in_process_executor)
def year_bell():
    strike()


@asset
def orders():
    return 1


@asset(deps=[orders])
def report():
    return 2


defs = Definitions(
    assets=[orders, report],
    jobs=[
        load_orders,
        stock_count,
        minute_bell,
        year_bell,
        define_asset_job("orders_job", "orders"),
        define_asset_job("report_job", "report"),
    ],
    schedules=[
        ScheduleDefinition(job=stock_count, cron_schedule="0 6 * * *", execution_timezone="Europe/Berlin"),
        ScheduleDefinition(job=minute_bell, cron_schedule="* * * * *"),
        ScheduleDefinition(job=year_bell, cron_schedule="0 5 1 1 *", default_status=DefaultScheduleStatus.RUNNING),
    ],
)
