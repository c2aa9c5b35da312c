"""A DAG whose task waits for a person (human in the loop); read by Airflow's own Python, never imported by ours."""

# mypy: ignore-errors
from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

with DAG("figures", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, tags=["lab"]):

    @task
    def publish() -> None:
        print("figures published")

    ApprovalOperator(task_id="release", subject="Release the numbers?") >> publish()
