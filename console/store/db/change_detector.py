"""Whether anything was committed since the last check: one cheap query instead of all whose answers stay the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from console.store.db.database import Database
from console.store.db.read_connection import ReadConnection, open_read_connection

FULL_CHECK_SECONDS = 1.0
"""A look is due after this whatever was committed: what was put off falls due by time alone."""


class ChangeDetector:
    """One looker's: of a thread of its own, over a connection of its own, so that its own commits count too."""

    def __init__(self, link: ReadConnection, every_seconds: float) -> None:
        self._link = link
        self._every = every_seconds
        self._version: int | None = None
        self._due = 0.0

    def is_new(self) -> bool:
        """Whether to look now. Asked before the look, so that what is committed meanwhile is seen by the next one.
        Raises StoreUnusable."""
        version, now = self._link.data_version(), time.monotonic()
        if version == self._version and now < self._due:
            return False
        self._version, self._due = version, now + self._every
        return True


@contextmanager
def open_change_detector(store: Database, rate: float = 1.0) -> Iterator[ChangeDetector]:
    """`rate` of the store's clock: where that runs faster, what was put off falls due sooner. Raises StoreUnusable."""
    link = open_read_connection(store.url)
    try:
        yield ChangeDetector(link, FULL_CHECK_SECONDS / max(1.0, rate))
    finally:
        link.close()
