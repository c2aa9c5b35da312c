"""Tables of sources and runs: systems, targets, jobs, schedules, drift, dependencies, runs, findings, checks."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from console.domain.schema.columns import big, string


class System(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    kind: str = string()
    zone: str = string("UTC")
    cutoff: str = string("12:00")
    poll_every_s: float = 15.0
    capabilities: str = string()
    """Comma-separated; `missing` (JSON) has the reasons for missing ones."""
    missing: str = string("{}")
    starts_held: bool = False
    """Its kind can start a held job."""
    start_within_s: float = 0.0
    """The longest time from a rerun or start until its run begins."""
    removed: bool = False


class Target(SQLModel, table=True):
    """The unit of polling and of failure."""

    __table_args__ = (UniqueConstraint("system_id", "name"), Index("target_changed", "changed_seq"))
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
    """Consecutive failed polls."""
    error: str = string()
    error_fix: str = string()
    """The fix that its connector names; empty if it names none."""
    error_kind: str = string()
    """ "unreachable", "failing", "limited" or "unsupported" (it answers), "refused", "forbidden", "broken"; empty:
    none."""
    skew_s: float | None = None
    zone: str = string()
    booted_us: int | None = big(default=None)
    """By our clock, if its answers include it."""
    seen_until_us: int | None = big(default=None)
    lost_since_us: int | None = big(default=None)
    lost_until_us: int | None = big(default=None)
    """End of the last window whose evidence is lost permanently."""
    poll_ms: float | None = None
    requests: int | None = None
    """Of the last poll; None if not counted."""
    requests_minute: float | None = None
    """Average over the last ten minutes."""
    allowed: str = string()
    """Remaining requests; empty if its API has no limit."""
    skipped: int = 0
    skipped_text: str = string("[]")
    """JSON: the last skipped records, cleaned."""
    warnings: str = string("[]")
    changed_seq: int = big(default=0)
    """Grows with each poll, in the order of commits; on PostgreSQL from `target_changed_seq`."""
    version: str = string()
    rights: str = string("[]")
    """JSON of the last probe."""
    removed: bool = False


class Job(SQLModel, table=True):
    """Identity is (system, native_id). `source_id` is the current name at the source, after a re-match."""

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
    """Cleaned "system/native-id", as shown and sorted."""
    title: str = string()
    parent_id: int | None = Field(default=None, foreign_key="job.id")
    paused_since_us: int | None = big(default=None)
    gone_since_us: int | None = big(default=None)
    unwatched: bool = False
    """Excluded by its system's settings: kept with its history, neither expected nor listed."""
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
    """Pool of the source from which each run takes a slot; empty: none."""
    slots: int | None = None
    """Size of the pool; None: no known limit."""
    grace_s: float = 300.0
    calendar: str = string()
    budget_s: float | None = None
    """Maximum duration of one run; `budget_cost`: its maximum cost."""
    budget_cost: float | None = None
    config_says: str = string()
    """Comma-separated card fields that the config sets; people cannot change them."""
    changed_seq: int = big(default=0)


class JobCard(SQLModel, table=True):
    """A card field set by a person where the config does not; earlier values are in the audit."""

    __tablename__: ClassVar[str] = "job_card"
    job_id: int = Field(foreign_key="job.id", primary_key=True)
    field: str = Field(primary_key=True, sa_type=Text)
    """One of `domain.job.CARD_FIELDS`."""
    value: str = string()
    was: str = string()
    """Value before a person first set it."""
    said_by: str = string()
    said_us: int = big()


