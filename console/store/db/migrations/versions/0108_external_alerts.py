"""Alerts of other monitors about targets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0108"
down_revision = "0107"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "external_alert",
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("started_us", _BIG, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("ended_us", _BIG, nullable=True),
        sa.Column("received_us", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("target_id", "started_us", "fingerprint"),
    )
    op.create_index("external_alert_received", "external_alert", ["received_us"])
