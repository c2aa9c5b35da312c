"""The initial schema. Numbers below this one belong to development versions, whose stores are refused."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0104"
down_revision = None

TABLES = """
audit
    seq big, at_us big, actor text, origin text, verb text, object text, detail text, why text, prev_hash text,
    hash text

check_result
    id big, name text, business_date text, state text, since_us big, at_us big, times int, measured text,
    row_count big?,
    text text, changed_seq big
    index check_result_business_date (business_date), check_result_of (name, business_date)

clock
    id int, origin_us big, started_us big, rate float, paused bool

event
    id big, at_us big, kind text, text text, incident_id big?, job_id int?, system_id int?, actor text
    index event_incident (incident_id, id)

finding
    id big, job_id int, run_id big?, rule text, period_key text, business_date text, close_reason text, text text,
    evidence text, severity text, since_us big, opened_us big, closed_us big?
    index finding_job (job_id, id), finding_run (run_id)
    index finding_open (job_id) where closed_us IS NULL

incident
    id big, key text, title text, cause text, root_job_id int?, root_run_id big?, root_period_key text,
    root_target_id int?, business_date text, reason text, owner text, runbook text, failed_since_us big, opened_us big,
    act_by_us big?, closed_us big?, close_reason text, merged_into big?, fingerprint text, version int,
    changed_seq big, root_shared text=, split_from big?, reopened int=0, flaps int=0, flaps_since_us big?,
    changes text=[], rule text=, root_check text=
    unique (key)
    index incident_changed (changed_seq), incident_merged (merged_into), incident_open (closed_us)
    index incident_root_run (root_run_id)

job_counts
    system_id int, state text, n big
    primary key (system_id, state)

latest_run
    job_id big, run_id big, sort_us big, state text, attention int, changed_seq big
    index latest_attention (attention, sort_us, job_id), latest_changed (changed_seq)

lease
    name text, holder text, fence big, until_us big, since_us big, heartbeat_us big

log_tail
    attempt_id big, text text, cut bool, error text, fetched_us big

meta
    name text, value text

permission
    id int, who text, role text, systems text, services text, tiers text

plan
    id big, key text, kind text, title text, incident_id big?, state text, requested_by text, requested_from text,
    why text, requested_us big, ended_us big?, at_once int, text text, changed_seq big
    unique (key)
    index plan_incident (incident_id), plan_state (state)

request
    id big, kind text, arguments text, requested_by text, requested_us big, state text, answer text, answered_us big?
    index request_state (state, id)

rota
    name text, source text, text text, shifts text, until_us big, read_us big, tried_us big, error text

service
    id int, name text, title text, terminals text, deadline text, zone text, cutoff text, tier int, owner text,
    notify text, runbook text, risk float, removed bool, promise text={}, calendar text=, ready text=[]
    unique (name)

silence
    id big, matchers text, from_us big, until_us big, why text, made_by text, made_us big, ended_us big?,
    ended_by text
    index silence_until (until_us)

switch
    name text, value text, set_by text, why text, at_us big, until_us big?

system
    id int, name text, kind text, zone text, cutoff text, poll_every_s float, capabilities text, missing text,
    removed bool, starts_held bool=false
    unique (name)

acknowledgement
    id big, incident_id big -> incident, made_by text, why text, made_us big, until_us big, ended_us big?,
    ended_by text
    index acknowledgement_incident (incident_id, id)

alert
    id big, incident_id big? -> incident, dedup_key text, kind text, version int, route text, title text, body text,
    made_us big, plain_title text=, plain_body text=, urgent bool=false, waits bool=false, let_us big=0,
    digest_id big?, fallback_of big?, handed_us big?
    unique (incident_id, route, kind, version)
    index alert_digest (digest_id), alert_let (route, let_us), alert_made (made_us), alert_waits (waits)

alert_suppressed
    id big, incident_id big -> incident, route text, style text, kind text, stage text, why text, since_us big,
    until_us big?, ended_us big?, ended_why text
    index alert_suppressed_incident (incident_id, id), alert_suppressed_open (ended_us)
    index alert_suppressed_since (since_us)

alert_notified
    incident_id big -> incident, route text, style text, fingerprint text, first_us big, last_us big, times int
    primary key (incident_id, route, style)

back_test
    id big, service_id int -> service, business_date text, peak_late float?, was_late bool
    unique (service_id, business_date)

back_test_of
    service_id int -> service, promise text, jobs text

extension
    id big, service_id int -> service, business_date text, until_us big, by text, why text, at_us big, submission text=
    index extension_day (service_id, business_date, submission), extension_until (until_us)

incident_member
    incident_id big -> incident, job_id int, period_key text, role text, place int, run_id big?
    primary key (incident_id, job_id, period_key)

