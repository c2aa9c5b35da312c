"""Parts of a screen about one subject: its text, and a search in it."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.widget import Widget

from console.tui.frame.cells import LABEL_WIDTH, SegmentLines
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.screen import HeadwayScreen, ScreenPart
from console.tui.widgets.pane import Pane


class DetailText(ScreenPart):
    """One text to read; `lines` returns it, empty before it is loaded."""

    def __init__(self, lines: Callable[[], SegmentLines]) -> None:
        self._lines = lines
        self.pane = Pane(id="detail")
        self.pane.wrapped, self.pane.hang, self.pane.finds_errors = True, LABEL_WIDTH + 1, False

    def widgets(self) -> ComposeResult:
        yield self.pane

    def resumed(self) -> None:
        self.pane.focus()

    def tick(self) -> None:
        self.pane.show_runs([[(" ", "plain"), *line] for line in self._lines()])


class SelectionPane(Pane):
    """The details of the row under the cursor: below its list, on a wide screen (`PREVIEW_BREAKPOINTS`) beside it."""

    DEFAULT_CSS = """
    SelectionPane { height: 2fr; border-top: solid $foreground 25%; }
    .-beside SelectionPane { dock: right; width: 37.5%; height: 1fr; border-top: none; }
    .-beside SelectionPane { border-left: solid $foreground 25%; }
    """

    SCOPED_CSS = False  # the screen has the class

    def __init__(self) -> None:
        super().__init__(id="detail")
        self.wrapped, self.hang, self.finds_errors = True, LABEL_WIDTH, False


class SearchLine(ScreenPart):
    """A text to search for. `seek` goes to the next (1) or previous (-1) match; `cleared` is called when the search
    ends."""

    def __init__(
        self,
        screen: HeadwayScreen,
        focus: Widget,
        placeholder: str,
        seek: Callable[[int], None],
        cleared: Callable[[], None],
    ) -> None:
        self._screen, self._focus, self._placeholder = screen, focus, placeholder
        self._seek, self._cleared = seek, cleared
        self.text = ""

    def commands(self) -> list[ScreenCommand]:
        def no_search() -> str:
            return "" if self.text else f"no search yet: {self._screen.key_for('search')} starts one"

        return [
            ScreenCommand("search", lambda: self._screen.open_line(self.text, self._placeholder)),
            ScreenCommand("match_next", lambda: self._seek(1), no_search),
            ScreenCommand("match_previous", lambda: self._seek(-1), no_search),
        ]

    def entered(self, text: str) -> None:
        self.text = text
        self._leave()
        if text:
            self._seek(1)

    def _leave(self) -> None:
        self._screen.close_line()
        self._focus.focus()

    def close(self) -> bool:
        typing = self._screen.is_typing
        if typing:
            self._leave()
        if not self.text:
            return typing
        self.text = ""
        self._cleared()
        return True
