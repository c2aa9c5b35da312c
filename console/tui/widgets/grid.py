"""The virtual table: draws only what is visible, so a million rows cost what twenty do.

A source gives rows by number; one that is not here yet is a dim line, and the source is told which are in view
(`Source.want`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.tui import keys
from console.tui.widgets.paint import Run, fit, fit_middle, palette
from console.tui.widgets.table import Column, Row, Rows, Source, plan

KEPT_LINES = 512
"""Lines that are kept as they were painted."""


def _trimmed(runs: list[Run]) -> list[Run]:
    """Without the gap after the last column."""
    return [*runs[:-1], (runs[-1][0][:-1], runs[-1][1])] if runs else runs


class Grid(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a line of headings, with a cursor that keeps its row's key when rows move."""

    DEFAULT_CSS = "Grid { height: 1fr; overflow-y: scroll; scrollbar-size: 0 1; scrollbar-background: $background; }"
    BINDINGS = keys.bindings("grid")

    class Picked(Message):
        """Enter, or a double click, on a row."""

        def __init__(self, grid: Grid, key: Hashable) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    class Resized(Message):
        """It has another width: rows that were made for one must be made anew."""

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, grid: Grid, key: Hashable) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    def __init__(self, columns: Sequence[Column] = (), empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.empty = empty
        self.source: Source = Rows()
        self.cursor = 0
        self.touched = False
        """Somebody has moved the cursor: from then on it stays on its row; before, it stays on the first."""
        self._plan: tuple[int, list[tuple[int, int]]] = (-1, [])
        self._painted: dict[tuple[Hashable, bool], tuple[Row, Strip]] = {}
        """Lines by their row's key, lit or not, with the rows they show: scrolling by one row paints one anew, and a
        row that says what it said is not sent again."""
        self._head = int(any(column.title for column in self.columns))

    # what is shown

    def show(self, source: Source, keep: bool = True) -> None:
        """Shows another source; the cursor stays on its row's key, else on its place, else at the first that can be
        picked."""
        key, before = self.key if keep else None, (len(self.source), self.cursor, self.scroll_offset)
        self.source = source
        found = source.index_of(key, self.cursor) if key is not None else None
        place = found if found is not None else (min(self.cursor, len(source) - 1) if keep else 0)
        self.cursor = self._pickable(max(0, place), 1)
        self.virtual_size = Size(self.room, len(source) + self._head)
        if not self._follow() and len(source) and before == (len(source), self.cursor, self.scroll_offset):
            self.row_changed(*self.visible_rows)
        else:
            self._painted.clear()
            self.refresh()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Other columns for the same rows."""
        if tuple(columns) != self.columns:
            self.columns, self._plan = tuple(columns), (-1, [])
            self._painted.clear()
            self.refresh()

    def row_changed(self, first: int, last: int) -> None:
        """Repaints rows `first`..`last` as far as they are visible and say something else."""
        top, bottom = self.visible_rows
        painted, self._painted = self._painted, {}
        for index in range(top, bottom + 1):
            place = (self.source.key_at(index), index == self.cursor)
            shown, row = painted.get(place), self.source.row(index)
            if shown is not None and (not first <= index <= last or shown[0] == row):
                self._painted[place] = shown
            elif first <= index <= last:
                self.refresh_line(index + self._head)

    @property
    def key(self) -> Hashable | None:
        """Of the row under the cursor; None without rows."""
        return self.source.key_at(self.cursor) if self.cursor < len(self.source) else None

    @property
    def visible_rows(self) -> tuple[int, int]:
        """First and last row number in view."""
        top = self.scroll_offset.y
        return top, min(len(self.source), top + max(1, self.size.height - self._head)) - 1

    @property
    def room(self) -> int:
        """Cells of a line, less the scrollbar."""
        return int(self.scrollable_content_region.width)

    @property
    def page(self) -> int:
        return max(1, self.size.height - self._head)

    def on_mount(self) -> None:
        self.virtual_size = Size(self.room, len(self.source) + self._head)

    def notify_style_update(self) -> None:
        self._painted.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        self._painted.clear()
        self.virtual_size = Size(self.room, len(self.source) + self._head)
        self._follow()
        self.refresh()
        self.post_message(self.Resized())

    def render_line(self, y: int) -> Strip:
        width = self.room
        if y < self._head:
            return palette(self).strip(self._titles(width), width)
        index = self.scroll_offset.y + y - self._head
        if index >= len(self.source):
            blank = not len(self.source) and y == self._head + 1 and bool(self.empty)
            return palette(self).strip([("  " + self.empty, "dim")] if blank else (), width)
        place = (self.source.key_at(index), index == self.cursor)
        found = self._painted.get(place)
        if found is not None:
            return found[1]
        row = self.source.row(index)
        strip = palette(self).strip(self._runs(row, width), width, "cursor" if place[1] and self._lit(row) else "")
        if row is None:
            self.source.want(*self.visible_rows)
        elif len(self._painted) < KEPT_LINES:
            self._painted[place] = (row, strip)
        return strip

    def _lit(self, row: Row | None) -> bool:
        return row is None or row.pick

    def _planned(self, width: int) -> list[tuple[int, int]]:
        if self._plan[0] != width:
            self._plan = (width, plan(self.columns, width))
        return self._plan[1]

    def _titles(self, width: int) -> list[Run]:
        runs: list[Run] = []
        for index, size in self._planned(width):
            column = self.columns[index]
            runs.append((fit(column.title, size, column.right) + " ", "head"))
        return _trimmed(runs)

    def _runs(self, row: Row | None, width: int) -> list[Run]:
        if row is None:
            return [("  …", "dim")]
        if row.free:
            return list(row.cells)
        runs: list[Run] = []
        for index, size in self._planned(width):
            text, style = row.cells[index]
            column = self.columns[index]
            runs.append((fit(fit_middle(text, size) if column.middle else text, size, column.right), style))
            runs.append((" ", style))
        return runs[:-1]

    # the cursor

    def move_to(self, index: int, step: int = 1) -> None:
        """Puts the cursor on row `index`, or on the next in the direction of `step` that can be picked."""
        self.touched = True
        if not len(self.source):
            return
        old = self.cursor
        index = self._pickable(min(max(0, index), len(self.source) - 1), step)
        if index == old:
            return
        self.cursor = index
        if not self._follow():
            self.refresh_line(old + self._head)
            self.refresh_line(index + self._head)
        self.post_message(self.Moved(self, self.key))

    def _pickable(self, index: int, step: int) -> int:
        step = 1 if step >= 0 else -1
        for turn in (step, -step):
            place = index
            while 0 <= place < len(self.source):
                row = self.source.row(place)
                if row is None or row.pick:
                    return place
                place += turn
        return index

    def _follow(self) -> bool:
        """Scrolls so that the cursor is in view; True when it did, which repaints everything."""
        top, page = self.scroll_offset.y, self.page
        target = top
        if self.cursor < top:
            target = self.cursor
        elif self.cursor >= top + page:
            target = self.cursor - page + 1
        if target == top or self.size.height == 0:
            return False
        if target == 1 and self.source.row(0) is not None and not self._lit(self.source.row(0)):
            target = 0
        self.scroll_to(y=target, animate=False)
        return True

    def action_move(self, way: str) -> None:
        """up, down, page_up, page_down, top, bottom."""
        last = len(self.source) - 1
        targets = {
            "up": (self.cursor - 1, -1),
            "down": (self.cursor + 1, 1),
            "page_up": (self.cursor - self.page, -1),
            "page_down": (self.cursor + self.page, 1),
            "top": (0, 1),
            "bottom": (last, -1),
        }
        index, step = targets[way]
        before = self.cursor
        self.move_to(index, step)
        if way in ("up", "top") and self.cursor in (before, index) and self.scroll_offset.y and not self._above():
            self.scroll_to(y=0, animate=False)
        if way in ("down", "page_down", "bottom") and self.cursor == before:
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def _above(self) -> bool:
        """True when a row above the cursor can be picked."""
        if isinstance(self.source, Rows):
            return any(row.pick for index in range(self.cursor) if (row := self.source.row(index)))
        return self.cursor > 0

    def action_pick(self) -> None:
        if self.key is not None:
            self.post_message(self.Picked(self, self.key))

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - self._head
        if event.y < self._head or index >= len(self.source):
            return
        row = self.source.row(index)
        if row is not None and row.pick:
            self.move_to(index)
            if event.chain == 2:
                self.action_pick()
