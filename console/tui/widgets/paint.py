"""Segments of text to painted lines: cleaned, broken and cut by cells, one styled piece for each change of style."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from rich.cells import cell_len, get_character_cell_size, set_cell_size
from rich.color import Color as RichColor
from rich.segment import Segment as RichSegment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from console.text.cleaning import clean_line


def line_breaks(text: str, width: int, more_at_first: int = 0) -> list[tuple[int, int]]:
    """(start, end) in characters of pieces of at most `width` cells, broken at spaces if possible.

    The first piece may have `more_at_first` cells more: the others are indented.
    """
    if len(text) <= width + more_at_first and text.isascii():
        return [(0, len(text))]
    pieces, start, used, space = [], 0, -more_at_first, 0
    for position, letter in enumerate(text):
        size = 1 if letter.isascii() else get_character_cell_size(letter)
        if used + size > width and position > start:
            end = space if space > start else position
            pieces.append((start, end))
            start, used = end, cell_len(text[end:position])
        used += size
        if letter == " ":
            space = position + 1
    return [*pieces, (start, len(text))]


Segment = tuple[str, str]
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
_BACKGROUNDS = {
    "": ("background", 1.0),
    "panel": ("panel", 1.0),
    "cursor": ("secondary", 0.4),
    "alarm": ("error", 1.0),
    "lit": ("foreground", 0.14),
}
GREY_CURSOR = 0.18
_BRIGHTER = {"cursor": 0.14}


def one_line(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _cleaned(text) if len(text) <= CACHED_TEXTS else clean_line(text)


_cleaned = lru_cache(4096)(clean_line)


CACHED_TEXTS = 400
"""Characters of the longest cached text."""
FAR = 4
"""Characters per cell: enough to fill the cells, even though some characters take none."""


def fit(text: str, width: int, right: bool = False, mark: str = "…") -> str:
    """`text` in exactly `width` cells; a cut is marked at its end."""
    return _fitted(text, width, right, mark) if len(text) <= CACHED_TEXTS else _fit(text, width, right, mark)


def _fit(text: str, width: int, right: bool, mark: str) -> str:
    if width <= 0:
        return ""
    text = one_line(text)
    near = text[: width * FAR]
    if len(near) < len(text) and cell_len(near) > width:
        text = near  # of a text of many thousand letters only the beginning is measured
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + mark
    return " " * (width - length) + text if right else text + " " * (width - length)


_fitted = lru_cache(8192)(_fit)


def cut(text: str, most: int) -> str:
    text = one_line(text)
    return fit(text, min(most, len(text) if text.isascii() else cell_len(text)))


def fit_middle(text: str, width: int) -> str:
    """`text` in at most `width` cells, cut in the middle: names differ at the end. The last part of a path stays whole
    if it fits: "etl-ho…/db07:extract_orders", "d…:extract_orders"."""
    text = one_line(text)
    if cell_len(text) <= width:
        return text
    ends = (text[at:] for mark in "/:" if (at := text.rfind(mark)) >= 0)
    whole = next((size for end in ends if (size := cell_len(end)) < width - 1), 0)
    tail = max(0, (width - 1) // 2, whole)
    end = text[-tail:] if tail else ""
    while cell_len(end) > tail:
        end = end[1:]
    return fit(text, max(1, width - cell_len(end))) + end


def length_of(runs: Iterable[Segment]) -> int:
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in runs)


def cut_runs(runs: Iterable[Segment], room: int) -> list[Segment]:
    shown: list[Segment] = []
    for text, style in runs:
        size = length_of([(text, style)])
        if size > room:
            return [*shown, (fit(text, room), style)]
        shown.append((text, style))
        room -= size
    return shown


class Palette:
    """The styles of one theme. Made from its variables once; component styles would be resolved for every widget."""

    def __init__(
        self, variables: Mapping[str, str], plain: bool = False, grey: bool = False, dark: bool = True
    ) -> None:
        """`grey`: for a terminal without colors, where errors are as bright as other text, and bold. `dark`: on a theme
        of sixteen colors the bright ones are used."""
        self._plain, self._grey, self._dark = plain, grey, dark
        self._colors = {name: Color.parse(variables[name]) for name in _VARIABLES}
        if grey:
            ink = self._colors["foreground"]
            self._colors |= dict.fromkeys(("primary", "secondary", "success", "warning", "error"), ink)
        self._is_ansi = self._colors["background"].ansi is not None
        self._styles: dict[tuple[str, str], Style] = {}

    def style(self, name: str, background: str = "") -> Style:
        """The style of a name on a background: "", "panel", "cursor", "alarm"."""
        style = self._styles.get((name, background))
        if style is None:
            style = self._styles[name, background] = self._mixed(name or "plain", background)
        return style

    def _mixed(self, name: str, background: str) -> Style:
        variable, share, bold, own = INKS[name]
        if self._is_ansi:
            return self._ansi_style(name, background)
        under, share_below = (own, 1.0) if own else _BACKGROUNDS[background]
        if self._grey and background == "cursor" and not own:
            share_below = GREY_CURSOR
        base = self._colors["background"]
        below = base.blend(self._colors[under], share_below)
        ink = below.blend(self._colors[variable], min(1.0, share + _BRIGHTER.get(background, 0.0)))
        if not self._grey:
            ink = _readable(ink, below)
        return Style(color=ink.rich_color, bgcolor=below.rich_color, bold=bold or background == "cursor" or None)

    def _ansi_style(self, name: str, background: str) -> Style:
        """A color of the terminal's own sixteen on its own background; marked parts swap the two, as no pair of them is
        read everywhere."""
        variable, _, bold, own = INKS[name]
        below = own or {"cursor": "foreground", "alarm": "error"}.get(background, "")
        number = self._colors[below or variable].ansi or 0
        color = RichColor.default() if number < 0 else RichColor.from_ansi(number % 8 + (8 if self._dark else 0))
        return Style(color=color, bold=bold or bool(below) or None, reverse=bool(below) or None)

    def strip(self, runs: Sequence[Segment], width: int, background: str = "", mark: bool = False) -> Strip:
        """One line of exactly `width` cells; neighbors of one style become one segment. `mark`: its last cell marks a
        change that a background alone would not show."""
        if mark or (background == "lit" and (self._plain or self._is_ansi)):
            end = RichSegment(_CHANGED, self.style("strong", background))
            return Strip.join([self._line(runs, width - len(_CHANGED), background), Strip([end], len(_CHANGED))])
        return self._line(runs, width, background)

    def _line(self, runs: Sequence[Segment], width: int, background: str) -> Strip:
        segments: list[RichSegment] = []
        remaining, text, name = width, "", "plain"
        for outside, style in runs:
            piece = one_line(outside)
            size = len(piece) if piece.isascii() else cell_len(piece)
            if size > remaining:
                piece, size = fit(piece, remaining), remaining
            if self._plain and not piece.isascii():
                piece = piece.translate(_PLAIN_INKS)
            remaining -= size
            if style == name:
                text += piece
            else:
                if text:
                    segments.append(RichSegment(text, self.style(name, background)))
                text, name = piece, style
            if remaining <= 0:
                break
        if remaining > 0 and name != "plain":
            segments.append(RichSegment(text, self.style(name, background)))
            text, name = "", "plain"
        text += " " * max(0, remaining)
        if text:
            segments.append(RichSegment(text, self.style(name, background)))
        return Strip(segments, width)


LEAST_CONTRAST = 4.5
"""WCAG 2 for text; our own themes have it, of Textual's the light ones have not."""


