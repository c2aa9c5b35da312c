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
from datetime import UTC, datetime

import structlog

from connectors.sdk.secrets import SecretStore
from console.engine.worker import Worker
from console.store.errors import LeaseLost, StoreError
from console.text.cleaning import clean_line
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


log = structlog.get_logger("headway.engine")

FIRST_RETRY_SECONDS = 1.0
RETRY_CAP_SECONDS = 30.0
STABLE_SECONDS = 60.0
"""A worker that has run this long since its last failure counts as healthy."""
MESSAGE_LIMIT = 160
BREAKS_TO_REPORT = 3
"""A worker that failed this often is reported."""


class WorkerSupervisor:
    """Runs each worker on a thread until `stopping`."""

    def __init__(self, parts: list[tuple[str, Worker]], secrets: SecretStore, stopping: Callable[[], bool]) -> None:
        self._parts = parts
        self._secrets = secrets
        self._stopping = stopping
        self._lock = threading.Lock()
        self._broken: dict[str, tuple[float, str]] = {}
        """Worker -> (time of its last failure by `time.monotonic`, text)."""
        self._repeated: dict[str, tuple[str, bool]] = {}
        """Workers that failed BREAKS_TO_REPORT times without being healthy in between: text, and whether the store
        was the reason."""
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

    def trouble(self) -> str:
        """Workers that failed lately, with the reason, in one line; empty if none."""
        with self._lock:
            lately = time.monotonic() - STABLE_SECONDS
            self._broken = {name: broken for name, broken in self._broken.items() if broken[0] > lately}
            return "; ".join(f"{name} {broken[1]}" for name, broken in sorted(self._broken.items()))

    def keeps_breaking(self) -> tuple[str, dict[str, str]]:
        """Repeated failures: the store's, as text, and every other reason by worker."""
        self.trouble()
        with self._lock:
            lasting = {name: failure for name, failure in self._repeated.items() if name in self._broken}
        store = next((text for text, by_store in lasting.values() if by_store), "")
        return store, {name: text for name, (text, by_store) in lasting.items() if not by_store}

    def join(self, until: float) -> list[str]:
        """Waits for all threads until `time.monotonic` reaches `until`; the names of those left."""
        while self.gone() != [thread.name for thread in self._threads] and time.monotonic() < until:
            for _, part in self._parts:
                part.wake.set()  # repeatedly, as a worker may clear it right before it checks whether to stop
            wait_seconds(0.02)
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _work(self, name: str, part: Worker, fence: int) -> None:
        """Runs the worker; restarts it with backoff when it fails."""
        failures, logged = 0, ""
        while not self._stopping():
            started = time.monotonic()
            try:
                part.run(fence, self._stopping)
                return
            except LeaseLost:
                return  # the renewal notices it too and reports it once
            except Exception as error:  # noqa: BLE001 - a surprise in one part must not end the watch
                failures = 1 if time.monotonic() - started > STABLE_SECONDS else failures + 1
                logged = self._record_failure(name, error, logged if failures > 1 else "", failures)
            self._pause(min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30), RETRY_CAP_SECONDS), part)

    def _record_failure(self, name: str, error: Exception, logged: str, failures: int) -> str:
        """Records and logs a failure, once while it stays the same; an unavailable store is logged without a
        traceback."""
        reason = clean_line(self._secrets.mask(str(error).partition("\n")[0]), MESSAGE_LIMIT)
        text = reason if isinstance(error, StoreError) else f"broke: {type(error).__name__}: {reason}"
        with self._lock:
            if failures >= BREAKS_TO_REPORT:
                self._repeated[name] = (text, isinstance(error, StoreError))
            else:
                self._repeated.pop(name, None)
            self._broken[name] = (time.monotonic(), f"{text} (last at {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z)")
        if text != logged and isinstance(error, StoreError):
            log.warning("part waits for the store", part=name, error=text)
        elif text != logged:
            log.error("part broke, starting it again", part=name, error=text, exc_info=error)
        return text

    def _pause(self, seconds: float, part: Worker) -> None:
        until = time.monotonic() + seconds
        while not self._stopping() and (remaining := until - time.monotonic()) > 0:
            part.wake.clear()
            part.wake.wait(min(remaining, 1.0))
