"""What a thread of the engine's works on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from console.engine.health import Pulse


class Part(Protocol):
    """A thread's worth of work: runs until `stopping`, under a fence."""

    wake: threading.Event

    def run(self, fence: int, stopping: Callable[[], bool]) -> None: ...


class Living(Part, Protocol):
    """A part that shows that it lives."""

    pulse: Pulse
