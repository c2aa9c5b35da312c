"""DAGs with tries that come and go between two polls; read by Airflow's own Python, 2 and 3, never imported by ours."""

# mypy: ignore-errors
from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.decorators import task
from airflow.models.dag import DAG
from airflow.operators.python import get_current_context

COMMON = {"schedule": None, "start_date": datetime(2026, 1, 1, tzinfo=UTC), "catchup": False, "tags": ["lab"]}

with DAG("third_time", **COMMON):

    @task(retries=3, retry_delay=timedelta(seconds=1))
    def third_time() -> None:
        tried = get_current_context()["ti"].try_number
        print(f"this is try {tried}")
        if tried < 3:
            raise RuntimeError(f"try {tried} fails")

    third_time()

with DAG("always_red", **COMMON):

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def red() -> None:
        raise RuntimeError("it always fails")

    @task
    def blocked() -> None:
        print("never")

    red() >> blocked()
