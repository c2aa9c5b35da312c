"""The threads that poll: a bounded pool and one heap of due times, whatever the number of targets.

A poll that waits for its scheduler longer than WAIT_SECONDS, or matches the config, no longer counts as one of the
prompt threads, so a target that begins to hang leaves its place to others at once. After a wait of SLOW_SECONDS its
target is in a second queue until a poll ends sooner, so targets that hang delay only each other. Waits for the store
do not count: more threads would only make those longer. A poll that waits for another one to match the config has no
thread.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from queue import SimpleQueue

from console.engine.polling.poller import VERIFY_SECONDS, TargetPoller
from console.engine.worker import POLL, Pulse, WorkerFailures, retry_seconds
from console.store.db.fence import Fence
from console.store.errors import LeaseLost

PROMPT_THREADS = 24
SLOW_THREADS = 1_024
"""Most polls in progress that wait longer than WAIT_SECONDS. More delay the others, until their deadlines."""
WAIT_SECONDS = 0.05
"""A thousand targets that begin to hang within 15 s take 5 of the prompt threads."""
SLOW_SECONDS = 0.2
CHECK_SECONDS = 0.5
"""Interval of checking whether to stop."""
FULL_SECONDS = 0.02
"""Interval of checking which polls in progress wait, while others need their threads."""


@dataclass(eq=False, slots=True)
class _Polled:
    """A target in the pool."""

    poller: TargetPoller
    fence: Fence
    due: float = 0.0
    """By `time.monotonic`."""
    started: float = 0.0
    """Start of the poll in progress; 0 without one."""
    is_slow: bool = False
    is_woken: bool = False
    """Whether to poll again as soon as the poll in progress has ended."""
    is_removed: bool = False
    failures: int = 0
    """Polls in a row that failed for another reason than the target."""


@dataclass(slots=True)
class _Queue:
    """Targets by due time, and the number of their polls in progress."""

    threads: int
    heap: list[tuple[float, int, _Polled]] = field(default_factory=list)
    busy: int = 0

    def push(self, target: _Polled, number: int) -> None:
        heapq.heappush(self.heap, (target.due, number, target))

    def pop(self, now: float) -> _Polled | None:
        """The next target that is due, if a thread is free for it."""
        self._skip()
        if self.busy >= self.threads or not self.heap or self.heap[0][0] > now:
            return None
        return heapq.heappop(self.heap)[2]

    def next_due(self, now: float) -> float:
        """Seconds until `pop` may return a target."""
        self._skip()
        if not self.heap:
            return CHECK_SECONDS
        return max(0.0 if self.busy < self.threads else FULL_SECONDS, self.heap[0][0] - now)

    def _skip(self) -> None:
        """Drops entries of targets that were woken since, and are queued by another due time."""
        while self.heap and (self.heap[0][0] != self.heap[0][2].due or self.heap[0][2].started):
            heapq.heappop(self.heap)


class PollPool:
    """A worker that polls targets, each under its fence."""

    def __init__(
        self, failures: WorkerFailures, pollers: Collection[TargetPoller] = (), prompt_threads: int = PROMPT_THREADS
    ) -> None:
        """`pollers`: for the targets under the fence of `run`."""
        self._failures = failures
        self._pollers = pollers
        self._lock = threading.Lock()
        self._targets: dict[Fence, dict[int, _Polled]] = {}
        """Fence -> its targets by id; removed ones until their connectors are closed."""
        self._prompt, self._slow = _Queue(prompt_threads), _Queue(SLOW_THREADS)
        self._fresh: dict[_Polled, None] = {}
        """Polls in progress of `_prompt`, in the order of their start."""
        self._tasks: SimpleQueue[_Polled | None] = SimpleQueue()
        self._free = 0
        """Threads that wait for a task, beyond the tasks that wait for a thread."""
        self._refused = 0
        """Threads that the system refused in a row."""
        self._numbers = count()
        self._lost: set[Fence] = set()
        self.wake = threading.Event()
        self.pulse = Pulse()

    def add(self, fence: Fence, pollers: Iterable[TargetPoller]) -> None:
        """Polls these at once, then at their intervals, under this fence; those already in the pool go on."""
        now = time.monotonic()
        with self._lock:
            targets = self._targets.setdefault(fence, {})
            for poller in pollers:
                known = targets.get(poller.target_id)
                if known is None or known.poller is not poller:
                    target = targets[poller.target_id] = _Polled(poller, fence)
                    poller.wake = partial(self._wake, target)
                    self._queue(target, now)
        self.wake.set()

    def remove(self, fences: Collection[Fence], until: float) -> list[str]:
        """Ends the polls under these fences and closes their connectors; the names of those that still poll when
        `time.monotonic` reaches `until`."""
        with self._lock:
            self._remove(fences)
            self._lost.difference_update(fences)
        self.wake.set()
        while names := self._names(fences):
            if time.monotonic() > until:
                return names
            time.sleep(0.02)
        return []

    def wake_target(self, target_id: int) -> None:
        """Polls the target at once if it is in the pool; right afterwards if a poll is in progress."""
        for target in self._of_id(target_id):
            self._wake(target)

    def poll_now(self, target_id: int) -> None:
        """`wake_target`, and polls it more often while the end of an action on it is awaited."""
        for target in self._of_id(target_id):
            target.poller.verifying_until = time.monotonic() + VERIFY_SECONDS
            self._wake(target)

    def _of_id(self, target_id: int) -> list[_Polled]:
        with self._lock:
            return [targets[target_id] for targets in self._targets.values() if target_id in targets]

    def is_lost(self, fence: Fence) -> bool:
        """Whether the store has refused a poll under this fence; it is removed then."""
        return fence in self._lost

    def pulses(self) -> dict[str, Pulse]:
        """By the names of the targets."""
        with self._lock:
            targets = [target.poller for targets in self._targets.values() for target in targets.values()]
        return {f"poll {poller.name}": poller.pulse for poller in targets}

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Starts due polls until `stopping`, or until the fence is lost; then removes all targets, and returns once all
        polls have ended."""
        if self._pollers:
            self.add(fence, self._pollers)
        is_over = False
        while not is_over:
            self.wake.clear()
            self.pulse.beat(CHECK_SECONDS)
            with self._lock:
                if stopping() or self.is_lost(fence):
                    self._remove(list(self._targets))
                    is_over = not self._targets
                pause = self._start_due()
            if not is_over and pause > 0:
                self.wake.wait(pause)
        with self._lock:
            for _ in range(self._free):
                self._tasks.put(None)
            self._free = 0

    def _wake(self, target: _Polled) -> None:
        with self._lock:
            if target.started:
                target.is_woken = True
            elif not target.is_removed:
                self._queue(target, time.monotonic())
        self.wake.set()

    def _names(self, fences: Collection[Fence]) -> list[str]:
        with self._lock:
            return [target.poller.name for fence in fences for target in self._targets.get(fence, {}).values()]

    def _remove(self, fences: Collection[Fence]) -> None:
        now = time.monotonic()
        for fence in fences:
            for target in self._targets.get(fence, {}).values():
                if not target.is_removed:
                    target.is_removed = True
                    if not target.started:
                        self._queue(target, now)

    def _queue(self, target: _Polled, due: float) -> None:
        target.due = due
        (self._slow if target.is_slow and not target.is_removed else self._prompt).push(target, next(self._numbers))

    def _start_due(self) -> float:
        """Starts the polls whose time has come, as far as there are threads; seconds until more may start."""
        now = time.monotonic()
        began_before = now - WAIT_SECONDS
        waiting = [poll for poll in self._fresh if poll.poller.waits_since <= began_before]
        for target in waiting[: max(0, SLOW_THREADS - self._slow.busy)]:
            del self._fresh[target]
            self._prompt.busy -= 1
            self._slow.busy += 1
        for queue in (self._prompt, self._slow):
            while (due := queue.pop(now)) is not None:
                if not self._take_thread():
                    queue.push(due, next(self._numbers))
                    return FULL_SECONDS
                due.started = now
                queue.busy += 1
                if queue is self._prompt:
                    self._fresh[due] = None
                self._tasks.put(due)
        return min(self._prompt.next_due(now), self._slow.next_due(now), CHECK_SECONDS)

    def _take_thread(self) -> bool:
        """Takes a free thread, or starts one. False if the system refuses one; polls then share the others."""
        if self._free:
            self._free -= 1
            return True
        try:
            threading.Thread(target=self._work, name="poll", daemon=True).start()
        except RuntimeError as error:
            self._refused += 1
            self._failures.record("polls", error, self._refused)
            return False
        self._refused = 0
        return True

    def _work(self) -> None:
        """One thread of the pool."""
        while (target := self._tasks.get()) is not None:
            pause = self._poll(target)
            with self._lock:
                self._end(target, pause)
                if self._free >= self._prompt.threads:
                    return
                self._free += 1

    def _poll(self, target: _Polled) -> float | None:
        """Polls it; seconds until its next poll. None if it was removed, and is closed now."""
        if target.is_removed:
            target.poller.close()
            return None
        try:
            pause = target.poller.step(target.fence)
            target.failures = 0
            return pause
        except LeaseLost:  # the renewal notices it too and reports it once
            with self._lock:
                self._lost.add(target.fence)
                self._remove([target.fence])
            return 0.0
        except Exception as error:  # noqa: BLE001 - a surprise in one poll must not end the watch
            target.failures += 1
            self._failures.record(f"{POLL}{target.poller.name}", error, target.failures)
            return retry_seconds(target.failures)

    def _end(self, target: _Polled, pause: float | None) -> None:
        now = time.monotonic()
        queue = self._prompt if target in self._fresh else self._slow
        was_full = queue.busy >= queue.threads
        queue.busy -= 1
        self._fresh.pop(target, None)
        target.is_slow, target.started = target.poller.waited_seconds > SLOW_SECONDS, 0.0
        if pause is None:
            targets = self._targets.get(target.fence, {})
            if targets.get(target.poller.target_id) is target:
                del targets[target.poller.target_id]
            if not targets:
                self._targets.pop(target.fence, None)
        else:
            if target.is_woken or target.is_removed:
                pause, target.is_woken = 0.0, False
            self._queue(target, now + pause)
        if was_full or pause is None or pause < CHECK_SECONDS:
            self.wake.set()
