"""What a grid shows: columns that share a width, rows of cells, and where rows come from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from console.tui.widgets.paint import Run


class Column(NamedTuple):
    """`rank` 1 is kept on the narrowest terminal, 0 is not shown; what `flex` has shares the cells that are left, up to
    `most`. What is too long is cut at its end, or in the `middle`."""

    title: str
    width: int
    rank: int = 1
    flex: int = 0
    right: bool = False
    most: int = 0
    middle: bool = False


class Row(NamedTuple):
    """Cells under columns; with `free`, runs from the left edge. What is no `pick` is stepped over by the cursor."""

    key: Hashable
    cells: tuple[Run, ...]
    pick: bool = True
    free: bool = False


class Source(Protocol):
    """Where rows come from. `row` never waits: None is "not here yet"."""

    def __len__(self) -> int: ...
    def key_at(self, index: int) -> Hashable: ...
    def index_of(self, key: Hashable, near: int) -> int | None: ...
    def row(self, index: int) -> Row | None: ...
    def want(self, first: int, last: int) -> None: ...


class Rows:
    """A source that has them all: a short list."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def key_at(self, index: int) -> Hashable:
        return self._rows[index].key

    def index_of(self, key: Hashable, near: int) -> int | None:
        return next((index for index, row in enumerate(self._rows) if row.key == key and row.pick), None)

    def row(self, index: int) -> Row | None:
        return self._rows[index]

    def want(self, first: int, last: int) -> None:
        """Everything is here."""


class Made:
    """A source whose rows are made when they come into view."""

    def __init__(self, keys: Sequence[Hashable], make: Callable[[int], Row]) -> None:
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

    def row(self, index: int) -> Row | None:
        return self._make(index)

    def want(self, first: int, last: int) -> None:
        """Everything is here."""


def plan(columns: Sequence[Column], width: int) -> list[tuple[int, int]]:
    """(index, width) of the columns that fit, in their order: by rank first, then what is left goes to the flexible."""
    kept: set[int] = set()
    left = width
    ranked = [index for index, column in enumerate(columns) if column.rank]
    for index in sorted(ranked, key=lambda index: columns[index].rank):
        need = columns[index].width + (1 if kept else 0)
        if need > left:
            break
        kept.add(index)
        left -= need
    widths = {index: columns[index].width for index in kept}
    flexible = sorted(index for index in kept if columns[index].flex)
    for place, index in enumerate(flexible):
        share = sum(columns[other].flex for other in flexible[place:])
        extra = left * columns[index].flex // share
        if columns[index].most:
            extra = min(extra, max(0, columns[index].most - columns[index].width))
        widths[index] += extra
        left -= extra
    return [(index, widths[index]) for index in sorted(kept)]


def ranked(columns: Sequence[Column], **ranks: int) -> tuple[Column, ...]:
    """The same columns with other ranks, by their titles; those that are not named keep theirs."""
    return tuple(column._replace(rank=ranks.get(column.title, column.rank)) for column in columns)


def widened(columns: Sequence[Column], name: int = 2, cells: int = 56) -> tuple[Column, ...]:
    """The same columns, the one of names so wide that few are cut."""
    return tuple(
        column._replace(width=cells, flex=column.flex * 2, most=0) if index == name else column
        for index, column in enumerate(columns)
    )


def roomy(columns: Sequence[Column], **most: int) -> tuple[Column, ...]:
    """The same columns, those that are named at most so wide: what they leave goes to the others."""
    return tuple(column._replace(most=most.get(column.title, column.most)) for column in columns)


def shifted(columns: Sequence[Column], fixed: int, by: int) -> tuple[Column, ...]:
    """The same columns without the first `by` of those that are shown after the `fixed` ones; one is left."""
    movable = [index for index, column in enumerate(columns) if index >= fixed and column.rank]
    gone = set(movable[: min(by, len(movable) - 1)])
    return tuple(column._replace(rank=0) if index in gone else column for index, column in enumerate(columns))
