"""Whether a person wants no polls of a system for now; said in the log when that begins and when it ends.

The audit has the begin from who asked for it, and the end from here where nobody ended it sooner.
"""

from __future__ import annotations

import threading

import structlog

from console.clock import Clock
from console.store import polling
from console.store.open import Store

PAUSED_SECONDS = 1.0
"""How often it is looked whether a pause goes on."""
log = structlog.get_logger("headway.poll")


class Pausing:
    """Asked by one poller before each of its polls."""

    def __init__(self, store: Store, clock: Clock, system: str, target: str) -> None:
        self._store, self._clock, self._system = store, clock, system
        self._log = log.bind(target=target)
        self._before = False

    def waits(self, wake: threading.Event, fence: int) -> bool:
        """True after a short wait, where it must not be polled now; called again until it may."""
        if lasts := self._lasts(fence):
            wake.wait(PAUSED_SECONDS)
        return lasts

    def _lasts(self, fence: int) -> bool:
        pause, now = polling.pause(self._store, self._system), self._clock.now()
        lasts = pause is not None and pause.lasts(now)
        if pause is not None and not lasts:
            polling.pause_over(self._store, pause, now, fence)
        if lasts != self._before:
            self._log.info("polls are paused" if lasts else "polls go on", words=pause.words if pause else "")
        self._before = lasts
        return lasts
