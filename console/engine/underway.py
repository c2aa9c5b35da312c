"""What this process is sending, whichever parts began it.

A thread lives on when its parts have ended, in a connect that hangs for example, and what it sends may still arrive.
The parts after them must not take it for dead; what came of it they write down, as the old fence writes nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from console.engine.lanes import InFlight, Turns
from console.store.asked import ActionStep

STOPPED = ActionStep("unknown", "the engine stopped while sending; looking it up", event="outcome unknown")


@dataclass(slots=True)
class Outcome:
    """What came of a sending: nobody knows, until somebody does."""

    step: ActionStep = STOPPED


class Underway:
    """Handed from parts to those after them."""

    def __init__(self, at_once: int) -> None:
        """`at_once`: most writes in flight per system."""
        self.in_flight = InFlight()
        self.turns = Turns(at_once)
        self._sending: Counter[str] = Counter()
        self._unwritten: dict[str, ActionStep] = {}
        self._lock = threading.Lock()

    @contextmanager
    def sending(self, key: str) -> Iterator[Outcome]:
        """From before the intent until its end is written down; where that breaks, it is kept to be written."""
        outcome = Outcome()
        with self._lock:
            self._unwritten.pop(key, None)
            self._sending[key] += 1
        try:
            yield outcome
        except BaseException:
            with self._lock:
                self._unwritten[key] = outcome.step
            raise
        finally:
            with self._lock:
                self._sending[key] -= 1
                self._sending += Counter()  # forgets what is not sent any more

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._sending or key in self._unwritten

    def unwritten(self) -> dict[str, ActionStep]:
        """By key, what came of sendings that are over and whose threads could not write it down."""
        with self._lock:
            return {key: step for key, step in self._unwritten.items() if key not in self._sending}

    def written(self, key: str) -> None:
        """It is in the store, or was not needed there."""
        with self._lock:
            self._unwritten.pop(key, None)
