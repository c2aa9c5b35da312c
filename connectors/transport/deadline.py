"""How long one call may take, whatever it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """The end of one call, by the monotonic clock."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._until = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; never below zero."""
        return max(0.0, self._until - self._monotonic())
