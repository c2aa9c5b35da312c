"""The driver of a console in a browser: its terminal is at the other end of two pipes.

Textual's own goes on when its server is gone; this one exits, and drops what it writes.
"""

from __future__ import annotations

import os
from contextlib import suppress

from textual.drivers.web_driver import WebDriver

from console.tui.terminal.driver import exit_if_lost

START, OUTPUT = b"__GANGLION__\n", b"D"
"""Begin a console's output, and a packet of it."""


class BrowserDriver(WebDriver):
    """Exits when its input is closed."""

    def run_input_thread(self) -> None:
        super().run_input_thread()
        exit_if_lost(self, self.exit_event)

    def write(self, data: str) -> None:
        with suppress(BrokenPipeError):
            super().write(data)

    def write_meta(self, data: dict[str, object]) -> None:
        with suppress(BrokenPipeError):
            super().write_meta(data)


def show_in_browser(text: str) -> None:
    """Shows the text instead of a console that cannot start."""
    data = f"\r\n  {text}\r\n".encode()
    with suppress(BrokenPipeError):
        os.write(1, START + OUTPUT + len(data).to_bytes(4, "big") + data)