def _readable(ink: Color, below: Color) -> Color:
    """The ink, as much darker or lighter as it takes to read it on the color below."""
    far = max((Color(0, 0, 0), Color(255, 255, 255)), key=lambda end: _contrast(end, below))
    candidates = (ink.blend(far, share / 20) for share in range(21))
    return next((color for color in candidates if _contrast(color, below) >= LEAST_CONTRAST), far)


def _contrast(ink: Color, below: Color) -> float:
    dark, light = sorted((_luminance(ink), _luminance(below)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    parts = (part / 255 for part in color.rgb)
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def palette(widget: Widget) -> Palette:
    app = widget.app
    plain = bool(getattr(getattr(app, "glyphs", None), "plain", False))
    kind = (app.theme, plain, app.no_color)
    cached = _palettes.get(kind)
    if cached is None:
        variables = app.theme_variables or app.get_css_variables()
        cached = _palettes[kind] = Palette(variables, plain, app.no_color, app.current_theme.dark)
    return cached


_VARIABLES = ("foreground", "background", "panel", "primary", "secondary", "success", "warning", "error")
_CHANGED = " *"
_palettes: dict[tuple[str, bool, bool], Palette] = {}
_PLAIN_INKS = str.maketrans({"–": "-", "—": "-", "…": "~", "·": "|", "\ufffd": "?"})
"""ASCII replacements of our own typography."""
