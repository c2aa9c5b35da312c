"""What a preview needs to know of a DAG beside the run itself, and how runs and tasks are named to people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.airflow import parse_tasks
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse import Period
from connectors.airflow.parse_tasks import Instance
from connectors.contract import NotSupported, Preview, RecordUnreadable
from connectors.previews import instant as instant
from connectors.previews import refused as refused
from connectors.transport.http import Reply

NAMED_TASKS = 12
MOST_LISTED = 50
"""Pages of task instances of one run: 5,000."""


def no_such_dag(dag: str, verb: str) -> Preview:
    """For a job that is no DAG. Raises NotSupported where it may be a task: what is asked is done to whole DAGs."""
    if "." in dag:
        raise NotSupported(
            f"Airflow has no DAG {dag}; if that is a task: Airflow can {verb} no single task, {verb} its DAG"
        )
    return refused(verb, f"Airflow has no DAG {dag}")


def active(client: AirflowClient, dag: str, run: str = "") -> str | None:
    """Other runs of the DAG that are running or queued now."""
    reply = client.runs_of(dag, {"state": ["running", "queued"], "limit": 5, "order_by": "-run_after"})
    others = [f"{row.get('dag_run_id')} ({row.get('state')})" for row in runs(reply) if row.get("dag_run_id") != run]
    return f"other runs of {dag} are active: {', '.join(others)}" if others else None


def runs(reply: Reply) -> list[fields.Row]:
    """The rows of a list of DAG runs; none where the DAG is gone."""
    found = reply.table().get("dag_runs") if reply.status == 200 else None
    return [row for row in fields.rows(found) if isinstance(row, dict)]


def paused_note(client: AirflowClient, dag: str, row: fields.Row | None = None) -> tuple[str, ...]:
    """What happens to what is sent to a paused DAG; nothing for one that is not."""
    if row is None:
        reply = client.dag(dag)
        row = reply.table() if reply.status == 200 else {}
    if row.get("is_paused") is True:
        return (f"{dag} is paused: what is sent stays queued until somebody resumes it",)
    return ()


def now_at(reply: Reply) -> datetime:
    """The server's own time."""
    return reply.clock.target if reply.clock else datetime.now(UTC)


def tasks_of(client: AirflowClient, dag: str, run: str) -> list[Instance] | None:
    """All task instances of a run; None where it is gone."""
    gathered: list[Instance] = []
    for page in range(MOST_LISTED):
        reply = client.task_instances(dag, run, page * 100)
        if reply.status == 404:
            return None
        rows = fields.rows(reply.table().get("task_instances"))
        gathered += instances(rows)
        if len(rows) < 100:
            break
    return gathered


def instances(rows: Any) -> list[Instance]:
    """The task instances that can be read, by name."""
    found = []
    for row in fields.rows(rows):
        try:
            found.append(parse_tasks.instance(row))
        except RecordUnreadable:
            continue
    return sorted(found, key=lambda one: (one.key[2], one.map_index))


def names(affected: Sequence[Instance]) -> str:
    """ "load, publish and 3 more"."""
    shown = ", ".join(parse_tasks.name_of(one) for one in affected[:NAMED_TASKS])
    more = len(affected) - NAMED_TASKS
    return f"{shown} and {more} more" if more > 0 else shown


def count(affected: Sequence[Any], what: str = "task") -> str:
    """ "1 task", "3 tasks"."""
    return f"1 {what}" if len(affected) == 1 else f"{len(affected)} {what}s"


def label(period: Period, run_id: str) -> str:
    """The run for people: its data interval's date, else its instant, else its id."""
    if period.interval_start is not None:
        return period.interval_start.strftime("%Y-%m-%d")
    if period.at is not None and period.key != run_id:
        return period.at.strftime("%Y-%m-%d %H:%MZ")
    return run_id


def told(at: datetime) -> str:
    """As Airflow takes and gives instants: "2026-11-20T04:00:00Z"."""
    return at.isoformat().replace("+00:00", "Z")
