"""What the simulation says of a service day, and what was forecast of it, to be scored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import create_table

revision = "0007"
down_revision = "0006"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("service_day", sa.Column("p80_us", BIG, nullable=True))
    op.add_column("service_day", sa.Column("p_late", sa.Float(), nullable=True))
    op.add_column("service_day", sa.Column("peak_late", sa.Float(), nullable=True))
    op.add_column("service_day", sa.Column("critical", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("service_day", sa.Column("nights", sa.Integer(), nullable=False, server_default="0"))
    create_table(
        "forecast",
        "id big, service_day_id big, at_us big, p_late float, p50_us big?, p80_us big?, p90_us big?, p95_us big?",
        sa.ForeignKeyConstraint(["service_day_id"], ["service_day.id"]),
    )
    op.create_index("forecast_day", "forecast", ["service_day_id", "id"])
