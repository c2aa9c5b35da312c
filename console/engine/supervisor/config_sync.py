"""Matching of a config against the jobs that polls report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

import structlog

from console.config.sections import Config
from console.engine.supervisor import settings as plain
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.timing.clock import Clock, wait_seconds

log = structlog.get_logger("headway.engine")

PAUSE_RATIO = 3.0
"""Between two syncs, in durations of the last one: thousands of targets that start at once share a few syncs."""


class ConfigSync:
    """Writes a config, matched against the known jobs, into the store."""

    def __init__(
        self, config: Callable[[], Config], store: Database, clock: Clock, synced: Callable[[Fence], None]
    ) -> None:
        """`synced` is called after each sync of changed jobs."""
        self._config, self._store, self._clock, self._on_synced = config, store, clock, synced
        self._logged: frozenset[str] = frozenset()
        self._turn = threading.Condition()
        self._is_syncing = False
        self._next_at = 0.0
        """By `time.monotonic`."""
        self._change_numbers = count(1)
        self._synced = 0
        """Changes up to this number are synced."""

    def sync(self, fence: Fence) -> None:
        """Matches config against the known jobs; a pattern without a match is logged once. Raises LeaseLost."""
        synced = sync_config(self._store, plain.estate_settings(self._config()), self._clock.now(), fence)
        unmatched = frozenset(synced.unmatched)
        if unmatched - self._logged:
            log.info("config names jobs that no system has (yet)", names=sorted(unmatched))
        renamed = {f"{old}→{new}": (old, new) for old, new in synced.renamed.items()}
        for text, (old, new) in renamed.items():
            if text not in self._logged:
                log.warning("config names a job that has another name by now", says=old, name=new)
        for end in synced.unknown_ends:
            if end.text not in self._logged:
                log.warning("a service waits for a job that does not exist", service=end.service, text=end.text)
        self._logged = unmatched | renamed.keys() | {end.text for end in synced.unknown_ends}

    def sync_changed_jobs(self, fence: Fence) -> None:
        """Matches config against the jobs that a poll has changed. Of pollers that wait for it, one does it for all."""
        with self._turn:
            number = next(self._change_numbers)
            self._turn.wait_for(lambda: number <= self._synced or not self._is_syncing)
            if number <= self._synced:
                return
            self._is_syncing, synced = True, self._synced
        wait_seconds(max(0.0, self._next_at - time.monotonic()))
        newest, started = next(self._change_numbers), time.monotonic()
        try:
            self.sync(fence)
            self._on_synced(fence)
            synced = newest
        finally:
            now = time.monotonic()
            self._next_at = now + PAUSE_RATIO * (now - started)
            with self._turn:
                self._is_syncing, self._synced = False, synced
                self._turn.notify_all()
