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
from tests.deep import some
from tests.hostile.console import Desk, drive
from tests.hostile.test_every_screen import WAYS, shown
from tests.hostile.world import World

SIZES = ((80, 24), (40, 10), (59, 14), (60, 15), (200, 50), (120, 40))
GONE = "the disk of the store is gone"
OF_EACH_KIND = ("JobsScreen", "IncidentScreen", "LineageScreen", "TonightScreen", "StartedScreen", "JumpChoices")
"""A table, a page, a graph, a chart, a plan and an overlay."""


async def come(desk: Desk, name: str) -> None:
    await WAYS[name](desk)
    await desk.until(lambda: shown(desk.app.screen) == name, name)
    await at_rest(desk)


async def at_rest(desk: Desk) -> None:
    """Waits until it stands still, but for its clock."""
    before, same = "", 0
    while same < 4:
        await desk.pilot.pause(0.03)
        now = desk.text.partition("\n")[2]
        before, same = now, same + 1 if now == before else 0


def stand(desk: Desk) -> tuple[str, dict[str | None, Any]]:
    """The screen, and the row under the cursor of each of its tables."""
    screen = desk.app.screen
    return type(screen).__name__, {grid.id: grid.key for grid in screen.query(Grid)}


def check_widths(desk: Desk, size: tuple[int, int]) -> None:
    """Every line is as wide as the terminal, however wide its letters are."""
    widths = [cell_len(line) for line in desk.text.split("\n")]
    assert [size[0]] * size[1] == widths, desk.text


@pytest.mark.parametrize("name", some(WAYS, *OF_EACH_KIND))
def test_a_screen_lives_through_every_size_and_the_cursor_with_it(written: World, name: str) -> None:
    async def steps(desk: Desk) -> None:
        await come(desk, name)
        await desk.pilot.press("down", "down")
        await at_rest(desk)
        before = stand(desk)
        for size in SIZES:
            await desk.pilot.resize_terminal(*size)
            await desk.until(lambda: ("terminal too small" in desk.text) == is_small(desk.app.size), "the new size")
            await at_rest(desk)
            desk.check()
            check_widths(desk, size)
            assert ("terminal too small" in desk.text) == is_small(desk.app.size), desk.text
        assert before == stand(desk)

    drive(written.url, steps)


class Flaky:
    """The store's reads, until the store is gone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.gone = False

    def open(self) -> Queries:
        self._check()
        return cast(Queries, _Reads(open_queries(self.url), self._check))

    def _check(self) -> None:
        if self.gone:
            raise StoreUnusable(GONE)


class _Reads:
    def __init__(self, real: Any, check: Callable[[], None]) -> None:
        self._real, self._check = real, check

    def __getattr__(self, name: str) -> Any:
        if name not in ("interrupt", "close", "__enter__", "__exit__"):
            self._check()
        return getattr(self._real, name)


@pytest.mark.parametrize("name", some(WAYS, *OF_EACH_KIND))
def test_a_screen_whose_store_goes_and_comes_back_says_so_and_stays(
    written: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.tui.frame.console_app.HEADER_SECONDS", 0.3)
    store = Flaky(written.url)

    async def go() -> None:
        desk = Desk()
        desk.app = HeadwayApp(store.open, lambda: EngineClient(written.url))
        async with desk.app.run_test(size=(120, 40)) as pilot:
            desk.pilot = pilot
            await desk.until(lambda: desk.app.header is not None, "the header")
            await come(desk, name)
            before = stand(desk)
            store.gone = True
            if not isinstance(desk.app.screen, Overlay):
                await desk.see(GONE)
            await desk.pilot.press("down", "up", "pagedown", "home")
            desk.check()
            store.gone = False
            await desk.until(lambda: GONE not in desk.text, "the store again")
            assert before[0] == stand(desk)[0]

    asyncio.run(go())
