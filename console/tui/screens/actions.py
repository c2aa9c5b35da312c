"""Actions: what was asked of the schedulers, by whom and why, and what came of it; newest first."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import cast

from console.model.views import HoldView
from console.model.views.asked import AskedView
from console.tui import asked
from console.tui.ports import ReadsLike
from console.tui.screens.asked_acts import AskedActs
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row

Found = tuple[Sequence[AskedView], int, Sequence[HoldView]]


class ActionsScreen(AskedActs, ShortListScreen):
    WHERE = "actions"
    COLUMNS = asked.ASKED
    EMPTY = "nothing was asked for yet: r on a run or an incident shows what would be sent"

    total = 0
    holds: Sequence[HoldView] = ()

    def fetch(self) -> None:
        self.board.ask_for(self, "actions", _read, self._found)

    def _found(self, found: Found) -> None:
        views, self.total, self.holds = found
        self.show_views(views)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        left = asked.asked_title(self.views, self.total)
        if self.holds:
            soonest = min(one.until for one in self.holds)
            until = self.look.clock.day(soonest, self.look.now)
            left += [(f"  {len(self.holds)} held", "warn"), (f", the first until {until} (h)", "dim")]
        return left, self.marks()

    def key_of(self, view: AskedView) -> Hashable:
        return view.key

    def row_of(self, view: AskedView) -> Row:
        return asked.asked_row(view, self.look)

    def is_problem(self, view: AskedView) -> bool:
        return view.needs_a_person

    def text_of(self, view: AskedView) -> str:
        return view.text

    @property
    def asked_here(self) -> AskedView | None:
        return cast("AskedView | None", self.here)

    def do_open(self) -> None:
        self.board.open_action(self.here.key)

    def do_show_holds(self) -> None:
        self.board.go("holds")

    def do_show_shadow(self) -> None:
        self.board.go("shadow")


def _read(reads: ReadsLike) -> Found:
    return reads.asked(), reads.asked_count(), reads.holds()
