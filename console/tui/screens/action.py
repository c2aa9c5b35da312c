"""Action: one thing that was asked for: the exact call, its way with times, and the proof that it was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.model.views.asked import AskedView, WayStep
from console.tui import asked
from console.tui.order import verb_word
from console.tui.screens.asked_acts import AskedActs
from console.tui.screens.detail import DetailScreen
from console.tui.steps import Lines
from console.tui.trail import Place
from console.tui.widgets.paint import Run


class ActionScreen(AskedActs, DetailScreen):
    WHERE = "action"

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.view: AskedView | None = None
        self.way: Sequence[WayStep] = ()

    @property
    def place(self) -> Place:
        return "action", self.key

    def fetch(self) -> None:
        self.look_up("action", lambda reads: reads.asked_as(self.key), self._found)

    def _found(self, found: tuple[AskedView, Sequence[WayStep]]) -> None:
        self.view, self.way = found
        self.tick()

    def lines(self) -> Lines:
        return asked.asked_lines(self.view, self.way, self.look) if self.view else []

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        view = self.view
        if view is None:
            return [(f" ACTION {self.key}", "key"), (f"  {self.waiting}", "warn")], []
        mark, word, style = self.look.glyphs.mark("action", view.state)
        left = [(" ACTION ", "key"), (f"{verb_word(view.verb)} {view.job}", "strong")]
        return [*left, (f"  {mark} ", style), (word, style)], []

    def crumb(self) -> str:
        return "action"

    @property
    def asked_here(self) -> AskedView | None:
        return self.view

    def record_here(self) -> Any:
        return self.view

    def why_not_open(self) -> str:
        choice = self.run_here()
        return choice if isinstance(choice, str) else ""

    def do_open(self) -> None:
        self.do_log()
