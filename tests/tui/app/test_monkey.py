"""Whatever is pressed in whatever order, and however late answers come: the console never breaks."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.tui.driving import Night, _drive
from tests.tui.fake_reads import FakeReads

KEYS = (
    "1", "2", "3", "5", "enter", "enter", "enter", "escape", "escape", "r", "l", "d", "o", "i", "y", "Z", "!", "?", ":",
    "/", "e", "x", "t", "j", "k", "down", "up", "pagedown", "end", "home", "tab", "p", "f", "n", "N", "space", "ctrl+p",
    "4", "[", "]", "comma", ".", "+", "_", "0",
    "g", "b", "v", "z", "u", "U", "D", "left", "right", "c", "X", "M", "h", "A", "F", "K", "J", "w", "a", "R",
)  # fmt: skip


class SlowReads(FakeReads):
    """Answers come a little late, as from a busy disk."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("incident", "run", "list_services", "jobs_by_ids", "job", "list_incidents", "systems"):
            time.sleep(0.004)
        return super().__getattribute__(name)


async def monkey(night: Night, seed: int, presses: int) -> None:
    chance = random.Random(seed)
    for _ in range(presses):
        await night.pilot.press(chance.choice(KEYS))
        if chance.random() < 0.3:
            await night.pilot.pause(0.002)
        if not night.app.is_running:
            return


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_any_keys_in_any_order_leave_a_working_console(seed: int) -> None:
    night = Night(SlowReads())
    asyncio.run(_drive(lambda driven: monkey(driven, seed, 100), night, (80, 24), {}))
    assert night.app.return_code in (0, None)
    assert night.app._exception is None


@pytest.mark.deep
def test_a_screen_that_was_closed_before_its_answer_came_is_left_alone() -> None:
    async def steps(night: Night) -> None:
        for _ in range(10):
            await night.pilot.press("2", "enter", "enter", "3", "1")
        await night.see("Supply plan")

    asyncio.run(_drive(steps, Night(SlowReads()), (80, 24), {}))
