"""Daily figures of jobs, which outlast their runs, and the runs of incidents by job, so that retention keeps them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0105"
down_revision = "0104"


def upgrade() -> None:
    op.create_table(
        "job_day",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("business_date", sa.Text(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("p50_s", sa.Float(), nullable=True),
        sa.Column("p95_s", sa.Float(), nullable=True),
        sa.Column("late_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "business_date"),
        sqlite_with_rowid=False,
    )
    op.create_index("incident_member_job", "incident_member", ["job_id", "period_key"])
