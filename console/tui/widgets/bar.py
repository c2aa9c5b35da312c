"""Lines painted as a whole: bars with a left and a right side, key hints, and the frames of a plain terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual import events
from textual.app import App
from textual.containers import Container
from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.message import Message
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip
from textual.widget import Widget

from console.tui.widgets.paint import Segment, cut_runs, length_of, line_breaks, one_line, palette


class FlatWidget(Widget):
    """Paints its lines directly, without Textual's borders; with a border or padding Textual paints it."""

    def render_lines(self, crop: Region) -> list[Strip]:
        if any(self.styles.gutter):
            return super().render_lines(crop)
        lines = self.flat_lines(crop.line_range)
        for get_line_filter in self.get_line_filters():
            if not isinstance(get_line_filter, ANSIToTruecolor):
                lines = [strip.apply_filter(get_line_filter, self.background_colors[1]) for strip in lines]
        first, last = crop.column_span
        return lines if (first, last) == (0, self.size.width) else [strip.crop(first, last) for strip in lines]

    def render_line(self, y: int) -> Strip:
        return self.flat_lines((y,))[0]

    def flat_lines(self, lines: Iterable[int]) -> list[Strip]:
        return [self.render_line(y) for y in lines]


class CoveredContainer(Container):
    """A container that its widgets cover: its own lines are never seen, and would cost as much as theirs."""

    BLANK = True


BarLine = tuple[tuple[Segment, ...], tuple[Segment, ...], str]
"""Left, right, and background: "", "panel", "alarm"."""


class Bar(FlatWidget):
    """A few lines; `show` repaints only when they changed."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    class Pressed(Message):
        """A click on a cell of it."""

        def __init__(self, bar: Bar, x: int, y: int) -> None:
            super().__init__()
            self.bar, self.x, self.y = bar, x, y

    def __init__(self, id: str | None = None, background: str = "", lines: int = 1) -> None:
        super().__init__(id=id)
        self._background = background
        self._lines: tuple[BarLine, ...] = (((), (), background),) * lines
        if lines != 1:
            self.styles.height = lines

    def show(self, start: Sequence[Segment], right: Sequence[Segment] = ()) -> None:
        self.show_lines([(tuple(start), tuple(right), self._background)])

    def show_lines(self, lines: Sequence[BarLine]) -> None:
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
            return palette(self).strip((), width, self._background)
        line_left, right, background = self._lines[y]
        start = cut_runs(line_left, max(0, width - length_of(right)))
        gap = max(0, width - length_of(start) - length_of(right))
        return palette(self).strip((*start, (" " * gap, "plain"), *right), width, background)


APART = 2


class KeyHint(NamedTuple):
    key: str
    label: str
    rank: int = 0
    style: str = "dim"

    @property
    def runs(self) -> tuple[Segment, Segment, Segment]:
        return (f"{self.key} ", "key"), (self.label, self.style), (" " * APART, "plain")


class KeyHints(Bar):
    """Laid out again once it has its width."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: tuple[KeyHint, ...] = ()
        self._said: Segment = ("", "plain")

    def show_hints(self, hints: Sequence[KeyHint], message: Segment = ("", "plain")) -> None:
        self._hints, self._said = tuple(hints), message
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        if self.size.width:
            self.show_lines(hint_lines(self._hints, self._said, self.size.width))


def hint_lines(hints: Sequence[KeyHint], message: Segment, width: int) -> list[BarLine]:
    shown = fitting(hints, width)
    runs = [run for hint in shown for run in hint.runs][:-1]
    text, style = one_line(message[0]), message[1]
    if not text or not runs:
        return [(((text, style),) if text else (), (), "")] if not runs else [(tuple(runs), (), "")]
    if length_of(runs) + APART + length_of([(text, style)]) <= width:
        return [(tuple(runs), ((text, style),), "")]
    parts = [text[at:end].strip() for at, end in line_breaks(text, width)]
    return [*((((part, style),), (), "") for part in parts), (tuple(runs), (), "")]


def fitting(hints: Sequence[KeyHint], width: int) -> list[KeyHint]:
    shown = list(hints)
    while len(shown) > 1 and length_of([run for hint in shown for run in hint.runs]) - APART > width:
        shown.remove(max(reversed(shown), key=lambda hint: hint.rank))
    return shown


class AsciiScrollBars(ScrollBarRender):
    """A thumb of whole cells, without eighths of a block."""

    VERTICAL_BARS = [" "] * 8
    HORIZONTAL_BARS = [" "] * 8


def use_ascii_frames(app: App[int], plain: bool) -> None:
    """Selects the scroll bars; the class `-plain` is for the style sheet."""
    ScrollBar.renderer = AsciiScrollBars if plain else ScrollBarRender
    app.set_class(plain, "-plain")
