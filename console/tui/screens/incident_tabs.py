"""Beside an incident's runs: its log, its course over time, why it is so, what worked before; one at a time, or where
there is room the log and one of the others below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from console.model.carried import PlanView
from console.model.views import IncidentView
from console.model.views.ahead import JobAheadView
from console.tui.before import before
from console.tui.cells import Look
from console.tui.course import HANG, course
from console.tui.grounds import grounds
from console.tui.ports import ReadsLike
from console.tui.widgets.bar import Bar
from console.tui.widgets.paint import Run
from console.tui.widgets.pane import Pane

TABS = ("log", "timeline", "why so", "before")
_HANGS = {"timeline": HANG, "why so": 4, "before": 4}
TALL = 36
"""Lines in which the log leaves room for another."""


MOST_FORESEEN = 5
"""Services of which it is read what their forecasts leave to their jobs, the soonest due first."""
Tell = Callable[[IncidentView, Look], list[list[Run]]]
Read = tuple[IncidentView, Sequence[PlanView], Sequence[JobAheadView]]


def read_incident(reads: ReadsLike, number: int) -> Read:
    """The incident, its plans, and what the forecasts of the services that it hurts leave to their jobs."""
    view = reads.incident(number)
    names = dict.fromkeys(one.name for one in view.services[:MOST_FORESEEN])
    return view, reads.plans(number), [one for name in names for one in reads.jobs_ahead(name, view.row.bd)]


class IncidentTabs(Vertical):
    """`show` says which tab there is and what stands in it; the log has a pane of its own and keeps its place."""

    DEFAULT_CSS = "IncidentTabs.-tall #told { border-top: solid $foreground 25%; }"

    def __init__(self) -> None:
        super().__init__(id="side")
        self.current, self.told = "log", "timeline"
        self.is_tall = False
        self.log_pane = Pane(id="log")
        self.log_pane.following = self.log_pane.wrapped = True
        self.pane = Pane(id="told")
        self.pane.wrapped, self.pane.finds_errors = True, False
        self.pane.display = False
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield Bar(id="tabs", ground="panel")
        yield self.log_pane
        yield self.pane

    @property
    def has_focus_within(self) -> bool:
        return self.log_pane.has_focus or self.pane.has_focus

    def choose(self, tab: str) -> None:
        """Opens a tab and gives it the focus."""
        self.current = tab
        if tab not in ("log", self.told):
            self.told, self._shown = tab, None
            self.pane.scroll_to(y=0, animate=False)
        self._lay_out()
        (self.log_pane if tab == "log" else self.pane).focus()

    def on_resize(self, event: events.Resize) -> None:
        self.is_tall = event.size.height >= TALL
        self.set_class(self.is_tall, "-tall")
        self._lay_out()

    def _lay_out(self) -> None:
        """Which panes there is room for."""
        self.pane.hang = _HANGS[self.told]
        self.log_pane.display = self.is_tall or self.current == "log"
        self.pane.display = self.is_tall or self.current != "log"

    def tab_at(self, x: int) -> str:
        """The tab whose name stands at cell `x` of their line; empty beside them."""
        start = 0
        for tab in TABS:
            if start <= x < start + len(tab) + 2:
                return tab
            start += len(tab) + 3
        return ""

    def show_log(self, view: IncidentView) -> None:
        self.log_pane.show(view.log or (view.log_error and f"no log: {view.log_error}") or "no log was kept")

    def show(
        self, view: IncidentView, look: Look, focused: Widget | None, foreseen: Sequence[JobAheadView] = ()
    ) -> None:
        """Paints the names of the tabs, and what the open one tells now. `foreseen`: what the forecasts of the services
        that it hurts leave to their jobs."""
        here = "here" if focused in (self.log_pane, self.pane) else "strong"
        runs: list[Run] = []
        for tab in TABS:
            beside = "strong" if self.is_tall and tab in ("log", self.told) else "dim"
            runs += [(f" {tab} ", here if tab == self.current else beside), (" ", "plain")]
        self.query_one("#tabs", Bar).show(runs, [(f"{look.key('incident', 'focus_next')} ", "key"), ("next ", "dim")])
        why_so: Tell = partial(grounds, foreseen=foreseen)
        tabs: dict[str, Tell] = {"timeline": course, "why so": why_so, "before": before}
        made = tabs.get(self.told)
        lines = made(view, look) if made is not None and self.pane.display else None
        if lines is not None and lines != self._shown:
            self._shown = lines
            self.pane.show_runs(lines)
