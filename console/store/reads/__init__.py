"""What screens and commands read: plain SQL into frozen views, by one connection that only reads.

Imports sqlite3 and nothing heavy (psycopg where the store is on PostgreSQL): the console's first paint waits for it.
Each function is one question. Nothing is kept open between two of them, so a reader never holds up the store.
"""

from __future__ import annotations

from console.store.errors import NotFound, StoreError, StoreTooNew, StoreUnusable
from console.store.reads.alerts import AlertReads
from console.store.reads.base import SCHEMA
from console.store.reads.holds import HoldReads
from console.store.reads.link import open_link

__all__ = ["SCHEMA", "NotFound", "Reads", "StoreError", "StoreTooNew", "StoreUnusable", "open_reads"]


class Reads(HoldReads, AlertReads):
    """All questions. For one thread at a time."""


def open_reads(url: str) -> Reads:
    """Readers of the store at a file's path or a `postgresql://` URL.

    Raises StoreUnusable where there is none (yet) or it cannot be read, StoreTooNew where a newer Headway wrote it.
    """
    return Reads(open_link(url))
