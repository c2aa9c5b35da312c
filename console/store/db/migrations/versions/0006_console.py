"""What the console shows more of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import create_table

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
    create_table(
        "job_card",
        "job_id int, field text, value text, was text, said_by text, said_us big",
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
    create_table(
        "presence",
        "console text, incident_id big?, person text, came_from text, since_us big, seen_us big",
    )
