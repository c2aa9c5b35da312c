"""Alembic's entry: `console.store.db.migrate` hands in a connection in a transaction under the writers' lock."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import console.domain.schema  # noqa: F401  (declares the tables)
from console.failpoints import failpoint

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    on_version_apply=lambda **_: failpoint("migrate.step"),
)
with context.begin_transaction():
    context.run_migrations()
