"""How often something may happen: a bucket that fills with time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """So many a minute, as many at once."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(a_minute)
        self._clock = clock
        self._left = self._most
        self._at = clock()

    def allows(self) -> bool:
        """Takes one, where there is one."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._most / 60)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
