"""Incidents: one line for each root cause, with the time that is left to mend it."""

from __future__ import annotations

from collections.abc import Sequence

from console.model.ids import incident_name
from console.model.views import IncidentRow
from console.tui import rows
from console.tui.screens.base import RunChoice
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row


class IncidentsScreen(ShortListScreen):
    WHERE = "incidents"
    COLUMNS = rows.INCIDENTS
    EMPTY = "no incident is open"

    def fetch(self) -> None:
        self.board.ask_for(self, "incidents", lambda reads: reads.incidents(), self._sorted)

    def _sorted(self, incidents: Sequence[IncidentRow]) -> None:
        self.show_views(sorted(incidents, key=lambda view: (view.act_by is None, view.act_by or view.opened, view.id)))

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        return [(" INCIDENTS", "key"), (f" {len(self.views)} open", "strong")], self.marks()

    def row_of(self, view: IncidentRow) -> Row:
        return rows.incident(view, self.look)

    def text_of(self, view: IncidentRow) -> str:
        return f"{incident_name(view.id)} {view.title} {view.root_job} {view.reason} owner:{view.owner}"

    def name_here(self) -> str:
        return incident_name(self.here.id) if self.here else ""

    def job_here(self) -> str:
        return str(self.here.root_job) if self.here else ""

    def why_not_lineage(self) -> str:
        if self.here is None:
            return "no incident is open"
        return "" if self.here.root_job else "its root cause is no job: Enter shows its runs"

    def links_here(self) -> list[tuple[str, str]]:
        view: IncidentRow | None = self.here
        if view is None:
            return []
        return [(word, text) for word, text in (("owner", view.owner), ("runbook", view.runbook)) if text]

    def run_here(self) -> RunChoice | str:
        view: IncidentRow | None = self.here
        if view is None:
            return "no incident is open"
        if view.root_run_id is None:
            return "its root cause is no run: nothing to rerun"
        return RunChoice(view.root_run_id, view.root_job, view.id)

    def why_not_recover(self) -> str:
        return "" if self.here is not None else "no incident is open"

    def do_recover(self) -> None:
        from console.tui.screens.acting import recover

        recover(self, self.here.id)

    def why_not_ack(self) -> str:
        return "" if self.here is not None else "no incident is open"

    def do_ack(self) -> None:
        from console.tui.screens.taking import take

        take(self, self.here)

    def do_open(self) -> None:
        self.board.open_incident(self.here.id)
