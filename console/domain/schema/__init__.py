"""The store's tables. Every instant is BIGINT microseconds since 1970 UTC (`*_us`); names from outside are kept raw.

Purpose of each table: docs/store.md. Only migrations, tests and documentation use these declarations.
"""

from sqlalchemy import literal
from sqlalchemy.sql.schema import DefaultClause, ScalarElementColumnDefault
from sqlmodel import SQLModel

from console.domain.schema import actions, estate, incidents, services

__all__ = ["actions", "estate", "incidents", "services"]

for _table in SQLModel.metadata.tables.values():
    for _column in _table.columns:
        if isinstance(
            _column.default, ScalarElementColumnDefault
        ):  # the database's default, too: INSERTs are plain SQL
            _column.server_default = DefaultClause(literal(_column.default.arg, _column.type))
