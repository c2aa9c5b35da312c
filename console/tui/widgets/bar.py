"""Lines that are painted whole: bars with a left and a right side, the key hints of a dialog, and the frames of a
plain terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual import events
from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.message import Message
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip
from textual.widget import Widget

from console.tui.widgets.paint import Segment, cut_runs, length_of, line_breaks, one_line, palette

if TYPE_CHECKING:
    from textual.app import App


class FlatWidget(Widget):
    """Its lines go to the screen as `render_line` gives them; one with a border or padding is Textual's to paint."""

    def render_lines(self, crop: Region) -> list[Strip]:
        if any(self.styles.gutter):
            return super().render_lines(crop)
        lines = self.flat_lines(crop.line_range)
        is_named = self.app.console.color_system != "standard"  # of sixteen colours the terminal says what they are
        for get_line_filter in self.get_line_filters():
            if not (is_named and isinstance(get_line_filter, ANSIToTruecolor)):
                lines = [strip.apply_filter(get_line_filter, self.background_colors[1]) for strip in lines]
        first, last = crop.column_span
        return lines if (first, last) == (0, self.size.width) else [strip.crop(first, last) for strip in lines]

    def render_line(self, y: int) -> Strip:
        """One line; this or `flat_lines` is said by each widget."""
        return self.flat_lines((y,))[0]

    def flat_lines(self, places: Iterable[int]) -> list[Strip]:
        """The lines at these places."""
        return [self.render_line(y) for y in places]


BarLine = tuple[tuple[Segment, ...], tuple[Segment, ...], str]
"""Left, right, and the ground that the line is painted on: "", "panel", "alarm"."""


class Bar(FlatWidget):
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
        self._lines: tuple[BarLine, ...] = (((), (), ground),) * lines
        if lines != 1:
            self.styles.height = lines

    def show(self, left: Sequence[Segment], right: Sequence[Segment] = ()) -> None:
        """Shows one line: `left`, and `right` at the right edge as far as there is room for both."""
        self.show_lines([(tuple(left), tuple(right), self._ground)])

    def show_lines(self, lines: Sequence[BarLine]) -> None:
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
        left = cut_runs(line_left, max(0, width - length_of(right)))
        gap = max(0, width - length_of(left) - length_of(right))
        return palette(self).strip((*left, (" " * gap, "plain"), *right), width, ground)


APART = 2


class KeyHint(NamedTuple):
    """A key and what it does. Where not all fit, the one with the highest `rank` goes first, whole."""

    key: str
    word: str
    rank: int = 0
    style: str = "dim"

    @property
    def runs(self) -> tuple[Segment, Segment, Segment]:
        return (f"{self.key} ", "key"), (self.word, self.style), (" " * APART, "plain")


class KeyHints(Bar):
    """`tell` may come before the box has its width: it is laid out again once it has."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: tuple[KeyHint, ...] = ()
        self._said: Segment = ("", "plain")

    def tell(self, hints: Sequence[KeyHint], said: Segment = ("", "plain")) -> None:
        """The keys, and what is said with them."""
        self._hints, self._said = tuple(hints), said
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        if self.size.width:
            self.show_lines(hint_lines(self._hints, self._said, self.size.width))


def hint_lines(hints: Sequence[KeyHint], said: Segment, width: int) -> list[BarLine]:
    """What is said at the right edge of the keys, or whole in lines of its own above them."""
    kept = fitting(hints, width)
    runs = [run for hint in kept for run in hint.runs][:-1]
    text, style = one_line(said[0]), said[1]
    if not text or not runs:
        return [(((text, style),) if text else (), (), "")] if not runs else [(tuple(runs), (), "")]
    if length_of(runs) + APART + length_of([(text, style)]) <= width:
        return [(tuple(runs), ((text, style),), "")]
    parts = [text[at:end].strip() for at, end in line_breaks(text, width)]
    return [*((((part, style),), (), "") for part in parts), (tuple(runs), (), "")]


def fitting(hints: Sequence[KeyHint], width: int) -> list[KeyHint]:
    """The hints for which there is room; of one rank the last goes first."""
    kept = list(hints)
    while len(kept) > 1 and length_of([run for hint in kept for run in hint.runs]) - APART > width:
        kept.remove(max(reversed(kept), key=lambda hint: hint.rank))
    return kept


class AsciiScrollBars(ScrollBarRender):
    """A thumb of whole cells: its ends are no eighths of a block."""

    VERTICAL_BARS = [" "] * 8
    HORIZONTAL_BARS = [" "] * 8


def use_ascii_frames(app: App[int], plain: bool) -> None:
    """Has everything that Textual draws around our lines drawn so; the class `-plain` is for the style sheet."""
    ScrollBar.renderer = AsciiScrollBars if plain else ScrollBarRender
    app.set_class(plain, "-plain")
