"""How many requests the polls of one target cost, for whoever has to answer to its owner."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.transport.counting import Tally, counting
from console.store.batch import Spent

KEPT_SECONDS = 600.0
"""A rate is that of so long."""


class Spending:
    """Kept by one poller."""

    def __init__(self, every_seconds: float) -> None:
        self._every = max(every_seconds, 0.001)
        self._polls: deque[tuple[float, int]] = deque()
        self._tally = Tally()

    @contextmanager
    def poll(self) -> Iterator[None]:
        """One poll, whatever becomes of it."""
        self._tally = Tally()
        began = time.monotonic()
        try:
            with counting(self._tally):
                yield
        finally:
            self._polls.append((began, self._tally.requests))
            while self._polls and began - self._polls[0][0] > KEPT_SECONDS:
                self._polls.popleft()

    @property
    def spent(self) -> Spent | None:
        """What this poll has cost so far, and what a minute costs; None where nothing of it can be counted: no request
        leaves through a door of ours."""
        now = self._tally.requests
        past = sum(count for _, count in self._polls)
        if not now and not past:
            return None
        seconds = (time.monotonic() - self._polls[0][0]) if self._polls else 0.0
        polls = len(self._polls) + 1
        minute = (now + past) / max(seconds, polls * self._every) * 60
        return Spent(now, minute, self._tally.allowed)
