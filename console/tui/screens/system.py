"""System: one target of it: health, cursor, rights, what it skipped, what changed there outside of us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.model.views import DriftView, TargetView
from console.tui import rows, system
from console.tui.ports import ReadsLike
from console.tui.screens.detail import DetailScreen
from console.tui.screens.polling import PollingActs
from console.tui.steps import Lines
from console.tui.trail import Place
from console.tui.widgets.paint import Run


class SystemScreen(PollingActs, DetailScreen):
    WHERE = "system"

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name_wanted = name
        """As `rows.target_name` has it."""
        self.view: TargetView | None = None
        self.drift: tuple[DriftView, ...] = ()

    @property
    def place(self) -> Place:
        return "target", self.name_wanted

    def fetch(self) -> None:
        self.board.ask_for(self, "system", self._read, self._found)

    def _read(self, reads: ReadsLike) -> tuple[TargetView | None, Sequence[DriftView]]:
        view = next((one for one in reads.systems() if rows.target_name(one) == self.name_wanted), None)
        if view is None:
            return None, ()
        return view, [one for one in reads.drift() if one.job.startswith(f"{view.system}/")]

    def _found(self, found: tuple[TargetView | None, Sequence[DriftView]]) -> None:
        self.view, self.drift = found[0], tuple(found[1])
        self.lost = "" if self.view else "it is in no config any more"
        self.tick()

    def lines(self) -> Lines:
        return system.system_lines(self.view, self.drift, self.look) if self.view else []

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        view = self.view
        if view is None:
            return [(f" SYSTEM {self.name_wanted}", "key"), (f"  {self.waiting}", "warn")], []
        word, style = ("out of reach", "bad") if view.failing_since else ("not polled", "warn")
        word, style = ("nothing starts here", "bad") if view.stands_still else (word, style)
        left: list[Run] = [(" SYSTEM ", "key"), (self.name_wanted, "strong")]
        if view.is_well:
            word, style = ("well", "ok") if self.is_watched else ("nobody looks: this is what was seen last", "warn")
        return [*left, (f"  {word}", style)], []

    def crumb(self) -> str:
        return "system"

    @property
    def target_here(self) -> TargetView | None:
        return self.view

    def record_here(self) -> Any:
        return self.view

    def why_not_open(self) -> str:
        return self.why_not_jobs_here()

    def do_open(self) -> None:
        self.do_jobs_here()
