"""The input line: a filter, a search, a name."""

from __future__ import annotations

from textual.widgets import Input


class Entry(Input):
    """An input without a frame."""

    DEFAULT_CSS = """
    Entry { height: 1; border: none; padding: 0 1; background: $panel; color: $foreground; }
    Entry:focus { border: none; }
    Entry > .input--placeholder { color: $foreground 64%; }
    """

    def on_mount(self) -> None:
        self.cursor_blink = False  # a blinking cursor is two repaints a second over an SSH line
