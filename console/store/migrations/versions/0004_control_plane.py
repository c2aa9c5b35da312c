"""The control plane: what is expected, what feeds what, what was promised, and who must know."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
