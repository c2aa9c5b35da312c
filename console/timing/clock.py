"""The clock of a store: real time, or replayed time.

In a replay the time is origin + (real now - started) * rate, as the store's clock row says. Leases never use it:
they stay on real time. Standard library only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

REFRESH_SECONDS = 0.5
"""Interval at which the clock row is read again (real time)."""


class ClockSetting(NamedTuple):
    """A clock row. While paused, the time is `origin`."""

    origin: datetime
    """The replay's time at the real instant `started`. Both aware UTC."""
    started: datetime
    rate: float = 1.0
    paused: bool = False

    def at(self, real: datetime) -> datetime:
        """The replay's time at a real instant; never before its origin."""
        if self.paused or real <= self.started:
            return self.origin
        return self.origin + (real - self.started) * self.rate

    def waits(self, real: datetime) -> bool:
        """True if the replay's time does not go on at a real instant."""
        return self.paused or real < self.started


def real_now() -> datetime:
    """Now, aware UTC."""
    return datetime.now(UTC)


def wait_seconds(seconds: float) -> None:
    """Waits, like `time.sleep`, also in a process where that call is refused: libfaketime lets it fail."""
    threading.Event().wait(seconds)


class Clock:
    """The time for a whole process. `read` gives the store's clock row, None without one."""

    def __init__(
        self, read: Callable[[], ClockSetting | None] | None = None, real: Callable[[], datetime] = real_now
    ) -> None:
        self._read = read
        self._real = real
        self._setting: ClockSetting | None = None
        self._refresh_at = 0.0

    def now(self) -> datetime:
        """Now, aware UTC: real, or the replay's."""
        setting = self.setting()
        real = self._real()
        return real if setting is None else setting.at(real)

    def setting(self) -> ClockSetting | None:
        """The clock row, at most half a second old; None on real time."""
        if self._read is not None and time.monotonic() >= self._refresh_at:
            self._setting = self._read()
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
        return self._setting

    def after(self, seconds: float) -> datetime:
        """This clock's time in so many real seconds; as at real speed while it is paused, so that it lies ahead."""
        return self.now() + timedelta(seconds=seconds * (self.rate or 1.0))

    @property
    def rate(self) -> float:
        """Seconds of this clock per real second: 1.0 on real time, 0.0 while paused."""
        setting = self.setting()
        if setting is None:
            return 1.0
        return 0.0 if setting.paused else setting.rate
