"""A table's rows and headings as runs of text, for a given number of cells. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from console.tui.widgets.paint import Run, fit, fit_middle
from console.tui.widgets.table import Column, Row, plan


class Lines:
    """Lays rows out in columns; the layout of a width is kept."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._plan: tuple[int, list[tuple[int, int]]] = (-1, [])

    def titles(self, width: int) -> list[Run]:
        """The line of headings."""
        runs: list[Run] = []
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

    def row(self, row: Row | None, width: int) -> list[Run]:
        """A row; None is one that is not here yet."""
        if row is None:
            return [("  …", "dim")]
        if row.free:
            return list(row.cells)
        runs: list[Run] = []
        for index, size in self._planned(width):
            text, style = row.cells[index]
            column = self.columns[index]
            runs.append((fit(fit_middle(text, size) if column.middle else text, size, column.right) + " ", style))
        return [*runs[:-1], (runs[-1][0][:-1], runs[-1][1])] if runs else runs

    def _planned(self, width: int) -> list[tuple[int, int]]:
        if self._plan[0] != width:
            self._plan = (width, plan(self.columns, width))
        return self._plan[1]
