"""What previews share: how a refusal looks, instants from outside, a job's settings, other runs that are under way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import Preview
from connectors.databricks.client import DatabricksClient
from connectors.databricks.pages import pages, whole


def refused(verb: str, why: str) -> Preview:
    """A preview of what cannot be done now."""
    return Preview(verb, f"cannot {verb} now", "nothing", refused=why)


def instant(key: Any) -> datetime | None:
    """An aware instant from outside, in UTC, or None for anything else."""
    try:
        at = datetime.fromisoformat(key)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


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