incident_service
    incident_id big -> incident, service_id int, business_date text, deadline_us big, act_by_us big?, green_by_us big?,
    expected_us big?, timeliness text, basis text, reasons text=[], submission text=
    primary key (incident_id, service_id, business_date, submission)

service_day
    id big, service_id int -> service, business_date text, deadline_us big, timeliness text, data_state text,
    delivered_us big?, expected_us big?, late_us big?, act_by_us big?, green_by_us big?, incident_id big?,
    cause text, sources text, path text, reasons text=[], changed_seq big, promised_us big?, agreed_us big?,
    extension text=, instance text=, submission text=, awaits text=[], p95_us big?, p80_us big?, p_late float?,
    peak_late float?, critical text=[], nights int=0, jobs text=[], distrust text=
    unique service_day_once (service_id, business_date, submission)
    index service_day_business_date (business_date), service_day_changed (changed_seq)

target
    id int, system_id int -> system, name text, cursor text, inventory_hash text, inventory_us big?, next_us big,
    last_try_us big?, last_ok_us big?, first_ok_us big?, failing_since_us big?, failures int, error text,
    error_kind text, skew_s float?, zone text, seen_until_us big?, lost_since_us big?, lost_until_us big?,
    poll_ms float?, skipped int, skipped_text text, warnings text, version text, rights text, removed bool,
    booted_us big?, requests int?, requests_minute float?, allowed text=
    unique (system_id, name)

alert_useful
    alert_id big -> alert, useful bool, said_by text, why text, said_us big

delivery
    id big, alert_id big -> alert, url_index int, receiver text, state text, tries int, next_us big, wire_us big?,
    sent_us big?, repeats int, error text, since_us big=0, refusals int=0, parked_us big?
    unique (alert_id, url_index)
    index delivery_due (state, next_us)

forecast
    id big, service_day_id big -> service_day, at_us big, p_late float, p50_us big?, p80_us big?, p90_us big?,
    p95_us big?, p_own float?
    index forecast_day (service_day_id, id)

job
    id int, system_id int -> system, target_id int -> target, native_id text, source_id text, name text, title text,
    parent_id int? -> job, paused_since_us big?, gone_since_us big?, definition text, definition_hash text,
    match_keys text, proof text, run_as text, native_url text, first_seen_us big, owner text, notify text,
    runbook text, rerun text, expected_s float?, grace_s float, changed_seq big, unwatched bool=false,
    budget_s float?, budget_cost float?, calendar text=, config_says text=, pool text=, slots int?
    unique (system_id, native_id)
    index job_budget (budget_cost), job_changed (changed_seq), job_name (name, id), job_parent (parent_id)
    index job_source (system_id, source_id), job_target (target_id), job_unwatched (unwatched)

action
    key text, verb text, job_id int -> job, run_id big?, incident_id big?, state text, preview text,
    requested_by text, requested_from text, why text, requested_us big, sent_us big?, ended_us big?,
    native_ref text, attempt_id big?, text text, next_us big, looked_up int, changed_seq big, parameters text={},
    origin text=person, overlap text=refuse, needs_approval bool=false, approved_by text=, approved_us big?,
    unsent bool=false
    index action_incident (incident_id), action_requested (requested_us), action_run (run_id), action_state (state)

dependency
    id int, upstream_id int -> job, downstream_id int -> job, origin text, mode text=observe, engine_down text=open,
    hold_lead_s float=600, hold_for_s float=21600, condition text=success, check_name text=, period text=same,
    calendar text=, within_s float?, gate text=, need int=0
    unique (upstream_id, downstream_id, origin)
    index ix_dependency_downstream_id (downstream_id)

drift
    id int, job_id int -> job, what text, text text, seen_us big, accepted_us big?, accepted_by text, ended_us big?
    index drift_job (job_id)

hold
    key text, job_id int -> job, upstream_id int?, business_date text, kind text, mode text, state text, held_by text,
    why text, placed_us big?, until_us big, due_us big?, period_key text, release_key text?, start_key text?,
    released_us big?, ended_us big?, reason text, detail text, changed_seq big, seen_us big?
    index hold_due (due_us), hold_ended (ended_us), hold_job (job_id), hold_release (release_key)
    index hold_start (start_key), hold_state (state)

job_card
    job_id int -> job, field text, value text, was text, said_by text, said_us big
    primary key (job_id, field)

plan_step
    id big, plan_id big -> plan, place int, verb text, job_id int? -> job, run_id big?, period_key text,
    parameters text, after text, wait_s float, due_us big?, safety text, expected_s float?, saves text,
    preview text, state text, action_key text?, text text, started_us big?, ended_us big?
    unique (plan_id, place)
    index plan_step_action (action_key)

