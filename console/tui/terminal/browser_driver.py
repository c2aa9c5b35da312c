"""The driver of a console in a browser: its terminal is at the other end of two pipes.

A console whose server is gone exits. Escape is answered after 20 ms here too.
"""

from __future__ import annotations

from typing import Any

from textual.drivers import web_driver

from console.tui.terminal.driver import POLL_SECONDS, exit_if_lost


class BrowserDriver(web_driver.WebDriver):
    """Exits when its input is closed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._input_reader.timeout = POLL_SECONDS
        self._write = self._patient(self._write)

    def set_title(self, text: str) -> None:
        self.write_meta({"type": "title", "title": text})

    def run_input_thread(self) -> None:
        super().run_input_thread()
        exit_if_lost(self, self.exit_event)

    @staticmethod
    def _patient(write: Any) -> Any:
        """Output after the pipe has closed is dropped, as on a lost line."""

        def dropped(data: bytes) -> int:
            try:
                return int(write(data))
            except BrokenPipeError:
                return len(data)

        return dropped
