"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import create_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_table("clock", "id int, origin_us big, started_us big, rate float, paused bool")
    create_table(
        "event",
        "id big, at_us big, kind text, words text, incident_id big?, job_id int?, system_id int?, actor text",
    )
    op.create_index("event_incident", "event", ["incident_id", "id"])
    create_table(
        "incident",
        "id big, key text, title text, cause text, root_job_id int?, root_run_id big?, root_period_key text, "
        "root_target_id int?, bd text, reason text, owner text, runbook text, failed_since_us big, opened_us big, "
        "act_by_us big?, closed_us big?, close_reason text, merged_into big?, fingerprint text, version int, "
        "changed_seq big",
        sa.UniqueConstraint("key"),
    )
    op.create_index("incident_changed", "incident", ["changed_seq"])
    op.create_index("incident_open", "incident", ["closed_us"])
    create_table(
        "job_counts",
        "system_id int, state text, n big",
        sa.PrimaryKeyConstraint("system_id", "state"),
    )
    create_table("latest_run", "job_id big, run_id big, sort_us big, state text, attention int, changed_seq big")
    op.create_index("latest_attention", "latest_run", ["attention", "sort_us", "job_id"])
    op.create_index("latest_changed", "latest_run", ["changed_seq"])
    create_table("lease", "name text, holder text, fence big, until_us big, since_us big, heartbeat_us big")
    create_table("log_tail", "attempt_id big, text text, cut bool, error text, fetched_us big")
    create_table("meta", "name text, value text")
    create_table(
        "request",
        "id big, kind text, arguments text, asked_by text, asked_us big, state text, answer text, answered_us big?",
    )
    op.create_index("request_state", "request", ["state", "id"])
    create_table(
        "service",
        "id int, name text, title text, terminals text, deadline text, zone text, cutoff text, tier int, owner text, "
        "notify text, runbook text, risk float, removed bool",
        sa.UniqueConstraint("name"),
    )
    create_table(
        "system",
        "id int, name text, kind text, zone text, cutoff text, poll_every_s float, capabilities text, missing text, "
        "removed bool",
        sa.UniqueConstraint("name"),
    )
    create_table(
        "alert",
        "id big, incident_id big, dedup_key text, kind text, version int, route text, title text, body text, "
        "made_us big",
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
        sa.UniqueConstraint("incident_id", "route", "kind", "version"),
    )
    create_table(
        "incident_member",
        "incident_id big, job_id int, period_key text, role text, place int, run_id big?",
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
        sa.PrimaryKeyConstraint("incident_id", "job_id", "period_key"),
    )
    create_table(
        "incident_service",
        "incident_id big, service_id int, bd text, deadline_us big, act_by_us big?, green_by_us big?, "
        "expected_us big?, timeliness text, source text, reason text",
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
        sa.PrimaryKeyConstraint("incident_id", "service_id", "bd"),
    )
    create_table(
        "service_day",
        "id big, service_id int, bd text, deadline_us big, timeliness text, data_state text, delivered_us big?, "
        "expected_us big?, late_us big?, act_by_us big?, green_by_us big?, incident_id big?, cause text, "
        "sources text, path text, reason text, changed_seq big",
        sa.ForeignKeyConstraint(["service_id"], ["service.id"]),
        sa.UniqueConstraint("service_id", "bd"),
    )
    op.create_index("service_day_changed", "service_day", ["changed_seq"])
    create_table(
        "target",
        "id int, system_id int, name text, cursor text, inventory_hash text, inventory_us big?, next_us big, "
        "last_try_us big?, last_ok_us big?, first_ok_us big?, failing_since_us big?, failures int, error text, "
        "error_kind text, skew_s float?, zone text, seen_until_us big?, lost_since_us big?, lost_until_us big?, "
        "poll_ms float?, skipped int, skipped_words text, warnings text, version text, rights text, removed bool",
        sa.ForeignKeyConstraint(["system_id"], ["system.id"]),
        sa.UniqueConstraint("system_id", "name"),
    )
    create_table(
        "delivery",
        "id big, alert_id big, url_index int, url_words text, state text, tries int, next_us big, wire_us big?, "
        "sent_us big?, repeats int, error text",
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"]),
        sa.UniqueConstraint("alert_id", "url_index"),
    )
    op.create_index("delivery_due", "delivery", ["state", "next_us"])
    create_table(
        "job",
        "id int, system_id int, target_id int, native_id text, source_id text, name text, title text, "
        "parent_id int?, paused_since_us big?, gone_since_us big?, definition text, definition_hash text, "
        "match_keys text, proof text, run_as text, native_url text, first_seen_us big, owner text, notify text, "
        "runbook text, rerun text, expected_s float?, grace_s float, changed_seq big",
        sa.ForeignKeyConstraint(["parent_id"], ["job.id"]),
        sa.ForeignKeyConstraint(["system_id"], ["system.id"]),
        sa.ForeignKeyConstraint(["target_id"], ["target.id"]),
        sa.UniqueConstraint("system_id", "native_id"),
    )
    op.create_index("job_changed", "job", ["changed_seq"])
    op.create_index("job_name", "job", ["name", "id"])
    op.create_index("job_parent", "job", ["parent_id"])
    op.create_index("job_source", "job", ["system_id", "source_id"])
    op.create_index("job_target", "job", ["target_id"])
    create_table(
        "action",
        "key text, verb text, job_id int, run_id big, incident_id big?, state text, preview text, requested_by text, "
        "requested_from text, why text, requested_us big, sent_us big?, ended_us big?, native_ref text, "
        "attempt_id big?, words text, next_us big, looked_up int, changed_seq big",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
    )
    op.create_index("action_incident", "action", ["incident_id"])
    op.create_index("action_requested", "action", ["requested_us"])
    op.create_index("action_run", "action", ["run_id"])
    op.create_index("action_state", "action", ["state"])
    create_table(
        "dependency",
        "id int, upstream_id int, downstream_id int, origin text",
        sa.ForeignKeyConstraint(["downstream_id"], ["job.id"]),
        sa.ForeignKeyConstraint(["upstream_id"], ["job.id"]),
        sa.UniqueConstraint("upstream_id", "downstream_id", "origin"),
    )
    op.create_index(op.f("ix_dependency_downstream_id"), "dependency", ["downstream_id"])
    create_table(
        "drift",
        "id int, job_id int, what text, words text, seen_us big, accepted_us big?, accepted_by text, ended_us big?",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
    )
    op.create_index("drift_job", "drift", ["job_id"])
    create_table(
        "run",
        "id big, job_id int, period_key text, period_us big?, sort_us big, bd text, state text, evidence text, "
        "native_state text, reason text, attempts int, attempt_id big?, first_started_us big?, started_us big?, "
        "ended_us big?, exit_code big?, message text, expected bool, timeliness text, stale_read bool, "
        "observed_us big, changed_seq big",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
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
    create_table(
        "schedule",
        "id int, job_id int, dialect text, expression text, zone text, words text, next_us big?, seen_us big, "
        "accepted_us big?, accepted_by text",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
    )
    op.create_index("schedule_job", "schedule", ["job_id", "id"])
    create_table(
        "attempt",
        "id big, run_id big, job_id int, attempt_key text, number int, state text, evidence text, native_state text, "
        "queued_us big?, started_us big?, ended_us big?, exit_code big?, message text, reason text, native_ref text, "
        "native_url text, action_key text?, context text, observed_us big",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.UniqueConstraint("job_id", "attempt_key"),
    )
    op.create_index("attempt_action", "attempt", ["action_key"])
    op.create_index("attempt_run", "attempt", ["run_id", "number"])
