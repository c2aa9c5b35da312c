"""Deletes what the rules of the config no longer keep, a few small transactions at a time, so that no poll waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog

from console.domain.settings import RetentionRules
from console.store.db.database import Database
from console.store.db.retention import RetentionPass
from console.store.errors import GRANTS_FIX, LeaseLost, StoreError, is_not_permitted
from console.text.cleaning import clean_line
from console.timing.clock import Clock

log = structlog.get_logger("headway.retention")

PASS_EVERY = timedelta(hours=6)
"""From the end of a pass through the store to the start of the next."""
RETRY_AFTER = timedelta(minutes=15)
"""After a failed pass."""
MESSAGE_LIMIT = 160
STEP_SECONDS = 2.0
"""Longest work of one step; the rest follows in the next."""
PAUSE_SECONDS = 0.02
"""Between two transactions, so that waiting writers go first."""


class StoreRetention:
    """Passes through the store, step by step."""

    def __init__(self, store: Database, clock: Clock, rules: RetentionRules) -> None:
        self._store, self._clock, self._rules = store, clock, rules
        self._next: datetime | None = None
        self._fence: int | None = None
        self._pass: RetentionPass | None = None
        self._batches: Iterator[None] = iter(())
        self.trouble = ""
        """Why nothing is deleted, with the fix; empty if nothing hinders it. It must not stop the heartbeat ping."""

    def step(self, fence: int) -> None:
        """Continues the pass, or starts one that is due, for at most STEP_SECONDS."""
        now = self._clock.now()
        if self._pass is None or fence != self._fence:
            if self._next is not None and now < self._next:
                return
            self._pass, self._fence = RetentionPass(self._rules, now), fence
            self._batches = self._pass.steps(self._store, fence)
        until = time.monotonic() + STEP_SECONDS
        try:
            for _ in self._batches:
                time.sleep(PAUSE_SECONDS)
                if time.monotonic() >= until:
                    return
        except LeaseLost:
            self._pass = None
            raise
        except Exception as error:  # noqa: BLE001 - alerting does not depend on it
            self._pass, self._next = None, now + RETRY_AFTER
            self._report(error)
            return
        deleted, self._pass, self._next, self.trouble = dict(self._pass.deleted), None, now + PASS_EVERY, ""
        if deleted:
            log.info("retention pass ended", deleted=deleted)

    def _report(self, error: Exception) -> None:
        reason = clean_line(str(error).partition("\n")[0], MESSAGE_LIMIT)
        fix = GRANTS_FIX if is_not_permitted(error) else ""
        text = f"[retention] deletes nothing: {reason}{fix}"
        if text != self.trouble:
            log.error("retention failed", error=text, exc_info=None if fix or isinstance(error, StoreError) else error)
        self.trouble = text
