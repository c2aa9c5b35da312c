"""Systems: what is polled, how long ago, and what keeps it from answering."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime

from console.model.views import TargetView
from console.tui import rows
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row

EARLY = datetime(1970, 1, 1, tzinfo=UTC)


class SystemsScreen(ShortListScreen):
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
                key=lambda view: (view.failing_since is None, view.failing_since or EARLY, rows.target_name(view)),
            )
        )

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        sick = sum(1 for view in self.views if view.failing_since is not None)
        left: list[Run] = [(" SYSTEMS", "key"), (f" {len(self.views)}", "strong")]
        if sick:
            left.append((f"  {sick} out of reach", "warn"))
        if self.to_mend:
            left.append((f"  {self.to_mend} to mend in the config: headway status", "warn"))
        return left, self.marks()

    def key_of(self, view: TargetView) -> Hashable:
        return rows.target_name(view)

    def row_of(self, view: TargetView) -> Row:
        return rows.target(view, self.look)

    def is_problem(self, view: TargetView) -> bool:
        return view.failing_since is not None or bool(view.error or view.skipped)

    def text_of(self, view: TargetView) -> str:
        return f"{rows.target_name(view)} {view.kind} {view.error} system:{view.system} state:{view.error_kind}"

    def name_here(self) -> str:
        return rows.target_name(self.here) if self.here else ""

    def do_shell(self) -> None:
        """Steps aside for a session at what the cursor stands on."""
        if not self.here:
            return
        if not self.board.command:
            self.notice("a replay has no hosts to sign in to", "warn")
            return
        from console.tui.aside import step_aside

        name = self.name_here()
        code = step_aside(self.board, (*self.board.command, "shell", name))
        self.notice(f"back from {name}" if code == 0 else f"the session at {name} ended with {code}")

    def do_open(self) -> None:
        self.board.open_jobs(f"system:{self.here.system}")
