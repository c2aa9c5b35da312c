"""What the simulation says of a service day, and what was forecast of it, to be scored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("service_day", sa.Column("p80_us", BIG, nullable=True))
    op.add_column("service_day", sa.Column("p_late", sa.Float(), nullable=True))
    op.add_column("service_day", sa.Column("peak_late", sa.Float(), nullable=True))
    op.add_column("service_day", sa.Column("critical", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("service_day", sa.Column("nights", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "forecast",
        sa.Column("id", BIG, nullable=False),
        sa.Column("service_day_id", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("p_late", sa.Float(), nullable=False),
        sa.Column("p50_us", BIG, nullable=True),
        sa.Column("p80_us", BIG, nullable=True),
        sa.Column("p90_us", BIG, nullable=True),
        sa.Column("p95_us", BIG, nullable=True),
        sa.ForeignKeyConstraint(["service_day_id"], ["service_day.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("forecast_day", "forecast", ["service_day_id", "id"])
