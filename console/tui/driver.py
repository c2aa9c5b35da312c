"""Three things that Textual's driver leaves open.

A console that is told to end (SIGTERM, or SIGHUP of a lost line) gives the terminal back first. One whose line is lost
while it paints ends all the same: Textual's thread that writes dies of the error, and after 30 more writes nobody takes
them from its queue, so that leaving would wait for ever.

Escape is answered after 20 ms instead of 100: Textual's driver looks at its input ten times a second only. Measured on
Textual 8.2.8 (Esc to changed screen): 103 ms as it is, 22.5 ms (p95 39) with this. It reaches into an inner part of
Textual, so `tests.bench.keys` measures it; it goes once the driver itself honours ESCDELAY.
"""

from __future__ import annotations

import asyncio
import selectors
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import IO, Any

from textual.drivers import linux_driver

POLL_SECONDS = 0.01


class _QuickSelector(selectors.SelectSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(POLL_SECONDS if timeout is None else min(timeout, POLL_SECONDS))


class Line:
    """The terminal's file; once it is lost, what is written to it is dropped."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._lost = False

    def write(self, text: str) -> int:
        return self._do(lambda: self._file.write(text)) or len(text)

    def flush(self) -> None:
        self._do(self._file.flush)

    def _do(self, what: Callable[[], int | None]) -> int | None:
        if self._lost:
            return None
        try:
            return what()
        except OSError:
            self._lost = True
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class QuickEscDriver(linux_driver.LinuxDriver):
    """Textual's own driver with a quicker look at the keyboard, which leaves in good order when it is told to."""

    def start_application_mode(self) -> None:
        if not isinstance(self._file, Line):  # it comes here again after a stop by Ctrl-Z
            self._file: Any = Line(self._file)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._app.exit, 128 + number)

    def run_input_thread(self) -> None:
        quick = SimpleNamespace(SelectSelector=_QuickSelector, EVENT_READ=selectors.EVENT_READ)
        linux_driver.__dict__["selectors"] = quick
        super().run_input_thread()
