"""All questions in one reader: those of a first screen at once, the whole once the first of the others is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from console.store.reads.remarks import RemarkReads

if TYPE_CHECKING:
    from console.store.reads.whole import WholeReads as Questions
else:
    Questions = RemarkReads


class Reads(Questions):
    """All questions. For one thread at a time."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Becomes the whole at the first question that is not here: 40 ms that no first paint waits for."""
            from console.store.reads.whole import WholeReads  # noqa: PLC0415

            self.__class__ = WholeReads
            return getattr(self, name)
