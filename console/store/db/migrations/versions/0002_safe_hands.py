"""What acting safely needs: plans, holds, rights, switches, the audit; and actions that are approved or a policy's.

An estate that was watched before this version stays live; a new one says how it starts (`[estate] starts_in`).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import create_table

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _actions()
    _plans()
    _holds()
    _rights()
    _keep_the_audit()
    with op.batch_alter_table("system") as system:
        system.add_column(sa.Column("starts_held", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("dependency") as dependency:
        dependency.add_column(sa.Column("mode", sa.Text(), nullable=False, server_default="observe"))
        dependency.add_column(sa.Column("engine_down", sa.Text(), nullable=False, server_default="open"))
        dependency.add_column(sa.Column("hold_lead_s", sa.Float(), nullable=False, server_default="600"))
        dependency.add_column(sa.Column("hold_for_s", sa.Float(), nullable=False, server_default="21600"))
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("unwatched", sa.Boolean(), nullable=False, server_default=sa.false()))
        job.create_index("job_unwatched", ["unwatched"])
    _alerts()
    op.execute(
        "INSERT INTO switch (name, value, set_by, why, at_us) SELECT 'mode', 'live', '', 'it was live before', 0"
        " WHERE EXISTS (SELECT 1 FROM system)"
    )


def _alerts() -> None:
    with op.batch_alter_table("alert") as alert:
        alert.alter_column("incident_id", existing_type=BIG, nullable=True)
        for name in ("plain_title", "plain_body"):
            alert.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
        for name in ("urgent", "waits"):
            alert.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
        alert.add_column(sa.Column("let_us", BIG, nullable=False, server_default="0"))
        for name in ("digest_id", "fallback_of", "handed_us"):
            alert.add_column(sa.Column(name, BIG, nullable=True))
        alert.create_index("alert_waits", ["waits"])
        alert.create_index("alert_let", ["route", "let_us"])
        alert.create_index("alert_digest", ["digest_id"])
    with op.batch_alter_table("delivery") as delivery:
        delivery.add_column(sa.Column("since_us", BIG, nullable=False, server_default="0"))
        delivery.add_column(sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"))
        delivery.add_column(sa.Column("parked_us", BIG, nullable=True))


def _actions() -> None:
    with op.batch_alter_table("action") as action:
        action.alter_column("run_id", existing_type=BIG, nullable=True)
        action.add_column(sa.Column("parameters", sa.Text(), nullable=False, server_default="{}"))
        action.add_column(sa.Column("origin", sa.Text(), nullable=False, server_default="person"))
        action.add_column(sa.Column("overlap", sa.Text(), nullable=False, server_default="refuse"))
        action.add_column(sa.Column("needs_approval", sa.Boolean(), nullable=False, server_default=sa.false()))
        action.add_column(sa.Column("approved_by", sa.Text(), nullable=False, server_default=""))
        action.add_column(sa.Column("approved_us", BIG, nullable=True))


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
    """No row of the audit is changed or removed, and the database itself notes which was the last."""
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
