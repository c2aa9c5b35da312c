"""The engines of a shared store, and the shards of its systems that they hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0106"
down_revision = "0105"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "engine",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since_us", _BIG, nullable=False),
        sa.Column("heartbeat_us", _BIG, nullable=False),
        sa.Column("until_us", _BIG, nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("holder"),
    )
    shard = op.create_table(
        "shard",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fence", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(shard, [{"id": number, "holder": "", "fence": 0} for number in range(256)])
