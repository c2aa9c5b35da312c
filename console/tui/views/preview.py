"""The preview of the row under the cursor: beside its list on a wide screen, or in the room below it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from console.store.queries.reader import Queries
from console.text.cleaning import clean_line
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.screen import HeadwayScreen, ScreenPart
from console.tui.widgets.grid import Grid
from console.tui.widgets.pane import Pane

PREVIEW_FROM = 160
"""Columns of a screen from which a list has a preview."""
PREVIEW_BREAKPOINTS = [(0, "-alone"), (PREVIEW_FROM, "-beside")]
"""Textual's classes of a screen without and with room for a preview."""


def list_width(width: int) -> int:
    """Columns of a list on a screen of `width`: all, or what the preview leaves."""
    return width if width < PREVIEW_FROM else width * 5 // 8


class PreviewSource(NamedTuple):
    """The subject of a preview: its key, its query, and its lines for a width and height."""

    key: Hashable
    read: Callable[[Queries], Any]
    lines: Callable[[Any, RenderContext, int, int], SegmentLines]


class ListPreview(ScreenPart):
    """`source` returns the subject under the cursor; None for none. It is read only while there is room for it.
    `below`: the grid that it has the empty lines of; without one it is beside its list."""

    def __init__(
        self, screen: HeadwayScreen, source: Callable[[], PreviewSource | None], below: Grid | None = None
    ) -> None:
        self._screen, self._source, self._below = screen, source, below
        self.pane = Pane(id="preview")
        self.pane.can_focus = self.pane.finds_errors = False
        self.pane.wrapped, self.pane.hang = True, 4
        self.pane.display = False
        self.pane.set_class(below is not None, "-below")
        self._answer: tuple[PreviewSource, Any] | None = None
        self._key: Hashable = None

    def beside(self, *lists: Iterable[Widget]) -> ComposeResult:
        """The widgets of the list, one below the other, and the preview beside them."""
        with Horizontal():
            with Vertical():
                for widgets in lists:
                    yield from widgets
            yield self.pane

    def resized(self) -> None:
        if self._below is None:
            width = self._screen.size.width
            self.pane.display = width >= PREVIEW_FROM
            self.pane.styles.width = width - list_width(width)
        self.moved()

    def _fit_below(self, grid: Grid) -> None:
        used = self.pane.outer_size.height if self.pane.display else 0
        lines = grid.page + used - len(grid.source)
        self.pane.display = lines >= LEAST_BELOW and len(grid.source) > 0
        self.pane.styles.height = lines

    def resumed(self) -> None:
        self.fetch()

    def moved(self) -> None:
        if self._below is not None:
            self._fit_below(self._below)
        source = self._source() if self.pane.display else None
        if (source.key if source else None) != self._key:
            self._key, self._answer = source.key if source else None, None
            self.fetch()
            self._paint()

    def tick(self) -> None:
        self.moved()
        self._paint()

    def fetch(self) -> None:
        """Reads the subject again."""
        source = self._source() if self.pane.display else None
        if source is None:
            return

        def show(answer: Any) -> None:
            if source.key == self._key:
                self._answer = source, answer
                self._paint()

        self._key = source.key
        self._screen.ask("preview", source.read, show, lambda _: None, instead=True)

    def _paint(self) -> None:
        if self._answer is None:
            self.pane.show_runs([])
            return
        source, answer = self._answer
        size = self._screen.size
        width = (size.width if self._below is not None else size.width - list_width(size.width)) - 3
        self.pane.show_runs(source.lines(answer, self._screen.ctx, width, self.pane.size.height or size.height))


LEAST_BELOW = 6
"""Lines below a list from which they have a preview."""
LOG_LINES = 12
"""Lines of a log that a preview has at least room for."""


def log_end(log: str, error: str, room: int, least: int = LOG_LINES) -> SegmentLines:
    """The end of a log under its heading, `least` lines or more, or why there is none."""
    why = f": {error}" if error else ""
    lines = log.rstrip().splitlines()[-max(least, room - 1) :] or [f"log not available{why}"]
    return [[(" LOG", "key")], *([(f" {clean_line(line)}", "plain")] for line in lines)]
