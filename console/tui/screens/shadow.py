"""Shadow report: what Headway would have done in the last days, had all been live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from console.durations import duration_words
from console.model.views import EventView
from console.tui import trails
from console.tui.screens.detail import DetailScreen
from console.tui.steps import Lines
from console.tui.widgets.paint import Run

if TYPE_CHECKING:
    from console.model.modes import Modes

WINDOWS = (timedelta(days=14), timedelta(days=1), timedelta(days=7), timedelta(days=30))
"""How far it looks back; a key turns to the next."""
Found = tuple[tuple[Sequence[EventView], int], "Modes"]


class ShadowScreen(DetailScreen):
    WHERE = "shadow"

    def __init__(self) -> None:
        super().__init__()
        self.window = 0
        self.found: Found | None = None

    @property
    def words(self) -> str:
        return duration_words(WINDOWS[self.window].total_seconds())

    def fetch(self) -> None:
        since = self.board.now() - WINDOWS[self.window]
        self.board.ask_for(self, "shadow", lambda reads: (reads.would_have(since), reads.modes()), self._found)

    def _found(self, found: Found) -> None:
        self.found = found
        self.tick()

    def lines(self) -> Lines:
        if self.found is None:
            return []
        (events, refused), modes = self.found
        return trails.shadow_lines(events, refused, modes, self.words, self.look)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        return [(" SHADOW REPORT", "key"), (f"  the last {self.words}", "strong")], []

    def do_window(self) -> None:
        self.window = (self.window + 1) % len(WINDOWS)
        self.fetch()

    def record_here(self) -> Any:
        return self.found[0][0] if self.found else None

    def name_here(self) -> str:
        return "shadow report"

    def job_here(self) -> str:
        return ""
