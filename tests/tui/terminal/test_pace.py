"""What a table paints again: only rows that differ."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

import pytest
from textual.app import App, ComposeResult
from textual.strip import Strip

from console.config import key_table
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, FixedRows, TableRow
from tests.deep import few


class _OneGrid(App[None]):
    def compose(self) -> ComposeResult:
        yield Grid((Column("a", 5, 1),), id="grid")


def _rows(*texts: str) -> FixedRows:
    return FixedRows([TableRow(number, ((text, "plain"),)) for number, text in enumerate(texts)])


def test_only_rows_that_say_something_else_are_painted_again() -> None:
    """A screen is read again every second: over somebody's slow line all of it was sent each time."""
    asyncio.run(_show_again())


async def _show_again() -> None:
    app = _OneGrid()
    async with app.run_test(size=(40, 12)) as pilot:
        grid = app.query_one(Grid)
        grid.show(_rows("x", "y", "z"))
        await pilot.pause()
        painted: list[int] = []
        grid.refresh_line = painted.append  # type: ignore[assignment,method-assign]
        grid.show(_rows("x", "y", "z"))
        assert [] == painted
        grid.show(_rows("x", "other", "z"))
        assert [2] == painted
        await pilot.pause()
        assert "other" in grid.render_line(2).text


class _Terminal:
    """The screen of a terminal that gets only the lines that a grid has invalidated."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.lines: dict[int, Strip] = {}
        self._wanted: set[int] = set(range(grid.size.height))
        real = grid.refresh

        def refresh(*regions: Any, **options: Any) -> Any:
            lines = range(grid.size.height) if not regions else [y for region in regions for y in region.line_range]
            self._wanted |= {y for y in lines if 0 <= y < grid.size.height}
            return real(*regions, **options)

        grid.refresh = refresh  # type: ignore[method-assign]

    def paint(self) -> list[Strip]:
        self.lines |= {y: self.grid.render_line(y) for y in self._wanted}
        self._wanted.clear()
        return [self.lines[y] for y in range(self.grid.size.height)]

    def repainted(self) -> list[Strip]:
        """What a table that was never painted before shows."""
        stored, self.grid._painted = self.grid._painted, {}
        lines = [self.grid.render_line(y) for y in range(self.grid.size.height)]
        self.grid._painted = stored
        return lines


def _changed(rows: list[TableRow], luck: Random) -> list[TableRow]:
    """The rows in another order, one that says something else, one more or one less."""
    rows = list(rows)
    what = luck.choice(("swap", "say", "shuffle", "add", "drop", "nothing"))
    here, there = (luck.randrange(len(rows)) for _ in "ab") if rows else (0, 0)
    if what == "swap" and rows:
        rows[here], rows[there] = rows[there], rows[here]
    elif what == "say" and rows:
        rows[here] = TableRow(rows[here].key, ((luck.choice("abc"), "plain"),))
    elif what == "shuffle":
        luck.shuffle(rows)
    elif what == "add" or len(rows) < 2:
        rows.insert(here, TableRow(max((cast(int, row.key) for row in rows), default=0) + 1, (("new", "plain"),)))
    elif what == "drop":
        del rows[here]
    return rows


@pytest.mark.parametrize("seed", few(range(4), 2))
def test_any_change_of_the_table_shows_what_a_full_repaint_would(seed: int) -> None:
    """A moved row is painted at its new place only."""
    asyncio.run(_move_about(Random(seed)))


async def _move_about(luck: Random) -> None:
    app = _OneGrid()
    async with app.run_test(size=(20, 8)) as pilot:
        grid = app.query_one(Grid)
        rows = [TableRow(number, ((chr(65 + number), "plain"),)) for number in range(luck.choice((4, 12)))]
        grid.show(FixedRows(rows))
        await pilot.pause()
        terminal = _Terminal(grid)
        assert terminal.paint() == terminal.repainted()
        for _ in range(40):
            rows = _changed(rows, luck)
            grid.show(FixedRows(rows), keep=luck.random() < 0.8)
            if luck.random() < 0.2:
                grid.action_move(luck.choice(("down", "up", "bottom", "top")))
            if luck.random() < 0.1:
                grid.light(frozenset({rows[0].key}))
            await pilot.pause()
            before = terminal.paint()
            assert before == terminal.repainted(), rows


def test_every_key_of_the_table_is_shown_as_on_a_keyboard() -> None:
    names = {
        key: key_table.key_label(key) for act in (*key_table.KEY_TABLE, *key_table.CURSOR_MOVES) for key in act.keys
    }
    assert {} == {
        key: name for key, name in names.items() if len(name) > 6 or (len(name) > 1 and set(name) & set("_+"))
    }
