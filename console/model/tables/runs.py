"""What ran and what must run: runs, attempts, log ends, and the two summaries that lists read."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from console.model.tables.columns import big, string

BEGUN = text("state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')")
"""Runs that are open and not only planned: few among many. A query that says the same words uses their index."""


class Run(SQLModel, table=True):
    """One execution of a job for one period key: its latest attempt's word, and the first start."""

    __table_args__ = (
        UniqueConstraint("job_id", "period_key"),
        Index("run_job_period", "job_id", "sort_us"),
        Index("run_changed", "changed_seq"),
        Index("run_open", "sort_us", sqlite_where=BEGUN, postgresql_where=BEGUN),
        Index("run_ended", "ended_us"),
        Index("run_recent", "sort_us", "id"),
    )
    id: int | None = big(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id")
    period_key: str = string()
    period_us: int | None = big(default=None)
    """The scheduled instant, where there is one."""
    sort_us: int = big(default=0)
    """Period instant, else first start, else first sight: the order of a job's runs."""
    bd: str = string()
    """Business date, ISO."""
    state: str = string()
    evidence: str = string()
    native_state: str = string()
    reason: str = string()
    attempts: int = 0
    attempt_id: int | None = big(default=None)
    """The latest attempt: it decides the state."""
    first_started_us: int | None = big(default=None)
    started_us: int | None = big(default=None)
    ended_us: int | None = big(default=None)
    exit_code: int | None = big(default=None)
    message: str = string()
    expected: bool = False
    timeliness: str = string("no_estimate")
    stale_read: bool = False
    """It started before its upstream of that business date had finished."""
    partial_input: str = string()
    """What it read that was partial, in words; empty where nothing was."""
    observed_us: int = big(default=0)
    changed_seq: int = big(default=0)


class Attempt(SQLModel, table=True):
    """One try of a run. The source may overwrite its own row; this one stays."""

    __table_args__ = (
        UniqueConstraint("job_id", "attempt_key"),
        Index("attempt_run", "run_id", "number"),
        Index("attempt_action", "action_key"),
    )
    id: int | None = big(default=None, primary_key=True)
    run_id: int = big(foreign_key="run.id")
    job_id: int = Field(foreign_key="job.id")
    attempt_key: str = string()
    number: int = 0
    """By start order within the run, ties by attempt_key; from 1."""
    state: str = string()
    evidence: str = string()
    native_state: str = string()
    queued_us: int | None = big(default=None)
    started_us: int | None = big(default=None)
    ended_us: int | None = big(default=None)
    exit_code: int | None = big(default=None)
    message: str = string()
    reason: str = string()
    """Why it waits; `run.reason` is that of the latest attempt."""
    native_ref: str = string()
    native_url: str = string()
    action_key: str | None = Field(default=None, sa_type=Text)
    context: str = string("{}")
    observed_us: int = big(default=0)


class LogTail(SQLModel, table=True):
    """The cleaned end of an attempt's log, fetched when it failed, for alerts and for a host that is gone."""

    __tablename__: ClassVar[str] = "log_tail"
    attempt_id: int = big(primary_key=True)
    text: str = string()
    cut: bool = False
    error: str = string()
    fetched_us: int = big(default=0)


class LatestRun(SQLModel, table=True):
    """One row per job: its newest run by period, written in the transaction that writes the run. Lists read this."""

    __tablename__: ClassVar[str] = "latest_run"
    __table_args__ = (
        Index("latest_attention", "attention", "sort_us", "job_id"),
        Index("latest_changed", "changed_seq"),
    )
    job_id: int = big(primary_key=True)
    run_id: int = big()
    sort_us: int = big(default=0)
    state: str = string()
    attention: int = 0
    """0 needs a person … 9 calm: `ATTENTION` in console.store.ranks."""
    changed_seq: int = big(default=0)


class JobCounts(SQLModel, table=True):
    """Jobs per system and state of their latest run: the header's figures without a scan."""

    __tablename__: ClassVar[str] = "job_counts"
    system_id: int = Field(primary_key=True)
    state: str = Field(primary_key=True, sa_type=Text)
    n: int = big(default=0)
