"""A screen that is one table with a filter: Services, Incidents, Systems; Jobs adds the virtual source."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.app import ComposeResult

from console.model.matching import is_wanted
from console.personal.views import SavedView
from console.tui.screens.base import BaseScreen
from console.tui.trail import Place
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, Made, Row

if TYPE_CHECKING:
    from textual.widgets import Input


class ListScreen(BaseScreen):
    """A grid, the text of its filter, and the line where one types it."""

    COLUMNS: tuple[Column, ...] = ()
    EMPTY = ""

    def __init__(self, filter_text: str = "") -> None:
        super().__init__()
        self.filter_text = filter_text
        self.came_with = ""
        """The filter with which another screen opened this one: without it, it is no part of that one."""
        self.only_problems = False
        self.grid = Grid(self.COLUMNS, self.EMPTY, id="grid")

    def body(self) -> ComposeResult:
        yield self.grid

    def on_mount(self) -> None:
        self.grid.focus()
        self.hold_back()  # rows that are here already are painted once there is room for them

    @on(Grid.Resized)
    def roomy(self) -> None:
        """The grid has got its room."""
        self.holds_back = False

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if not self.is_typing:
            self.grid.focus()

    # the filter

    def do_filter(self) -> None:
        self.open_line(self.filter_text, "filter")

    def close_something(self) -> bool:
        """Escape clears the filter at once, also while one types it, and the cursor stays on its row; not the one with
        which another screen opened this one: it leads back there."""
        typing, row = self.is_typing, self.row_left
        if typing:
            self.leave_filter()
        if not self.filter_text or self.filter_text == self.came_with:
            return typing
        self.set_filter("")
        self.stay_on(row)
        return True

    def stay_on(self, row: Hashable) -> None:
        """The cursor keeps its row when the filter is gone."""
        self.stand_on(row)

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

    # saved views

    def view_here(self, name: str) -> SavedView:
        """What is shown now, under that name."""
        return SavedView(name, self.WHERE, self.filter_text, problems=self.only_problems, mine=True)

    @property
    def left_at(self) -> Place:
        return "table", (self.WHERE, self.filter_text, "", False, self.only_problems)

    def take_table(self, *shown: Any) -> None:
        _, self.filter_text, _, _, self.only_problems = shown
        self.call_after_refresh(self.refilter)

    def do_views(self) -> None:
        from console.tui.screens.views import views

        views(self)

    def do_problems(self) -> None:
        self.only_problems = not self.only_problems
        self.refilter()
        self.paint_frame()

    @property
    def no_row(self) -> str:
        """Why a key finds no row to act on: what stands in the place of the rows, where there are none."""
        told = "" if len(self.grid.source) else self.grid.empty.partition("\n")[0].strip()
        return told or "nothing is selected"

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
        self._by_key: dict[Hashable, Any] = {}
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
        known = frozenset(map(self.key_of, self.views if self.loaded else views))
        self.views, self.loaded = tuple(views), True
        self._by_key = {self.key_of(view): view for view in self.views}
        self.refilter()
        if fresh := frozenset(map(self.key_of, views)) - known:
            self.grid.light(fresh)
        self.paint_frame()

    def refilter(self) -> None:
        self.grid.empty = self.empty_words()
        views = self.shown()
        made = Made([self.key_of(view) for view in views], lambda index: self.row_of(views[index]))
        self.grid.show(made, keep=self.grid.touched)

    def empty_words(self) -> str:
        if not self.loaded:
            return self.waiting
        if self.filter_text:
            return f'nothing matches "{self.filter_text}"; {self.key_for("back")} clears the filter'
        return f"no problem here; {self.key_for('problems')} shows everything" if self.only_problems else self.EMPTY

    def shown(self) -> Sequence[Any]:
        """The views that filter and `!` leave."""
        if not self.only_problems and not self.filter_text:
            return self.views
        return [
            view
            for view in self.views
            if (not self.only_problems or self.is_problem(view)) and is_wanted(self.text_of(view), self.filter_text)
        ]

    @property
    def here(self) -> Any:
        """The view under the cursor; None without one."""
        return self._by_key.get(self.grid.key)

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
        return "" if self.here is not None else self.no_row
