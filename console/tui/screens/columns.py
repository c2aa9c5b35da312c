"""Which columns a big table shows and by what it is sorted: its own order, all columns where there is room, and what a
person chose by keys or by a click on a heading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on

from console.tui import keys
from console.tui.screens.lists import ListScreen
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, shifted

ROOMY_FROM = 160
"""Cells of a screen in which a table shows all of its columns."""
SORTED_BY = {"job": "name", "started": "age", "deadline": "deadline", "slack": "slack"}
"""Heading of a column -> what a click on it sorts by."""


class ColumnsScreen(ListScreen):
    SORT: ClassVar[str] = ""
    """The order in which it opens."""
    WIDE: ClassVar[tuple[Column, ...]] = ()
    ROOMY: ClassVar[tuple[Column, ...]] = ()
    """Columns of a screen with room for all of them."""
    FIXED: ClassVar[int] = 3
    """Columns that stay at the left as the others are moved."""

    def __init__(self, filter_text: str = "") -> None:
        super().__init__(filter_text)
        self.sort, self.wide, self.shift = self.SORT, False, 0

    def columns(self) -> Sequence[Column]:
        """The columns for what is sorted and how wide it is shown."""
        return shifted(
            self.WIDE if self.wide else self.ROOMY if self.has_room else self.COLUMNS, self.FIXED, self.shift
        )

    @property
    def has_room(self) -> bool:
        return self.is_attached and self.size.width >= ROOMY_FROM

    @on(Grid.Resized)
    def fitted(self) -> None:
        self.sorted_anew()

    def sort_by(self, order: str) -> None:
        """Sorts by this; asked again, the other way round."""
        self.sort = f"-{order}" if self.sort == order else order
        self.sorted_anew()
        self.refilter()
        self.paint_frame()

    def sorted_anew(self) -> None:
        """The order has changed: columns that belong to it come into view."""
        self.grid.set_columns(self.columns())

    @on(Grid.Headed)
    def sort_by_heading(self, event: Grid.Headed) -> None:
        act = f"sort_{SORTED_BY.get(event.title, '')}"
        if any(one.name == act for one in keys.acts(self.WHERE)):
            self.action_act(act)
        else:
            self.notice(f"not sorted by {event.title}", "warn")

    def do_sort_name(self) -> None:
        self.sort_by("name")

    def do_sort_age(self) -> None:
        self.sort_by("age")

    def do_wide(self) -> None:
        self.wide = not self.wide
        self._shift_to(0)
        self.notice("wide: names whole, all columns; → brings those that have no room" if self.wide else "")

    def do_columns_on(self) -> None:
        self._shift_to(min(self.shift + 1, len(self.COLUMNS) - self.FIXED - 1))

    def do_columns_back(self) -> None:
        self._shift_to(max(0, self.shift - 1))

    def _shift_to(self, columns: int) -> None:
        self.shift = columns
        self.sorted_anew()
