"""How many shards an engine has claimed that were held before, and when last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0115"
down_revision = "0114"


def upgrade() -> None:
    op.add_column("engine", sa.Column("hand_overs", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("engine", sa.Column("handed_over_us", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
