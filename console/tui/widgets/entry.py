"""The one line where a person types: a filter, a search, a name."""

from __future__ import annotations

from textual.widgets import Input


class Entry(Input):
    """An input without a frame. Imported where it is needed: nobody types before the first paint."""

    DEFAULT_CSS = """
    Entry { height: 1; border: none; padding: 0 1; background: $panel; color: $foreground; }
    Entry:focus { border: none; }
    """

    def on_mount(self) -> None:
        self.cursor_blink = False  # a blinking cursor is two repaints a second over somebody's SSH line
