"""Every screen while its terminal changes its size and its store goes: nothing breaks, and one is where one was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from rich.cells import cell_len

from console.engine.api.client import EngineClient
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from console.tui.app.navigation import HeadwayApp
from console.tui.dialogs.overlay import Overlay
from console.tui.frame.console_app import is_small
from console.tui.widgets.grid import Grid
from tests import idle
from tests.deep import some
from tests.hostile.console import ConsoleDriver
from tests.hostile.test_every_screen import SCREEN_KEYS, shown
from tests.hostile.world import World
from tests.tui.driving import unseen

SIZES = ((40, 10), (59, 14), (60, 15), (80, 24), (200, 50), (120, 40))
STORE_ERROR = "the store's volume is gone"
OF_EACH_KIND = ("JobsScreen", "IncidentScreen", "LineageScreen", "TonightScreen", "StartedScreen", "JumpChoices")
"""A table, a page, a graph, a chart, a plan and an overlay."""


async def come(console: ConsoleDriver, name: str) -> None:
    await SCREEN_KEYS[name](console)
    await console.until(lambda: shown(console.app.screen) == name, name)
    await at_rest(console)


async def at_rest(console: ConsoleDriver) -> None:
    """Waits until nothing is under way and the screen is stable, except for its clock."""
    await idle.at_rest(console.pilot, lambda: console.text.partition("\n")[2], looks=4)


def stand(console: ConsoleDriver) -> tuple[str, dict[str | None, Any]]:
    """The screen, and the row under the cursor of each of its tables."""
    screen = console.app.screen
    return type(screen).__name__, {grid.id: grid.key for grid in screen.query(Grid)}


def check_widths(console: ConsoleDriver, size: tuple[int, int]) -> None:
    """Every line is as wide as the terminal, however wide its letters are."""
    widths = [cell_len(line) for line in console.text.split("\n")]
    assert [size[0]] * size[1] == widths, console.text


class Flaky:
    """The store's reads, until the store is gone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_removed = False

    def open(self) -> Queries:
        self._check()
        return cast(Queries, _Reads(open_queries(self.url), self._check))

    def _check(self) -> None:
        if self.is_removed:
            raise StoreUnusable(STORE_ERROR)


class _Reads:
    def __init__(self, real: Any, check: Callable[[], None]) -> None:
        self._real, self._check = real, check

    def __getattr__(self, name: str) -> Any:
        if name not in ("interrupt", "close", "__enter__", "__exit__"):
            self._check()
        return getattr(self._real, name)


@pytest.mark.parametrize("name", some(SCREEN_KEYS, *OF_EACH_KIND))
def test_a_screen_lives_through_every_size_and_the_loss_of_its_store(written: World, name: str) -> None:
    """The cursor stays on its rows at each size; while the store is gone the screen says so and stays."""
    store = Flaky(written.url)

    async def go() -> None:
        console = ConsoleDriver()
        console.app = HeadwayApp(store.open, lambda: EngineClient(written.url))
        async with console.app.run_test(size=(120, 40)) as pilot:
            console.pilot = pilot
            await console.until(lambda: console.app.header is not None, "the header")
            await come(console, name)
            await check_sizes(console)
            before = stand(console)
            store.is_removed = True
            console.app.read_header()
            if not isinstance(console.app.screen, Overlay):
                await console.see(STORE_ERROR)
            await pilot.press("down", "up", "pagedown", "home")
            console.check()
            store.is_removed = False
            console.app.read_header()
            await console.until(lambda: STORE_ERROR not in console.text, "the store again")
            assert before[0] == stand(console)[0]

    with unseen():
        asyncio.run(go())


async def check_sizes(console: ConsoleDriver) -> None:
    await console.pilot.press("down", "down")
    await at_rest(console)
    before = stand(console)
    for size in SIZES:
        await console.pilot.resize_terminal(*size)
        await console.until(
            lambda: ("terminal too small" in console.text) == is_small(console.app.size), "the new size"
        )
        await at_rest(console)
        console.check()
        check_widths(console, size)
        assert ("terminal too small" in console.text) == is_small(console.app.size), console.text
    assert before == stand(console)
