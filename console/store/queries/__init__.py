"""The queries of screens and commands: plain SQL into frozen views, over a connection that only reads.

Imports sqlite3 and nothing slow (psycopg only for PostgreSQL), because the console's first paint waits for it. No
transaction stays open between two queries, so a reader never blocks the store. Query classes are loaded when the first
store is opened: completion and `--help` open none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.store.db.schema_version import SCHEMA
from console.store.errors import NotFound, StoreError, StoreTooNew, StoreUnusable

if TYPE_CHECKING:
    from console.store.queries.reader import Queries  # noqa: TC004 - loaded with the first store

__all__ = ["SCHEMA", "NotFound", "Queries", "StoreError", "StoreTooNew", "StoreUnusable", "open_queries"]


def open_queries(url: str) -> Queries:
    """Queries on the store at a file's path or a `postgresql://` URL. Raises StoreUnusable, or StoreTooNew if a newer
    Headway wrote it."""
    from console.store.db.read_connection import open_read_connection  # noqa: PLC0415
    from console.store.queries.reader import Queries  # noqa: PLC0415

    return Queries(open_read_connection(url))
