"""What a service day leaves to each job below it; the pools of slots that sources tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("service_day", sa.Column("jobs", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("service_day", sa.Column("distrust", sa.Text(), nullable=False, server_default=""))
    op.add_column("job", sa.Column("pool", sa.Text(), nullable=False, server_default=""))
    op.add_column("job", sa.Column("slots", sa.Integer(), nullable=True))
