"""How a test waits until a Textual console is idle.

Textual checks every 20 ms whether the process still works, twice for each key: that sleep was most of the time of a
screen test. Here it checks every 4 ms. A process that waits because others work, on a busy machine, is not idle: the
loop's own queue is checked, too. A test that waits for a thread waits for its effect on the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual import _wait, app, pilot

from console.tui.frame.resource_thread import ResourceThread
from tests.lab.process import HANGS_SECONDS

CHECK_SECONDS = 0.004
IDLE_SHARE = 0.1
"""Of the time between two looks, at most so much was worked."""
LONGEST_SECONDS = 1.0


def refresh_often() -> None:
    """From now on, for all consoles of this process."""
    _wait.SLEEP_GRANULARITY = CHECK_SECONDS
    _wait.SLEEP_IDLE = CHECK_SECONDS * IDLE_SHARE
    setattr(app, "wait_for_idle", until_idle)  # noqa: B010 - mypy knows it as Textual's own
    setattr(pilot, "wait_for_idle", until_idle)  # noqa: B010 - the same


async def until_idle(min_sleep: float = CHECK_SECONDS, max_sleep: float = LONGEST_SECONDS) -> None:
    """Waits until the process works little and nothing that came in is still on its way from widget to widget."""
    await _wait.wait_for_idle(min_sleep, max_sleep)
    end = time.monotonic() + max_sleep
    while is_on_its_way() and time.monotonic() < end:  # noqa: ASYNC110 - nobody sets an event
        await asyncio.sleep(0)


def is_on_its_way() -> bool:
    """Whether the running loop has anything to do at once. It is no public part of asyncio: without it, nothing has."""
    return bool(getattr(asyncio.get_running_loop(), "_ready", ()))


def is_busy(console: Any) -> bool:
    """Whether a key or a message of a console is on its way, or a request to a thread waits for its answer."""
    threads = (item for item in vars(console).values() if isinstance(item, ResourceThread))
    return any(thread._waiting or thread._doing for thread in threads) or console._keys.is_busy or is_on_its_way()


async def at_rest(driver: pilot.Pilot[Any], screen: Callable[[], str], looks: int = 3) -> None:
    """Waits until nothing is under way, and `screen` has been the same for a while, longer than a flood of changes is
    held back. TimeoutError where a console never rests."""
    before, same = "", 0
    async with asyncio.timeout(HANGS_SECONDS):
        while same < looks:
            await driver.pause(0.03)
            now = screen()
            before, same = now, same + 1 if now == before and not is_busy(driver.app) else 0
