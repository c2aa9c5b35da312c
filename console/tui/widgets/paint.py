"""From runs of (text, style name) to strips: cleaned, cut by cells, one segment for each change of style."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from console.clean import clean_line

if TYPE_CHECKING:
    from textual.widget import Widget

Run = tuple[str, str]
"""A text and the name of its style: "" or one of `INKS`."""

INKS = {  # name: (theme variable, share of it over the background, bold, variable of its own ground)
    "plain": ("foreground", 1.0, False, ""),
    "ok": ("success", 1.0, False, ""),
    "bad": ("error", 1.0, True, ""),
    "warn": ("warning", 1.0, True, ""),
    "run": ("primary", 1.0, False, ""),
    "dim": ("foreground", 0.64, False, ""),
    "strong": ("foreground", 1.0, True, ""),
    "head": ("foreground", 0.68, False, ""),
    "key": ("primary", 1.0, True, ""),
    "here": ("background", 1.0, True, "primary"),
    "mark": ("background", 1.0, True, "warning"),
    "alarm": ("background", 1.0, True, "error"),
}
_GROUNDS = {"": ("background", 1.0), "panel": ("panel", 1.0), "cursor": ("secondary", 0.4), "alarm": ("error", 1.0)}
_BRIGHTER = {"cursor": 0.14}
"""How much more of a faint ink a ground needs, to be read on it."""


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


def fit_middle(text: str, width: int) -> str:
    """`text` in at most `width` cells; where it is too long its middle is left out, because names differ at the end."""
    text = one_line(text)
    if cell_len(text) <= width:
        return text
    tail = max(0, (width - 1) // 2)
    end = text[-tail:] if tail else ""
    while cell_len(end) > tail:
        end = end[1:]
    return fit(text, max(1, width - cell_len(end))) + end


def length_of(runs: Iterable[Run]) -> int:
    """Cells that the runs take."""
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in runs)


class Palette:
    """The styles of one theme. Made from its variables once; component styles would be resolved for every widget."""

    def __init__(self, variables: Mapping[str, str], plain: bool = False) -> None:
        self._plain = plain
        self._colors = {name: Color.parse(variables[name]) for name in _VARIABLES}
        self._styles: dict[tuple[str, str], Style] = {}

    def style(self, name: str, ground: str = "") -> Style:
        """The style of a name on a ground: "", "panel", "cursor", "alarm"."""
        found = self._styles.get((name, ground))
        if found is None:
            found = self._styles[name, ground] = self._mixed(name or "plain", ground)
        return found

    def _mixed(self, name: str, ground: str) -> Style:
        variable, share, bold, own = INKS[name]
        under, ground_share = (own, 1.0) if own else _GROUNDS[ground]
        base = self._colors["background"]
        below = base.blend(self._colors[under], ground_share)
        ink = below.blend(self._colors[variable], min(1.0, share + _BRIGHTER.get(ground, 0.0)))
        return Style(color=ink.rich_color, bgcolor=below.rich_color, bold=bold or ground == "cursor" or None)

    def strip(self, runs: Sequence[Run], width: int, ground: str = "") -> Strip:
        """One line of exactly `width` cells; neighbours of one style become one segment."""
        segments: list[Segment] = []
        left, text, name = width, "", "plain"
        for outside, style in runs:
            piece = one_line(outside)
            if self._plain and not piece.isascii():
                piece = piece.translate(_PLAIN)
            size = len(piece) if piece.isascii() else cell_len(piece)
            if size > left:
                piece, size = fit(piece, left), left
            left -= size
            if style == name:
                text += piece
            else:
                if text:
                    segments.append(Segment(text, self.style(name, ground)))
                text, name = piece, style
            if left <= 0:
                break
        if left > 0 and name != "plain":
            segments.append(Segment(text, self.style(name, ground)))
            text, name = "", "plain"
        text += " " * max(0, left)
        if text:
            segments.append(Segment(text, self.style(name, ground)))
        return Strip(segments, width)


def palette(widget: Widget) -> Palette:
    """The palette of the theme that a widget is shown in."""
    app = widget.app
    plain = bool(getattr(getattr(app, "glyphs", None), "plain", False))
    found = _made.get((app.theme, plain))
    if found is None:
        found = _made[app.theme, plain] = Palette(app.theme_variables or app.get_css_variables(), plain)
    return found


_VARIABLES = ("foreground", "background", "panel", "primary", "secondary", "success", "warning", "error")
_made: dict[tuple[str, bool], Palette] = {}
_PLAIN = str.maketrans({"–": "-", "—": "-", "…": "~", "·": "|", "\ufffd": "?"})
"""Our own typography on a terminal that has letters only."""
