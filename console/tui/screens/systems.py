"""Systems: what is polled, how long ago, and what keeps it from answering."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from typing import cast

from console.model.views import TargetView
from console.tui import rows
from console.tui.cells import counted
from console.tui.screens.lists import ShortListScreen
from console.tui.screens.polling import PollingActs
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row

EARLY = datetime(1970, 1, 1, tzinfo=UTC)


class SystemsScreen(PollingActs, ShortListScreen):
    WHERE = "systems"
    COLUMNS = rows.SYSTEMS
    EMPTY = "no system is configured yet: [systems.NAME] in the config names one"

    to_mend = 0

    def fetch(self) -> None:
        self.board.ask_for(self, "systems", lambda reads: (reads.systems(), reads.to_mend()), self._sorted)

    def _sorted(self, found: tuple[Sequence[TargetView], int]) -> None:
        """What is out of reach first, longest first."""
        targets, self.to_mend = found
        self.grid.set_columns(rows.systems_columns(targets))
        self.show_views(
            sorted(
                targets,
                key=lambda view: (
                    view.failing_since is None and not view.stands_still,
                    view.pause is None,
                    view.failing_since or EARLY,
                    rows.target_name(view),
                ),
            )
        )

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        sick = sum(1 for view in self.views if view.failing_since is not None)
        left: list[Run] = [(" SYSTEMS", "key"), (f" {len(self.views)}", "strong")]
        if paused := len({view.system for view in self.views if view.pause is not None}):
            left.append((f"  {counted(paused, 'system')} not polled (P)", "warn"))
        if sick:
            left.append((f"  {sick} out of reach", "warn"))
        if self.to_mend:
            left.append((f"  {self.to_mend} to mend in the config: headway status", "warn"))
        return left, self.marks()

    def key_of(self, view: TargetView) -> Hashable:
        return rows.target_name(view)

    def row_of(self, view: TargetView) -> Row:
        return rows.target(view, self.look, is_watched=self.is_watched)

    def is_problem(self, view: TargetView) -> bool:
        return not view.is_well or bool(view.error or view.skipped)

    def text_of(self, view: TargetView) -> str:
        return f"{rows.target_name(view)} {view.kind} {view.says} system:{view.system} state:{view.error_kind}"

    @property
    def target_here(self) -> TargetView | None:
        return cast("TargetView | None", self.here)

    def do_open(self) -> None:
        self.board.open_system(rows.target_name(self.here))
