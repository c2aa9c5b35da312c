"""Open runs that did not change by themselves (queued behind a pause or a limit), many by one request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connectors.airflow.client import AirflowClient
from connectors.airflow.walk import page_at

MOST_PAGES = 3
"""Of one poll: 300 open runs; those beyond are asked for one by one, some in each poll."""
OPEN = ("queued", "running")


def still_open(client: AirflowClient, dags: Iterable[str]) -> dict[tuple[str, str], Any]:
    """The open runs of these DAGs, by DAG and run id. A run that is not among them may have ended, or be gone.

    Airflow 2 ignores a filter that it does not know: what comes back is held against what was asked for."""
    asked = sorted(set(dags))
    found: dict[tuple[str, str], Any] = {}
    offset: int | None = 0 if asked else None
    for _ in range(MOST_PAGES):
        if offset is None:
            break
        rows, offset = page_at(client.open_runs(asked, offset), "dag_runs", offset, shared=0)
        for row in rows:
            if isinstance(row, dict) and row.get("dag_id") in asked and row.get("state") in OPEN:
                found[str(row["dag_id"]), str(row.get("dag_run_id"))] = row
    return found
