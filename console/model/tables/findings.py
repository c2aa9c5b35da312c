"""What the rules found of jobs and runs."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from console.model.tables.columns import big, string

OPEN = text("closed_us IS NULL")
"""Few among many. A query that says the same words uses their index."""


class FindingRow(SQLModel, table=True):
    """One thing that a rule says of a job or of one of its runs; at most one of a rule, a job and a period is open."""

    __tablename__: ClassVar[str] = "finding"
    __table_args__ = (
        Index("finding_open", "job_id", sqlite_where=OPEN, postgresql_where=OPEN),
        Index("finding_job", "job_id", "id"),
        Index("finding_run", "run_id"),
    )
    id: int | None = big(default=None, primary_key=True)
    rule: str = string()
    job_id: int = Field()
    period_key: str = string()
    """Of the run that it is about; empty where it is about the job."""
    run_id: int | None = big(default=None)
    bd: str = string()
    since_us: int = big()
    """From when on it holds."""
    opened_us: int = big()
    """When that was seen."""
    closed_us: int | None = big(default=None)
    close_reason: str = string()
    words: str = string()
    evidence: str = string("{}")
    """JSON: seen, threshold, source; in words."""
    severity: str = string("note")
    """"note" (shown), "alert" (opens an incident where none explains it)."""
