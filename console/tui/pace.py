"""Painting at the pace of the terminal's line and of the eye: what changed meanwhile is painted once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

LOOK_AGAIN_SECONDS = 0.02
FLOOD_SECONDS = 0.1
"""Where nobody touches a key, what changes is painted at most so often."""
AFTER_TOUCH_SECONDS = 1.0
"""What a key brings is painted at once, also where it comes a little later."""
LONGEST_HOLD_SECONDS = 0.1

if TYPE_CHECKING:
    Base = Screen[Any]
else:
    Base = object


class Paced(Base):
    """A screen whose changes wait while its line has not taken the last ones, and while nobody would see them. It
    reaches into an inner part of Textual: `tests.bench.console` measures it (`held_key_stops`)."""

    _waits = False
    _painted_at = 0.0
    holds_back = False
    """Nothing is worth painting yet: what changes meanwhile is painted with the rest."""

    def hold_back(self) -> None:
        """Waits with painting until `holds_back` is set to False again, but not for long."""
        self.holds_back = True
        self.set_timer(LONGEST_HOLD_SECONDS, self._let_go)

    def _let_go(self) -> None:
        if self.holds_back:
            self.holds_back = False
            self.refresh()

    def _compositor_refresh(self) -> None:
        if self.holds_back:
            return
        wait = LOOK_AGAIN_SECONDS if getattr(self.app._driver, "is_behind", False) else self._too_early()
        if wait <= 0:
            self._painted_at = time.monotonic()
            super()._compositor_refresh()
        elif not self._waits:
            self._waits = True
            self.set_timer(wait, self._look_again)

    def _too_early(self) -> float:
        """Seconds until a flood of changes may be painted again; 0 where a person has just touched a key."""
        now = time.monotonic()
        if now - getattr(self.app, "touched_at", now) < AFTER_TOUCH_SECONDS:
            return 0.0
        return self._painted_at + FLOOD_SECONDS - now

    def _look_again(self) -> None:
        self._waits = False
        if self.is_attached:
            self._compositor_refresh()
