"""More time for one submission of a service that is promised end to end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("extension") as extension:
        extension.add_column(sa.Column("submission", sa.Text(), nullable=False, server_default=""))
        extension.drop_index("extension_day")
        extension.create_index("extension_day", ["service_id", "bd", "submission"])
