"""The preview of the row under the cursor: beside its list on a wide screen, or in the room below it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, Protocol

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from console.store.queries.reader import Queries
from console.text.cleaning import clean_line
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.screen import HeadwayScreen, ScreenPart
from console.tui.widgets.bar import CoveredContainer
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import LIST_WIDTH, list_share

PREVIEW_LEAST = 50
PREVIEW_FROM = LIST_WIDTH + PREVIEW_LEAST
"""Columns of a screen from which a list has a preview."""
PREVIEW_BREAKPOINTS = [(0, "-alone"), (PREVIEW_FROM, "-beside")]
"""Textual's classes of a screen without and with room for a preview."""


def list_width(width: int) -> int:
    """Columns of a list on a screen of `width`: all, or what the preview leaves."""
    return width if width < PREVIEW_FROM else list_share(width)


class PreviewSource(NamedTuple):
    """The subject of a preview. `lines` takes the answer of `read`, and the width and height of the preview."""

    key: Hashable
    read: Callable[[Queries], Any]
    lines: Callable[[Any, RenderContext, int, int], SegmentLines]


class PreviewPane(Pane):
    """A pane whose text depends on its height: `repaint` is called when that has changed."""

    def __init__(self, repaint: Callable[[], None]) -> None:
        super().__init__(id="preview")
        self._repaint = repaint

    def on_resize(self) -> None:
        self._repaint()


class PreviewRow(Horizontal):
    """A list and the preview beside it. `resized` is called with its width when that has changed."""

    BLANK = True  # its children cover it

    def __init__(self, *children: Widget, resized: Callable[[], None]) -> None:
        super().__init__(*children)
        self._resized = resized

    def on_resize(self) -> None:
        self._resized()


class SubjectPane:
    """The pane of a preview. Its subject, None without one, is read while the pane is displayed."""

    def __init__(self, screen: HeadwayScreen, source: Callable[[], PreviewSource | None], question: str) -> None:
        """`question`: the name of its query, another one for each preview of a screen."""
        self._screen, self.source, self._question = screen, source, question
        self.pane = PreviewPane(self.paint)
        self.pane.can_focus = self.pane.finds_errors = False
        self.pane.wrapped, self.pane.hang = True, 4
        self.pane.display = False
        self._answer: tuple[PreviewSource, Any] | None = None
        self._key: Hashable = None

    def follow(self) -> None:
        """Reads and shows the subject if it is another one."""
        source = self.source() if self.pane.display else None
        if (source.key if source else None) != self._key:
            self._key, self._answer = source.key if source else None, None
            self.fetch()
            self.paint()

    @property
    def answer(self) -> Any:
        return self._answer[1] if self._answer is not None else None

    def fetch(self) -> None:
        source = self.source() if self.pane.display else None
        if source is None:
            return

        def show(answer: Any) -> None:
            if source.key == self._key:
                self._answer = source, answer
                self.paint()

        self._key = source.key
        self._screen.ask(self._question, source.read, show, lambda _: None, instead=True)

    def paint(self) -> None:
        if self._answer is None:
            self.pane.show_runs([])
            return
        source, answer = self._answer
        height = self.pane.size.height or self._screen.size.height
        width = self.pane.outer_size.width or self._screen.size.width
        self.pane.show_runs(source.lines(answer, self._screen.ctx, width - MARGIN, height))


class PreviewBeside(ScreenPart):
    """The preview beside a list, on a wide screen."""

    def __init__(self, screen: HeadwayScreen, source: Callable[[], PreviewSource | None]) -> None:
        self._screen, self._subject = screen, SubjectPane(screen, source, "preview")

    @property
    def is_shown(self) -> bool:
        return self._subject.pane.display

    @property
    def answer(self) -> Any:
        """The answer about its subject; None before it is read."""
        return self._subject.answer

    def beside(self, *lists: Iterable[Widget]) -> ComposeResult:
        """The widgets of the list, one below the other, and the preview beside them."""
        with PreviewRow(resized=self._resized):
            with CoveredContainer():
                for widgets in lists:
                    yield from widgets
            yield self._subject.pane

    def _resized(self) -> None:
        width = self._screen.size.width
        self._subject.pane.display = width >= PREVIEW_FROM
        self._subject.pane.styles.width = width - list_width(width)
        self._subject.follow()

    def moved(self) -> None:
        self._subject.follow()

    def tick(self) -> None:
        self._subject.follow()
        self._subject.paint()

    def fetch(self) -> None:
        self._subject.fetch()


class LinesAbove(Protocol):
    """A widget with lines for `page` rows, of which it fills `row_count`."""

    @property
    def page(self) -> int: ...

    @property
    def row_count(self) -> int: ...


class PreviewBelow(ScreenPart):
    """The preview in the lines that the rows `above` leave empty, on a screen of `least_width` columns or more; none
    without a subject."""

    def __init__(
        self,
        screen: HeadwayScreen,
        source: Callable[[], PreviewSource | None],
        above: LinesAbove,
        least_width: int = 0,
    ) -> None:
        self._screen, self._subject = screen, SubjectPane(screen, source, "preview below")
        self._above, self._least_width = above, least_width
        self._subject.pane.add_class("-below")

    def widgets(self) -> ComposeResult:
        yield self._subject.pane

    @property
    def height(self) -> int:
        """The lines that it takes; 0 while it is not displayed."""
        return self._subject.pane.outer_size.height if self._subject.pane.display else 0

    def resized(self) -> None:
        self.moved()

    def moved(self) -> None:
        pane = self._subject.pane
        if pane.region.bottom > self._screen.size.height:  # it has become smaller: the rows get their lines first
            pane.display = False
            return
        lines = self._above.page + self.height - (self._above.row_count or EMPTY_LINES)
        is_wide = self._screen.size.width >= self._least_width
        pane.display = is_wide and lines >= LEAST_BELOW and self._subject.source() is not None
        pane.styles.height = lines
        self._subject.follow()

    def tick(self) -> None:
        self.moved()
        self._subject.paint()

    def fetch(self) -> None:
        self._subject.fetch()


MARGIN = 3
"""Columns of a preview that are its border, its scroll bar and a blank."""
LEAST_BELOW = 6
"""Height from which a preview below a list is displayed."""
EMPTY_LINES = 3
"""Lines of a list without rows: its sentence between blank ones."""
LOG_LINES = 12
"""Least height of the log in a preview."""


def log_end(log: str, error: str, room: int, least: int = LOG_LINES) -> SegmentLines:
    """The end of a log under its heading, `least` lines or more, or why there is none."""
    why = f": {error}" if error else ""
    lines = log.rstrip().splitlines()[-max(least, room - 1) :] or [f"log not available{why}"]
    return [[(" LOG", "key")], *([(f" {clean_line(line)}", "plain")] for line in lines)]
