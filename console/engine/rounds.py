"""What alerting does by the clock beside single alerts: reads the rotas, and tells each week what was noise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from console.engine.health import Pulse

EVERY_SECONDS = 15.0


class Round(Protocol):
    def step(self, fence: int) -> None: ...


class Rounds:
    """One thread for all of them: none is urgent."""

    def __init__(self, *rounds: Round) -> None:
        self._rounds = rounds
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.wake.clear()
            for one in self._rounds:
                self.pulse.beat(EVERY_SECONDS)
                one.step(fence)
            self.wake.wait(EVERY_SECONDS)
