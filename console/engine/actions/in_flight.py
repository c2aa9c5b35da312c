"""Actions that this process is sending, across config reloads.

A sending thread outlives its workers, in a hanging connect for example, and what it sends may still arrive. The
workers after them must not take it for dead; they write down its outcome, as the old fence can write nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from console.engine.keyed_executor import CallsInFlight, FairLimiter
from console.store.actions import ActionStep
from console.store.db.fence import Fence

STOPPED = ActionStep(
    "unknown", "stopped while sending; outcome unknown, checking the scheduler", event="outcome unknown"
)


@dataclass(slots=True)
class SendingOutcome:
    """The outcome of a send; STOPPED until known."""

    fence: Fence
    """Under which its intent was committed."""
    step: ActionStep = STOPPED


class ActionsInFlight:
    """Sends in flight, passed from the workers before a config reload to those after it."""

    def __init__(self, at_once: int) -> None:
        """`at_once`: maximum writes in flight per system."""
        self.in_flight = CallsInFlight()
        self.turns = FairLimiter(at_once)
        self._sending: Counter[str] = Counter()
        self._unwritten: dict[str, SendingOutcome] = {}
        self._lock = threading.Lock()

    @contextmanager
    def sending(self, key: str, fence: Fence) -> Iterator[SendingOutcome]:
        """Marks `key` as in flight from before its intent until its outcome is written; keeps an outcome that could
        not be written."""
        outcome = SendingOutcome(fence)
        with self._lock:
            self._unwritten.pop(key, None)
            self._sending[key] += 1
        try:
            yield outcome
        except BaseException:
            with self._lock:
                self._unwritten[key] = outcome
            raise
        finally:
            with self._lock:
                self._sending[key] -= 1
                self._sending += Counter()  # drops finished sends

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._sending or key in self._unwritten

    def unwritten(self) -> dict[str, SendingOutcome]:
        """Outcomes that the sending threads could not write, by key."""
        with self._lock:
            return {key: outcome for key, outcome in self._unwritten.items() if key not in self._sending}

    def written(self, key: str) -> None:
        """Drops the outcome of `key`: it is written, or no longer needed."""
        with self._lock:
            self._unwritten.pop(key, None)
