"""What the sources have: systems, targets, jobs with their schedules and drift, and who feeds whom."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from console.model.tables.columns import big, string


class System(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    kind: str = string()
    zone: str = string("UTC")
    cutoff: str = string("12:00")
    poll_every_s: float = 15.0
    capabilities: str = string()
    """Comma-separated; and why one is missing: `missing`, JSON."""
    missing: str = string("{}")
    starts_held: bool = False
    """Its kind can start what is held."""
    removed: bool = False


class Target(SQLModel, table=True):
    """What is polled on its own and fails on its own."""

    __table_args__ = (UniqueConstraint("system_id", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    system_id: int = Field(foreign_key="system.id")
    name: str = string()
    cursor: str = string()
    inventory_hash: str = string()
    inventory_us: int | None = big(default=None)
    next_us: int = big(default=0)
    last_try_us: int | None = big(default=None)
    last_ok_us: int | None = big(default=None)
    first_ok_us: int | None = big(default=None)
    failing_since_us: int | None = big(default=None)
    failures: int = 0
    """Polls failed in a row."""
    error: str = string()
    error_kind: str = string()
    """"unreachable", "failing", "limited" or "unsupported" (it answers), "refused", "forbidden", "broken"; empty when
    well."""
    skew_s: float | None = None
    zone: str = string()
    booted_us: int | None = big(default=None)
    """When it last started, by our clock, where its answers tell it."""
    seen_until_us: int | None = big(default=None)
    lost_since_us: int | None = big(default=None)
    lost_until_us: int | None = big(default=None)
    """The last window whose evidence is lost for good."""
    poll_ms: float | None = None
    requests: int | None = None
    """Of the last poll; None where they cannot be counted."""
    requests_minute: float | None = None
    """By the minute, over the last ten."""
    allowed: str = string()
    """How many it says are left; empty where its API names no limit."""
    skipped: int = 0
    skipped_words: str = string("[]")
    """JSON: the last skipped records, cleaned."""
    warnings: str = string("[]")
    version: str = string()
    rights: str = string("[]")
    """JSON: the last probe's rights."""
    removed: bool = False


class Job(SQLModel, table=True):
    """Identity is (system, native_id). `source_id` is what the source calls it now, after a re-match."""

    __table_args__ = (
        UniqueConstraint("system_id", "native_id"),
        Index("job_source", "system_id", "source_id"),
        Index("job_name", "name", "id"),
        Index("job_changed", "changed_seq"),
        Index("job_target", "target_id"),
        Index("job_parent", "parent_id"),
        Index("job_unwatched", "unwatched"),
        Index("job_budget", "budget_cost"),
    )
    id: int | None = Field(default=None, primary_key=True)
    system_id: int = Field(foreign_key="system.id")
    target_id: int = Field(foreign_key="target.id")
    native_id: str = string()
    source_id: str = string()
    name: str = string()
    """Cleaned "system/native-id": what is shown and sorted."""
    title: str = string()
    parent_id: int | None = Field(default=None, foreign_key="job.id")
    paused_since_us: int | None = big(default=None)
    gone_since_us: int | None = big(default=None)
    unwatched: bool = False
    """Its system's settings do not ask for it any more: kept with its history, not expected, not listed."""
    definition: str = string()
    definition_hash: str = string()
    match_keys: str = string("[]")
    proof: str = string("full")
    run_as: str = string()
    native_url: str = string()
    first_seen_us: int = big(default=0)
    owner: str = string()
    notify: str = string("[]")
    runbook: str = string()
    rerun: str = string("ask")
    expected_s: float | None = None
    pool: str = string()
    """What its source calls that from which each of its runs takes a slot; empty: nothing."""
    slots: int | None = None
    """How many that has; None: no limit is known."""
    grace_s: float = 300.0
    calendar: str = string()
    budget_s: float | None = None
    """What one run may take, and cost, at most."""
    budget_cost: float | None = None
    config_says: str = string()
    """Comma-separated: what config says of its card, so that nobody else does."""
    changed_seq: int = big(default=0)


class JobCard(SQLModel, table=True):
    """What a person says on a job's card where config does not; who said what before stands in the audit."""

    __tablename__: ClassVar[str] = "job_card"
    job_id: int = Field(foreign_key="job.id", primary_key=True)
    field: str = Field(primary_key=True, sa_type=Text)
    """One of `model.cards.FIELDS`."""
    value: str = string()
    was: str = string()
    """What stood there before anybody said anything."""
    said_by: str = string()
    said_us: int = big()


class ScheduleRow(SQLModel, table=True):
    """Versions of a job's native schedule; the newest accepted one says what must run."""

    __tablename__: ClassVar[str] = "schedule"
    __table_args__ = (Index("schedule_job", "job_id", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id")
    dialect: str = string()
    expression: str = string()
    zone: str = string()
    words: str = string()
    next_us: int | None = big(default=None)
    seen_us: int = big(default=0)
    accepted_us: int | None = big(default=None)
    accepted_by: str = string()


class Drift(SQLModel, table=True):
    """A native definition that changed, vanished, was paused or appeared outside of us. Open until accepted or gone."""

    __table_args__ = (Index("drift_job", "job_id"),)
    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id")
    what: str = string()
    """"gone", "schedule", "definition", "paused"."""
    words: str = string()
    seen_us: int = big()
    accepted_us: int | None = big(default=None)
    accepted_by: str = string()
    ended_us: int | None = big(default=None)


class Dependency(SQLModel, table=True):
    __table_args__ = (UniqueConstraint("upstream_id", "downstream_id", "origin"),)
    id: int | None = Field(default=None, primary_key=True)
    upstream_id: int = Field(foreign_key="job.id")
    downstream_id: int = Field(foreign_key="job.id", index=True)
    origin: str = string("declared")
    mode: str = string("observe")
    """"observe" (warn), "hold" (keep the downstream from starting), "trigger" (start it when satisfied)."""
    engine_down: str = string("open")
    """What no engine means for the downstream: "open", it starts by its clock; "closed", it stays held."""
    hold_lead_s: float = 600.0
    """How long before its start it is held."""
    hold_for_s: float = 21_600.0
    """How long after that start it is let go, whatever its upstream does."""
    condition: str = string("success")
    """`model.wants.Condition`."""
    check_name: str = string()
    """Name of the check, with condition "ready"."""
    period: str = string("same")
    """`model.wants.Period`: which run of the upstream is meant."""
    calendar: str = string()
    within_s: float | None = None
    gate: str = string()
    """The same for those of a downstream of which `need` must hold together; empty: it must hold alone."""
    need: int = 0
