"""Back tests of nights without published forecasts, and the service shape that they hold for."""

from __future__ import annotations

import sqlalchemy as sa

from console.store.db.migrate import create_table

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    create_table(
        "back_test",
        "id big, service_id int, bd text, peak_late float?, was_late bool",
        sa.ForeignKeyConstraint(["service_id"], ["service.id"]),
        sa.UniqueConstraint("service_id", "bd"),
    )
    create_table(
        "back_test_of",
        "service_id int, promise text, jobs text",
        sa.ForeignKeyConstraint(["service_id"], ["service.id"]),
    )
