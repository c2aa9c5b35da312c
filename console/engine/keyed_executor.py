"""Concurrency by key: work at one target is serialized, and never waits for work at another one.

A pool has as many threads as all targets together may hold, created on demand, so that a hanging target delays
only itself. `FairLimiter` admits the writes of one system in the order of their calls.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

WAIT_SECONDS = 0.2
"""How often a waiting thread checks whether to stop."""


class CallsInFlight:
    """Calls in progress, with their start."""

    def __init__(self) -> None:
        self._since: dict[object, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def at(self, call: str) -> Iterator[None]:
        key = object()
        with self._lock:
            self._since[key] = (call, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                del self._since[key]

    def __len__(self) -> int:
        return len(self._since)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Calls that take longer than `seconds`, with their duration."""
        now = time.monotonic()
        with self._lock:
            longest_first = sorted(self._since.values(), key=lambda call: call[1], reverse=True)
        return {call: now - since for call, since in longest_first if now - since > seconds}


class KeyedExecutor:
    """Runs work serially per key, and in parallel across keys."""

    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._running: dict[Hashable, Future[None]] = {}
        self._rejected: set[Hashable] = set()
        """Keys whose work was rejected because they were busy."""

    def take(self, lane: Hashable, work: Callable[[], None]) -> None:
        """Starts the work; drops it if the key is busy, as the caller offers it again."""
        if lane in self._running:
            self._rejected.add(lane)
        else:
            self._running[lane] = self._pool.submit(work)

    def is_free_again(self) -> bool:
        """Whether a busy key whose work was rejected is free now."""
        return any(self._running[lane].done() for lane in self._rejected)

    def is_idle(self) -> bool:
        """Drops finished work; True if none is left. Raises the work's own exception, a StoreError for example."""
        done = {lane: work for lane, work in self._running.items() if work.done()}
        for lane in done:
            del self._running[lane]
        self._rejected -= done.keys()
        for work in done.values():
            work.result()
        return not self._running

    def wait(self) -> None:
        """Waits for all started work. Raises as `is_idle`."""
        for work in list(self._running.values()):
            work.exception()
        self.is_idle()

    def close(self) -> None:
        """Accepts no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class FairLimiter:
    """Admits at most `at_once` writes per system, first come first served. A call that hangs keeps its place until
    it returns, as its effect is unknown until then."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._writing: Counter[int] = Counter()
        self._queue: dict[int, list[object]] = defaultdict(list)
        self._free = threading.Condition()

    @contextmanager
    def turn(self, system: int, stopping: Callable[[], bool]) -> Iterator[float]:
        """Waits for admission or `stopping`; yields the seconds waited."""
        ticket, begun = object(), time.monotonic()
        with self._free:
            self._queue[system].append(ticket)
            queue = self._queue[system]
            while not stopping() and not (self._writing[system] < self.at_once and queue[0] is ticket):
                self._free.wait(WAIT_SECONDS)
            queue.remove(ticket)
            self._writing[system] += 1
        try:
            yield time.monotonic() - begun
        finally:
            with self._free:
                self._writing[system] -= 1
                self._free.notify_all()
