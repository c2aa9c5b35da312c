"""Job cards, p95 of service days, request counts of targets, presence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import add_columns, create_table

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    add_columns("job", "config_says text=")
    create_table(
        "job_card",
        "job_id int, field text, value text, was text, said_by text, said_us big",
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id", "field"),
    )
    add_columns("service_day", "p95_us big?")
    add_columns("target", "requests int?, requests_minute float?, allowed text=")
    create_table(
        "presence",
        "console text, incident_id big?, person text, came_from text, since_us big, seen_us big",
    )
    op.create_index("incident_root_run", "incident", ["root_run_id"])
