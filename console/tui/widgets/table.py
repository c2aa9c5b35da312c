"""Tables: columns that share a width, rows of cells, and where rows come from.

A source returns rows by number: all at once, made when they are seen, or by id from pages that the store fills.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from console.tui.widgets.paint import Segment

NAME_FIRST = 1000
"""The flex of a column that gets the remaining cells before all others."""


class Column(NamedTuple):
    """`rank` 1 stays on the narrowest terminal, 0 is not shown; `flex` columns share the remaining cells, up to `most`.
    Text that is too long is cut at its end, or in the `middle`. Columns over `whole_rank` come after its `whole` cells
    have room."""

    title: str
    width: int
    rank: int = 1
    flex: int = 0
    right: bool = False
    most: int = 0
    middle: bool = False
    whole: int = 0
    whole_rank: int = 0


class TableRow(NamedTuple):
    """Cells under columns; with `free`, runs from the left edge. The cursor skips rows without `pick`."""

    key: Hashable
    cells: tuple[Segment, ...]
    pick: bool = True
    free: bool = False


def cells_row(key: Hashable, *cells: Segment) -> TableRow:
    return TableRow(key, cells)


class RowSource(Protocol):
    """Where rows come from. `row` never waits: None is "not loaded yet"."""

    def __len__(self) -> int: ...
    def key_at(self, index: int) -> Hashable: ...
    def index_of(self, key: Hashable, near: int) -> int | None: ...
    def row(self, index: int) -> TableRow | None: ...
    def want(self, first: int, last: int) -> None:
        """Queries missing rows in view and around it, once."""


class LazyRows:
    """Rows are made when they come into view."""

    def __init__(self, keys: Sequence[Hashable], make: Callable[[int], TableRow]) -> None:
        self._keys, self._make = tuple(keys), make

    @cached_property
    def _places(self) -> dict[Hashable, int]:
        return {key: index for index, key in enumerate(self._keys)}

    def __len__(self) -> int:
        return len(self._keys)

    def key_at(self, index: int) -> Hashable:
        return self._keys[index]

    def index_of(self, key: Hashable, near: int) -> int | None:
        if 0 <= near < len(self._keys) and self._keys[near] == key:
            return near
        return self._places.get(key)

    def row(self, index: int) -> TableRow | None:
        return self._make(index)

    def want(self, first: int, last: int) -> None: ...


class FixedRows(LazyRows):
    def __init__(self, rows: Sequence[TableRow] = ()) -> None:
        super().__init__([row.key for row in rows], tuple(rows).__getitem__)


LIST_WIDTH = 120
"""The cells that a preview leaves its list at least."""


def list_share(width: int) -> int:
    """The cells by which a list on a screen of `width` chooses its columns, with a preview next to it or without."""
    return min(width, max(LIST_WIDTH, width * 5 // 8))


def column_widths(columns: Sequence[Column], width: int, share: int | None = None) -> list[tuple[int, int]]:
    """(index, width) of the columns that fit into `share`, or `width`, in their order: by rank first, so that a wider
    table has the columns of a narrower one, then flexible ones get the remaining cells of `width`."""
    widths: dict[int, int] = {}
    remaining = share = width if share is None else min(width, share)
    needs = [(column.rank, index, column.width) for index, column in enumerate(columns) if column.rank]
    needs += [(column.whole_rank, index, column.whole) for index, column in enumerate(columns) if column.whole]
    for _, index, cells in sorted(needs, key=itemgetter(0)):
        extra = max(0, cells - widths[index]) if index in widths else cells + bool(widths)
        if extra > remaining:
            break
        widths[index] = max(cells, widths.get(index, 0))
        remaining -= extra
    remaining += width - share
    flexible = sorted(index for index in widths if columns[index].flex)
    for position, index in enumerate(flexible):
        share = sum(columns[later].flex for later in flexible[position:])
        extra = remaining * columns[index].flex // share
        if columns[index].most:
            extra = min(extra, max(0, columns[index].most - widths[index]))
        widths[index] += extra
        remaining -= extra
    return sorted(widths.items())


def by_priority(columns: Sequence[Column], **ranks: int) -> tuple[Column, ...]:
    return tuple(column._replace(rank=ranks.get(column.title, column.rank)) for column in columns)


def widened(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(
        column._replace(width=56, flex=column.flex * 2, most=0) if index == 2 else column
        for index, column in enumerate(columns)
    )


def roomy(columns: Sequence[Column], **most: int) -> tuple[Column, ...]:
    return tuple(column._replace(most=most.get(column.title, column.most)) for column in columns)


def shift_right(columns: Sequence[Column], fixed: int, by: int) -> tuple[Column, ...]:
    """The columns without the first `by` of those after the `fixed` ones; at least one stays."""
    movable = [index for index, column in enumerate(columns) if index >= fixed and column.rank]
    hidden = set(movable[: min(by, len(movable) - 1)])
    return tuple(column._replace(rank=0) if index in hidden else column for index, column in enumerate(columns))


def moved_index(way: str, index: int, page: int, last: int) -> int:
    """The row or line that a move of the cursor leads to; it may be outside of 0 to `last`."""
    steps = {"up": -1, "down": 1, "page_up": -page, "page_down": page, "top": -index, "bottom": last - index}
    return index + steps[way]


PREFETCHED_ROWS = 64
CACHED_ROWS = 4096


class HasRowId(Protocol):
    """A view of the store with its id."""

    @property
    def id(self) -> int: ...


View = TypeVar("View", bound=HasRowId)


class PagedRows(Generic[View]):
    """A source over a vector of ids. `ask` has views fetched elsewhere; `arrived` stores them. Never waits."""

    def __init__(self, make: Callable[[View], TableRow], ask: Callable[[list[int]], None]) -> None:
        self.ids: array[int] = array("q")
        self._make, self._ask = make, ask
        self._views: OrderedDict[int, View] = OrderedDict()
        self._asked: frozenset[int] = frozenset()
        self._old: set[int] = set()
        """Stale views whose refresh is pending: every query includes them."""

    def __len__(self) -> int:
        return len(self.ids)

    def key_at(self, index: int) -> Hashable:
        return self.ids[index]

    def index_of(self, key: Hashable, near: int) -> int | None:
        if not isinstance(key, int):
            return None
        if 0 <= near < len(self.ids) and self.ids[near] == key:
            return near
        try:
            return self.ids.index(key)
        except ValueError:
            return None

    def row(self, index: int) -> TableRow | None:
        view = self._views.get(self.ids[index])
        return None if view is None else self._make(view)

    def view(self, row_id: Hashable) -> View | None:
        return self._views.get(row_id) if isinstance(row_id, int) else None

    def want(self, first: int, last: int) -> None:
        """Queries missing rows in view and around it, once."""
        around = self.ids[max(0, first - PREFETCHED_ROWS) : last + 1 + PREFETCHED_ROWS]
        missing = frozenset(row_id for row_id in around if row_id not in self._views)
        if missing and missing != self._asked:
            self._asked = missing
            self._ask([*(row_id for row_id in around if row_id in missing), *sorted(self._old - missing)])

    def near_edge(self, first: int, last: int) -> None:
        for index in (first - PREFETCHED_ROWS // 2, last + PREFETCHED_ROWS // 2):
            if 0 <= index < len(self.ids) and self.ids[index] not in self._views:
                self.want(first, last)
                return

    def again(self, first: int, last: int) -> None:
        """The store has changed: refreshes the visible rows and drops the others."""
        visible = list(self.ids[first : last + 1])
        self._old = set(visible)
        self._views = OrderedDict((row_id, self._views[row_id]) for row_id in visible if row_id in self._views)
        self._asked = frozenset()
        if visible:
            self._ask(visible)

    def arrived(self, views: Sequence[View]) -> set[int]:
        """Stores views; returns the ids of those that have changed."""
        changed = set()
        for view in views:
            if self._views.get(view.id) != view:
                changed.add(view.id)
            self._views[view.id] = view
            self._views.move_to_end(view.id)
            self._old.discard(view.id)
        while len(self._views) > CACHED_ROWS:
            self._views.popitem(last=False)
        self._asked = frozenset()
        return changed
