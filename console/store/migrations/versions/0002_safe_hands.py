"""What acting safely needs: plans, holds, rights, switches, the audit; and actions that are approved or a policy's.

An estate that was watched before this version stays live; a new one says how it starts (`[estate] starts_in`).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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
    op.create_table(
        "plan",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("incident_id", BIG, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_from", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("requested_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("at_once", sa.Integer(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("plan_state", "plan", ["state"])
    op.create_index("plan_incident", "plan", ["incident_id"])
    op.create_table(
        "plan_step",
        sa.Column("id", BIG, nullable=False),
        sa.Column("plan_id", BIG, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("run_id", BIG, nullable=True),
        sa.Column("period_key", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("wait_s", sa.Float(), nullable=False),
        sa.Column("due_us", BIG, nullable=True),
        sa.Column("safety", sa.Text(), nullable=False),
        sa.Column("expected_s", sa.Float(), nullable=True),
        sa.Column("saves", sa.Text(), nullable=False),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("action_key", sa.Text(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("started_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"]),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("plan_id", "place"),
    )
    op.create_index("plan_step_action", "plan_step", ["action_key"])


def _holds() -> None:
    op.create_table(
        "hold",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("upstream_id", sa.Integer(), nullable=True),
        sa.Column("bd", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("placed_us", BIG, nullable=True),
        sa.Column("until_us", BIG, nullable=False),
        sa.Column("due_us", BIG, nullable=True),
        sa.Column("period_key", sa.Text(), nullable=False),
        sa.Column("release_key", sa.Text(), nullable=True),
        sa.Column("start_key", sa.Text(), nullable=True),
        sa.Column("released_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("hold_state", "hold", ["state"])
    op.create_index("hold_job", "hold", ["job_id"])


def _rights() -> None:
    op.create_table(
        "permission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("systems", sa.Text(), nullable=False),
        sa.Column("services", sa.Text(), nullable=False),
        sa.Column("tiers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "switch",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
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
            "CREATE TRIGGER audit_notes_last AFTER INSERT ON audit BEGIN"
            " INSERT INTO meta (name, value) VALUES ('audit_head', NEW.seq || ' ' || NEW.hash)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value; END"
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
