"""Frames and scrollbars of letters alone, for a terminal that draws no shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.scrollbar import ScrollBar, ScrollBarRender

if TYPE_CHECKING:
    from textual.app import App


class PlainBars(ScrollBarRender):
    """A thumb of whole cells: its ends are no eighths of a block."""

    VERTICAL_BARS = [" "] * 8
    HORIZONTAL_BARS = [" "] * 8


def dress(app: App[int], plain: bool) -> None:
    """Has everything that Textual draws around our lines drawn so; the class `-plain` is for the style sheet."""
    ScrollBar.renderer = PlainBars if plain else ScrollBarRender
    app.set_class(plain, "-plain")
