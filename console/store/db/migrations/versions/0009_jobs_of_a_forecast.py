"""Forecasts of a service day's jobs; pools of slots at the source."""

from __future__ import annotations

from console.store.db.migrate import add_columns

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    add_columns("service_day", "jobs text=[], distrust text=")
    add_columns("job", "pool text=, slots int?")
