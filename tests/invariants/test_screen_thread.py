"""A screen never waits for the store (I9): its thread does not touch SQLite, and keys are answered while it is slow or
written to."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from console.engine.api.client import EngineClient
from console.store.queries import open_queries
from console.tui.app.navigation import HeadwayApp
from console.tui.widgets.grid import Grid
from tests.bench.bigstore import make_store
from tests.invariants import locked
from tests.invariants.engines import server
from tests.lab.process import HANGS_SECONDS, async_wait_until, wait_until

Steps = Callable[[Pilot[int], HeadwayApp], Awaitable[None]]
EVERYWHERE = (
    "2", "enter", "escape", "3", "end", "home", "enter", "enter", "l", "escape", "escape", "r", "escape", "5", "enter",
    "p", "escape", "6", "?", "escape", ":", "escape", "/", "a", "escape", "1", "enter", "escape", "Z",
    "3", "space", "c", "escape", "escape", "h", "escape", "X", "escape", "M", "escape", "A", "F", "escape",
    "1", "r", "escape",
)  # fmt: skip
"""Far below the wait for the store; `python -m tests.bench.keys` has the milliseconds."""


class Watched(sqlite3.Connection):
    """Notes in which thread it is used; answers late while `late` is set, and `let_go` is not."""

    used: set[str] = set()
    late, let_go = threading.Event(), threading.Event()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self.used.add(threading.current_thread().name)
        if self.late.is_set() and "PRAGMA" not in str(arguments[0]):
            self.let_go.wait(HANGS_SECONDS)
        return super().execute(*arguments)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Watched]]:
    real = sqlite3.connect

    def connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*arguments, **{**more, "factory": Watched})
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    Watched.used.clear()
    Watched.let_go.clear()
    yield Watched
    Watched.late.clear()
    Watched.let_go.set()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 400 jobs."""
    path = tmp_path_factory.mktemp("store") / "headway.db"
    make_store(path, 400, 2_000)
    return path


def on_screen(store: Path, steps: Steps) -> None:
    async def drive() -> None:
        app = HeadwayApp(lambda: open_queries(str(store)), lambda: EngineClient(str(store)))
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.header is not None)
            await steps(pilot, app)
        app.query_thread.close()

    asyncio.run(drive())


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    await async_wait_until(condition, "the screen")
    await pilot.pause()


async def at_the_jobs(pilot: Pilot[int], app: HeadwayApp) -> Grid:
    await pilot.press("3")
    await until(pilot, lambda: any(len(grid.source) == 400 for grid in app.screen.query(Grid)))
    return next(iter(app.screen.query(Grid)))


async def answered(pilot: Pilot[int], grid: Grid) -> None:
    """Waits until `down` has moved the cursor, five times."""
    for row in range(grid.cursor + 1, grid.cursor + 6):
        await pilot.press("down")
        await until(pilot, lambda: grid.cursor == row)  # noqa: B023 - waited for at once


def test_i09_the_thread_that_paints_never_touches_the_store(store: Path, watched: type[Watched]) -> None:
    async def steps(pilot: Pilot[int], app: HeadwayApp) -> None:
        for key in EVERYWHERE:
            await pilot.press(key)
            await pilot.pause(0.02)
        await until(pilot, lambda: len(watched.used) > 1)

    on_screen(store, steps)
    assert (True, set()) == ("headway-reads" in watched.used, {name for name in watched.used if "Main" in name})


def test_i09_keys_are_answered_while_the_store_is_slow(store: Path, watched: type[Watched]) -> None:
    async def steps(pilot: Pilot[int], app: HeadwayApp) -> None:
        grid = await at_the_jobs(pilot, app)
        watched.late.set()
        app.read_header()
        await answered(pilot, grid)
        watched.late.clear()
        watched.let_go.set()

    on_screen(store, steps)


@pytest.mark.lab
def test_i09_a_console_opens_and_answers_while_another_process_holds_the_store(store: Path) -> None:
    async def steps(pilot: Pilot[int], app: HeadwayApp) -> None:
        grid, jobs = await at_the_jobs(pilot, app), app.screen
        await pilot.press("r")
        await until(pilot, lambda: app.screen is not jobs)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is jobs)
        await answered(pilot, grid)

    held, let_go = server().Event(), server().Event()
    process = server().Process(target=locked.hold, args=(str(store), held, let_go))
    process.start()
    try:
        wait_until(held.is_set, "the other process to hold it")
        on_screen(store, steps)
    finally:
        let_go.set()
        process.join(HANGS_SECONDS)
