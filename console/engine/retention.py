"""Deletes what the rules of the config no longer keep, a few small transactions at a time, so that no poll waits.

One reading of the clock deletes little: a pass more than a week after the last one goes on from there, a day per pass.
A clock that jumped years ahead is reported before it has cost much, and after a long stop retention catches up by
itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog

from connectors.sdk.secrets import SecretStore
from console.domain.settings import RetentionRules
from console.store.db.database import Database
from console.store.db.retention import RetentionPass, last_pass, note_pass
from console.store.errors import GRANTS_FIX, LeaseLost, StoreError, StoreUnusable, is_not_permitted
from console.text.redact import sanitize
from console.timing.clock import Clock

log = structlog.get_logger("headway.retention")

PASS_EVERY_SECONDS = 6 * 3600.0
"""From the end of a pass through the store to the start of the next."""
RETRY_AFTER_SECONDS = 900.0
"""After a failed pass."""
MAX_GAP = timedelta(days=7)
"""From the last pass to this one by the clock. A longer one is a long stop of the engine, or a wrong clock."""
CATCH_UP = timedelta(days=1)
"""Then the rules apply to the time of the last pass, and to so much more with each further pass of this process: an
engine that is started again and again does not go on."""
MESSAGE_LIMIT = 160
STEP_SECONDS = 2.0
"""Longest work of one step; the rest follows in the next."""
PAUSE_SECONDS = 0.02
"""Between two transactions, so that waiting writers go first."""


class StoreRetention:
    """Passes through the store, step by step."""

    def __init__(self, store: Database, clock: Clock, secrets: SecretStore, rules: RetentionRules) -> None:
        self._store, self._clock, self._mask, self._rules = store, clock, secrets.mask, rules
        self._next = 0.0
        """Start of the next pass (monotonic): the clock may jump."""
        self._has_passed = False
        self._fence: int | None = None
        self._pass: RetentionPass | None = None
        self._batches: Iterator[None] = iter(())
        self._was_unusable = False
        """Whether the store could not be used in the last step of a pass: the next step tries again."""
        self._limit = ""
        """Why the rules of the pass apply to an earlier time than now; empty if they do not."""
        self.trouble = ""
        """Why less is deleted than the rules say, with the fix. It must not stop the heartbeat ping."""

    def step(self, fence: int) -> None:
        """Continues the pass, or starts one that is due, for at most STEP_SECONDS."""
        until = time.monotonic() + STEP_SECONDS
        try:
            if self._pass is None or fence != self._fence:
                if time.monotonic() < self._next:
                    return
                self._pass, self._fence = RetentionPass(self._rules, self._rules_time()), fence
                self._batches = self._pass.steps(self._store, fence)
            for _ in self._batches:
                time.sleep(PAUSE_SECONDS)
                self._was_unusable = False
                if time.monotonic() >= until:
                    return
            with self._store.write(fence) as session:
                note_pass(session, self._pass.now)
        except LeaseLost:
            self._pass = None
            raise
        except StoreUnusable as error:  # it may be away for a moment, which other workers report
            if self._was_unusable:
                self._report_failure(error)
            self._pass, self._was_unusable = None, True
            return
        except Exception as error:  # noqa: BLE001 - alerting does not depend on it
            self._pass, self._next = None, time.monotonic() + RETRY_AFTER_SECONDS
            self._report_failure(error)
            return
        if deleted := dict(self._pass.deleted):
            log.info("retention pass ended", deleted=deleted)
        self._pass, self._next, self._has_passed = None, time.monotonic() + PASS_EVERY_SECONDS, True
        self._was_unusable = False
        self._report(self._limit)

    def _rules_time(self) -> datetime:
        """The time that the rules are applied to: now, unless that is too far from the last pass."""
        now = self._clock.now()
        with self._store.read() as session:
            last = last_pass(session)
        if last is None or now - last <= MAX_GAP:
            self._limit = ""
            return now
        self._limit = (
            f"[retention] the clock is {(now - last).days:,} days ahead of the last pass: it goes on from"
            f" {last:%Y-%m-%d}, by a day every six hours. Fix: correct the clock of this machine; nothing after a long"
            " stop of the engine"
        )
        return last + CATCH_UP if self._has_passed else last

    def _report_failure(self, error: Exception) -> None:
        reason = sanitize(str(error).partition("\n")[0], self._mask, MESSAGE_LIMIT, on_one_line=True)
        fix = GRANTS_FIX if is_not_permitted(error) else ""
        is_expected = bool(fix) or isinstance(error, StoreError)
        self._report(f"[retention] deletes nothing: {reason}{fix}", None if is_expected else error)

    def _report(self, text: str, error: Exception | None = None) -> None:
        if text and text != self.trouble:
            log.error("retention is limited", reason=text, exc_info=error)
        self.trouble = text
