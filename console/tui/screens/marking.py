"""Rows that a person marks, so that a verb is about all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from console.tui.screens.frame import FrameScreen
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run

MARKED_AT_MOST = 1_000
"""As many as one plan takes (`engine.plan_requests.MOST_RUNS`)."""


class RunChoice(NamedTuple):
    """The run that `r` or `l` is about."""

    run_id: int
    job: str
    incident_id: int | None = None


class Marking(FrameScreen):
    """A screen whose rows stand for runs; where none can be marked, none ever is."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: dict[Hashable, RunChoice] = {}
        """Rows that a person marked, by their key: what a verb is then about."""
        self._last_mark: Hashable = None

    def run_here(self) -> RunChoice | str:
        """The run that `r` and `l` are about, or why there is none."""
        return "nothing is selected"

    def why_not_mark(self) -> str:
        choice = self.run_here()
        return choice if isinstance(choice, str) else ""

    def do_mark(self) -> None:
        """Marks the row under the cursor, or takes its mark away, and goes one row down."""
        choice = self.run_here()
        grid = self.query_one(Grid)
        if isinstance(choice, RunChoice) and grid.key is not None:
            if self.marked.pop(grid.key, None) is None:
                self.marked[grid.key] = choice
                self._last_mark = grid.key
            grid.row_changed(grid.cursor, grid.cursor)
            grid.action_move("down")
            self.marks_changed()

    def why_not_mark_range(self) -> str:
        return "" if self._last_mark in self.marked else "Space marks the first row of a range"

    def do_mark_range(self) -> None:
        """Marks all rows from the last mark to the cursor."""
        grid = self.query_one(Grid)
        start = grid.source.index_of(self._last_mark, grid.cursor)
        if start is None:
            self.notice("the first row of the range is not in this list any more", "warn")
            return
        first, last = sorted((start, grid.cursor))
        if last - first >= MARKED_AT_MOST:
            self.notice(f"{last - first + 1:,} rows are more than the {MARKED_AT_MOST:,} of one plan", "warn")
            return

        def marked(found: Mapping[Hashable, RunChoice]) -> None:
            self.marked.update(found)
            self._last_mark = grid.key
            self.marks_changed()

        self.choices([grid.source.key_at(index) for index in range(first, last + 1)], marked)

    def choices(self, keys: Sequence[Hashable], then: Callable[[Mapping[Hashable, RunChoice]], None]) -> None:
        """Gives `then` the run of each of these rows that has one."""

    def why_not_clear_marks(self) -> str:
        return "" if self.marked else "nothing is marked"

    def do_clear_marks(self) -> None:
        self.clear_marks()

    def marks_changed(self) -> None:
        """Rows and title as the marks are now."""
        self.tick()

    def clear_marks(self) -> bool:
        """Takes all marks away; False when there was none."""
        had = bool(self.marked)
        self.marked.clear()
        if had:
            self.marks_changed()
        return had

    def marks_runs(self) -> list[Run]:
        """How many are marked, for the title."""
        return [(f"  {len(self.marked)} marked ", "mark")] if self.marked else []
