"""When the mark of a hold was last seen at its source; indexes of holds and merged incidents.

A store of a development version of the second schema may have some of it already.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if "seen_us" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("hold")}:
        op.add_column("hold", sa.Column("seen_us", BIG, nullable=True))
    op.create_index("incident_merged", "incident", ["merged_into"], if_not_exists=True)
    for name, column in (("ended", "ended_us"), ("due", "due_us"), ("start", "start_key"), ("release", "release_key")):
        op.create_index(f"hold_{name}", "hold", [column], if_not_exists=True)
