"""Wallboard: a display that nobody operates. It reads, turns its own pages, and comes back by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult

from console.model.views import IncidentRow, ServiceView, TargetView
from console.tui.ports import ReadsLike
from console.tui.screens.frame import FrameScreen
from console.tui.wall import Wall, lines
from console.tui.widgets.bar import Bar

READ_SECONDS = 5
"""How often everything is read even if nothing changed: ages grow, and a store that came back is found."""
Read = tuple[Sequence[ServiceView], Sequence[IncidentRow], Sequence[TargetView]]


class WallboardScreen(FrameScreen):
    WHERE: ClassVar[str] = "wallboard"

    def __init__(self) -> None:
        super().__init__()
        self._found: Read = ((), (), ())
        self._read: datetime | None = None
        self._ticks = 0

    def compose(self) -> ComposeResult:
        wall = Bar(id="wall")
        wall.styles.height = "1fr"
        yield wall
        yield Bar(id="foot")

    def fetch(self) -> None:
        self.board.ask_for(self, "wallboard", _everything, self._arrived)

    def _arrived(self, found: Read) -> None:
        self._found, self._read = found, self.look.now
        self.paint_frame()

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % READ_SECONDS == 0:
            self.fetch()
        super().tick()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self.paint_frame)

    def paint_top(self) -> None:
        """The whole board."""
        board = self.board
        wall = Wall(board.header, *self._found, board.store_error, self._read)
        bar = self.bar("wall")
        found = lines(wall, self.look, max(1, self.size.width), max(1, self.size.height - 1))
        bar.show_lines(found)

    def paint_foot(self) -> None:
        age = f"read {self.look.clock.hms(self._read)}" if self._read is not None else "not read yet"
        self.bar("foot").show([(f" {age}", "dim")], [("q leaves ", "dim")])

    def do_quit(self) -> None:
        self.board.exit(0)

    def do_leave(self) -> None:
        self.board.exit(0)


def _everything(reads: ReadsLike) -> Any:
    return reads.services(), reads.incidents(), reads.systems()