class ScheduleRow(SQLModel, table=True):
    """Versions of a job's native schedule; runs are expected by the newest accepted one."""

    __tablename__: ClassVar[str] = "schedule"
    __table_args__ = (Index("schedule_job", "job_id", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id")
    dialect: str = string()
    expression: str = string()
    zone: str = string()
    text: str = string()
    next_us: int | None = big(default=None)
    window_us: int = big(default=0)
    seen_us: int = big(default=0)
    accepted_us: int | None = big(default=None)
    accepted_by: str = string()


class Drift(SQLModel, table=True):
    """A native definition changed, removed, paused or added outside Headway. Open until accepted or put back."""

    __table_args__ = (Index("drift_job", "job_id"),)
    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id")
    what: str = string()
    """ "gone", "schedule", "definition", "paused"."""
    text: str = string()
    seen_us: int = big()
    accepted_us: int | None = big(default=None)
    accepted_by: str = string()
    ended_us: int | None = big(default=None)
    accepted_hash: str = string()
    """Of a changed definition: the hash of the accepted one. Empty if unknown."""


class Dependency(SQLModel, table=True):
    __table_args__ = (UniqueConstraint("upstream_id", "downstream_id", "origin"),)
    id: int | None = Field(default=None, primary_key=True)
    upstream_id: int = Field(foreign_key="job.id")
    downstream_id: int = Field(foreign_key="job.id", index=True)
    origin: str = string("declared")
    mode: str = string("observe")
    """ "observe" (warn), "hold" (keep the downstream from starting), "trigger" (start it when satisfied)."""
    engine_down: str = string("open")
    """Without an engine the downstream starts by its schedule ("open") or stays held ("closed")."""
    hold_for_s: float = 21_600.0
    """It is released this long after its start at the latest."""
    condition: str = string("success")
    """`domain.dependency.UpstreamCondition`."""
    check_name: str = string()
    """With condition "ready"."""
    period: str = string("same")
    """`domain.dependency.UpstreamPeriod`."""
    calendar: str = string()
    within_s: float | None = None
    gate: str = string()
    """Same for dependencies of which `need` must hold together; empty: it must hold alone."""
    need: int = 0


BEGUN = text("state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')")
"""Open runs that are not only planned. A query with the same text uses their index."""


class Run(SQLModel, table=True):
    """One execution of a job for one period key: the state of its latest attempt, and the first start."""

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
    """The scheduled instant, if any."""
    period_kind: str = string("instant")
    """`connectors.sdk.states.PeriodKind`."""
    period_name: str = string()
    """The period as its source names it, for the kind "name"."""
    sort_us: int = big(default=0)
    """Period instant, else first start, else first observation: the order of a job's runs."""
    business_date: str = string()
    """Business date, ISO."""
    state: str = string()
    evidence: str = string()
    native_state: str = string()
    reason: str = string()
    """The reason that its scheduler reports; without an attempt, why it is expected or missed, as a list of parts."""
    attempts: int = 0
    attempt_id: int | None = big(default=None)
    """The latest attempt, which decides the state."""
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
    """Description of its partial inputs; empty: none."""
    observed_us: int = big(default=0)
    changed_seq: int = big(default=0)


class Attempt(SQLModel, table=True):
    """One try of a run; it stays when the source overwrites its own row."""

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
    """The cleaned end of an attempt's log, fetched when it failed, for alerts and for hosts that are gone."""

    __tablename__: ClassVar[str] = "log_tail"
    attempt_id: int = big(primary_key=True)
    text: str = string()
    cut: bool = False
    error: str = string()
    fetched_us: int = big(default=0)


class JobDay(SQLModel, table=True):
    """The runs of a job on one business date in figures, written before retention deletes the first of them."""

    __tablename__: ClassVar[str] = "job_day"
    __table_args__ = ({"sqlite_with_rowid": False},)
    job_id: int = big(primary_key=True)
    business_date: str = Field(primary_key=True, sa_type=Text)
    runs: int
    """Runs that began and ended in a state that is not neutral (`domain.report`); `missed`: those that never did."""
    succeeded: int
    missed: int
    p50_s: float | None = None
    """Seconds of its successes at the 50th and 95th percentile; None without one."""
    p95_s: float | None = None
    late_s: float | None = None
    """The longest time from a period's instant to its first start; None without such a start."""


class LatestRun(SQLModel, table=True):
    """One row per job: its newest run by period, written in the transaction that writes the run, read by lists."""

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
    """0 needs a person … 9 calm: `ATTENTION` in console.domain.run."""
    changed_seq: int = big(default=0)


class JobCounts(SQLModel, table=True):
    """Jobs per system and state of their latest run, for the header."""

    __tablename__: ClassVar[str] = "job_counts"
    system_id: int = Field(primary_key=True)
    state: str = Field(primary_key=True, sa_type=Text)
    n: int = big(default=0)


OPEN = text("closed_us IS NULL")
"""A query with the same text uses their index."""


class FindingRow(SQLModel, table=True):
    """A rule's finding about a job or run; at most one per rule, job and period is open."""

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
    """Of the run; empty for a job."""
    run_id: int | None = big(default=None)
    business_date: str = string()
    since_us: int = big()
    """Start of the condition; `opened_us`: when it was detected."""
    opened_us: int = big()
    closed_us: int | None = big(default=None)
    close_reason: str = string()
    text: str = string()
    evidence: str = string("{}")
    """JSON: seen, threshold, source."""
    severity: str = string("note")
    """ "note" (shown), "alert" (opens an incident unless one explains it)."""


class ExternalAlertRow(SQLModel, table=True):
    """An alert of another monitor about a target, as last received."""

    __tablename__: ClassVar[str] = "external_alert"
    __table_args__ = (Index("external_alert_received", "received_us"),)
    target_id: int = Field(primary_key=True)
    started_us: int = big(primary_key=True)
    fingerprint: str = Field(primary_key=True, sa_type=Text)
    name: str = string()
    severity: str = string()
    summary: str = string()
    ended_us: int | None = big(default=None)
    received_us: int = big()


class JobDataset(SQLModel, table=True):
    """A dataset that a job reads or writes, as an OpenLineage event last reported it."""

    __tablename__: ClassVar[str] = "job_dataset"
    __table_args__ = (Index("job_dataset_dataset", "dataset", "is_output"),)
    job_id: int = Field(primary_key=True)
    is_output: bool = Field(primary_key=True)
    dataset: str = Field(primary_key=True, sa_type=Text)
    producer: str = string()
    seen_us: int = big()


class JobFacet(SQLModel, table=True):
    """A facet of a job or of its latest run, as an OpenLineage event last reported it."""

    __tablename__: ClassVar[str] = "job_facet"
    job_id: int = Field(primary_key=True)
    name: str = Field(primary_key=True, sa_type=Text)
    text: str = string()
    producer: str = string()
    seen_us: int = big()


class CheckResult(SQLModel, table=True):
    """A span of equal results of one check for one business date; values are those of the latest."""

    __tablename__: ClassVar[str] = "check_result"
    __table_args__ = (
        Index("check_result_of", "name", "business_date"),
        Index("check_result_business_date", "business_date"),
    )
    id: int | None = big(default=None, primary_key=True)
    name: str = string()
    business_date: str = string()
    state: str = string()
    """ "passed", "failed", "error", "learning"."""
    since_us: int = big()
    """The first of the results; `at_us`: the latest."""
    at_us: int = big()
    times: int = 1
    measured: str = string("{}")
    """JSON."""
    row_count: int | None = big(default=None)
    """None if not counted; bands are derived from these."""
    text: str = string()
    changed_seq: int = big(default=0)
