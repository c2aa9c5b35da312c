"""The store's tables. Every instant is BIGINT microseconds since 1970 UTC (`*_us`); names from outside are kept raw.

Why each table is there: docs/architecture.md. Rows are declared here by SQLModel; ingest writes them through Core.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

BIG = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both databases; SQLite numbers its rows only in a column that is called INTEGER."""

BEGUN = text("state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')")
"""Runs that are open and not only planned: few among many. A query that says the same words uses their index."""


def big(**options: Any) -> Any:
    return Field(sa_type=BIG, **options)


def string(default: Any = "") -> Any:
    return Field(default=default, sa_type=Text)


class Meta(SQLModel, table=True):
    """One value per name: schema, config digest, evaluated_seq, changed_seq, estate name."""

    name: str = Field(primary_key=True, sa_type=Text)
    value: str = string()


class ClockRow(SQLModel, table=True):
    """The clock of a replay: now = origin + (real - started) × rate. Without a row the clock is the real one."""

    __tablename__: ClassVar[str] = "clock"
    id: int = Field(primary_key=True)
    origin_us: int = big()
    started_us: int = big()
    rate: float = 1.0
    paused: bool = False


class Lease(SQLModel, table=True):
    """Who works on this store. `fence` grows with every holder; a write with an old fence is refused."""

    name: str = Field(primary_key=True, sa_type=Text)
    holder: str = string()
    fence: int = big(default=0)
    until_us: int = big(default=0)
    since_us: int = big(default=0)
    heartbeat_us: int = big(default=0)


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
    """"unreachable", "refused", "broken"; empty when well."""
    skew_s: float | None = None
    zone: str = string()
    seen_until_us: int | None = big(default=None)
    lost_since_us: int | None = big(default=None)
    lost_until_us: int | None = big(default=None)
    """The last window whose evidence is lost for good."""
    poll_ms: float | None = None
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
    grace_s: float = 300.0
    changed_seq: int = big(default=0)


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


