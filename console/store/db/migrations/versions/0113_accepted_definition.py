"""The hash of the accepted definition beside a change of it: the change ends when the definition is put back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0113"
down_revision = "0112"


def upgrade() -> None:
    op.add_column("drift", sa.Column("accepted_hash", sa.Text, nullable=False, server_default=""))
