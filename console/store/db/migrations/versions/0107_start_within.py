"""How long a rerun or start takes to begin, per system: act-by allows for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0107"
down_revision = "0106"


def upgrade() -> None:
    op.add_column("system", sa.Column("start_within_s", sa.Float(), nullable=False, server_default=sa.text("0")))
