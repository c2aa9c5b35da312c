"""The threads of the workers: started together, restarted with backoff when one breaks, stopped within seconds.

A worker that dies silently is the worst fault of a monitor: `headway status` names it. The allocator is set to return
freed memory to the system.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import CDLL

from console.engine.worker import STABLE_SECONDS, Worker, WorkerFailures, retry_seconds
from console.store.errors import LeaseLost
from console.timing.clock import wait_seconds

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt(3), glibc's malloc.h
_LARGE_BYTES = 131_072
_ARENAS = 2


def limit_retained_memory() -> None:
    """Limits memory that glibc's allocator retains after large evaluations: large blocks get pages of their own, and
    few arenas serve all threads. Left alone, it raises its thresholds at the first large block that is freed, and
    keeps more than 50 MB. No effect elsewhere. Called before threads start."""
    with suppress(OSError, AttributeError):
        tune = CDLL(None).mallopt
        tune(_MMAP_THRESHOLD, _LARGE_BYTES)
        tune(_TRIM_THRESHOLD, _LARGE_BYTES)
        tune(_ARENA_MAX, _ARENAS)


class WorkerSupervisor:
    """Runs each worker on a thread until `stopping`."""

    def __init__(self, parts: list[tuple[str, Worker]], failures: WorkerFailures, stopping: Callable[[], bool]) -> None:
        self._parts = parts
        self._failures = failures
        self._stopping = stopping
        self._threads: list[threading.Thread] = []

    def start(self, fence: int) -> None:
        limit_retained_memory()
        self._threads = [
            threading.Thread(target=self._work, args=(name, part, fence), name=name, daemon=True)
            for name, part in self._parts
        ]
        for thread in self._threads:
            thread.start()

    def gone(self) -> list[str]:
        """Workers whose thread has ended."""
        return [thread.name for thread in self._threads if not thread.is_alive()]

    def join(self, until: float) -> list[str]:
        """Waits for all threads until `time.monotonic` reaches `until`; the names of those left."""
        while self.gone() != [thread.name for thread in self._threads] and time.monotonic() < until:
            for _, part in self._parts:
                part.wake.set()  # repeatedly, as a worker may clear it right before it checks whether to stop
            wait_seconds(0.02)
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _work(self, name: str, part: Worker, fence: int) -> None:
        """Runs the worker; restarts it with backoff when it fails."""
        failures = 0
        while not self._stopping():
            started = time.monotonic()
            try:
                part.run(fence, self._stopping)
                return
            except LeaseLost:
                return  # the renewal notices it too and reports it once
            except Exception as error:  # noqa: BLE001 - a surprise in one part must not end the watch
                failures = 1 if time.monotonic() - started > STABLE_SECONDS else failures + 1
                self._failures.record(name, error, failures)
            self._pause(retry_seconds(failures), part)

    def _pause(self, seconds: float, part: Worker) -> None:
        until = time.monotonic() + seconds
        while not self._stopping() and (remaining := until - time.monotonic()) > 0:
            part.wake.clear()
            part.wake.wait(min(remaining, 1.0))
