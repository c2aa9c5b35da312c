"""What previews share: a job's settings, other runs that are under way."""

from __future__ import annotations

from connectors import fields
from connectors.databricks.client import DatabricksClient
from connectors.databricks.pages import pages, whole


def settings_of(client: DatabricksClient, job: str) -> fields.Row | None:
    """A job's settings; None for a task, and where Databricks has no such job. Raises RecordUnreadable."""
    if not (job.isascii() and job.isdigit()) or len(job) > 18:
        return None
    row = whole(lambda page: client.job(int(job), page))
    if row is None or row.get("job_id") != int(job):
        return None
    return fields.table(row.get("settings"))


def active(client: DatabricksClient, job: str, but: int = 0) -> str | None:
    """Other runs of the job that are under way."""
    rows, _ = next(pages(lambda page: client.runs(page, active_only="true", job_id=int(job)), "runs", 1))
    others = [str(row.get("run_id")) for row in rows if isinstance(row, dict) and row.get("run_id") != but]
    return f"other runs are active: {', '.join(others[:5])}" if others else None
