"""The initial schema: the declared tables, the shards, and the audit's triggers.

Until version 0.1.0 is released it follows the declarations and takes a new number with each change of them; from then
on it is frozen and migrations follow it.
"""

from __future__ import annotations

from alembic import op
from sqlmodel import SQLModel

import console.domain.schema  # noqa: F401  (declares the tables)

revision = "0124"
down_revision = None


def upgrade() -> None:
    SQLModel.metadata.create_all(op.get_bind())
    op.bulk_insert(
        SQLModel.metadata.tables["shard"], [{"id": number, "holder": "", "fence": 0} for number in range(256)]
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in ON_SQLITE if is_sqlite else ON_POSTGRES:
        op.execute(statement)


ON_SQLITE = (
    """CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append only'); END""",
    """CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append only'); END""",
    """CREATE TRIGGER audit_notes_last AFTER INSERT ON audit BEGIN
        INSERT INTO meta (name, value) VALUES ('audit_head', NEW.seq || ' ' || NEW.hash)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value; END""",
)
ON_POSTGRES = (
    "CREATE SEQUENCE target_changed_seq OWNED BY target.changed_seq",
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
