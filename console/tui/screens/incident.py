"""Incident: one root cause, whom it hurts, and beside it in tabs its log, its course, why so, what worked before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from console.model.carried import PlanView
from console.model.ids import incident_name
from console.model.steps import open_steps, waiting_for
from console.model.views import IncidentView
from console.model.views.ahead import JobAheadView
from console.tui import story
from console.tui.cells import line
from console.tui.screens.base import RunChoice
from console.tui.screens.early import Early
from console.tui.screens.incident_tabs import TABS, IncidentTabs, Read, read_incident
from console.tui.screens.present import PresentScreen, others
from console.tui.trail import Place
from console.tui.underway import plan_line
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Rows


class IncidentScreen(Early, PresentScreen):
    WHERE = "incident"
    DEFAULT_CSS = """
    IncidentScreen #story { height: 3fr; }
    IncidentScreen #side { height: 2fr; }
    IncidentScreen.-narrow.-aside #story { display: none; }
    IncidentScreen.-wide #panels { layout: horizontal; }
    IncidentScreen.-wide #story { width: 1fr; height: 1fr; }
    IncidentScreen.-wide #side { width: 1fr; height: 1fr; border-left: solid $foreground 25%; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]

    def __init__(self, incident_id: int) -> None:
        super().__init__()
        self.incident_id = incident_id
        self.view: IncidentView | None = None
        self.plans: tuple[PlanView, ...] = ()
        """Those that go on for it, newest first."""
        self.foreseen: Sequence[JobAheadView] = ()
        self.own = ""
        """This console as the store knows it: who looks from here is nobody else."""
        self.grid = Grid((), "reading…", id="grid")
        self.tabs = IncidentTabs()

    @property
    def place(self) -> Place:
        return "incident", self.incident_id

    def body(self) -> ComposeResult:
        yield Bar(id="clocks")
        with Container(id="panels"):
            with Vertical(id="story"):
                yield self.grid
            yield self.tabs

    def on_mount(self) -> None:
        super().on_mount()
        self.grid.focus()

    def fetch(self) -> None:
        number = self.incident_id
        self.look_up("incident", lambda reads: read_incident(reads, number), self._show)

    def _show(self, found: Read) -> None:
        from console.store.reads.holders import holder_name

        self.own = holder_name()
        view, plans, self.foreseen = found
        before, self.view = self.view, view
        self.plans = tuple(one for one in plans if one.ended is None)
        self.tick()
        self.tabs.show_log(view)
        if self._is_over(before):
            self._point_at_step()
        elif not self.grid.touched:
            self._begin()
        self.act_early()

    def _is_over(self, before: IncidentView | None) -> bool:
        """True when the run under the cursor was a step to send, and is none any more."""
        here = self.here.run_id if self.here else None
        return before is not None and here in _step_ids(before) and here not in _step_ids(self.view)

    def _step_place(self) -> int | None:
        """The line of the run that `r` is about: the next step, else the one it waits for."""
        steps = open_steps(self.view) if self.view else []
        return self.grid.source.index_of(("run", steps[0].run_id, steps[0].job), 0) if steps else None

    def _point_at_step(self) -> None:
        place = self._step_place()
        if place is not None:
            self.grid.move_to(place)
            self.grid.touched = False

    def _begin(self) -> None:
        """It begins at its top: whom it hurts is read first, the cursor on the step only where both are in view."""
        place = self._step_place()
        if place is not None and place < self.grid.page:
            self._point_at_step()
            return
        self.grid.action_move("top")
        self.grid.touched = False

    def tick(self) -> None:
        super().tick()
        if self.view is not None:
            plans = [line(("plan", one.id), plan_line(one, self.look), pick=True) for one in self.plans]
            waiting = [one for one in self.board.approvals if one.key in {each.key for each in self.view.actions}]
            asked = [line(("approve", one.key), story.approval(one, self.look), pick=False) for one in waiting]
            if self.grid.size:  # behind an open tab it has none: its lines wait until they know their width
                told = story.lines(self.view, self.look, self.grid.room, self.grid.size.height)
                self.grid.show(Rows([*plans, *asked, *told]))
            clocks = story.clocks(self.view, self.look, self.size.width, others(self.view.row.lookers, self.own))
            self.bar("clocks").show_lines([(tuple(runs), (), "") for runs in clocks])
            self.tabs.show(self.view, self.look, self.focused, self.foreseen)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self.view is None:
            return [(f" {incident_name(self.incident_id)}", "key"), (f"  {self.waiting}", "warn")], []
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
            return self.not_read
        if row.root_run_id is None:
            return "its root cause is no run: nothing to rerun"
        return RunChoice(row.root_run_id, row.root_job, row.id)

    @property
    def not_read(self) -> str:
        """Why nothing can be done with it yet; empty once it is read."""
        return "" if self.view is not None else self.lost or "the incident is not read yet"

    def why_not_recover(self) -> str:
        """Why there is no plan to propose; one that goes on can always be looked at."""
        if self.view is None:
            return self.not_read
        if self.plans or (self.view.row.closed is None and open_steps(self.view)):
            return ""
        return waiting_for(self.view)

    def do_recover(self) -> None:
        from console.tui.screens.acting import recover

        recover(self, self.incident_id)

    def why_not_ack(self) -> str:
        if self.view is None:
            return self.not_read
        return "it is closed: there is nothing to be on" if self.view.row.closed is not None else ""

    def do_ack(self) -> None:
        from console.tui.screens.taking import take

        if self.view is not None:
            take(self, self.view.row)

    def why_not_note(self) -> str:
        return self.not_read

    def do_note(self) -> None:
        from console.tui.screens.handing import note

        note(self, self.incident_id)

    def why_not_handover(self) -> str:
        return self.not_read

    def do_handover(self) -> None:
        from console.tui.screens.handing import hand_over

        hand_over(self, self.incident_id)

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

    # panels: what happened, then the tabs beside it

    def do_focus_next(self) -> None:
        self._turn(1)

    def do_focus_back(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        stops = ("", *TABS)
        now = self.tabs.current if self.tabs.has_focus_within else ""
        self._go_to(stops[(stops.index(now) + by) % len(stops)])

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        """A tab's name is a button too."""
        if event.bar.id == "tabs" and (tab := self.tabs.tab_at(event.x)):
            self._go_to(tab)

    def _go_to(self, tab: str) -> None:
        """To a tab, or with no name to what happened; a narrow terminal then shows that alone."""
        self.set_class(bool(tab), "-aside")
        if tab:
            self.tabs.choose(tab)
        else:
            self.grid.focus()
        self.call_after_refresh(self.tick)

    def do_timeline(self) -> None:
        self._go_to("timeline")

    def do_evidence(self) -> None:
        self._go_to("why so")

    def do_before(self) -> None:
        self._go_to("before")

    def close_something(self) -> bool:
        """Escape in a tab leads back to what happened first."""
        if not self.tabs.has_focus_within:
            return False
        self._go_to("")
        return True

    @on(events.DescendantFocus)
    def focus_moved(self) -> None:
        self.set_class(self.tabs.has_focus_within, "-aside")
        self.call_after_refresh(self.tick)

    @on(Grid.Resized)
    def resized(self) -> None:
        self.tick()
        if self.view is not None and not self.grid.touched:
            self._begin()

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    @on(Grid.Moved)
    def moved(self) -> None:
        self.paint_foot()


def _step_ids(view: IncidentView | None) -> set[int | None]:
    return {step.run_id for step in open_steps(view)} if view else set()
