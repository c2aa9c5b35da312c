"""Two DAGs for the OpenLineage provider: what one writes starts the other. Read by Airflow's own Python."""

# mypy: ignore-errors
from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset, AsyncCallback, DeadlineAlert, DeadlineReference, task

ORDERS = Asset(uri="file:///data/orders.csv", name="orders")


async def too_late(**_) -> None:
    """Never reached: the deadline is hours away."""


PROMISE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_LOGICAL_DATE, interval=timedelta(hours=3), callback=AsyncCallback(too_late)
)
COMMON = {"start_date": datetime(2026, 11, 26, 4, tzinfo=UTC), "catchup": False, "tags": ["lab"]}

with DAG("producer", schedule="@once", deadline=PROMISE, **COMMON):

    @task(outlets=[ORDERS])
    def make_orders() -> None:
        print("made")

    make_orders()

with DAG("consumer", schedule=[ORDERS], **COMMON):

    @task(inlets=[ORDERS])
    def use_orders() -> None:
        print("used")

    use_orders()
