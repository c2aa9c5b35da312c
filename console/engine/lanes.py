"""Who waits for whom where things are sent and asked: only for what is at the same place, however much hangs elsewhere.

A pool has as many threads as all places together may hold, made when they are needed: so none of them is ever waited
for because others hang.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

LOOK_SECONDS = 0.2
"""How often whoever waits looks whether to stop."""


class InFlight:
    """What is being done where, since when."""

    def __init__(self) -> None:
        self._since: dict[object, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def at(self, words: str) -> Iterator[None]:
        mine = object()
        with self._lock:
            self._since[mine] = (words, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                del self._since[mine]

    def __len__(self) -> int:
        return len(self._since)

    def hanging(self, seconds: float) -> dict[str, float]:
        """In words what takes longer than that, and for how long it does."""
        now, found = time.monotonic(), dict[str, float]()
        with self._lock:
            for words, since in self._since.values():
                if now - since > seconds:
                    found[words] = max(now - since, found.get(words, 0.0))
        return found


class Lanes:
    """What is in one lane is done one after another, and beside that of all others."""

    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._moving: dict[Hashable, Future[None]] = {}
        self._turned_away: set[Hashable] = set()
        """Lanes for which there was more to do than could be taken."""

    def take(self, lane: Hashable, work: Callable[[], None]) -> None:
        """Does the work; nothing where the lane is not free: it will be due again."""
        if lane in self._moving:
            self._turned_away.add(lane)
        else:
            self._moving[lane] = self._pool.submit(work)

    def is_free_again(self) -> bool:
        """Whether a lane is done from which work was turned away, so that this can be taken now."""
        return any(self._moving[lane].done() for lane in self._turned_away)

    def over(self) -> bool:
        """Forgets what is done; True when that is all. Raises what broke there, the store's failures for example."""
        done = {lane: moving for lane, moving in self._moving.items() if moving.done()}
        for lane in done:
            del self._moving[lane]
        self._turned_away -= done.keys()
        for moving in done.values():
            moving.result()
        return not self._moving

    def wait(self) -> None:
        """Until all that was taken is done. Raises as `over`."""
        for moving in list(self._moving.values()):
            moving.exception()
        self.over()

    def close(self) -> None:
        """Takes up nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Turns:
    """At most `at_once` writes in flight at a system, first come first served. One that hangs keeps its turn until its
    call is over: nobody knows before that what it does."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._writing: Counter[int] = Counter()
        self._queue: dict[int, list[object]] = defaultdict(list)
        self._free = threading.Condition()

    @contextmanager
    def turn(self, system: int, stopping: Callable[[], bool]) -> Iterator[float]:
        """Waits for it, no longer than until `stopping`; for how many seconds it did."""
        mine, begun = object(), time.monotonic()
        with self._free:
            self._queue[system].append(mine)
            while not stopping() and not self._is_next(system, mine):
                self._free.wait(LOOK_SECONDS)
            self._queue[system].remove(mine)
            self._writing[system] += 1
        try:
            yield time.monotonic() - begun
        finally:
            with self._free:
                self._writing[system] -= 1
                self._free.notify_all()

    def _is_next(self, system: int, mine: object) -> bool:
        return self._writing[system] < self.at_once and self._queue[system][0] is mine
