"""Whether anything was committed since the last check: one cheap query instead of many unchanged ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from console.store.db.database import Database
from console.store.db.read_connection import ReadConnection, open_read_connection

FULL_CHECK_SECONDS = 1.0
"""A check is due after this whatever was committed: postponed work becomes due by time alone."""


class ChangeDetector:
    """For one thread, with a connection of its own, so that the thread's own commits count too."""

    def __init__(self, link: ReadConnection, every_seconds: float) -> None:
        self._link = link
        self._every = every_seconds
        self._version: int | None = None
        self._due = 0.0

    def is_new(self) -> bool:
        """Whether to check now. Called before the check, so that the next one sees concurrent commits. Raises
        StoreUnusable."""
        version, now = self._link.data_version(), time.monotonic()
        if version == self._version and now < self._due:
            return False
        self._version, self._due = version, now + self._every
        return True


@contextmanager
def open_change_detector(store: Database, rate: float = 1.0) -> Iterator[ChangeDetector]:
    """`rate` of the store's clock: the faster, the sooner postponed work is due. Raises StoreUnusable."""
    link = open_read_connection(store.url)
    try:
        yield ChangeDetector(link, FULL_CHECK_SECONDS / max(1.0, rate))
    finally:
        link.close()
