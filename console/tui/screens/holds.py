"""Holds: what Headway keeps from starting, until when, why, and how far that is; `h` lets one go."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from console.model.views import HoldView
from console.tui import rows
from console.tui.screens.base import RunChoice
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row


class HoldsScreen(ShortListScreen):
    WHERE = "holds"
    COLUMNS = rows.HOLDS
    EMPTY = "nothing is held: h on a job holds it"

    def fetch(self) -> None:
        self.board.ask_for(self, "holds", lambda reads: reads.holds(), self.show_views)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        left: list[Run] = [(" HOLDS", "key"), (f" {len(self.views)}", "strong")]
        frozen = self.board.header is not None and bool(self.board.header.frozen)
        if frozen and self.views:
            left.append(("   frozen: what is held stays held until somebody thaws", "warn"))
        return left, self.marks()

    def row_of(self, view: HoldView) -> Row:
        return rows.hold(view, self.look)

    def text_of(self, view: HoldView) -> str:
        return f"{view.job} {view.why} {view.words} {view.held_by} state:{view.state} system:{view.system}"

    def key_of(self, view: HoldView) -> Hashable:
        return view.key

    def name_here(self) -> str:
        return str(self.here.job) if self.here else ""

    def run_here(self) -> RunChoice | str:
        return f"a hold is about a job: {self.key_for('open')} shows it"

    def do_open(self) -> None:
        self.board.open_job(self.here.job_id)

    def record_here(self) -> Any:
        return self.here

    def why_not_hold(self) -> str:
        return self.why_not_open()

    def do_hold(self) -> None:
        from console.tui.screens.acting import release

        release(self, self.here)
