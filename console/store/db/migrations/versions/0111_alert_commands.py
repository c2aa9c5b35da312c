"""The zone and the commands of an alert, for digests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0111"
down_revision = "0110"


def upgrade() -> None:
    op.add_column("alert", sa.Column("zone_label", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("alert", sa.Column("commands", sa.Text(), nullable=False, server_default=sa.text("'[]'")))
