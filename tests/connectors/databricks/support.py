"""A workspace and connectors opened on it, for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.databricks.connector import DatabricksConnector
from connectors.databricks.options import DatabricksOptions
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from tests.fakes.databricks import HOST, FakeDatabricks

ORDERS, STOCK = "11", "12"
EXTRACT = {"task_key": "extract", "notebook_task": {"notebook_path": "/Shared/extract"}}
LOAD = {"task_key": "load", "spark_jar_task": {"main_class_name": "com.acme.Load"}}
TYPES = (
    {"task_key": "py", "spark_python_task": {"python_file": "/Shared/a.py"}},
    {"task_key": "sql", "sql_task": {"warehouse_id": "w1", "query": {"query_id": "q1"}}},
    {"task_key": "dbt", "dbt_task": {"commands": ["dbt build"]}},
    {"task_key": "pipe", "pipeline_task": {"pipeline_id": "p1"}},
    {"task_key": "child", "run_job_task": {"job_id": 12}},
)


def workspace() -> FakeDatabricks:
    """A workspace half a minute behind our clock: action requests for starts use the real clock."""
    fake = FakeDatabricks()
    fake.job(11, "load orders", EXTRACT, LOAD)
    fake.job(12, "stock count", EXTRACT, tags={"team": "etl"})
    fake.now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    return fake


def opened(fake: FakeDatabricks, transport: httpx.BaseTransport | None = None, **options: Any) -> DatabricksConnector:
    account = {} if "client_id" in options else {"token": {"env": "DATABRICKS_TOKEN"}}
    chosen = DatabricksOptions.model_validate({"url": HOST, **account, **options})
    return DatabricksConnector(chosen, lambda reference: "right", transport or fake.transport, settle_seconds=0.0)


def latest_records(connector: Connector, cursor: str = "") -> tuple[dict[tuple[str, str], RunRecord], str]:
    """The last word on each attempt since the cursor, by job and key, and the cursor after it."""
    runs: dict[tuple[str, str], RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 10)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return runs, cursor
