"""What is sent to the terminal: only what differs, and only as fast as its line takes it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest
from textual.app import App, ComposeResult
from textual.strip import Strip

from console.config import key_table
from console.tui.terminal.driver import TerminalLine
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, FixedRows, TableRow
from tests.tui.driving import Night, on_the_night

SECONDS = 10.0


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


@pytest.mark.parametrize("seed", range(4))
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


class _Slow:
    """A file whose line is stopped until `free`."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(SECONDS)
        return len(text)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_line_that_does_not_take_what_is_written_is_behind() -> None:
    slow = _Slow()
    line = TerminalLine(cast(Any, slow))
    assert not line.is_behind
    writing = threading.Thread(target=line.write, args=("x",))
    writing.start()
    wait_until(lambda: line.is_behind)
    slow.free.set()
    writing.join(SECONDS)
    assert not line.is_behind


@on_the_night()
async def test_nothing_is_painted_while_the_line_is_behind_and_all_of_it_once_it_is_not(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.at_rest()
    driver = cast(Any, night.app._driver)
    waiting = night.app.screen._compositor._dirty_regions
    driver.is_behind = True
    await night.press("down", "down", "down")
    await night.until(lambda: night.app.screen.query_one(Grid).cursor == 3, "the cursor")
    await night.until(lambda: bool(waiting), "lines that wait")
    driver.is_behind = False
    await night.until(lambda: not waiting, "that they are painted")


@on_the_night()
async def test_a_delayed_painting_includes_what_changed_meanwhile(night: Night) -> None:
    await night.see("Supply plan")
    await night.at_rest()
    screen, grid = night.app.screen, night.app.screen.query_one(Grid)
    grid._set_dirty()
    screen._dirty_widgets.add(grid)
    cast(Any, screen).pacer._retry()
    assert not grid._exchange_repaint_regions()


@on_the_night()
async def test_a_screen_is_not_painted_before_its_rows_have_room_but_is_soon(night: Night) -> None:
    """Each painting before that is thrown away, and costs a start as much as reading the store."""
    painted: list[bool] = []
    screen = cast(Any, night.app.screen)
    assert not screen.pacer._held
    real, screen._compositor.render_update = screen._compositor.render_update, lambda **_: painted.append(True)
    screen.pacer.hold()
    screen._compositor_refresh()
    assert [] == painted
    await night.until(lambda: bool(painted), "the painting that waits for nothing any more")
    screen._compositor.render_update = real
