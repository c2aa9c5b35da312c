"""The virtual table widget: draws only visible rows, so a million rows cost what twenty do.

Rows that have just changed are highlighted; a row that is not loaded yet is a dim line, and the source learns which
rows
are visible.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip

from console.config import key_table
from console.tui.widgets.bar import FlatWidget
from console.tui.widgets.paint import Palette, Segment, fit, fit_middle, palette
from console.tui.widgets.table import Column, FixedRows, RowSource, TableRow, column_widths


class TableLines:
    """Lays rows out in columns; the layout of a width is kept."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._plan: tuple[int, list[tuple[int, int]]] = (-1, [])

    def titles(self, width: int) -> list[Segment]:
        """The line of headings."""
        runs: list[Segment] = []
        for index, size in self._planned(width):
            column = self.columns[index]
            runs.append((fit(column.title, size, column.right) + " ", "head"))
        return [*runs[:-1], (runs[-1][0][:-1], runs[-1][1])] if runs else runs

    def title_at(self, x: int, width: int) -> str:
        """The heading over cell `x`; empty between two columns and beyond the last."""
        for index, size in self._planned(width):
            if x <= size:
                return self.columns[index].title
            x -= size + 1
        return ""

    def row(self, row: TableRow | None, width: int) -> list[Segment]:
        """A row; None is one that is not here yet."""
        if row is None:
            return [("  …", "dim")]
        if row.free:
            return list(row.cells)
        runs: list[Segment] = []
        for index, size in self._planned(width):
            text, style = row.cells[index]
            column = self.columns[index]
            runs.append((fit(fit_middle(text, size) if column.middle else text, size, column.right) + " ", style))
        return [*runs[:-1], (runs[-1][0][:-1], runs[-1][1])] if runs else runs

    def _planned(self, width: int) -> list[tuple[int, int]]:
        if self._plan[0] != width:
            self._plan = (width, column_widths(self.columns, width))
        return self._plan[1]


NEWS_COLUMNS = frozenset({"", "state", "status", "cause"})
HIGHLIGHT_SECONDS = 1.5
REMEMBERED_ROWS = 2_000
"""Rows whose facts are remembered; when there are more it begins anew."""
_FIGURES = re.compile(r"\d+")


class Highlights:
    """What each row said when it was last looked at, and which rows are lit."""

    def __init__(self) -> None:
        self.keys: set[Hashable] = set()
        self._said: dict[Hashable, tuple[str, ...]] = {}

    def look(
        self, rows: Sequence[TableRow], columns: Sequence[Column], fresh: frozenset[Hashable] = frozenset()
    ) -> set[Hashable]:
        """The keys of rows that say something else now, and of those that are `fresh`; they are lit. Another that was
        never seen is no news: somebody scrolled there."""
        watched = [index for index, column in enumerate(columns) if column.title in NEWS_COLUMNS]
        changed = set(fresh)
        for row in rows:
            if row.free or len(row.cells) < len(columns):
                continue
            said = tuple(_FIGURES.sub("", row.cells[index][0]) for index in watched)
            if self._said.setdefault(row.key, said) != said:
                changed.add(row.key)
            self._said[row.key] = said
        if len(self._said) > REMEMBERED_ROWS:
            self._said = {key: said for key, said in self._said.items() if any(key == row.key for row in rows)}
        self.keys |= changed
        return changed


CACHED_LINES = 512
"""Lines that are kept as they were painted."""