run
    id big, job_id int -> job, period_key text, period_us big?, sort_us big, business_date text, state text,
    evidence text, native_state text, reason text, attempts int, attempt_id big?, first_started_us big?,
    started_us big?, ended_us big?, exit_code big?, message text, expected bool, timeliness text, stale_read bool,
    observed_us big, changed_seq big, partial_input text=
    unique (job_id, period_key)
    index run_changed (changed_seq), run_ended (ended_us), run_job_period (job_id, sort_us)
    index run_recent (sort_us, id)
    index run_open (sort_us) where state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')

schedule
    id int, job_id int -> job, dialect text, expression text, zone text, text text, next_us big?, seen_us big,
    accepted_us big?, accepted_by text
    index schedule_job (job_id, id)

attempt
    id big, run_id big -> run, job_id int -> job, attempt_key text, number int, state text, evidence text,
    native_state text, queued_us big?, started_us big?, ended_us big?, exit_code big?, message text, reason text,
    native_ref text, native_url text, action_key text?, context text, observed_us big
    unique (job_id, attempt_key)
    index attempt_action (action_key), attempt_run (run_id, number)
"""
"""Each column as "name type", "?" if it may be NULL, its default after "=", its foreign key after "->" (to `id`); the
first one is the primary key unless a line says otherwise."""

TYPES: dict[str, Any] = {
    "int": sa.Integer(),
    "big": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "text": sa.Text(),
    "float": sa.Float(),
    "bool": sa.Boolean(),
}
COLUMN = re.compile(r"(\w+) (\w+)(\??)(?:=(\S*))?(?: -> (\w+))?")
KEY = re.compile(r"(primary key|unique|index) (.+)")
KEY_PART = re.compile(r"(\w*) ?\(([^)]*)\)(?: where (.+))?")


def upgrade() -> None:
    for paragraph in TABLES.strip().split("\n\n"):
        _create_table(*(line.strip() for line in paragraph.split("\n")))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in AUDIT_ON_SQLITE if is_sqlite else AUDIT_ON_POSTGRES:
        op.execute(statement)


def _create_table(table: str, *lines: str) -> None:
    columns = [column for line in lines if not KEY.match(line) for column in line.rstrip(",").split(", ")]
    keys = [(match[1], *part) for line in lines if (match := KEY.match(line)) for part in KEY_PART.findall(match[2])]
    items: list[sa.schema.SchemaItem] = []
    for column in columns:
        name, kind, nullable, default, parent = COLUMN.fullmatch(column).groups()  # type: ignore[union-attr]
        server_default = sa.false() if default == "false" else default
        items.append(sa.Column(name, TYPES[kind], nullable=bool(nullable), server_default=server_default))
        items += [sa.ForeignKeyConstraint([name], [f"{parent}.id"])] if parent else []
    items += [
        sa.UniqueConstraint(*key.split(", "), name=name or None) for kind, name, key, _ in keys if kind == "unique"
    ]
    [primary] = [key for kind, _, key, _ in keys if kind == "primary key"] or [columns[0].split(" ")[0]]
    op.create_table(table, *items, sa.PrimaryKeyConstraint(*primary.split(", ")))
    for kind, name, key, where in keys:
        if kind == "index":
            condition = sa.text(where) if where else None
            op.create_index(name, table, key.split(", "), sqlite_where=condition, postgresql_where=condition)


AUDIT_ON_SQLITE = (
    """CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append only'); END""",
    """CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append only'); END""",
    """CREATE TRIGGER audit_notes_last AFTER INSERT ON audit BEGIN
        INSERT INTO meta (name, value) VALUES ('audit_head', NEW.seq || ' ' || NEW.hash)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value; END""",
)
AUDIT_ON_POSTGRES = (
    """CREATE FUNCTION headway_audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit is append only' USING ERRCODE = 'insufficient_privilege'; END $$""",
    """CREATE TRIGGER audit_refuses BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION headway_audit_refuses()""",
    """CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION headway_audit_refuses()""",
    # As its owner: a login that may only ask has no right on meta. Its own temporary tables come last in the path.
    """CREATE FUNCTION headway_audit_notes_last() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO meta (name, value) VALUES ('audit_head', NEW.seq || ' ' || NEW.hash)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
        RETURN NULL;
    END $$""",
    """DO $$ BEGIN
        EXECUTE format('ALTER FUNCTION headway_audit_notes_last() SET search_path = %I, pg_temp', current_schema());
    END $$""",
    "CREATE TRIGGER audit_notes_last AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION headway_audit_notes_last()",
)
