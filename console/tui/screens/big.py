"""A table of everything: its order is a vector of ids, its rows are fetched as they come into view, its filter, sort
and columns are a person's. What asks the store is said by the screens that are built on it; nothing here waits."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC
from typing import Any, ClassVar

from textual import on

from console.model.filters import JobFilter, parse_typed
from console.personal.views import SavedView
from console.tui.ports import ReadsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.columns import ColumnsScreen
from console.tui.trail import Place
from console.tui.widgets.grid import Grid
from console.tui.widgets.pages import IdRows
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row


class BigTable(ColumnsScreen):
    SORT_AGAIN_SECONDS: ClassVar[float] = 5.0

    def __init__(self, filter_text: str = "", sort: str = "", wide: bool = False) -> None:
        super().__init__(filter_text)
        self.source: IdRows[Any] = IdRows(self.row_of, self._ask)
        self.sort, self.wide = sort or self.SORT, wide
        self.fault = ""
        """Why the filter cannot be read; what it said before is shown meanwhile."""
        self.whole = False
        self.order_changed = False
        self._sorted_at, self._newest = 0.0, 0
        self._asked: tuple[JobFilter, str] | None = None
        self._stay: Hashable | None = None
        """The row that the cursor goes to in what was asked for last."""
        self.grid.set_columns(self.columns())

    # said by each screen

    def row_of(self, view: Any) -> Row:
        raise NotImplementedError

    def first_page(self, reads: ReadsLike, wanted: JobFilter, sort: str) -> Sequence[Any]:
        raise NotImplementedError

    def all_ids(self, reads: ReadsLike, wanted: JobFilter, sort: str) -> array[int]:
        raise NotImplementedError

    def rows_of(self, reads: ReadsLike, ids: list[int]) -> Sequence[Any]:
        raise NotImplementedError

    def choice_of(self, view: Any) -> RunChoice | None:
        """The run that a row stands for; None for none."""
        raise NotImplementedError

    @property
    def wanted(self) -> JobFilter:
        """The filter in force."""
        return self._asked[0] if self._asked is not None else JobFilter()

    @property
    def place(self) -> Place:
        return "table", (self.WHERE, self.filter_text, self.sort, self.wide, self.only_problems)

    left_at = place

    def view_here(self, name: str) -> SavedView:
        columns = "wide" if self.wide else "normal"
        sort = self.sort if self.sort != self.SORT else ""
        return super().view_here(name)._replace(sort=sort, columns=columns)

    # reading

    def on_mount(self) -> None:
        super().on_mount()
        self.grid.empty = "reading…"
        self.grid.show(self.source)

    def fetch(self) -> None:
        """First the first page, at once; later only what is in view, and the order when nobody is in the table."""
        if self._asked is None:
            self.refilter()
            return
        self.source.again(*self.grid.visible_rows)
        self.order_changed = True
        if self.grid.cursor == 0 and time.monotonic() - self._sorted_at > self.SORT_AGAIN_SECONDS:
            self.sort_again()
        self.paint_frame()

    def refilter(self) -> None:
        """Asks for what the filter leaves. While its last word cannot be read, which may be because it is still being
        typed, the words before it are in force; what cannot be read before that leaves everything as it is."""
        now = self.board.now()
        zone = self.board.clock.local(now).tzinfo or UTC
        wanted, self.fault = parse_typed(self.filter_text, now, zone, self.only_problems)
        self._ask_for((wanted or self.wanted, self.sort))
        if self.whole:
            self.grid.say_empty(self._nothing_here())
        self.board.trail.changed(self.place)

    def _ask_for(self, asked: tuple[JobFilter, str]) -> None:
        if asked == self._asked:
            return
        self._asked, self.whole = asked, False
        self.board.ask_for(
            self,
            f"{self.WHERE} page",
            lambda reads: self.first_page(reads, *asked),
            lambda views: self._first_page(asked, views),
            first=True,
            instead=True,
        )
        self.sort_again(instead=True)

    def sort_again(self, instead: bool = False) -> None:
        """Asks for the order of everything; the old one stays until it comes."""
        asked, self._sorted_at = self._asked, time.monotonic()
        if asked is not None:
            self.board.ask_for(
                self,
                f"{self.WHERE} ids",
                lambda reads: (ids := self.all_ids(reads, *asked), max(ids, default=0)),
                lambda found: self._ids(asked, *found),
                instead=instead,
            )

    def _first_page(self, asked: tuple[JobFilter, str], views: Sequence[Any]) -> None:
        if asked != self._asked:
            return
        self.source.arrived(views)
        if not self.whole:
            self._show(array("q", [view.id for view in views]), keep=False)
        stay, self._stay = self._stay, None
        if stay is not None:
            self.grid.stand_on(stay)

    def stay_on(self, row: Hashable) -> None:
        self._stay = row

    def _ids(self, asked: tuple[JobFilter, str], ids: array[int], newest: int) -> None:
        if asked != self._asked:
            return
        first, before = not self.whole, self._newest
        self.whole, self.order_changed, self._newest = True, False, newest
        self._show(ids, keep=first or self.grid.cursor > 0)
        if not first:
            self.grid.light(frozenset(each for each in ids[slice(*self.grid.visible_rows)] if each > before))

    def _show(self, ids: array[int], keep: bool) -> None:
        key, self.source.ids = self.grid.key, ids
        self.grid.say_empty(self._nothing_here())
        self.grid.show(self.source, keep, key)
        self.paint_frame()

    def _nothing_here(self) -> str:
        if self.filter_text:
            return f'nothing matches "{self.filter_text}"; {self.key_for("back")} clears the filter'
        return f"no problem here; {self.key_for('problems')} shows everything" if self.only_problems else self.EMPTY

    def _ask(self, ids: list[int]) -> None:
        self.board.ask_for(
            self,
            f"{self.WHERE} rows",
            lambda reads: self.rows_of(reads, ids),
            self._arrived,
            self.board.store_failed,
            first=True,
        )

    def _arrived(self, views: Sequence[Any]) -> None:
        changed = self.source.arrived(views)
        first, last = self.grid.visible_rows
        ids = self.source.ids
        for index in range(first, min(last + 1, len(ids))):
            if ids[index] in changed:
                self.grid.row_changed(index, index)

    # showing

    def tick(self) -> None:
        super().tick()
        self.grid.row_changed(*self.grid.visible_rows)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        count = len(self.source)
        place = f"  row {self.grid.cursor + 1:,} of {count:,}{'' if self.whole else '…'}" if count else " 0"
        left: list[Run] = [(f" {self.WHERE.upper()}", "key"), (place, "strong"), *self.marks_runs(), *self.remarks()]
        if self.order_changed and self.grid.cursor:
            left.append(("   order changed, Home sorts", "dim"))
        return left, self.marks()

    def remarks(self) -> list[Run]:
        """What else the title says."""
        return []

    def marks(self) -> list[tuple[str, str]]:
        sort = [(f" sort:{self.sort} ", "dim")] if self.sort != self.SORT else []
        return [*sort, *super().marks()]

    def paint_foot(self) -> None:
        if self.fault and self.is_whole:
            self.bar("foot").show([(f" {self.fault}", "warn")])
        else:
            super().paint_foot()

    @on(Grid.Moved)
    def moved(self) -> None:
        self.source.near_edge(*self.grid.visible_rows)
        if self.grid.cursor == 0 and self.order_changed:
            self.sort_again()
        self.paint_top()
        self.paint_foot()

    # marks

    def choices(self, keys: Sequence[Hashable], then: Callable[[Mapping[Hashable, RunChoice]], None]) -> None:
        """The runs of rows of which not all need to be here."""
        ids = [key for key in keys if isinstance(key, int)]

        def found(views: Sequence[Any]) -> None:
            then({view.id: choice for view in views if (choice := self.choice_of(view)) is not None})

        self.board.ask_for(self, "marks", lambda reads: self.rows_of(reads, ids), found, first=True)

    def close_something(self) -> bool:
        return (self.is_typing and super().close_something()) or self.clear_marks() or super().close_something()

    # acts

    @property
    def here(self) -> Any:
        """The view under the cursor; None where it is not here yet."""
        return self.source.view(self.grid.key)

    def record_here(self) -> Any:
        return self.here

    def why_not_open(self) -> str:
        if self.here is not None:
            return ""
        return self.no_row if self.grid.key is None else "this row is not read yet"
