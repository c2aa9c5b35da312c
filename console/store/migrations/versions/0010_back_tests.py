"""What would have been told of nights of which nobody was told, and for what shape of its service that holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "back_test",
        sa.Column("id", BIG, nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("bd", sa.Text(), nullable=False),
        sa.Column("peak_late", sa.Float(), nullable=True),
        sa.Column("was_late", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("service_id", "bd"),
    )
    op.create_table(
        "back_test_of",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("promise", sa.Text(), nullable=False),
        sa.Column("jobs", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"]),
        sa.PrimaryKeyConstraint("service_id"),
    )
