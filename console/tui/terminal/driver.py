"""The terminal driver: additions to Textual's own.

The terminal is restored on SIGTERM and SIGHUP; a console whose terminal is gone exits, also without a signal (`make`
does not pass SIGHUP on); Escape is answered after 20 ms; the title is restored on exit.
"""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import select
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import IO, Any

from textual.driver import Driver
from textual.drivers import linux_driver

from console.tui.terminal.signals import POP_TITLE, PUSH_TITLE, supports_titles

POLL_SECONDS = 0.01
BEHIND_SECONDS = 0.01
"""A write that blocks for longer is slower than the painting."""


class _EscapeSelector(selectors.SelectSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Raises OSError once the terminal is gone: Textual would read nothing from it, again and again."""
        ready = super().select(POLL_SECONDS if timeout is None else min(timeout, POLL_SECONDS))
        if any(is_hung_up(key.fd) for key, _ in ready):
            raise OSError(errno.EIO, "the terminal is gone")
        return ready


def lenient_decoder(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    """A decoder in which a byte that is not of the encoding, as of a paste in Latin-1, is a character that no key
    has; Textual's own would end the console."""
    return partial(codecs.getincrementaldecoder(encoding), errors="replace")


def is_hung_up(descriptor: int) -> bool:
    state = select.poll()
    state.register(descriptor, 0)  # a hang-up is always reported
    return bool(state.poll(0))


def exit_if_lost(driver: Driver, event: threading.Event) -> None:
    """Ends the console as on SIGHUP unless `event`, its own exit, is set. Called when its input has ended.

    It does not wait: a console that exits already waits for the thread of its input.
    """
    if not event.is_set():
        with suppress(RuntimeError):  # it has just ended
            driver._loop.call_soon_threadsafe(driver._app.exit, 128 + signal.SIGHUP)


class TerminalLine:
    """The terminal's file; output after its loss is dropped."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._lost = False
        self._busy_since: float | None = None

    @property
    def is_behind(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > BEHIND_SECONDS

    def write(self, text: str) -> int:
        return self._do(lambda: self._file.write(text)) or len(text)

    def flush(self) -> None:
        self._do(self._file.flush)

    def _do(self, what: Callable[[], int | None]) -> int | None:
        if self._lost:
            return None
        self._busy_since = time.monotonic()
        try:
            return what()
        except OSError:
            self._lost = True
            self._drop()
            return None
        finally:
            self._busy_since = None

    def _drop(self) -> None:
        """Redirects it to /dev/null: else a last flush fails too, and the exit code is 120."""
        with suppress(OSError):  # a file without a descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def writable_terminal(errors: IO[str]) -> IO[str]:
    """The terminal's own file: `errors`, unless that is redirected and the output is not."""
    output = sys.__stdout__
    return output if output is not None and output.isatty() and not errors.isatty() else errors


class TerminalDriver(linux_driver.LinuxDriver):
    """Textual's own driver, polling the keyboard faster and exiting cleanly on signals."""

    _title = ""

    def set_title(self, text: str) -> None:
        if supports_titles(os.environ):
            self.write(f"{'' if self._title else PUSH_TITLE}\x1b]0;{text}\x07")
            self._title = text

    def start_application_mode(self) -> None:
        if not isinstance(self._file, TerminalLine):  # it comes here again after a stop by Ctrl-Z
            self._file: Any = TerminalLine(writable_terminal(self._file))
        super().start_application_mode()  # type: ignore[no-untyped-call]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._app.exit, 128 + number)
        if self._title:
            text, self._title = self._title, ""
            self.set_title(text)

    def stop_application_mode(self) -> None:
        if self._title:
            self.write(POP_TITLE)
        super().stop_application_mode()

    @property
    def is_behind(self) -> bool:
        return isinstance(self._file, TerminalLine) and self._file.is_behind

    def run_input_thread(self) -> None:
        quick = SimpleNamespace(SelectSelector=_EscapeSelector, EVENT_READ=selectors.EVENT_READ)
        linux_driver.__dict__["selectors"] = quick
        linux_driver.__dict__["getincrementaldecoder"] = lenient_decoder
        with suppress(OSError):
            super().run_input_thread()
        exit_if_lost(self, self.exit_event)
