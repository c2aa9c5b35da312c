"""Widgets that paint whole lines themselves, and have nothing around them.

Textual goes over each line of a widget for borders, padding, tints and the terminal's colours: of a page of a table
that is a third. Lines of a palette are as wide as they shall be and name their colours: nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.widget import Widget


class Flat(Widget):
    """Its lines go to the screen as `render_line` gives them; one with a border or padding is Textual's to paint."""

    def render_lines(self, crop: Region) -> list[Strip]:
        if any(self.styles.gutter):
            return super().render_lines(crop)
        lines = self.flat_lines(crop.line_range)
        is_named = self.app.console.color_system != "standard"  # of sixteen colours the terminal says what they are
        for each in self.get_line_filters():
            if not (is_named and isinstance(each, ANSIToTruecolor)):
                lines = [strip.apply_filter(each, self.background_colors[1]) for strip in lines]
        first, last = crop.column_span
        return lines if (first, last) == (0, self.size.width) else [strip.crop(first, last) for strip in lines]

    def render_line(self, y: int) -> Strip:
        """One line; this or `flat_lines` is said by each widget."""
        return self.flat_lines((y,))[0]

    def flat_lines(self, places: Iterable[int]) -> list[Strip]:
        """The lines at these places."""
        return [self.render_line(y) for y in places]


class FlatScroll(Flat, ScrollView, inherit_bindings=False):
    """One that scrolls up and down."""

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """A page of a hundred thousand rows moves the scrollbar by nothing that is seen: then it is not painted."""
        bar = self.vertical_scrollbar
        if _thumb(bar, old_value) == _thumb(bar, new_value):
            bar.set_reactive(ScrollBar.position, bar.validate_position(new_value))
        super().watch_scroll_y(old_value, new_value)


def _thumb(bar: ScrollBar, position: float) -> int:
    """Where its thumb begins, in eighths of a cell, as Textual draws it."""
    size, window, whole = bar.size.height, bar.window_size, bar.window_virtual_size
    if not size or window >= whole:
        return 0
    return int((size - max(1.0, window * size / whole)) * position / (whole - window) * 8)
