"""A screen that is one table with a filter: Services, Incidents, Systems; Jobs adds the virtual source."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.app import ComposeResult

from console.tui.screens.base import BaseScreen
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, Row, Rows

if TYPE_CHECKING:
    from textual.widgets import Input


class ListScreen(BaseScreen):
    """A grid, the text of its filter, and the line where one types it."""

    COLUMNS: tuple[Column, ...] = ()
    EMPTY = ""

    def __init__(self, filter_text: str = "") -> None:
        super().__init__()
        self.filter_text = filter_text
        self.only_problems = False
        self.grid = Grid(self.COLUMNS, self.EMPTY, id="grid")

    def body(self) -> ComposeResult:
        yield self.grid

    def on_mount(self) -> None:
        self.grid.focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if not self.is_typing:
            self.grid.focus()

    # the filter

    def do_filter(self) -> None:
        self.open_line(self.filter_text, "filter")

    def close_something(self) -> bool:
        if self.is_typing:
            self.leave_filter()
            return True
        if self.filter_text:
            self.set_filter("")
            return True
        return False

    def leave_filter(self) -> None:
        """Closes the line; what it says stays in force."""
        self.close_line()
        self.grid.focus()

    def set_filter(self, text: str) -> None:
        self.filter_text = text
        self.refilter()
        self.paint_frame()

    def refilter(self) -> None:
        """Shows what the filter leaves."""

    def on_input_changed(self, event: Input.Changed) -> None:
        if self.is_typing and event.value != self.filter_text:
            self.set_filter(event.value)

    def on_input_submitted(self) -> None:
        self.leave_filter()

    def on_key(self, event: events.Key) -> None:
        """While one types the filter, up and down already move in the table."""
        if event.key in ("up", "down") and self.is_typing and self.focused is not self.grid:
            event.stop()
            self.grid.action_move(event.key)

    def do_problems(self) -> None:
        self.only_problems = not self.only_problems
        self.refilter()
        self.paint_frame()

    def marks(self) -> list[tuple[str, str]]:
        """What holds rows back, for the right of the title line."""
        runs: list[tuple[str, str]] = []
        if self.only_problems:
            runs.append((" ! only problems ", "mark"))
        if self.filter_text:
            runs += [(" ", "plain"), (f" / {self.filter_text} ", "mark")]
        return [*runs, (" ", "plain")] if runs else []


class ShortListScreen(ListScreen):
    """A list that is read whole: a page of views, each one row."""

    def __init__(self, filter_text: str = "") -> None:
        super().__init__(filter_text)
        self.views: tuple[Any, ...] = ()
        self.loaded = False

    def row_of(self, view: Any) -> Row:
        raise NotImplementedError

    def is_problem(self, view: Any) -> bool:
        return True

    def text_of(self, view: Any) -> str:
        """What the filter's words are looked for in."""
        raise NotImplementedError

    def key_of(self, view: Any) -> Hashable:
        key: Hashable = view.id
        return key

    def show_views(self, views: Sequence[Any]) -> None:
        self.views, self.loaded = tuple(views), True
        self.refilter()
        self.paint_frame()

    def refilter(self) -> None:
        self.grid.empty = self.empty_words()
        self.grid.show(Rows([self.row_of(view) for view in self.shown()]), keep=self.grid.touched)

    def empty_words(self) -> str:
        if not self.loaded:
            return "reading…"
        if self.filter_text:
            return f'nothing matches "{self.filter_text}"; Esc clears the filter'
        return "no problem here; ! shows everything" if self.only_problems else self.EMPTY

    def shown(self) -> list[Any]:
        """The views that filter and `!` leave."""
        kept = [view for view in self.views if not self.only_problems or self.is_problem(view)]
        for word in self.filter_text.lower().split():
            without = word[0] in "-!" and len(word) > 1
            kept = [view for view in kept if (word.lstrip("-!") in self.text_of(view).lower()) != without]
        return kept

    @property
    def here(self) -> Any:
        """The view under the cursor; None without one."""
        return next((view for view in self.views if self.key_of(view) == self.grid.key), None)

    def tick(self) -> None:
        super().tick()
        self.refilter()

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    @on(Grid.Moved)
    def moved(self) -> None:
        self.paint_foot()

    def record_here(self) -> Any:
        return self.here

    def why_not_open(self) -> str:
        return "" if self.here is not None else "nothing is selected"
