"""How a test waits until a Textual console has nothing more to do.

Textual looks every 20 ms whether the process still works, twice for each key: most of the time of a test of the screens
was that sleep. Here it looks every 4 ms. Whoever waits for something that comes from a thread waits for what is seen.
"""

from __future__ import annotations

from textual import _wait

LOOK_SECONDS = 0.004
IDLE_SHARE = 0.1
"""Of the time between two looks, at most so much was worked."""


def look_often() -> None:
    """From now on, for all consoles of this process."""
    _wait.SLEEP_GRANULARITY = LOOK_SECONDS
    _wait.SLEEP_IDLE = LOOK_SECONDS * IDLE_SHARE
