"""What screens and commands read: plain SQL into frozen views, by one connection that only reads.

Imports sqlite3 and nothing heavy (psycopg where the store is on PostgreSQL): the console's first paint waits for it.
Each function is one question. Nothing is kept open between two of them, so a reader never holds up the store.
The questions are loaded with the first store that is opened: a press of the Tab key, and `--help`, open none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from console.store.errors import NotFound, StoreError, StoreTooNew, StoreUnusable
from console.store.schema import SCHEMA

if TYPE_CHECKING:
    from console.store.reads.door import Reads

__all__ = ["SCHEMA", "NotFound", "Reads", "StoreError", "StoreTooNew", "StoreUnusable", "open_reads"]


def open_reads(url: str) -> Reads:
    """Readers of the store at a file's path or a `postgresql://` URL.

    Raises StoreUnusable where there is none (yet) or it cannot be read, StoreTooNew where a newer Headway wrote it.
    """
    from console.store.reads.door import Reads  # noqa: PLC0415
    from console.store.reads.link import open_link  # noqa: PLC0415

    return Reads(open_link(url))


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name != "Reads":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from console.store.reads.door import Reads  # noqa: PLC0415

        return Reads
