"""Matching of a config against the jobs that polls report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from console.config.sections import Config
from console.engine.supervisor import settings as plain
from console.store.config_sync import is_matched, sync_config
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.ingest.inventory import jobs_seq
from console.timing.clock import Clock, wait_seconds

log = structlog.get_logger("headway.engine")

PAUSE_RATIO = 5.0
"""Between two syncs, in durations of the last one: thousands of targets that start at once share a few syncs, and
engines one another's."""
MAX_PAUSE_SECONDS = 60.0
"""New jobs wait no longer after a slow sync."""


class ConfigSync:
    """Writes a config, matched against the known jobs, into the store."""

    def __init__(
        self, config: Callable[[], Config], store: Database, clock: Clock, synced: Callable[[Fence], None]
    ) -> None:
        """`synced` is called after each sync of changed jobs."""
        self._config, self._store, self._clock, self._on_synced = config, store, clock, synced
        self._logged: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._is_syncing = False
        self._took = 0.0
        """Seconds of the last sync of changed jobs."""
        self._next_at = 0.0
        """By `time.monotonic`."""
        self._waiting: dict[Callable[[bool], None], None] = {}
        """`ended` of the polls that the next sync serves."""

    def sync(self, fence: Fence, changed: int | None = None) -> bool:
        """Matches config against the known jobs; with `changed`, a value of JOBS_SEQ_KEY, only if no engine has matched
        those up to it. Returns whether it matched. A pattern without a match is logged once. Raises LeaseLost."""
        config = self._config()
        if changed is not None:
            with self._store.read(consistent=False) as session:
                if is_matched(session, config.digest, changed):
                    return False
        synced = sync_config(self._store, plain.estate_settings(config), self._clock.now(), fence, changed)
        if synced.is_skipped:
            return False
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
        return True

    def sync_changed_jobs(self, fence: Fence, ended: Callable[[bool], None]) -> bool:
        """Matches config against the jobs that a poll has changed, with those of all polls that wait for it. False
        while another poll does that: `ended` is called later, with whether it is done; if not, it is to be called
        again."""
        with self._lock:
            if self._is_syncing:
                self._waiting[ended] = None
                return False
            self._is_syncing = True
            self._waiting.pop(ended, None)
        try:
            served = self._sync_together(fence)
        finally:
            with self._lock:
                self._is_syncing = False
        for waiting in served:
            waiting(True)
        with self._lock:
            for waiting in served:
                self._waiting.pop(waiting, None)  # requested again meanwhile
            later = next(iter(self._waiting), None)
        if later is not None:
            later(False)
        return True

    def _sync_together(self, fence: Fence) -> Iterable[Callable[[bool], None]]:
        """Syncs once the pause has ended, unless another engine has matched the jobs of before it; `ended` of the polls
        that are served: those that waited before the pause (`early`), by a sync here also those that came in it
        (`late`). Those that come during the sync wait for the next."""
        with self._lock:
            early, self._waiting = self._waiting, {}
        late: dict[Callable[[bool], None], None] = {}
        try:
            changed = jobs_seq(self._store)
            wait_seconds(max(0.0, self._next_at - time.monotonic()))
            with self._lock:
                late, self._waiting = self._waiting, {}
            started = time.monotonic()
            is_matched_elsewhere = not self.sync(fence, changed)
            if not is_matched_elsewhere:
                self._on_synced(fence)
                self._took = time.monotonic() - started
        except BaseException:
            with self._lock:
                self._waiting = early | late | self._waiting
            raise
        finally:
            self._next_at = time.monotonic() + min(PAUSE_RATIO * self._took, MAX_PAUSE_SECONDS)
        if is_matched_elsewhere:
            with self._lock:
                self._waiting = late | self._waiting
        return early if is_matched_elsewhere else early | late
