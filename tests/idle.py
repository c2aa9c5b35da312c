"""How a test waits until a Textual console has nothing more to do.

Textual looks every 20 ms whether the process still works, twice for each key: most of the time of a test of the screens
was that sleep. Here it looks every 4 ms. A process that stands still because others work, on a busy machine, is not one
that has nothing to do: the loop's own queue is looked into, too. Whoever waits for something that comes from a thread
waits for what is seen.
"""

from __future__ import annotations

import asyncio
import time

from textual import _wait, app, pilot

LOOK_SECONDS = 0.004
IDLE_SHARE = 0.1
"""Of the time between two looks, at most so much was worked."""
LONGEST_SECONDS = 1.0


def look_often() -> None:
    """From now on, for all consoles of this process."""
    _wait.SLEEP_GRANULARITY = LOOK_SECONDS
    _wait.SLEEP_IDLE = LOOK_SECONDS * IDLE_SHARE
    setattr(app, "wait_for_idle", until_idle)  # noqa: B010 - mypy knows it as Textual's own
    setattr(pilot, "wait_for_idle", until_idle)  # noqa: B010 - the same


async def until_idle(min_sleep: float = LOOK_SECONDS, max_sleep: float = LONGEST_SECONDS) -> None:
    """Waits until the process works little and nothing that came in is still on its way from widget to widget."""
    await _wait.wait_for_idle(min_sleep, max_sleep)
    end = time.monotonic() + max_sleep
    while is_on_its_way() and time.monotonic() < end:  # noqa: ASYNC110 - nobody sets an event
        await asyncio.sleep(0)


def is_on_its_way() -> bool:
    """Whether the running loop has anything to do at once. It is no public part of asyncio: without it, nothing has."""
    return bool(getattr(asyncio.get_running_loop(), "_ready", ()))
