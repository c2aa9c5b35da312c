"""What if: what would become of services if a job were restarted now or later, skipped, or faster. Nothing is sent."""

from __future__ import annotations

from datetime import datetime

from textual.app import ComposeResult

from console.clean import clean_line
from console.model.views import JobView
from console.model.views.otherwise import read_otherwise
from console.tui import chrome, otherwise
from console.tui.asking import Asking
from console.tui.ports import AnswerLike
from console.tui.screens.frame import FrameScreen
from console.tui.screens.overlay import Overlay
from console.tui.widgets.hints import Hint
from console.tui.widgets.pane import Pane

MOST_TIMES = 6
"""Restarts at other times that stand beside each other."""
ASKING = "the engine computes what would come of it…"


class WhatIfScreen(Overlay[None]):
    WHERE = "what_if"

    def __init__(self, job_id: int, job: str) -> None:
        super().__init__()
        self.job_id, self.job = job_id, job
        self.times: list[datetime] = []
        """Of restarts that a person asked for."""
        self.pane = Pane(id="what-if")
        self.pane.finds_errors = False
        self._asking: Asking | None = None

    @property
    def lines_at_first(self) -> int:
        return super().lines_at_first + 8

    def content(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self._ask()
        self.pane.focus()

    def _ask(self) -> None:
        """Everything anew: forecasts of one moment are what can be compared."""
        look = self.look
        as_of = f"  as of {look.clock.hm(look.now, look.now)} {look.clock.label(look.now)}"
        self.bar("box-title").show([("WHAT IF ", "key"), (self.job, "strong"), (as_of, "dim")])
        self._foot("")
        header = self.board.header
        if header is not None and not header.engine.alive:  # nobody would answer
            self._failed(chrome.banner(header, "", look).strip())
            return
        ways = otherwise.ways(self.times, look)
        if self._asking is not None:
            self._asking.stop()
        self.pane.show_runs([[(ASKING, "dim")]])

        def answered(answer: AnswerLike) -> None:
            if answer.ok:
                self.pane.show_runs(otherwise.lines(self.job, read_otherwise(answer.data), ways, look))
            else:
                self._failed(answer.error)

        asked = [way.asked for way in ways]
        self._asking = Asking(
            self.board, self, "what if", lambda requests: requests.what_if(self.job_id, asked), answered, self._failed
        )

    def _failed(self, words: str) -> None:
        self.pane.show_runs([[("no forecast: ", "bad"), (clean_line(words), "plain")]])

    def _foot(self, said: str) -> None:
        hints = Hint(self.key_for("what_if_at"), "restarted at…", 1), Hint(self.key_for("back"), "back")
        self.foot(*hints, said=said)

    def do_what_if_at(self) -> None:
        from console.tui.screens.ask import AskScreen

        look = self.look

        def fault(text: str) -> str:
            return "" if otherwise.next_time(text, look) else "no time of day; write 03:58"

        def answered(text: str | None) -> None:
            at = otherwise.next_time(text, look) if text else None
            if at is not None:
                self.times = [*(each for each in self.times if each != at), at][-MOST_TIMES:]
                self._ask()

        says = f"when it would be restarted, by the clock {look.clock.label(look.now)}: the next such time"
        self.board.push_screen(AskScreen(f"WHAT IF {self.job} were restarted at", says, "", fault), answered)


def what_if(screen: FrameScreen, job: str | int) -> None:
    """Opens it for a job by its name or id."""

    def opened(view: JobView) -> None:
        screen.board.push_screen(WhatIfScreen(view.row.id, view.row.name))

    screen.look_up("what if", lambda reads: reads.job(job), opened)
