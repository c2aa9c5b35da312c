"""The terminal driver: Textual's own, which also leaves cleanly on signals and when its terminal is lost.

The title is restored on exit. A console whose terminal is gone exits also without a signal: `make` does not pass SIGHUP
on.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from console.tui.terminal.signals import POP_TITLE, PUSH_TITLE, supports_titles


def exit_if_lost(driver: Driver, event: threading.Event) -> None:
    """Ends the console as on SIGHUP unless `event`, its own exit, is set. Called when its input has ended.

    It does not wait: a console that exits already waits for the thread of its input.
    """
    if not event.is_set():
        with suppress(RuntimeError):  # it has just ended
            driver._loop.call_soon_threadsafe(driver._app.exit, 128 + signal.SIGHUP)


class TerminalLine:
    """The terminal's file; output after its loss is dropped, so that Textual's writer never stops."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        self._do(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._file.flush)

    def fileno(self) -> int:
        return self._file.fileno()

    def _do(self, output: Callable[[], object]) -> None:
        try:
            output()
        except OSError:  # with /dev/null in its place a last flush does not fail too, with exit code 120
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())


class TerminalDriver(LinuxDriver):
    """Textual's own driver, with a title, and a clean exit."""

    _title = _stopped_title = ""
    _is_started = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        output = sys.__stdout__
        is_redirected = output is not None and output.isatty() and not self._file.isatty()
        self._file: Any = TerminalLine(output if is_redirected and output is not None else self._file)
        threading.Thread(target=self._exit_when_hung_up, name="terminal-loss", daemon=True).start()

    def _exit_when_hung_up(self) -> None:
        state = select.poll()
        state.register(self.fileno, 0)  # a hang-up is always reported
        state.poll()
        exit_if_lost(self, self.exit_event)

    def run_input_thread(self) -> None:
        """Reads keys until the console leaves. A byte that is not UTF-8, as of a paste in Latin-1, is dropped with
        those that came with it: Textual's own would end the console."""
        while not self.exit_event.is_set():
            with suppress(UnicodeDecodeError, OSError):
                super().run_input_thread()

    def set_title(self, text: str) -> None:
        if supports_titles(os.environ):
            self.write(f"{'' if self._title else PUSH_TITLE}\x1b]0;{text}\x07")
            self._title = text

    def start_application_mode(self) -> None:
        if self._is_started:  # SIGCONT follows SIGHUP too: a second thread would read from the lost terminal for ever
            return
        before = self._key_thread
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._key_thread is before:  # in the background it stops until the next SIGCONT
            return
        self._is_started = True
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._app.exit, 128 + number)
        # amid a write Textual's own handler would wait for ever for the queue that this thread holds
        loop.add_signal_handler(signal.SIGTSTP, self._sigtstp_application)
        if text := self._stopped_title:  # it comes here again after a stop by Ctrl-Z
            self._stopped_title = ""
            self.set_title(text)

    def stop_application_mode(self) -> None:
        self._is_started = False
        if self._title:
            self.write(POP_TITLE)
            self._stopped_title, self._title = self._title, ""
        super().stop_application_mode()
