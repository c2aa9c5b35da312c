"""How a long benchmark ends: on a signal it prints its results so far; when it dies it prints its last step."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType


class Ending:
    """From now on the first SIGTERM, SIGINT or SIGHUP calls `stop`; a second one of the same kind ends the process.
    SIGUSR1 prints the stack of every thread."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._number = 0
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._number = number
        self._stop()
        # Not by `print`: where the signal came amid one, that raises, and nobody would have stopped.
        os.write(sys.stderr.fileno(), f"ends by signal {number}; what there is so far is printed\n".encode())

    def leave(self) -> None:
        """Ends the process as a shell has it, with 128 and the number, where a signal came."""
        if self._number:
            sys.exit(128 + self._number)


def say(text: str) -> None:
    """A line for people, at once."""
    print(text, file=sys.stderr, flush=True)
