"""P(late) before recalibration, from which the next recalibration learns."""

from __future__ import annotations

from console.store.db.migrate import add_columns

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    add_columns("forecast", "p_own float?")
