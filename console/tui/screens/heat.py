"""When the runs of a table were due, by day and hour, and when they failed."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from console.model.filters import JobFilter
from console.model.views.jobs import HourCount
from console.tui import heat
from console.tui.screens.overlay import Overlay
from console.tui.widgets.hints import Hint
from console.tui.widgets.pane import Pane


class HeatScreen(Overlay[None]):
    WHERE = "text"

    def __init__(self, wanted: JobFilter, words: str) -> None:
        super().__init__()
        self.wanted, self.words = wanted, words
        self.pane = Pane(id="text")

    def content(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        title = f"runs by hour, {heat.DAYS} days" + (f": {self.words}" if self.words else "")
        self.bar("box-title").show([(title, "strong"), ("   reading…", "dim")])
        self.foot(Hint(self.key_for("back"), "back"), Hint(self.key_for("copy"), "copy", 1))
        self.pane.focus()

        def found(hours: Sequence[HourCount]) -> None:
            self.bar("box-title").show([(title, "strong")])
            self.pane.show_runs(heat.lines(hours, self.look))

        def failed(error: Exception) -> None:
            self.bar("box-title").show([(title, "strong"), (f"   {error}", "bad")])

        self.board.ask_for(self, "hours", lambda reads: reads.run_hours(self.wanted, heat.DAYS * 24), found, failed)

    def do_copy(self) -> None:
        self.board.copy_to_clipboard(self.pane.text)
