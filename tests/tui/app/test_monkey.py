"""Whatever is pressed in whatever order, and however late answers come: the console never breaks."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest

from tests.lab.process import HANGS_SECONDS
from tests.tui.driving import Night, _drive
from tests.tui.fake_reads import FakeReads

KEYS = (
    "1", "2", "3", "5", "enter", "enter", "enter", "escape", "escape", "r", "l", "d", "o", "i", "y", "Z", "!", "?", ":",
    "/", "e", "x", "t", "j", "k", "down", "up", "pagedown", "end", "home", "tab", "p", "f", "n", "N", "space", "ctrl+p",
    "4", "[", "]", "comma", ".", "+", "_", "0",
    "g", "b", "v", "z", "u", "U", "D", "left", "right", "c", "X", "M", "h", "A", "F", "K", "J", "w", "a", "R",
)  # fmt: skip


class SlowReads(FakeReads):
    """Answers wait, as for a busy disk, while `are_answered` is not set: more keys come meanwhile."""

    def __post_init__(self) -> None:
        self.are_answered = threading.Event()
        self.are_answered.set()
        super().__post_init__()

    def __getattribute__(self, name: str) -> Any:
        if name in ("incident", "run", "list_services", "jobs_by_ids", "job", "list_incidents", "systems"):
            self.are_answered.wait(HANGS_SECONDS)
        return super().__getattribute__(name)


async def monkey(night: Night, reads: SlowReads, seed: int, presses: int) -> None:
    chance = random.Random(seed)
    for _ in range(presses):
        await night.pilot.press(chance.choice(KEYS))
        if chance.random() < 0.5:
            reads.are_answered.set()
        else:
            reads.are_answered.clear()
        if not night.app.is_running:
            break
    reads.are_answered.set()


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_any_keys_in_any_order_leave_a_working_console(seed: int) -> None:
    reads = SlowReads()
    night = Night(reads)
    asyncio.run(_drive(lambda driven: monkey(driven, reads, seed, 100), night, (80, 24), {}))
    assert night.app.return_code in (0, None)
    assert night.app._exception is None


@pytest.mark.deep
def test_a_screen_that_was_closed_before_its_answer_came_is_left_alone() -> None:
    reads = SlowReads()

    async def steps(night: Night) -> None:
        for _ in range(10):
            await night.pilot.press("2", "enter")
            reads.are_answered.clear()
            await night.pilot.press("enter", "3", "1")
            reads.are_answered.set()
        await night.see("Supply plan")

    asyncio.run(_drive(steps, Night(reads), (80, 24), {}))
