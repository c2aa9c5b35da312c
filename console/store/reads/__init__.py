"""What screens and commands read: plain SQL into frozen views, by one connection that only reads.

Imports sqlite3 and nothing heavy (psycopg where the store is on PostgreSQL): the console's first paint waits for it.
Each function is one question. Nothing is kept open between two of them, so a reader never holds up the store.
Questions that no first screen asks stand in `whole`, which is loaded when the first of them is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from console.store.errors import NotFound, StoreError, StoreTooNew, StoreUnusable
from console.store.reads.link import open_link
from console.store.reads.remarks import RemarkReads
from console.store.schema import SCHEMA

if TYPE_CHECKING:
    from console.store.reads.whole import WholeReads as Questions
else:
    Questions = RemarkReads

__all__ = ["SCHEMA", "NotFound", "Reads", "StoreError", "StoreTooNew", "StoreUnusable", "open_reads"]


class Reads(Questions):
    """All questions. For one thread at a time."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Becomes the whole at the first question that is not here: 40 ms that no first paint waits for."""
            from console.store.reads.whole import WholeReads  # noqa: PLC0415

            self.__class__ = WholeReads
            return getattr(self, name)


def open_reads(url: str) -> Reads:
    """Readers of the store at a file's path or a `postgresql://` URL.

    Raises StoreUnusable where there is none (yet) or it cannot be read, StoreTooNew where a newer Headway wrote it.
    """
    return Reads(open_link(url))
