"""A worker of the engine: one thread's work under a fence, with a pulse that shows that it is alive."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

BEAT_TOLERANCE_SECONDS = 60.0
"""Tolerance beyond the time that a worker announces for its next beat."""


class Pulse:
    """A worker's sign of life: each beat announces the latest time of the next."""

    def __init__(self) -> None:
        self._due = math.inf

    def beat(self, within_seconds: float = 0.0) -> None:
        self._due = time.monotonic() + within_seconds + BEAT_TOLERANCE_SECONDS

    @property
    def late_seconds(self) -> float:
        """Seconds by which the next beat is overdue; negative until then."""
        return time.monotonic() - self._due


class Worker(Protocol):
    """A worker: runs on one thread, under a fence, until `stopping`."""

    wake: threading.Event

    def run(self, fence: int, stopping: Callable[[], bool]) -> None: ...


class MonitoredWorker(Worker, Protocol):
    """A worker with a pulse."""

    pulse: Pulse
