"""Incident: one root cause, whom it hurts, its log, and what was told and done. Enter: the root run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from console.model.carried import PlanView
from console.model.ids import incident_name
from console.model.steps import open_steps, waiting_for
from console.model.views import IncidentView
from console.tui import story
from console.tui.cells import line
from console.tui.screens.base import BaseScreen, RunChoice
from console.tui.trail import Place
from console.tui.underway import plan_line
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Rows


class IncidentScreen(BaseScreen):
    WHERE = "incident"
    DEFAULT_CSS = """
    IncidentScreen #story { height: 3fr; }
    IncidentScreen #side { height: 2fr; }
    IncidentScreen.-wide #panels { layout: horizontal; }
    IncidentScreen.-wide #story { width: 1fr; height: 1fr; }
    IncidentScreen.-wide #side { width: 1fr; height: 1fr; border-left: solid $panel; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]

    def __init__(self, incident_id: int) -> None:
        super().__init__()
        self.incident_id = incident_id
        self.view: IncidentView | None = None
        self.plans: tuple[PlanView, ...] = ()
        """Those that go on for it, newest first."""
        self.grid = Grid((), "reading…", id="grid")
        self.log_pane = Pane(id="log")
        self.log_pane.following = self.log_pane.wrapped = True

    @property
    def place(self) -> Place:
        return "incident", self.incident_id

    def body(self) -> ComposeResult:
        yield Bar(id="clocks")
        with Container(id="panels"):
            with Vertical(id="story"):
                yield self.grid
            with Vertical(id="side"):
                yield Bar(id="log-title", ground="panel")
                yield self.log_pane

    def on_mount(self) -> None:
        self.grid.focus()

    def fetch(self) -> None:
        number = self.incident_id
        self.look_up("incident", lambda reads: (reads.incident(number), reads.plans(number)), self._show)

    def _show(self, found: tuple[IncidentView, Sequence[PlanView]]) -> None:
        view, plans = found
        before, self.view = self.view, view
        self.plans = tuple(one for one in plans if one.ended is None)
        self.tick()
        self.log_pane.show(view.log or (view.log_error and f"no log: {view.log_error}") or "no log was kept")
        if not self.grid.touched or self._is_over(before):
            self._point_at_step()

    def _is_over(self, before: IncidentView | None) -> bool:
        """True when the run under the cursor was a step to send, and is none any more."""
        here = self.here.run_id if self.here else None
        return before is not None and here in _step_ids(before) and here not in _step_ids(self.view)

    def _point_at_step(self) -> None:
        """Puts the cursor on the run that `r` is about: the next step, else the one it waits for."""
        steps = open_steps(self.view) if self.view else []
        keys = [self.grid.source.key_at(index) for index in range(len(self.grid.source))]
        if steps and ("run", steps[0].run_id, steps[0].job) in keys:
            self.grid.move_to(keys.index(("run", steps[0].run_id, steps[0].job)))
            self.grid.touched = False

    def tick(self) -> None:
        super().tick()
        if self.view is not None:
            plans = [line(("plan", one.id), plan_line(one, self.look), pick=True) for one in self.plans]
            waiting = [one for one in self.board.approvals if one.key in {each.key for each in self.view.actions}]
            asked = [line(("approve", one.key), story.approval(one), pick=False) for one in waiting]
            told = story.lines(self.view, self.look, self.grid.room, self.grid.size.height)
            self.grid.show(Rows([*plans, *asked, *told]))
            clocks = story.clocks(self.view, self.look, self.size.width)
            self.bar("clocks").show_lines([(tuple(runs), (), "") for runs in clocks])
            self.bar("log-title").show(
                [(f" log of {self.view.row.root_job or 'the cause'}", "dim")], [("l opens ", "dim")]
            )

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self.view is None:
            return [(f" {incident_name(self.incident_id)}", "key"), (f"  {self.lost or 'reading…'}", "warn")], []
        return story.title(self.view, self.look, self.size.width)

    def crumb(self) -> str:
        return incident_name(self.incident_id)

    # acts

    @property
    def here(self) -> RunChoice | None:
        """The run under the cursor; None on a service."""
        key = self.grid.key
        if self.view is None or not isinstance(key, tuple) or key[0] != "run" or not isinstance(key[1], int):
            return None
        job = next((member.job for member in self.view.members if member.run_id == key[1]), "")
        job = job or next((action.job for action in self.view.actions if action.run_id == key[1]), "")
        return RunChoice(key[1], job, self.incident_id)

    def run_here(self) -> RunChoice | str:
        """The run under the cursor, else the root's."""
        if self.here is not None:
            return self.here
        row = self.view.row if self.view else None
        if row is None:
            return self.lost or "the incident is not read yet"
        if row.root_run_id is None:
            return "its root cause is no run: nothing to rerun"
        return RunChoice(row.root_run_id, row.root_job, row.id)

    def why_not_recover(self) -> str:
        """Why there is no plan to propose; one that goes on can always be looked at."""
        if self.view is None:
            return self.lost or "the incident is not read yet"
        if self.plans or (self.view.row.closed is None and open_steps(self.view)):
            return ""
        return waiting_for(self.view)

    def do_recover(self) -> None:
        from console.tui.screens.acting import recover

        recover(self, self.incident_id)

    def why_not_ack(self) -> str:
        if self.view is None:
            return self.lost or "the incident is not read yet"
        return "it is closed: there is nothing to be on" if self.view.row.closed is not None else ""

    def do_ack(self) -> None:
        from console.tui.screens.taking import take

        if self.view is not None:
            take(self, self.view.row)

    def why_not_open(self) -> str:
        choice = self.run_here()
        return choice if isinstance(choice, str) else ""

    def do_open(self) -> None:
        key = self.grid.key
        if isinstance(key, tuple) and key[0] == "plan" and isinstance(key[1], int):
            self.board.open_plan(key[1])
            return
        self.with_run(lambda choice: self.board.open_run(choice.run_id))

    def name_here(self) -> str:
        return self.here.job if self.here else incident_name(self.incident_id)

    def job_here(self) -> str:
        return self.here.job if self.here else self.view.row.root_job if self.view else ""

    def why_not_lineage(self) -> str:
        return "" if self.job_here() else self.lost or "its root cause is no job: pick one of its runs"

    def record_here(self) -> Any:
        return self.view

    def links_here(self) -> list[tuple[str, str]]:
        if self.view is None:
            return []
        row = self.view.row
        return [(word, text) for word, text in (("owner", row.owner), ("runbook", row.runbook)) if text]

    def do_focus_next(self) -> None:
        self.focus_next()

    @on(Grid.Resized)
    def resized(self) -> None:
        self.tick()

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    @on(Grid.Moved)
    def moved(self) -> None:
        self.paint_foot()


def _step_ids(view: IncidentView | None) -> set[int | None]:
    return {step.run_id for step in open_steps(view)} if view else set()
