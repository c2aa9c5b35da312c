"""One line: what stands left, what stands right, cut by cells. Nothing in it is ever parsed as markup."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip
from textual.widget import Widget

from console.tui.widgets.paint import COMPONENTS, Palette, Run, fit, length_of


class Bar(Widget):
    """A line of runs; `show` repaints it only when it changed."""

    COMPONENT_CLASSES = COMPONENTS

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._palette = Palette(self)
        self._left: tuple[Run, ...] = ()
        self._right: tuple[Run, ...] = ()

    def show(self, left: Sequence[Run], right: Sequence[Run] = ()) -> None:
        """Shows `left`, and `right` at the right edge as far as there is room for both."""
        if (tuple(left), tuple(right)) != (self._left, self._right):
            self._left, self._right = tuple(left), tuple(right)
            self.refresh()

    def notify_style_update(self) -> None:
        self._palette.forget()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y:
            return self._palette.strip((), width)
        room = max(0, width - length_of(self._right))
        left = _cut(self._left, room)
        gap = max(0, width - length_of(left) - length_of(self._right))
        return self._palette.strip((*left, (" " * gap, "plain"), *self._right), width)

    @property
    def text(self) -> str:
        """What it shows, for tests and for people who copy it."""
        return "".join(text for text, _ in (*self._left, *self._right))


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
