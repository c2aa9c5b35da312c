"""Lines of our own: what stands left, what stands right, cut by cells. Nothing in them is ever parsed as markup."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.strip import Strip

from console.tui.widgets.flat import Flat
from console.tui.widgets.paint import Run, fit, length_of, palette

Line = tuple[tuple[Run, ...], tuple[Run, ...], str]
"""Left, right, and the ground that the line is painted on: "", "panel", "alarm"."""


class Bar(Flat):
    """A few lines; `show` repaints only when they changed."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    class Pressed(Message):
        """A click on a cell of it."""

        def __init__(self, bar: Bar, x: int, y: int) -> None:
            super().__init__()
            self.bar, self.x, self.y = bar, x, y

    def __init__(self, id: str | None = None, ground: str = "", lines: int = 1) -> None:
        super().__init__(id=id)
        self._ground = ground
        self._lines: tuple[Line, ...] = (((), (), ground),) * lines
        if lines != 1:
            self.styles.height = lines

    def show(self, left: Sequence[Run], right: Sequence[Run] = ()) -> None:
        """Shows one line: `left`, and `right` at the right edge as far as there is room for both."""
        self.show_lines([(tuple(left), tuple(right), self._ground)])

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Shows several lines, each on its own ground."""
        if tuple(lines) != self._lines:
            if len(lines) != len(self._lines):
                self.styles.height = len(lines)
            self._lines = tuple(lines)
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Pressed(self, event.x, event.y))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._lines):
            return palette(self).strip((), width, self._ground)
        line_left, right, ground = self._lines[y]
        left = _cut(line_left, max(0, width - length_of(right)))
        gap = max(0, width - length_of(left) - length_of(right))
        return palette(self).strip((*left, (" " * gap, "plain"), *right), width, ground)


def _cut(runs: Sequence[Run], room: int) -> list[Run]:
    kept: list[Run] = []
    for text, style in runs:
        size = length_of([(text, style)])
        if size > room:
            kept.append((fit(text, room), style))
            return kept
        kept.append((text, style))
        room -= size
    return kept
