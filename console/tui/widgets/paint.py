"""From runs of (text, style name) to strips: cleaned, cut by cells, one segment for each change of style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from console.clean import clean_line

if TYPE_CHECKING:
    from textual.widget import Widget

Run = tuple[str, str]
"""A text and the name of its style: "", "ok", "bad", "warn", "run", "dim", "strong", "head", "key", "mark", "alarm"."""

STYLES = ("plain", "ok", "bad", "warn", "run", "dim", "strong", "head", "key", "mark", "alarm", "cursor")
COMPONENTS = {f"paint--{name}" for name in STYLES}


def one_line(text: str) -> str:
    """Outside text as one line of printable characters."""
    return text if text.isascii() and text.isprintable() else clean_line(text)


def fit(text: str, width: int, right: bool = False, more: str = "…") -> str:
    """`text` in exactly `width` cells; a cut is marked at its end."""
    if width <= 0:
        return ""
    text = one_line(text)
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + more
    return " " * (width - length) + text if right else text + " " * (width - length)


def length_of(runs: Iterable[Run]) -> int:
    """Cells that the runs take."""
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in runs)


class Palette:
    """The rich styles of one widget's theme, looked up once; `forget` when the theme changes."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._styles: dict[tuple[str, bool], Style] = {}

    def style(self, name: str, lit: bool = False) -> Style:
        """The style of a name, on the cursor's background where `lit`."""
        found = self._styles.get((name, lit))
        if found is None:
            found = self._widget.get_component_rich_style(f"paint--{name or 'plain'}")
            if lit:
                cursor = self._widget.get_component_rich_style("paint--cursor")
                found += Style(bgcolor=cursor.bgcolor, bold=True, dim=False)
            self._styles[name, lit] = found
        return found

    def forget(self) -> None:
        self._styles.clear()

    def strip(self, runs: Sequence[Run], width: int, lit: bool = False) -> Strip:
        """One line of exactly `width` cells; neighbours of one style become one segment."""
        segments: list[Segment] = []
        left, text, name = width, "", "plain"
        for outside, style in runs:
            piece = one_line(outside)
            size = len(piece) if piece.isascii() else cell_len(piece)
            if size > left:
                piece, size = fit(piece, left), left
            left -= size
            if style == name:
                text += piece
            else:
                if text:
                    segments.append(Segment(text, self.style(name, lit)))
                text, name = piece, style
            if left <= 0:
                break
        if left > 0:
            segments.append(Segment(text, self.style(name, lit)))
            text, name = " " * left, "plain"
        if text:
            segments.append(Segment(text, self.style(name, lit)))
        return Strip(segments, width)
