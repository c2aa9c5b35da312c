"""Is the watcher well? Signs of life of its parts, and what a person must know though everything else goes on."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog

from console.store.errors import StoreError

log = structlog.get_logger("headway.engine")

PATIENCE_SECONDS = 60.0
"""Beyond the time that a part itself gives for its next sign of life."""
SENDING_SECONDS = 120.0
"""A sending that takes longer hangs: mail servers and web hooks are given 15 s by apprise, an act 60 s."""


class Pulse:
    """A part's sign of life: each beat says by when the next one comes at the latest."""

    def __init__(self) -> None:
        self._due = math.inf

    def beat(self, within_seconds: float = 0.0) -> None:
        self._due = time.monotonic() + within_seconds + PATIENCE_SECONDS

    @property
    def late_seconds(self) -> float:
        """For how long the next beat is overdue; below zero while it is not."""
        return time.monotonic() - self._due


class Health:
    """What is wrong with the engine itself, in words that stay the same while it does."""

    def __init__(
        self,
        pulses: Callable[[], Mapping[str, Pulse]],
        hanging: Callable[[float], Mapping[str, float]],
        given_up: Callable[[], Mapping[str, int]],
        asking: Callable[[float], Mapping[str, float]] = lambda _: {},
    ) -> None:
        self._pulses = pulses
        self._hanging = hanging
        """What alert is being sent where -> seconds that it takes, where it is more than the given ones."""
        self._asking = asking
        """The same of what schedulers are sent and asked: it keeps no alert from leaving."""
        self._given_up = given_up
        """Route -> number of parked deliveries."""
        self._heard = ""
        self._ping_fails = ""
        self._since: dict[str, str] = {}
        self._asking_since: dict[str, str] = {}
        self._lock = threading.Lock()

    def hear(self, trouble: str) -> None:
        """What the crew says of parts that broke lately."""
        self._heard = trouble

    def ping_fails(self, words: str) -> None:
        """Why the last ping did not arrive; empty when it did."""
        self._ping_fails = words

    def unwell(self) -> str:
        """Why the engine is not well: parts that broke, are silent or hang; empty when it is. Stops the ping."""
        late = {name: pulse.late_seconds for name, pulse in self._pulses().items()}
        silent = {f"{name} is silent": seconds for name, seconds in late.items() if seconds > 0}
        hangs = {f"{what} hangs": seconds for what, seconds in self._hanging(SENDING_SECONDS).items()}
        return "; ".join(filter(None, [self._heard, *self._dated({**silent, **hangs}, self._since)]))

    def words(self) -> str:
        """All that a person should know: why it is not well, what was given up, and that the ping fails."""
        hangs = {f"{what} hangs": seconds for what, seconds in self._asking(SENDING_SECONDS).items()}
        parts = [
            self.unwell(),
            *self._dated(hangs, self._asking_since),
            *self._parked(),
            f"the ping fails: {self._ping_fails}" if self._ping_fails else "",
        ]
        return "; ".join(filter(None, parts))

    def _dated(self, found: Mapping[str, float], since: dict[str, str]) -> list[str]:
        """Each trouble with the time since when, kept: words that change with every look would be written each time."""
        with self._lock:
            now = datetime.now(UTC)
            for words in since.keys() - found.keys():
                del since[words]
            for words, seconds in found.items():
                since.setdefault(words, f"{now - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}Z")
            return [f"{words} since {at}" for words, at in sorted(since.items())]

    def _parked(self) -> list[str]:
        try:
            found = self._given_up()
        except StoreError:
            return []  # that the store cannot be used is told already
        if not found:
            return []
        number, routes = sum(found.values()), ", ".join(sorted(found))
        return [f"{number} alert{'s' if number > 1 else ''} given up ({routes}): headway alert"]
