"""A worker of the engine: work under a fence, with a pulse that shows that it is alive, and its failures."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import structlog

from connectors.sdk.secrets import SecretStore
from console.store.errors import StoreError
from console.text.redact import sanitize

log = structlog.get_logger("headway.engine")

FIRST_RETRY_SECONDS = 1.0
RETRY_CAP_SECONDS = 30.0
STABLE_SECONDS = 60.0
"""A worker that has run this long since its last failure counts as healthy."""
MESSAGE_LIMIT = 160
MAX_REASONS = 3
"""Different reasons in one text; the log has all."""
POLL = "poll "
"""Begins the name of the worker that polls one target."""
BREAKS_TO_REPORT = 3
"""A worker that failed this often is reported."""
STORE_LASTS_SECONDS = 20.0
"""An unavailable store is reported once its failures span this long: a restart of the database takes less."""
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


EVERY_SECONDS = 15.0
"""Pause of periodic tasks after all have run."""


class PeriodicTasks:
    """Runs periodic tasks on one thread, as none is urgent."""

    def __init__(self, *steps: Callable[[int], None]) -> None:
        """`steps`: called with the fence."""
        self._steps = steps
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.wake.clear()
            for step in self._steps:
                self.pulse.beat(EVERY_SECONDS)
                step(fence)
            self.wake.wait(EVERY_SECONDS)


class Worker(Protocol):
    """A worker: runs on one thread, under a fence, until `stopping`."""

    wake: threading.Event

    def run(self, fence: int, stopping: Callable[[], bool]) -> None: ...


class MonitoredWorker(Worker, Protocol):
    """A worker with a pulse."""

    pulse: Pulse


def retry_seconds(failures: int) -> float:
    """Until a worker starts again after so many failures in a row."""
    return float(min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30), RETRY_CAP_SECONDS))


def grouped_reasons(reasons: Mapping[str, str]) -> str:
    """ "15 polls: REASON; evaluate: REASON": the most frequent reasons in one line. `reasons`: by worker."""
    workers_by_reason: dict[str, list[str]] = defaultdict(list)
    for worker, reason in sorted(reasons.items()):
        workers_by_reason[reason].append(worker)
    groups = sorted(workers_by_reason.items(), key=lambda group: -len(group[1]))
    texts = [f"{_named(workers)}: {reason}" for reason, workers in groups[:MAX_REASONS]]
    omitted = sum(len(workers) for _, workers in groups[MAX_REASONS:])
    return "; ".join([*texts, f"{omitted} more, see the log"] if omitted else texts)


def _named(workers: list[str]) -> str:
    """ "evaluate, 15 polls"; one poll by its target."""
    polls = [worker for worker in workers if worker.startswith(POLL)]
    return ", ".join(
        [worker for worker in workers if worker not in polls] + ([f"{len(polls)} polls"] if polls[1:] else polls)
    )


class WorkerFailures:
    """Which workers failed lately, and why."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._lock = threading.Lock()
        self._broken: dict[str, tuple[float, str]] = {}
        """Worker -> (time of its last failure by `time.monotonic`, text)."""
        self._last_at = ""
        self._repeated: dict[str, tuple[str, bool]] = {}
        """Workers that failed BREAKS_TO_REPORT times without being healthy in between: text, and whether the store
        was the reason."""
        self._first_at: dict[str, float] = {}
        """Worker -> time of the first of its failures in a row, by `time.monotonic`."""
        self._logged: dict[str, str] = {}

    def record(self, name: str, error: Exception, failures: int) -> None:
        """Records and logs a failure, the last of so many in a row, once while it stays the same; an unavailable store
        is logged without a traceback."""
        reason = sanitize(str(error).partition("\n")[0], self._secrets.mask, MESSAGE_LIMIT, on_one_line=True)
        text = reason if isinstance(error, StoreError) else f"{type(error).__name__}: {reason}"
        with self._lock:
            if failures == 1:
                self._first_at[name] = time.monotonic()
            if failures >= BREAKS_TO_REPORT:
                self._repeated[name] = (text, isinstance(error, StoreError))
            else:
                self._repeated.pop(name, None)
            self._broken[name] = (time.monotonic(), text)
            self._last_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"
            is_known = failures > 1 and self._logged.get(name) == text
            self._logged[name] = text
        if not is_known and isinstance(error, StoreError):
            log.warning("part waits for the store", part=name, error=text)
        elif not is_known:
            log.error("part broke, starting it again", part=name, error=text, exc_info=error)

    def trouble(self) -> str:
        """Workers that failed lately, as `grouped_reasons`, with the time of the last failure; empty if none."""
        with self._lock:
            lately = time.monotonic() - STABLE_SECONDS
            self._broken = {name: broken for name, broken in self._broken.items() if broken[0] > lately}
            text = grouped_reasons({name: reason for name, (_, reason) in self._broken.items()})
            return f"{text} (last at {self._last_at})" if text else ""

    def keeps_breaking(self) -> tuple[str, dict[str, str]]:
        """Repeated failures: the store's, as text, if they span STORE_LASTS_SECONDS, and every other reason by
        worker."""
        self.trouble()
        with self._lock:
            lasting = {name: failure for name, failure in self._repeated.items() if name in self._broken}
            spans = {name: self._broken[name][0] - self._first_at.get(name, math.inf) for name in lasting}
        of_store = {name: text for name, (text, by_store) in lasting.items() if by_store}
        store = next((text for name, text in of_store.items() if spans[name] >= STORE_LASTS_SECONDS), "")
        return store, {name: text for name, (text, by_store) in lasting.items() if not by_store}
