"""The index of acknowledgements by the key of their request."""

from __future__ import annotations

from alembic import op

revision = "0114"
down_revision = "0113"


def upgrade() -> None:
    op.create_index("acknowledgement_key", "acknowledgement", ["key"])
