"""Services: what the business was promised, by when, and what endangers it. The first screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from console.model.views import IncidentView, ServiceView
from console.tui import chrome, rows
from console.tui.screens.base import RunChoice
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row


class ServicesScreen(ShortListScreen):
    WHERE = "services"
    COLUMNS = rows.SERVICES
    EMPTY = "no service is configured yet: [services.NAME] in the config promises one"

    def on_mount(self) -> None:
        super().on_mount()
        if self.board.header is not None:  # read while textual was starting: the first paint has rows
            self._sorted(self.board.services)

    def fetch(self) -> None:
        self.board.ask_for(self, "services", lambda reads: reads.services(), self._sorted)

    def _sorted(self, services: Sequence[ServiceView]) -> None:
        """First whoever loses something soonest, then by deadline."""
        self.grid.set_columns(rows.SERVICES if len({view.zone for view in services}) < 2 else rows.SERVICES_ZONED)
        far = max((view.deadline for view in services), default=self.look.now)
        self.show_views(
            sorted(services, key=lambda view: (not view.needs_a_person, view.act_by or far, view.deadline, view.name))
        )

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        bad = sum(view.needs_a_person for view in self.views)
        left: list[Run] = [(" SERVICES", "key"), (f" {len(self.views)}", "strong")]
        if bad:
            left.append((f"  {bad} need you", "warn"))
        return [*left, (f"   times: {chrome.zone_words(self.look)}", "dim")], self.marks()

    def row_of(self, view: ServiceView) -> Row:
        return rows.service(view, self.look, zoned=not self.look.clock.home)

    def is_problem(self, view: ServiceView) -> bool:
        return view.needs_a_person

    def text_of(self, view: ServiceView) -> str:
        return f"{view.name} {view.title} {view.cause} owner:{view.owner} tier:{view.tier} state:{view.timeliness}"

    def name_here(self) -> str:
        return str(self.here.name) if self.here else ""

    def job_here(self) -> str:
        """What endangers it, else what delivers it."""
        path = self.here.path if self.here is not None else ()
        return self.here.cause if path and self.here.cause in path else path[-1] if path else ""

    def why_not_lineage(self) -> str:
        if self.here is None:
            return "nothing is selected"
        return "" if self.job_here() else f"no critical path of {self.here.title or self.here.name} is known yet"

    def links_here(self) -> list[tuple[str, str]]:
        view: ServiceView | None = self.here
        if view is None:
            return []
        found = [("owner", view.owner), ("runbook", view.runbook), ("why", view.reason)]
        return [(word, text) for word, text in found if text]

    def do_open(self) -> None:
        """Its incident; without one the jobs that it hangs on."""
        if self.here.incident_id is not None:
            self.board.open_incident(self.here.incident_id)
        else:
            self.board.open_jobs(f"service:{self.here.name}")

    def run_here(self) -> RunChoice | str:
        return self.why_not_recover() or "looking for its root run"

    def why_not_recover(self) -> str:
        """Why there is nothing to repair."""
        if self.here is None:
            return "nothing is selected"
        if self.here.incident_id is None:
            return f"{self.here.title or self.here.name} has no open incident: Enter shows its jobs"
        return ""

    def why_not_log(self) -> str:
        return self.why_not_recover()

    def do_recover(self) -> None:
        from console.tui.screens.acting import recover

        recover(self, self.here.incident_id)

    def with_run(self, then: Callable[[RunChoice], None]) -> None:
        incident_id = self.here.incident_id

        def found(view: IncidentView) -> None:
            if view.row.root_run_id is None:
                self.notice("the root cause of its incident is no run: Enter shows it", "warn")
            else:
                then(RunChoice(view.row.root_run_id, view.row.root_job, incident_id))

        self.look_up("root", lambda reads: reads.incident(incident_id), found)
