"""Plans, holds, rights, switches, the audit; actions with approval or by a policy.

An estate that was watched before this version stays live; a new one says how it starts (`[estate] starts_in`).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import add_columns, create_table

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _actions()
    _plans()
    _holds()
    _rights()
    _keep_the_audit()
    add_columns("system", "starts_held bool")
    add_columns("dependency", "mode text=observe, engine_down text=open, hold_lead_s float=600, hold_for_s float=21600")
    add_columns("job", "unwatched bool")
    op.create_index("job_unwatched", "job", ["unwatched"])
    _alerts()
    op.execute(
        "INSERT INTO switch (name, value, set_by, why, at_us) SELECT 'mode', 'live', '', 'it was live before', 0"
        " WHERE EXISTS (SELECT 1 FROM system)"
    )


def _alerts() -> None:
    with op.batch_alter_table("alert") as alert:
        alert.alter_column("incident_id", existing_type=BIG, nullable=True)
    add_columns(
        "alert",
        "plain_title text=, plain_body text=, urgent bool, waits bool, let_us big=0, digest_id big?, fallback_of big?, "
        "handed_us big?",
    )
    op.create_index("alert_waits", "alert", ["waits"])
    op.create_index("alert_let", "alert", ["route", "let_us"])
    op.create_index("alert_digest", "alert", ["digest_id"])
    add_columns("delivery", "since_us big=0, refusals int=0, parked_us big?")


def _actions() -> None:
    with op.batch_alter_table("action") as action:
        action.alter_column("run_id", existing_type=BIG, nullable=True)
    add_columns(
        "action",
        "parameters text={}, origin text=person, overlap text=refuse, needs_approval bool, approved_by text=, "
        "approved_us big?",
    )


def _plans() -> None:
    create_table(
        "plan",
        "id big, key text, kind text, title text, incident_id big?, state text, requested_by text, "
        "requested_from text, why text, requested_us big, ended_us big?, at_once int, words text, changed_seq big",
        sa.UniqueConstraint("key"),
    )
    op.create_index("plan_state", "plan", ["state"])
    op.create_index("plan_incident", "plan", ["incident_id"])
    create_table(
        "plan_step",
        "id big, plan_id big, place int, verb text, job_id int?, run_id big?, period_key text, parameters text, "
        "after text, wait_s float, due_us big?, safety text, expected_s float?, saves text, preview text, "
        "state text, action_key text?, words text, started_us big?, ended_us big?",
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"]),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.UniqueConstraint("plan_id", "place"),
    )
    op.create_index("plan_step_action", "plan_step", ["action_key"])


def _holds() -> None:
    create_table(
        "hold",
        "key text, job_id int, upstream_id int?, bd text, kind text, mode text, state text, held_by text, why text, "
        "placed_us big?, until_us big, due_us big?, period_key text, release_key text?, start_key text?, "
        "released_us big?, ended_us big?, words text, changed_seq big",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
    )
    op.create_index("hold_state", "hold", ["state"])
    op.create_index("hold_job", "hold", ["job_id"])


def _rights() -> None:
    create_table("permission", "id int, who text, role text, systems text, services text, tiers text")
    create_table("switch", "name text, value text, set_by text, why text, at_us big")
    create_table(
        "audit",
        "seq big, at_us big, actor text, origin text, verb text, object text, detail text, why text, prev_hash text, "
        "hash text",
    )


def _keep_the_audit() -> None:
    """No row of the audit is changed or removed, and the database itself records the last one."""
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_refuses_{act.lower()} BEFORE {act} ON audit"
                " BEGIN SELECT RAISE(ABORT, 'the audit is append only'); END"
            )
        op.execute(
            "CREATE TRIGGER audit_notes_last AFTER INSERT ON audit BEGIN INSERT INTO meta (name, value) VALUES"
            " ('audit_head', NEW.seq || ' ' || NEW.hash) ON CONFLICT (name) DO UPDATE SET value = excluded.value; END"
        )
        return
    for statement in _POSTGRES:
        op.execute(statement)


_POSTGRES = (
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
