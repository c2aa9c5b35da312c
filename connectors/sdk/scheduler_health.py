"""The health of a scheduler that starts nothing although its API answers, read during polls."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from connectors.sdk.errors import ConnectorError, RecordUnreadable

HEALTH_INTERVAL_SECONDS = 30.0


class SchedulerHealth:
    """The health of a scheduler, read at most once per HEALTH_INTERVAL_SECONDS."""

    def __init__(self, read: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        """`read`: as of `Poll.stopped`; None for an answer that proves nothing."""
        self._read, self._clock = read, clock
        self._next_check = 0.0
        self._stopped: str | None = None

    def stopped(self) -> str | None:
        """As of `Poll.stopped`, by the last answer that proves something."""
        if self._clock() >= self._next_check:
            self._next_check = self._clock() + HEALTH_INTERVAL_SECONDS
            with suppress(ConnectorError, RecordUnreadable):
                stopped = self._read()
                self._stopped = self._stopped if stopped is None else stopped
        return self._stopped
