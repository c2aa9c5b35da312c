"""What is sent to the terminal: only what differs, and only as fast as its line takes it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from textual.app import App, ComposeResult

from console.tui import keys
from console.tui.driver import Line
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, Row, Rows
from tests.tui.driving import Night, on_the_night

SECONDS = 10.0


class _OneGrid(App[None]):
    def compose(self) -> ComposeResult:
        yield Grid((Column("a", 5, 1),), id="grid")


def _rows(*texts: str) -> Rows:
    return Rows([Row(number, ((text, "plain"),)) for number, text in enumerate(texts)])


def test_only_rows_that_say_something_else_are_painted_again() -> None:
    """A screen is read anew every second: over somebody's slow line all of it was sent each time."""
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


def test_every_key_of_the_table_is_shown_as_it_stands_on_a_keyboard() -> None:
    names = {key: keys.shown(key) for act in (*keys.TABLE, *keys.MOVES) for key in act.keys}
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
    line = Line(cast(Any, slow))
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
async def test_a_screen_is_not_painted_before_its_rows_have_room_but_is_soon(night: Night) -> None:
    """Each painting before that is thrown away, and costs a start as much as reading the store."""
    painted: list[bool] = []
    screen = cast(Any, night.app.screen)
    assert not screen.holds_back
    real, screen._compositor.render_update = screen._compositor.render_update, lambda **_: painted.append(True)
    screen.hold_back()
    screen._compositor_refresh()
    assert [] == painted
    await night.until(lambda: bool(painted), "the painting that waits for nothing any more")
    screen._compositor.render_update = real
