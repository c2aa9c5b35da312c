"""What the console shows more of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _cards()
    _forecast()
    _requests()
    _presence()
    op.create_index("incident_root_run", "incident", ["root_run_id"])


def _cards() -> None:
    """What people say on a job's card, and what config says of it."""
    op.add_column("job", sa.Column("config_says", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "job_card",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.Column("said_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id", "field"),
    )


def _forecast() -> None:
    """How far a service's finish may slip; None until it is judged again."""
    op.add_column("service_day", sa.Column("p95_us", BIG, nullable=True))


def _requests() -> None:
    """What the polls of a target cost its source; None until it is polled again."""
    op.add_column("target", sa.Column("requests", sa.Integer(), nullable=True))
    op.add_column("target", sa.Column("requests_minute", sa.Float(), nullable=True))
    op.add_column("target", sa.Column("allowed", sa.Text(), nullable=False, server_default=""))


def _presence() -> None:
    """Who has an incident open."""
    op.create_table(
        "presence",
        sa.Column("console", sa.Text(), nullable=False),
        sa.Column("incident_id", BIG, nullable=True),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("came_from", sa.Text(), nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("seen_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("console"),
    )
