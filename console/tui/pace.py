"""Painting at the pace of the terminal's line: what changed meanwhile is painted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.screen import Screen

LOOK_AGAIN_SECONDS = 0.02

if TYPE_CHECKING:
    Base = Screen[Any]
else:
    Base = object


class Paced(Base):
    """A screen whose changes wait while its line has not taken the last ones. It reaches into an inner part of Textual:
    `tests.bench.console` measures it (`held_key_stops`)."""

    _waits = False

    def _compositor_refresh(self) -> None:
        if not getattr(self.app._driver, "is_behind", False):
            super()._compositor_refresh()
        elif not self._waits:
            self._waits = True
            self.set_timer(LOOK_AGAIN_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._waits = False
        if self.is_attached:
            self._compositor_refresh()
