"""The virtual table widget: draws only visible rows, so a million rows cost as much as twenty.

Changed rows are highlighted; a row that is not loaded yet is a dim line, and the source learns which rows are visible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence

from textual import events, on
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip

from console.config import key_table
from console.tui.widgets.bar import FlatWidget
from console.tui.widgets.paint import Palette, Segment, fit, fit_middle, palette
from console.tui.widgets.table import Column, FixedRows, RowSource, TableRow, column_widths, list_share, moved_index


class TableLines:
    """Lays rows out in columns, which are those for a screen of `screen_width`; the layout of a width is cached."""

    def __init__(self, columns: Sequence[Column], screen_width: Callable[[], int]) -> None:
        self.columns, self._screen_width = tuple(columns), screen_width
        self._plan: tuple[tuple[int, int], list[tuple[int, int]]] = ((-1, -1), [])

    def titles(self, width: int) -> list[Segment]:
        runs: list[Segment] = []
        for index, size in self._planned(width):
            column = self.columns[index]
            runs.append((fit(column.title, size, column.right) + " ", "head"))
        return [*runs[:-1], (runs[-1][0][:-1], runs[-1][1])] if runs else runs

    def title_at(self, x: int, width: int) -> str:
        for index, size in self._planned(width):
            if x <= size:
                return self.columns[index].title
            x -= size + 1
        return ""

    def row(self, row: TableRow | None, width: int) -> list[Segment]:
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
        share = list_share(self._screen_width()) - SCROLL_BAR
        if self._plan[0] != (width, share):
            self._plan = ((width, share), column_widths(self.columns, width, share))
        return self._plan[1]


NEWS_COLUMNS = frozenset({"", "state", "status", "cause"})
HIGHLIGHT_SECONDS = 1.5
COMPARED_ROWS = 2_000
_FIGURES = re.compile(r"\d+")


class Highlights:
    """The last seen values of each row, and the highlighted rows."""

    def __init__(self) -> None:
        self.keys: set[Hashable] = set()
        self._said: dict[Hashable, tuple[str, ...]] = {}

    def update(
        self, rows: Sequence[TableRow], columns: Sequence[Column], fresh: frozenset[Hashable] = frozenset()
    ) -> set[Hashable]:
        """Highlights and returns the keys of rows with new values, and `fresh` ones. Another row seen for the first
        time was scrolled to."""
        watched = [index for index, column in enumerate(columns) if column.title in NEWS_COLUMNS]
        changed = set(fresh)
        for row in rows:
            if row.free or len(row.cells) < len(columns):
                continue
            values = tuple(_FIGURES.sub("", row.cells[index][0]) for index in watched)
            if self._said.setdefault(row.key, values) != values:
                changed.add(row.key)
            self._said[row.key] = values
        if len(self._said) > COMPARED_ROWS:
            self._said = {key: values for key, values in self._said.items() if any(key == row.key for row in rows)}
        self.keys |= changed
        return changed


SCROLL_BAR = 1
CACHED_LINES = 512
"""Painted lines in the cache."""


class Grid(FlatWidget, ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a line of headings, with a cursor that keeps its row's key when rows move."""

    DEFAULT_CSS = "Grid { height: 1fr; overflow-y: scroll; scrollbar-size: 0 1; scrollbar-background: $background; }"
    BINDINGS = key_table.bindings("grid")

    class Picked(Message): ...

    class Headed(Message):
        """A click on the heading of a column."""

        def __init__(self, title: str) -> None:
            super().__init__()
            self.title = title

    class Resized(Message): ...

    class Moved(Message): ...

    def __init__(self, columns: Sequence[Column] = (), empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines = TableLines(columns, self._screen_width)
        self.empty = empty
        self.source: RowSource = FixedRows()
        self.cursor = 0
        self.touched = False
        """True once the user has moved the cursor or scrolled: the cursor then stays on its row, not on the first."""
        self._wanted_key: Hashable | None = None
        self._wanted_top: int | None = None
        self._lit_rows = Highlights()
        self._painted: dict[int, tuple[tuple[Hashable, bool, bool], TableRow, Strip]] = {}
        self.head = int(any(column.title for column in self.columns))

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._lines.columns

    def _screen_width(self) -> int:
        return self.app.size.width

    # display

    def show(self, source: RowSource, keep: bool = True, key: Hashable | None = None) -> None:
        """Shows another source; the cursor stays on its row's key (`key`, if the source was changed itself), else in
        its position."""
        before = (len(self.source), self.cursor, self.scroll_offset)
        key = (key or self.key) if keep else None
        self.source = source
        index = source.index_of(key, self.cursor) if key is not None else None
        position = index if index is not None else (min(self.cursor, len(source) - 1) if keep else 0)
        position = self._wanted(position)
        self.cursor = self._pickable(max(0, position), 1)
        self.virtual_size = Size(self.room, len(source) + self.head)
        is_same, is_seen = key is not None and self.key == key, before[2].y <= before[1] < before[2].y + self.page
        stays = is_same and not is_seen
        if self.touched and is_same and is_seen and before[1] != self.cursor:
            self.scroll_to(y=before[2].y + self.cursor - before[1], animate=False)
        if (stays or not self._follow()) and len(source) and before == (len(source), self.cursor, self.scroll_offset):
            self.row_changed(*self.visible_rows)
        else:
            self._light()
            self._painted.clear()
            self.refresh()

    def say_empty(self, text: str) -> None:
        if text != self.empty:
            self.empty = text
            self.refresh()

    def restore_cursor(self, key: Hashable, top: int | None = None) -> None:
        """Moves the cursor to this row as soon as it exists, unless the user moves it before; below line `top`."""
        self._wanted_key, self._wanted_top = key, top
        self.show(self.source)

    def _wanted(self, position: int) -> int:
        """The index of the requested row; `position` without one."""
        index = self.source.index_of(self._wanted_key, position) if self._wanted_key is not None else None
        if index is None:
            return position
        self._wanted_key, self.touched = None, True
        if (top := self._wanted_top) is not None and top <= index < top + self.page:
            self.call_after_refresh(self.scroll_to, y=top, animate=False)
        return index

    def set_columns(self, columns: Sequence[Column]) -> None:
        if tuple(columns) != self.columns:
            self._lines = TableLines(columns, self._screen_width)
            self._painted.clear()
            self.refresh()

    def row_changed(self, first: int, last: int) -> None:
        """Repaints rows `first`..`last` if they are visible and have changed."""
        top = self.scroll_offset.y
        painted, self._painted = self._painted, {}
        for index, row in enumerate(self._light(), top):
            shown = painted.get(index)
            if shown is not None and shown[:2] == (self._paint_key(index), row):
                self._painted[index] = shown
            elif first <= index <= last:
                self.refresh_line(index + self.head)

    def _paint_key(self, index: int) -> tuple[Hashable, bool, bool]:
        key = self.source.key_at(index)
        return key, index == self.cursor, key in self._lit_rows.keys

    def _light(self, fresh: frozenset[Hashable] = frozenset()) -> list[TableRow | None]:
        """The visible rows; changed and `fresh` ones are highlighted for a moment."""
        top, bottom = self.visible_rows
        rows = [self.source.row(index) for index in range(top, bottom + 1)]
        if changed := self._lit_rows.update([row for row in rows if row is not None], self.columns, fresh):
            self.set_timer(HIGHLIGHT_SECONDS, lambda: self._unlight(changed))
        return rows

    def light(self, keys: frozenset[Hashable]) -> None:
        self._light(keys)
        self.row_changed(*self.visible_rows)

    def _unlight(self, keys: set[Hashable]) -> None:
        self._lit_rows.keys -= keys
        self.row_changed(*self.visible_rows)

    @property
    def key(self) -> Hashable | None:
        return self.source.key_at(self.cursor) if self.cursor < len(self.source) else None

    @property
    def visible_rows(self) -> tuple[int, int]:
        top = self.scroll_offset.y
        return top, min(len(self.source), top + max(1, self.size.height - self.head)) - 1

    @property
    def room(self) -> int:
        return int(self.scrollable_content_region.width)

    @property
    def row_count(self) -> int:
        return len(self.source)

    @property
    def page(self) -> int:
        return max(1, self.size.height - self.head)

    def on_mount(self) -> None:
        self.virtual_size = Size(self.room, len(self.source) + self.head)

    def notify_style_update(self) -> None:
        self._painted.clear()
        super().notify_style_update()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Does not repaint the scrollbar if its thumb does not move visibly, as in a hundred thousand rows."""
        bar = self.vertical_scrollbar
        if _thumb(bar, old_value) == _thumb(bar, new_value):
            bar.set_reactive(ScrollBar.position, bar.validate_position(new_value))
        super().watch_scroll_y(old_value, new_value)

    def on_resize(self) -> None:
        self._painted.clear()
        self.virtual_size = Size(self.room, len(self.source) + self.head)
        self._follow()
        self.refresh()
        self.post_message(self.Resized())

    def flat_lines(self, lines: Iterable[int]) -> list[Strip]:
        width, top, colours = self.room, self.scroll_offset.y, palette(self)
        return [self._line(y, width, top, colours) for y in lines]

    def _line(self, y: int, width: int, top: int, colours: Palette) -> Strip:
        if y < self.head:
            return colours.strip(self._lines.titles(width), width)
        index = top + y - self.head
        if index >= len(self.source):
            below = y - self.head - 1
            lines = self.empty.split("\n") if self.empty and not len(self.source) else []
            return colours.strip([("  " + lines[below], "dim")] if 0 <= below < len(lines) else (), width)
        paint_key = self._paint_key(index)
        cached = self._painted.get(index)
        if cached is not None and cached[0] == paint_key:
            return cached[2]
        row = self.source.row(index)
        background = "cursor" if paint_key[1] and self._picked(row) else "lit" if paint_key[2] else ""
        strip = colours.strip(self._lines.row(row, width), width, background, mark=paint_key[2] and self.app.no_color)
        if row is None:
            self.source.want(*self.visible_rows)
        elif len(self._painted) < CACHED_LINES:
            self._painted[index] = (paint_key, row, strip)
        return strip

    def _picked(self, row: TableRow | None) -> bool:
        return row is None or row.pick

    # the cursor

    def move_to(self, index: int, step: int = 1) -> None:
        """Moves the cursor to row `index`, or to the next in the direction of `step` that can be picked."""
        self.touched, self._wanted_key = True, None
        if not len(self.source):
            return
        old = self.cursor
        index = self._pickable(min(max(0, index), len(self.source) - 1), step)
        if index == old:
            return
        self.cursor = index
        if not self._follow():
            self.refresh_line(old + self.head)
            self.refresh_line(index + self.head)
        self.post_message(self.Moved())

    def _pickable(self, index: int, step: int) -> int:
        step = 1 if step >= 0 else -1
        for turn in (step, -step):
            position = index
            while 0 <= position < len(self.source):
                row = self.source.row(position)
                if row is None or row.pick:
                    return position
                position += turn
        return index

    def _follow(self) -> bool:
        """Scrolls the cursor into view; True if it did, which repaints everything."""
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
        before = self.cursor
        index = moved_index(way, before, self.page, len(self.source) - 1)
        self.move_to(index, -1 if way in ("up", "page_up", "bottom") else 1)
        is_near = self.cursor in (before, index) or self.cursor < self.page
        if way in ("up", "top") and is_near and self.scroll_offset.y and not self._above():
            self.scroll_to(y=0, animate=False)
        if way == "bottom" or (way in ("down", "page_down") and self.cursor == before):
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def _above(self) -> bool:
        return any((row := self.source.row(index)) is None or row.pick for index in range(self.cursor))

    @on(events.MouseScrollDown)
    @on(events.MouseScrollUp)
    def scrolled(self) -> None:
        self.touched = True

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - self.head
        if event.y < self.head:
            if title := self._lines.title_at(event.x, self.room):
                self.post_message(self.Headed(title))
            return
        if index >= len(self.source):
            return
        if (row := self.source.row(index)) is not None and row.pick:
            self.move_to(index)
            if event.chain == 2 and self.key is not None:
                self.post_message(self.Picked())


def _thumb(bar: ScrollBar, position: float) -> int:
    """Start of the thumb in eighths of a cell, as Textual draws it."""
    size, window, whole = bar.size.height, bar.window_size, bar.window_virtual_size
    if not size or window >= whole:
        return 0
    return int((size - max(1.0, window * size / whole)) * position / (whole - window) * 8)
