"""The first schema: what one night of one estate needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("origin_us", BIG, nullable=False),
        sa.Column("started_us", BIG, nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "event",
        sa.Column("id", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("incident_id", BIG, nullable=True),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("system_id", sa.Integer(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("event_incident", "event", ["incident_id", "id"])
    op.create_table(
        "incident",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("root_job_id", sa.Integer(), nullable=True),
        sa.Column("root_run_id", BIG, nullable=True),
        sa.Column("root_period_key", sa.Text(), nullable=False),
        sa.Column("root_target_id", sa.Integer(), nullable=True),
        sa.Column("bd", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("runbook", sa.Text(), nullable=False),
        sa.Column("failed_since_us", BIG, nullable=False),
        sa.Column("opened_us", BIG, nullable=False),
        sa.Column("act_by_us", BIG, nullable=True),
        sa.Column("closed_us", BIG, nullable=True),
        sa.Column("close_reason", sa.Text(), nullable=False),
        sa.Column("merged_into", BIG, nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("incident_changed", "incident", ["changed_seq"])
    op.create_index("incident_open", "incident", ["closed_us"])
    op.create_table(
        "job_counts",
        sa.Column("system_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.PrimaryKeyConstraint("system_id", "state"),
    )
    op.create_table(
        "latest_run",
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("sort_us", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attention", sa.Integer(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("latest_attention", "latest_run", ["attention", "sort_us", "job_id"])
    op.create_index("latest_changed", "latest_run", ["changed_seq"])
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fence", BIG, nullable=False),
        sa.Column("until_us", BIG, nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("heartbeat_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "log_tail",
        sa.Column("attempt_id", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("fetched_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "request",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_us", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answered_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("request_state", "request", ["state", "id"])
    op.create_table(
        "service",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("terminals", sa.Text(), nullable=False),
        sa.Column("deadline", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("notify", sa.Text(), nullable=False),
        sa.Column("runbook", sa.Text(), nullable=False),
        sa.Column("risk", sa.Float(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "system",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.Column("poll_every_s", sa.Float(), nullable=False),
        sa.Column("capabilities", sa.Text(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "alert",
        sa.Column("id", BIG, nullable=False),
        sa.Column("incident_id", BIG, nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("made_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("incident_id", "route", "kind", "version"),
    )
    op.create_table(
        "incident_member",
        sa.Column("incident_id", BIG, nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("period_key", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("run_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
        ),
        sa.PrimaryKeyConstraint("incident_id", "job_id", "period_key"),
    )
    op.create_table(
        "incident_service",
        sa.Column("incident_id", BIG, nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("bd", sa.Text(), nullable=False),
        sa.Column("deadline_us", BIG, nullable=False),
        sa.Column("act_by_us", BIG, nullable=True),
        sa.Column("green_by_us", BIG, nullable=True),
        sa.Column("expected_us", BIG, nullable=True),
        sa.Column("timeliness", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
        ),
        sa.PrimaryKeyConstraint("incident_id", "service_id", "bd"),
    )
    op.create_table(
        "service_day",
        sa.Column("id", BIG, nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("bd", sa.Text(), nullable=False),
        sa.Column("deadline_us", BIG, nullable=False),
        sa.Column("timeliness", sa.Text(), nullable=False),
        sa.Column("data_state", sa.Text(), nullable=False),
        sa.Column("delivered_us", BIG, nullable=True),
        sa.Column("expected_us", BIG, nullable=True),
        sa.Column("late_us", BIG, nullable=True),
        sa.Column("act_by_us", BIG, nullable=True),
        sa.Column("green_by_us", BIG, nullable=True),
        sa.Column("incident_id", BIG, nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"],
            ["service.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("service_id", "bd"),
    )
    op.create_index("service_day_changed", "service_day", ["changed_seq"])
    op.create_table(
        "target",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("system_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("inventory_hash", sa.Text(), nullable=False),
        sa.Column("inventory_us", BIG, nullable=True),
        sa.Column("next_us", BIG, nullable=False),
        sa.Column("last_try_us", BIG, nullable=True),
        sa.Column("last_ok_us", BIG, nullable=True),
        sa.Column("first_ok_us", BIG, nullable=True),
        sa.Column("failing_since_us", BIG, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("error_kind", sa.Text(), nullable=False),
        sa.Column("skew_s", sa.Float(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("seen_until_us", BIG, nullable=True),
        sa.Column("lost_since_us", BIG, nullable=True),
        sa.Column("lost_until_us", BIG, nullable=True),
        sa.Column("poll_ms", sa.Float(), nullable=True),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("skipped_words", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("rights", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["system_id"],
            ["system.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("system_id", "name"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", BIG, nullable=False),
        sa.Column("alert_id", BIG, nullable=False),
        sa.Column("url_index", sa.Integer(), nullable=False),
        sa.Column("url_words", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_us", BIG, nullable=False),
        sa.Column("wire_us", BIG, nullable=True),
        sa.Column("sent_us", BIG, nullable=True),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alert.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("alert_id", "url_index"),
    )
    op.create_index("delivery_due", "delivery", ["state", "next_us"])
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("system_id", sa.Integer(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("paused_since_us", BIG, nullable=True),
        sa.Column("gone_since_us", BIG, nullable=True),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("match_keys", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("run_as", sa.Text(), nullable=False),
        sa.Column("native_url", sa.Text(), nullable=False),
        sa.Column("first_seen_us", BIG, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("notify", sa.Text(), nullable=False),
        sa.Column("runbook", sa.Text(), nullable=False),
        sa.Column("rerun", sa.Text(), nullable=False),
        sa.Column("expected_s", sa.Float(), nullable=True),
        sa.Column("grace_s", sa.Float(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["job.id"],
        ),
        sa.ForeignKeyConstraint(
            ["system_id"],
            ["system.id"],
        ),
        sa.ForeignKeyConstraint(
            ["target_id"],
            ["target.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("system_id", "native_id"),
    )
    op.create_index("job_changed", "job", ["changed_seq"])
    op.create_index("job_name", "job", ["name", "id"])
    op.create_index("job_parent", "job", ["parent_id"])
    op.create_index("job_source", "job", ["system_id", "source_id"])
    op.create_index("job_target", "job", ["target_id"])
    op.create_table(
        "action",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("incident_id", BIG, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_from", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("requested_us", BIG, nullable=False),
        sa.Column("sent_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("native_ref", sa.Text(), nullable=False),
        sa.Column("attempt_id", BIG, nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("next_us", BIG, nullable=False),
        sa.Column("looked_up", sa.Integer(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["job.id"],
        ),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("action_incident", "action", ["incident_id"])
    op.create_index("action_requested", "action", ["requested_us"])
    op.create_index("action_run", "action", ["run_id"])
    op.create_index("action_state", "action", ["state"])
    op.create_table(
        "dependency",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("upstream_id", sa.Integer(), nullable=False),
        sa.Column("downstream_id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["downstream_id"],
            ["job.id"],
        ),
        sa.ForeignKeyConstraint(
            ["upstream_id"],
            ["job.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("upstream_id", "downstream_id", "origin"),
    )
    op.create_index(op.f("ix_dependency_downstream_id"), "dependency", ["downstream_id"])
    op.create_table(
        "drift",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("seen_us", BIG, nullable=False),
        sa.Column("accepted_us", BIG, nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["job.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("drift_job", "drift", ["job_id"])
    op.create_table(
        "run",
        sa.Column("id", BIG, nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("period_key", sa.Text(), nullable=False),
        sa.Column("period_us", BIG, nullable=True),
        sa.Column("sort_us", BIG, nullable=False),
        sa.Column("bd", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("native_state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempt_id", BIG, nullable=True),
        sa.Column("first_started_us", BIG, nullable=True),
        sa.Column("started_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("exit_code", BIG, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("expected", sa.Boolean(), nullable=False),
        sa.Column("timeliness", sa.Text(), nullable=False),
        sa.Column("stale_read", sa.Boolean(), nullable=False),
        sa.Column("observed_us", BIG, nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["job.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id", "period_key"),
    )
    op.create_index("run_changed", "run", ["changed_seq"])
    op.create_index("run_ended", "run", ["ended_us"])
    op.create_index("run_job_period", "run", ["job_id", "sort_us"])
    op.create_index(
        "run_open",
        "run",
        ["sort_us"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"),
        postgresql_where=sa.text("state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"),
    )
    op.create_index("run_recent", "run", ["sort_us", "id"])
    op.create_table(
        "schedule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("next_us", BIG, nullable=True),
        sa.Column("seen_us", BIG, nullable=False),
        sa.Column("accepted_us", BIG, nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["job.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("schedule_job", "schedule", ["job_id", "id"])
    op.create_table(
        "attempt",
        sa.Column("id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("attempt_key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("native_state", sa.Text(), nullable=False),
        sa.Column("queued_us", BIG, nullable=True),
        sa.Column("started_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("exit_code", BIG, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("native_ref", sa.Text(), nullable=False),
        sa.Column("native_url", sa.Text(), nullable=False),
        sa.Column("action_key", sa.Text(), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("observed_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["job.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id", "attempt_key"),
    )
    op.create_index("attempt_action", "attempt", ["action_key"])
    op.create_index("attempt_run", "attempt", ["run_id", "number"])
