"""When a target was polled last, as a number that follows commits: an evaluation reads only targets polled since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0112"
down_revision = "0111"


def upgrade() -> None:
    changed = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("target", sa.Column("changed_seq", changed, nullable=False, server_default="0"))
    op.create_index("target_changed", "target", ["changed_seq"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE target_changed_seq OWNED BY target.changed_seq")
