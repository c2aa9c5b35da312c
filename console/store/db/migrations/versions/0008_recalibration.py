"""What a forecast said before it was recalibrated: what is learned from it must not be what was learned before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("forecast", sa.Column("p_own", sa.Float(), nullable=True))
