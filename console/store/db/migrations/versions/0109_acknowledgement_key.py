"""The key of an acknowledgement's request: the same request twice is one acknowledgement."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0109"
down_revision = "0108"


def upgrade() -> None:
    op.add_column("acknowledgement", sa.Column("key", sa.Text(), nullable=False, server_default=sa.text("''")))