class Grid(FlatWidget, ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a line of headings, with a cursor that keeps its row's key when rows move."""

    DEFAULT_CSS = "Grid { height: 1fr; overflow-y: scroll; scrollbar-size: 0 1; scrollbar-background: $background; }"
    BINDINGS = key_table.bindings("grid")

    class Picked(Message):
        """Enter, or a double click, on a row."""

        def __init__(self, grid: Grid, key: Hashable) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    class Headed(Message):
        """A click on the heading of a column."""

        def __init__(self, grid: Grid, title: str) -> None:
            super().__init__()
            self.grid, self.title = grid, title

    class Resized(Message):
        """It has another width: rows that were made for one must be made anew."""

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, grid: Grid, key: Hashable) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    def __init__(self, columns: Sequence[Column] = (), empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines = TableLines(columns)
        self.empty = empty
        self.source: RowSource = FixedRows()
        self.cursor = 0
        self.touched = False
        """Somebody has moved the cursor: from then on it stays on its row; before, it stays on the first."""
        self._stand_on: Hashable | None = None
        self._stand_top: int | None = None
        self._lit_rows = Highlights()
        self._painted: dict[int, tuple[tuple[Hashable, bool, bool], TableRow, Strip]] = {}
        """By row number, because a row may move: its key, under the cursor or not, lit or not; what it says; its line.
        What stands in its place and says the same stays."""
        self._head = int(any(column.title for column in self.columns))

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._lines.columns

    # what is shown

    def show(self, source: RowSource, keep: bool = True, key: Hashable | None = None) -> None:
        """Shows another source; the cursor stays on its row's key (`key`, where the source was changed in place), else
        on its place, else at the first that can be picked."""
        before = (len(self.source), self.cursor, self.scroll_offset)
        key = (key or self.key) if keep else None
        self.source = source
        found = source.index_of(key, self.cursor) if key is not None else None
        place = found if found is not None else (min(self.cursor, len(source) - 1) if keep else 0)
        place = self._wanted(place)
        self.cursor = self._pickable(max(0, place), 1)
        self.virtual_size = Size(self.room, len(source) + self._head)
        stays = key is not None and self.key == key and not before[2].y <= before[1] < before[2].y + self.page
        if (stays or not self._follow()) and len(source) and before == (len(source), self.cursor, self.scroll_offset):
            self.row_changed(*self.visible_rows)
        else:
            self._light()
            self._painted.clear()
            self.refresh()

    def say_empty(self, text: str) -> None:
        """What stands there where there is no row."""
        if text != self.empty:
            self.empty = text
            self.refresh()

    def stand_on(self, key: Hashable, top: int | None = None) -> None:
        """Puts the cursor on this row, as soon as it is there and unless somebody moves it before; below line `top`."""
        self._stand_on, self._stand_top = key, top
        self.show(self.source)

    def _wanted(self, place: int) -> int:
        """Where the row is that the cursor is to stand on; `place` where there is none, or it is not there yet."""
        found = self.source.index_of(self._stand_on, place) if self._stand_on is not None else None
        if found is None:
            return place
        self._stand_on, self.touched = None, True
        if (top := self._stand_top) is not None and top <= found < top + self.page:
            self.call_after_refresh(self.scroll_to, y=top, animate=False)
        return found

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Other columns for the same rows."""
        if tuple(columns) != self.columns:
            self._lines = TableLines(columns)
            self._painted.clear()
            self.refresh()

    def row_changed(self, first: int, last: int) -> None:
        """Repaints rows `first`..`last` as far as they are visible and say something else."""
        top = self.scroll_offset.y
        painted, self._painted = self._painted, {}
        for index, row in enumerate(self._light(), top):
            shown = painted.get(index)
            if shown is not None and shown[:2] == (self._place(index), row):
                self._painted[index] = shown
            elif first <= index <= last:
                self.refresh_line(index + self._head)

    def _place(self, index: int) -> tuple[Hashable, bool, bool]:
        key = self.source.key_at(index)
        return key, index == self.cursor, key in self._lit_rows.keys

    def _light(self, fresh: frozenset[Hashable] = frozenset()) -> list[TableRow | None]:
        """The rows in view; what of them says something else than before, or is `fresh`, is lit for a moment."""
        top, bottom = self.visible_rows
        rows = [self.source.row(index) for index in range(top, bottom + 1)]
        if changed := self._lit_rows.look([row for row in rows if row is not None], self.columns, fresh):
            self.set_timer(HIGHLIGHT_SECONDS, lambda: self._unlight(changed))
        return rows

    def light(self, keys: frozenset[Hashable]) -> None:
        """Lights rows that were not there before."""
        self._light(keys)
        self.row_changed(*self.visible_rows)

    def _unlight(self, keys: set[Hashable]) -> None:
        self._lit_rows.keys -= keys
        self.row_changed(*self.visible_rows)

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

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Does not repaint the scrollbar where its thumb does not move visibly, as in a hundred thousand rows."""
        bar = self.vertical_scrollbar
        if _thumb(bar, old_value) == _thumb(bar, new_value):
            bar.set_reactive(ScrollBar.position, bar.validate_position(new_value))
        super().watch_scroll_y(old_value, new_value)

    def on_resize(self) -> None:
        self._painted.clear()
        self.virtual_size = Size(self.room, len(self.source) + self._head)
        self._follow()
        self.refresh()
        self.post_message(self.Resized())

    def flat_lines(self, places: Iterable[int]) -> list[Strip]:
        width, top, colours = self.room, self.scroll_offset.y, palette(self)
        return [self._line(y, width, top, colours) for y in places]

    def _line(self, y: int, width: int, top: int, colours: Palette) -> Strip:
        if y < self._head:
            return colours.strip(self._lines.titles(width), width)
        index = top + y - self._head
        if index >= len(self.source):
            below = y - self._head - 1
            told = self.empty.split("\n") if self.empty and not len(self.source) else []
            return colours.strip([("  " + told[below], "dim")] if 0 <= below < len(told) else (), width)
        place = self._place(index)
        found = self._painted.get(index)
        if found is not None and found[0] == place:
            return found[2]
        row = self.source.row(index)
        ground = "cursor" if place[1] and self._picked(row) else "lit" if place[2] else ""
        strip = colours.strip(self._lines.row(row, width), width, ground, mark=place[2] and self.app.no_color)
        if row is None:
            self.source.want(*self.visible_rows)
        elif len(self._painted) < CACHED_LINES:
            self._painted[index] = (place, row, strip)
        return strip

    def _picked(self, row: TableRow | None) -> bool:
        return row is None or row.pick

    # the cursor

    def move_to(self, index: int, step: int = 1) -> None:
        """Puts the cursor on row `index`, or on the next in the direction of `step` that can be picked."""
        self.touched, self._stand_on = True, None
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
            target = 0 if self.cursor == 1 and not self._picked(self.source.row(0)) else self.cursor
        elif self.cursor >= top + page:
            target = self.cursor - page + 1
        if target == top or self.size.height == 0:
            return False
        self.scroll_to(y=target, animate=False)
        return True

    def action_move(self, way: str) -> None:
        """up, down, page_up, page_down, top, bottom."""
        last = len(self.source) - 1
        index, step = {
            "up": (self.cursor - 1, -1),
            "down": (self.cursor + 1, 1),
            "page_up": (self.cursor - self.page, -1),
            "page_down": (self.cursor + self.page, 1),
            "top": (0, 1),
            "bottom": (last, -1),
        }[way]
        before = self.cursor
        self.move_to(index, step)
        is_near = self.cursor in (before, index) or self.cursor < self.page
        if way in ("up", "top") and is_near and self.scroll_offset.y and not self._above():
            self.scroll_to(y=0, animate=False)
        if way in ("down", "page_down", "bottom") and self.cursor == before:
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def _above(self) -> bool:
        """True when a row above the cursor can be picked."""
        return any((row := self.source.row(index)) is None or row.pick for index in range(self.cursor))

    def action_pick(self) -> None:
        if self.key is not None:
            self.post_message(self.Picked(self, self.key))

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - self._head
        if event.y < self._head:
            if title := self._lines.title_at(event.x, self.room):
                self.post_message(self.Headed(self, title))
            return
        if index >= len(self.source):
            return
        if (row := self.source.row(index)) is not None and row.pick:
            self.move_to(index)
            if event.chain == 2:
                self.action_pick()


def _thumb(bar: ScrollBar, position: float) -> int:
    """Where its thumb begins, in eighths of a cell, as Textual draws it."""
    size, window, whole = bar.size.height, bar.window_size, bar.window_virtual_size
    if not size or window >= whole:
        return 0
    return int((size - max(1.0, window * size / whole)) * position / (whole - window) * 8)
