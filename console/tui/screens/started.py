"""A plan that was started: each step's state as its scheduler tells it; paused, resumed, given up. It goes on without
this screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult

from console.model.carried import PlanView, StepView
from console.model.ids import incident_name
from console.model.views import IncidentView
from console.tui import underway
from console.tui.cells import counted
from console.tui.ports import ReadsLike
from console.tui.screens.base import BaseScreen, RunChoice
from console.tui.steps import LABEL
from console.tui.trail import Place
from console.tui.widgets.bar import Bar, Line
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run, length_of
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Rows

STYLES = {"running": "run", "paused": "warn", "stopped": "bad", "done": "ok", "aborted": "warn"}
WAYS = {"pause": ("running",), "resume": ("paused", "stopped"), "abort": ("running", "paused", "stopped")}


class StartedScreen(BaseScreen):
    WHERE = "recovery"
    DEFAULT_CSS = """
    StartedScreen #grid { height: 3fr; }
    StartedScreen #detail { height: 2fr; border-top: solid $foreground 25%; }
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.view: PlanView | None = None
        self.incident: IncidentView | None = None
        """Its incident, once it is done."""
        self.grid = Grid(underway.STARTED, "reading…", id="grid")
        self.pane = Pane(id="detail")
        self.pane.wrapped, self.pane.hang, self.pane.finds_errors = True, LABEL, False

    @property
    def place(self) -> Place:
        return "plan", self.number

    def body(self) -> ComposeResult:
        yield Bar(id="stands")
        yield self.grid
        yield self.pane

    def on_mount(self) -> None:
        self.grid.focus()

    def fetch(self) -> None:
        self.look_up("plan", self._read, self._show)

    def _read(self, reads: ReadsLike) -> tuple[PlanView, IncidentView | None]:
        view = reads.plan(self.number)
        if view.state != "done" or view.incident_id is None:
            return view, None
        return view, reads.incident(view.incident_id)

    def _show(self, found: tuple[PlanView, IncidentView | None]) -> None:
        view, self.incident = found
        self.view = view
        if not self.grid.touched:
            self.grid.show(self._rows(view))
            at = next((step.place for step in view.steps if step.state in ("asked", "failed")), None)
            if at is not None:
                self.grid.move_to(at - 1)
                self.grid.touched = False
        self.tick()

    def tick(self) -> None:
        super().tick()
        if self.view is not None:
            self.grid.show(self._rows(self.view))
            self.bar("stands").show_lines(self._stands(self.view, self.size.width))
            self._explain()

    def _rows(self, view: PlanView) -> Rows:
        ended = underway.ended_rows(self.incident, self.look) if self.incident is not None else []
        return Rows([*underway.plan_rows(view, self.look), *ended])

    def _stands(self, view: PlanView, width: int) -> list[Line]:
        """Who asked for it and why, and that it goes on: in two lines where they do not fit into one."""
        runs: list[Run] = [(f" {view.words}  ", STYLES.get(view.state, "plain"))] if view.words else []
        runs.append((f" asked by {view.requested_by} at {self.look.clock.hms(view.requested)}", "dim"))
        why: list[Run] = [(f"   why: {view.why}", "dim")] if view.why else []
        on: list[Run] = [("   it goes on without this screen", "dim")] if view.state == "running" else []
        if length_of([*runs, *why, *on]) <= width:
            return [((*runs, *why, *on), (), "")]
        return [(tuple(runs), (), ""), (tuple(why), tuple(on), "")] if why else [(tuple(runs), tuple(on), "")]

    def _explain(self) -> None:
        step, view = self.here, self.view
        self.pane.show_runs(underway.plan_detail(view, step, self.look) if step and view else [])

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        view = self.view
        if view is None:
            return [(f" PLAN {self.number}", "key"), (f"  {self.waiting}", "warn")], []
        left: list[Run] = [(f" PLAN {view.id} ", "key"), (view.state, STYLES.get(view.state, "plain"))]
        left.append((f"  {view.title}", "strong"))
        return left, [(f"  {view.done} of {counted(len(view.steps), 'step')} ", "plain")]

    def crumb(self) -> str:
        incident = self.view.incident_id if self.view else None
        return incident_name(incident) if incident is not None else f"plan {self.number}"

    # acts

    @property
    def here(self) -> StepView | None:
        found = self.view.steps if self.view else ()
        return next((step for step in found if step.place == self.grid.key), None)

    @on(Grid.Moved)
    def moved(self) -> None:
        self._explain()
        self.paint_foot()

    def name_here(self) -> str:
        return self.here.job if self.here else ""

    def record_here(self) -> Any:
        return self.view

    def run_here(self) -> RunChoice | str:
        step = self.here
        if step is None or step.run_id is None:
            return "it has no run yet" if step else "the plan is not read yet"
        return RunChoice(step.run_id, step.job)

    def why_not_open(self) -> str:
        choice = self.run_here()
        return choice if isinstance(choice, str) else ""

    def do_open(self) -> None:
        self.with_run(lambda choice: self.board.open_run(choice.run_id))

    def do_focus_next(self) -> None:
        self.focus_next()

    def _why_not(self, how: str) -> str:
        if self.view is None:
            return self.lost or "the plan is not read yet"
        if self.view.state in WAYS[how]:
            return ""
        return f"plan {self.number} is {self.view.state}: it cannot {how}"

    def why_not_pause(self) -> str:
        return self._why_not("pause")

    def why_not_resume(self) -> str:
        return self._why_not("resume")

    def why_not_abort(self) -> str:
        return self._why_not("abort")

    def do_pause(self) -> None:
        """At once: it keeps back what was not asked yet."""
        self._steer("pause")

    def do_resume(self) -> None:
        failed = [step.job for step in self.view.steps if step.state == "failed"] if self.view else []
        says = f"asks anew, unless it is good by now: {', '.join(failed)}" if failed else "asks its further steps"
        self._confirm("resume", "Resume it", says)

    def do_abort(self) -> None:
        self._confirm("abort", "Give it up", "what was not asked yet is not asked; what is under way goes on")

    def _confirm(self, how: str, name: str, says: str) -> None:
        from console.tui.screens.pick import confirm

        confirm(self, f"plan {self.number} is {self.view.state if self.view else ''}", name, says,
                lambda: self._steer(how))  # fmt: skip

    def _steer(self, how: str) -> None:
        number = self.number

        def steered(state: str) -> None:
            self.notice(f"plan {number} is {state}", "ok")
            self.fetch()

        def refused(error: Exception) -> None:
            self.notice(f"not done: {error}", "bad")

        order = f"{how} plan {number}"
        self.board.ask_engine(order, lambda requests: requests.steer_plan(number, how), steered, refused, order)
