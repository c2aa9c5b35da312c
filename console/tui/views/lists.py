"""Lists as parts of a screen: a grid with a filter, read whole (`ViewList`) or page by page (`PagedList`)."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from operator import attrgetter
from typing import Any

from textual.app import ComposeResult

from console.config import key_table
from console.config.saved_views import SavedView
from console.domain.filter import JobFilter, matches_terms, parse_typed
from console.store.queries.reader import Queries
from console.tui.frame.history import ViewAddress
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_SELECTED, READING_TEXT, HeadwayScreen, ScreenPart
from console.tui.views.commands import RowMarks
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, LazyRows, PagedRows, TableRow, list_share, shift_right

WIDE_FROM = 160
"""Width of a list from which there is room for all columns."""
FIXED_COLUMNS = 3
SORT_KEYS = {"job": "name", "started": "age", "deadline": "deadline", "slack": "slack"}
"""Heading of a column -> sort key of a click on it."""


class FilteredList(ScreenPart):
    """A grid, the text of its filter, and the line to type it."""

    def __init__(self, screen: HeadwayScreen, columns: Sequence[Column]) -> None:
        self.screen = screen
        self.filter_text = ""
        self.came_with = ""
        self.only_problems = False
        self.grid = Grid(columns, id="grid")

    def widgets(self) -> ComposeResult:
        yield self.grid

    def commands(self) -> list[ScreenCommand]:
        return [
            ScreenCommand("filter", lambda: self.screen.open_line(self.filter_text, "filter")),
            ScreenCommand("views", self.list_saved_views),
            ScreenCommand("problems", self.toggle_problems),
        ]

    def resumed(self) -> None:
        if not self.screen.is_typing:
            self.grid.focus()

    # the filter

    def close(self) -> bool:
        """Clears the filter, also while it is typed, then "only problems"; the cursor stays on its row."""
        typing, row = self.screen.is_typing, self.grid.key
        if typing:
            self.entered("")
        if self.filter_text and self.filter_text != self.came_with:
            self.set_filter("")
        elif self.only_problems and not typing:
            self.toggle_problems()
        else:
            return typing
        self.stay_on(row)
        return True

    def stay_on(self, row: Hashable) -> None:
        self.screen.restore_cursor(row)

    def typed(self, text: str) -> None:
        if text != self.filter_text:
            self.set_filter(text)

    def entered(self, text: str) -> None:
        self.screen.close_line()
        self.grid.focus()

    def set_filter(self, text: str) -> None:
        self.filter_text = text
        self.refilter()
        self.screen.paint_frame()

    def toggle_problems(self) -> None:
        self.only_problems = not self.only_problems
        self.refilter()
        self.screen.paint_frame()

    def refilter(self) -> None: ...

    def no_match(self) -> str:
        if self.filter_text:
            return f'nothing matches "{self.filter_text}"; {self.screen.key_for("back")} clears the filter'
        return f"no problem here; {self.screen.key_for('problems')} shows everything" if self.only_problems else ""

    @property
    def no_row(self) -> str:
        text = "" if len(self.grid.source) else self.grid.empty.partition("\n")[0].strip()
        return text or NOT_SELECTED

    # saved views

    def view_here(self, name: str) -> SavedView:
        return SavedView(name, self.screen.WHERE, self.filter_text, problems=self.only_problems, mine=True)

    def list_saved_views(self) -> None:
        from console.tui.dialogs.palette import list_saved_views

        list_saved_views(self.screen, self.view_here)

    def title_marks(self) -> list[Segment]:
        runs: list[Segment] = []
        if self.only_problems:
            runs.append((" ! only problems ", "mark"))
        if self.filter_text:
            runs += [(" ", "plain"), (f" / {self.filter_text} ", "mark")]
        return [*runs, (" ", "plain")] if runs else []


class ViewList(FilteredList):
    """A list that is read as a whole: each view is one row.

    `row` makes the row of a view, `text` the text that filter words are searched in, `key` the row's key. `empty` is
    shown without any view; `painted` is called after the rows were made again.
    """

    def __init__(
        self,
        screen: HeadwayScreen,
        columns: Sequence[Column],
        empty: Callable[[], str],
        row: Callable[[Any], TableRow],
        text: Callable[[Any], str],
        key: Callable[[Any], Hashable] = attrgetter("id"),
        is_problem: Callable[[Any], bool] = bool,
        painted: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(screen, columns)
        self.empty, self.row, self.text, self.key, self.is_problem = empty, row, text, key, is_problem
        self.painted = painted
        self.views: tuple[Any, ...] = ()
        self.loaded = False
        self._by_key: dict[Hashable, Any] = {}

    @property
    def is_loading(self) -> bool:
        return not self.loaded

    @property
    def is_empty(self) -> bool:
        """True if it was read and has no views."""
        return self.loaded and not self.views

    def show_views(self, views: Sequence[Any]) -> None:
        known = frozenset(map(self.key, self.views if self.loaded else views))
        self.views, self.loaded = tuple(views), True
        self._by_key = {self.key(view): view for view in self.views}
        self.refilter()
        if fresh := frozenset(self._by_key) - known:
            self.grid.light(fresh)
        self.screen.paint_frame()

    def refilter(self) -> None:
        self.grid.empty = (self.no_match() or self.empty()) if self.loaded else self.screen.waiting
        views = self.filtered()
        source = LazyRows([self.key(view) for view in views], lambda index: self.row(views[index]))
        self.grid.show(source, keep=self.grid.touched)
        self.painted()

    def tick(self) -> None:
        self.refilter()

    def filtered(self) -> Sequence[Any]:
        if not self.only_problems and not self.filter_text:
            return self.views
        return [view for view in self.views if self.matches(view)]

    def matches(self, view: Any) -> bool:
        is_listed = not self.only_problems or self.is_problem(view)
        return bool(is_listed and matches_terms(self.text(view), self.filter_text))

    @property
    def selected(self) -> Any:
        return self._by_key.get(self.grid.key)

    def why_not_open(self) -> str:
        return "" if self.selected is not None else self.no_row


@dataclass(frozen=True, slots=True)
class PagedQueries:
    first_page: Callable[[Queries, JobFilter, str], Sequence[Any]]
    all_ids: Callable[[Queries, JobFilter, str], array[int]]
    rows: Callable[[Queries, list[int]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class PagedColumns:
    """The columns of a paged list; `wide` shows names whole, `roomy` is for a screen with room for all."""

    usual: tuple[Column, ...]
    wide: tuple[Column, ...]
    roomy: tuple[Column, ...]


class PagedList(FilteredList):
    """A table of everything, with the user's sort and columns. Its order is a vector of ids; rows are fetched as they
    come into view. `choice` returns the run of a row."""

    def __init__(
        self,
        screen: HeadwayScreen,
        columns: PagedColumns,
        queries: PagedQueries,
        row: Callable[[Any], TableRow],
        choice: Callable[[Any], RunChoice | None],
        empty: str,
        default_sort: str,
        sort_seconds: float = 5.0,
    ) -> None:
        super().__init__(screen, columns.usual)
        self._columns, self._queries, self._choice, self._empty = columns, queries, choice, empty
        self._default_sort, self._sort_seconds = default_sort, sort_seconds
        self.sort, self.wide, self.shift = default_sort, False, 0
        self.source: PagedRows[Any] = PagedRows(row, self._fetch_rows)
        self.fault = ""
        """Why the filter is invalid; the previous one stays in force."""
        self.whole = False
        self.order_changed = False
        self._sorted_at, self._newest = 0.0, 0
        self._asked: tuple[JobFilter, str] | None = None
        self._shown: tuple[JobFilter, str] | None = None
        self._stay: Hashable | None = None
        """The row that the cursor goes to in the next answer."""
        self.columns_shown: Callable[[], None] = lambda: None
        """Called when other columns may have come into view."""

    def commands(self) -> list[ScreenCommand]:
        marks = RowMarks(self.screen, self.grid, self._choices)
        return [
            *super().commands(),
            *marks.commands(),
            *(ScreenCommand(f"sort_{order}", partial(self.sort_by, order)) for order in SORT_KEYS.values()),
            ScreenCommand("wide", self.toggle_wide),
            ScreenCommand("columns_on", lambda: self._shift_to(min(self.shift + 1, self._last_shift))),
            ScreenCommand("columns_back", lambda: self._shift_to(max(0, self.shift - 1))),
        ]

    def columns(self) -> Sequence[Column]:
        columns = self._columns
        return self.shifted(columns.wide if self.wide else columns.roomy if self.has_room else columns.usual)

    def shifted(self, columns: Sequence[Column]) -> Sequence[Column]:
        return shift_right(columns, FIXED_COLUMNS, self.shift)

    @property
    def has_room(self) -> bool:
        return self.screen.is_attached and list_share(self.screen.size.width) >= WIDE_FROM

    def resized(self) -> None:
        super().resized()
        self.show_columns()

    def sort_by(self, order: str) -> None:
        self.sort = f"-{order}" if self.sort == order else order
        self.show_columns()
        self.refilter()
        self.screen.paint_frame()

    def show_columns(self) -> None:
        self.grid.set_columns(self.columns())
        self.columns_shown()

    def headed(self, title: str) -> None:
        command = f"sort_{SORT_KEYS.get(title, '')}"
        if any(action.name == command for action in key_table.key_actions(self.screen.WHERE)):
            self.screen.run_command(command)
        else:
            self.screen.notice(f"not sorted by {title}", "warn")

    def toggle_wide(self) -> None:
        self.wide = not self.wide
        self._shift_to(0)
        self.screen.notice("wide: names whole, all columns; → brings those that have no room" if self.wide else "")

    @property
    def _last_shift(self) -> int:
        return len(self._columns.usual) - FIXED_COLUMNS - 1

    def _shift_to(self, columns: int) -> None:
        self.shift = columns
        self.show_columns()

    @property
    def filter(self) -> JobFilter:
        return self._asked[0] if self._asked is not None else JobFilter()

    @property
    def address(self) -> ViewAddress:
        return "table", (self.screen.WHERE, self.filter_text, self.sort, self.wide, self.only_problems)

    def view_here(self, name: str) -> SavedView:
        sort = self.sort if self.sort != self._default_sort else ""
        return super().view_here(name)._replace(sort=sort, columns="wide" if self.wide else "normal")

    # reading

    def mounted(self) -> None:
        super().mounted()
        self.show_columns()
        self.grid.empty = READING_TEXT
        self.grid.show(self.source)

    def fetch(self) -> None:
        if self._asked is None:
            self.refilter()
            return
        self.source.again(*self.grid.visible_rows)
        self.order_changed = True
        self._sort_when_due()
        self.screen.paint_frame()

    def _sort_when_due(self) -> None:
        if self.order_changed and self.grid.cursor == 0 and time.monotonic() - self._sorted_at > self._sort_seconds:
            self.sort_again()

    def refilter(self) -> None:
        """Queries the filtered rows. While its last word is invalid, because it is still being typed, the words before
        it are in force; an error before that changes nothing."""
        board = self.screen.board
        now = board.now()
        zone = board.clock.local(now).tzinfo or UTC
        typed, self.fault = parse_typed(self.filter_text, now, zone, self.only_problems)
        self._query((typed or self.filter, self.sort))
        if self.whole:
            self.grid.say_empty(self.no_match() or self._empty)
        board.trail.changed(self.address)

    def _query(self, query: tuple[JobFilter, str]) -> None:
        if query == self._asked:
            return
        self._asked, self.whole = query, False

        def failed(error: Exception) -> None:
            self._asked = None  # queried again once the store can be read
            self.screen.board.store_failed(error)

        self.screen.ask(
            f"{self.screen.WHERE} page",
            lambda reads: self._queries.first_page(reads, *query),
            lambda views: self._show_first_page(query, views),
            failed,
            first=True,
            instead=True,
        )
        self.sort_again(instead=True)

    def sort_again(self, instead: bool = False) -> None:
        query, self._sorted_at = self._asked, time.monotonic()
        if query is not None:
            self.screen.ask(
                f"{self.screen.WHERE} ids",
                lambda reads: (ids := self._queries.all_ids(reads, *query), max(ids, default=0)),
                lambda answer: self._show_ids(query, *answer),
                instead=instead,
            )

    def _show_first_page(self, query: tuple[JobFilter, str], views: Sequence[Any]) -> None:
        if query != self._asked:
            return
        self.source.arrived(views)
        if not self.whole:
            self._show(array("q", [view.id for view in views]), keep=False)
        row, self._stay = self._stay, None
        if row is not None:
            self.grid.restore_cursor(row)

    def stay_on(self, row: Hashable) -> None:
        self._stay = row

    def _show_ids(self, query: tuple[JobFilter, str], ids: array[int], newest: int) -> None:
        if query != self._asked:
            return
        is_first, previous = not self.whole, self._newest
        self.whole, self.order_changed, self._newest = True, False, newest
        self._show(ids, keep=is_first or self.grid.cursor > 0)
        if not is_first:
            self.grid.light(frozenset(row for row in ids[slice(*self.grid.visible_rows)] if row > previous))

    @property
    def is_loading(self) -> bool:
        """True while the rows of this filter and order are not here; those shown are of the one before."""
        return self._shown is None or self._shown != self._asked

    def _show(self, ids: array[int], keep: bool) -> None:
        self._shown = self._asked
        key, self.source.ids = self.grid.key, ids
        self.grid.say_empty(self.no_match() or self._empty)
        self.grid.show(self.source, keep, key)
        self.screen.paint_frame()

    def _fetch_rows(self, ids: list[int]) -> None:
        self.screen.ask(
            f"{self.screen.WHERE} rows", lambda reads: self._queries.rows(reads, ids), self._rows_arrived, first=True
        )

    def _rows_arrived(self, views: Sequence[Any]) -> None:
        changed = self.source.arrived(views)
        first, last = self.grid.visible_rows
        ids = self.source.ids
        for index in range(first, min(last + 1, len(ids))):
            if ids[index] in changed:
                self.grid.row_changed(index, index)

    # showing

    def tick(self) -> None:
        self._sort_when_due()  # the last change may have come too soon after the sort before it
        self.repaint_rows()

    def repaint_rows(self) -> None:
        self.grid.row_changed(*self.grid.visible_rows)

    def title_runs(self, remarks: Sequence[Segment] = ()) -> tuple[Sequence[Segment], Sequence[Segment]]:
        count = len(self.source)
        position = f"  row {self.grid.cursor + 1:,} of {count:,}{'' if self.whole else '…'}" if count else " 0"
        name: Segment = (f" {self.screen.WHERE.upper()}", "key")
        title = [name, (position, "strong"), *self.screen.marks_runs(), *remarks]
        if self.order_changed and self.grid.cursor:
            title.append(("   order changed, Home sorts", "dim"))
        sort: list[Segment] = [(f" sort:{self.sort} ", "dim")] if self.sort != self._default_sort else []
        return title, [*sort, *self.title_marks()]

    def moved(self) -> None:
        self.source.near_edge(*self.grid.visible_rows)
        if self.grid.cursor == 0 and self.order_changed:
            self.sort_again()
        self.screen.paint_top()

    def close(self) -> bool:
        return (self.screen.is_typing and super().close()) or self.screen.clear_marks() or super().close()

    def _choices(self, keys: Sequence[Hashable], then: Callable[[Mapping[Hashable, RunChoice]], None]) -> None:
        ids = [key for key in keys if isinstance(key, int)]

        def found(views: Sequence[Any]) -> None:
            then({view.id: choice for view in views if (choice := self._choice(view)) is not None})

        self.screen.ask("marks", lambda reads: self._queries.rows(reads, ids), found, first=True)

    @property
    def selected(self) -> Any:
        """None also while the rows are those of another filter."""
        return None if self.is_loading else self.source.view(self.grid.key)

    def why_not_open(self) -> str:
        if self.selected is not None:
            return ""
        if self.is_loading:
            return READING_TEXT
        return self.no_row if self.grid.key is None else "this row is not read yet"