class Service(SQLModel, table=True):
    """A promised business outcome, as config has it."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    title: str = string()
    terminals: str = string("[]")
    """JSON: job ids."""
    deadline: str = string()
    zone: str = string()
    cutoff: str = string("12:00")
    tier: int = 3
    owner: str = string()
    notify: str = string("[]")
    runbook: str = string()
    risk: float = 0.1
    removed: bool = False


class ServiceDay(SQLModel, table=True):
    """One service on one business date: the promise and how it stands. Written by evaluation only."""

    __tablename__: ClassVar[str] = "service_day"
    __table_args__ = (UniqueConstraint("service_id", "bd"), Index("service_day_changed", "changed_seq"))
    id: int | None = big(default=None, primary_key=True)
    service_id: int = Field(foreign_key="service.id")
    bd: str = string()
    deadline_us: int = big()
    timeliness: str = string("no_estimate")
    data_state: str = string()
    """"complete", "stale", "failed", "open"."""
    delivered_us: int | None = big(default=None)
    expected_us: int | None = big(default=None)
    """p50 of the finish."""
    late_us: int | None = big(default=None)
    """p90 of the finish."""
    act_by_us: int | None = big(default=None)
    green_by_us: int | None = big(default=None)
    incident_id: int | None = big(default=None)
    cause: str = string()
    """Name of the job or target that endangers it; empty when nothing does."""
    sources: str = string("[]")
    """JSON: [{"job", "source": "history"|"declared"|"none", "runs", "p50_s", "p90_s"}] along the path."""
    path: str = string("[]")
    """JSON: job ids along the critical path, first to last."""
    reason: str = string()
    """Why this timeliness, one sentence."""
    changed_seq: int = big(default=0)


class Incident(SQLModel, table=True):
    """One root cause and everything it hurts, with two clocks."""

    __table_args__ = (Index("incident_open", "closed_us"), Index("incident_changed", "changed_seq"))
    id: int | None = big(default=None, primary_key=True)
    key: str = Field(unique=True, sa_type=Text)
    title: str = string()
    """Cleaned: "etl-hosts/db07:extract_orders failed: exit 1"."""
    cause: str = string()
    """"run" or "target"."""
    root_job_id: int | None = Field(default=None)
    root_run_id: int | None = big(default=None)
    root_period_key: str = string()
    root_target_id: int | None = Field(default=None)
    bd: str = string()
    reason: str = string()
    owner: str = string()
    runbook: str = string()
    failed_since_us: int = big()
    opened_us: int = big()
    act_by_us: int | None = big(default=None)
    """The earliest act-by of its services that is still ahead, else the latest passed."""
    closed_us: int | None = big(default=None)
    close_reason: str = string()
    merged_into: int | None = big(default=None)
    fingerprint: str = string()
    version: int = 1
    changed_seq: int = big(default=0)


class IncidentMember(SQLModel, table=True):
    """A run that belongs to an incident: its root, what it left red or stale, what it threatens."""

    __tablename__: ClassVar[str] = "incident_member"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    job_id: int = Field(primary_key=True)
    period_key: str = Field(primary_key=True, sa_type=Text)
    role: str = string()
    """"root", "red", "stale", "threatened", "repaired"."""
    place: int = 0
    """Its place among the members: the root, then upstreams before their downstreams."""
    run_id: int | None = big(default=None)


class IncidentService(SQLModel, table=True):
    """A service that an incident hurts, with the clocks it had when last judged."""

    __tablename__: ClassVar[str] = "incident_service"
    incident_id: int = big(primary_key=True, foreign_key="incident.id")
    service_id: int = Field(primary_key=True)
    bd: str = Field(primary_key=True, sa_type=Text)
    deadline_us: int = big()
    act_by_us: int | None = big(default=None)
    green_by_us: int | None = big(default=None)
    expected_us: int | None = big(default=None)
    timeliness: str = string()
    source: str = string()
    """"history (14 runs)", "declared", "no estimate"."""
    reason: str = string()


class Event(SQLModel, table=True):
    """The timeline: what happened to an incident, a system or the estate, in order. Append only."""

    __table_args__ = (Index("event_incident", "incident_id", "id"),)
    id: int | None = big(default=None, primary_key=True)
    at_us: int = big()
    kind: str = string()
    words: str = string()
    incident_id: int | None = big(default=None)
    job_id: int | None = Field(default=None)
    system_id: int | None = Field(default=None)
    actor: str = string()


class Alert(SQLModel, table=True):
    """One notice about an incident to one route: made in the transaction that changed the incident."""

    __table_args__ = (UniqueConstraint("incident_id", "route", "kind", "version"),)
    id: int | None = big(default=None, primary_key=True)
    incident_id: int = big(foreign_key="incident.id")
    dedup_key: str = string()
    kind: str = string()
    version: int = 1
    route: str = string()
    title: str = string()
    body: str = string()
    made_us: int = big()


class Delivery(SQLModel, table=True):
    """Alert × URL of its route: pending, claimed, sent, parked. `wire_us` is committed before the wire is touched."""

    __table_args__ = (UniqueConstraint("alert_id", "url_index"), Index("delivery_due", "state", "next_us"))
    id: int | None = big(default=None, primary_key=True)
    alert_id: int = big(foreign_key="alert.id")
    url_index: int = 0
    url_words: str = string()
    """The reference's words ("env ONCALL_MAIL"), never the URL."""
    state: str = string("pending")
    tries: int = 0
    next_us: int = big(default=0)
    wire_us: int | None = big(default=None)
    sent_us: int | None = big(default=None)
    repeats: int = 0
    """Sent again where a crash or a lost answer fell between the wire and the record."""
    error: str = string()


class Action(SQLModel, table=True):
    """What a person asked for. Its intent is committed under our key before the wire."""

    __table_args__ = (
        Index("action_state", "state"),
        Index("action_run", "run_id"),
        Index("action_incident", "incident_id"),
        Index("action_requested", "requested_us"),
    )
    key: str = Field(primary_key=True, sa_type=Text)
    verb: str = string()
    job_id: int = Field(foreign_key="job.id")
    run_id: int = big()
    incident_id: int | None = big(default=None)
    state: str = string("requested")
    """requested, sending (intent committed), sent, verified, refused, failed, unknown."""
    preview: str = string("{}")
    """JSON of the Preview that the person saw."""
    requested_by: str = string()
    requested_from: str = string()
    why: str = string()
    requested_us: int = big()
    sent_us: int | None = big(default=None)
    ended_us: int | None = big(default=None)
    native_ref: str = string()
    attempt_id: int | None = big(default=None)
    words: str = string()
    """What came back, or why it was refused."""
    next_us: int = big(default=0)
    looked_up: int = 0
    changed_seq: int = big(default=0)


class Request(SQLModel, table=True):
    """A question of a screen or command that only the engine can answer: a preview, a log, a probe."""

    __table_args__ = (Index("request_state", "state", "id"),)
    id: int | None = big(default=None, primary_key=True)
    kind: str = string()
    arguments: str = string("{}")
    asked_by: str = string()
    asked_us: int = big()
    state: str = string("asked")
    """asked, answering, answered, refused."""
    answer: str = string("{}")
    answered_us: int | None = big(default=None)
