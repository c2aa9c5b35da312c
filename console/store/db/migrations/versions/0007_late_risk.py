"""Simulation results of service days, and published forecasts to be scored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import add_columns, create_table

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    add_columns("service_day", "p80_us big?, p_late float?, peak_late float?, critical text=[], nights int=0")
    create_table(
        "forecast",
        "id big, service_day_id big, at_us big, p_late float, p50_us big?, p80_us big?, p90_us big?, p95_us big?",
        sa.ForeignKeyConstraint(["service_day_id"], ["service_day.id"]),
    )
    op.create_index("forecast_day", "forecast", ["service_day_id", "id"])
