"""Incident: one root cause, its affected services and runs; in tabs its log, timeline, evidence and past repairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from console.domain.forecast import JobForecastView
from console.domain.ids import incident_name
from console.domain.incident import IncidentView, blocked_text, open_steps
from console.domain.plan import PlanView
from console.domain.service import ServiceView
from console.domain.timeline import TimelineView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, joined_segments
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import READING_TEXT, HeadwayScreen
from console.tui.views.commands import HAS_ENDED, common_commands, recover_incident
from console.tui.views.incidents import summary
from console.tui.views.incidents.actions import acknowledge, incident_commands, incident_links, root_run, stop_policy
from console.tui.views.incidents.evidence import evidence_lines
from console.tui.views.incidents.path import read_path, show_path
from console.tui.views.incidents.summary import past_repair_lines
from console.tui.views.incidents.timeline import HANG, timeline_lines
from console.tui.views.incidents.verdict_line import OpenIncident
from console.tui.views.jobs.preview import job_source
from console.tui.views.plans.rows import plan_line
from console.tui.views.preview import PREVIEW_FROM, PreviewBelow, PreviewSource
from console.tui.widgets.bar import Bar, CoveredContainer
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import FixedRows

TABS = ("log", "timeline", "evidence", "past repairs")
_HANGS = {"timeline": HANG, "evidence": 4, "past repairs": 4}
TALL = 30


MAX_FORECAST_JOBS = 5
"""Services whose job forecasts are read, the soonest due first."""
IncidentQuery = tuple[IncidentView, Sequence[PlanView], Sequence[JobForecastView], TimelineView | None]


def read_incident(reads: Queries, number: int, services: Sequence[ServiceView]) -> IncidentQuery:
    """With the critical path of its most urgent service, one of `services`."""
    view = reads.incidents.incident(number)
    names = dict.fromkeys(service.name for service in view.services[:MAX_FORECAST_JOBS])
    by_service = (reads.service_days.job_forecasts(name, view.row.business_date) for name in names)
    forecasts = list(chain.from_iterable(by_service))
    return view, reads.plans.list_plans(number), forecasts, read_path(reads, number, services, affects=view.row.hits)


class IncidentTabs(Vertical):
    """`current` is the selected tab, `second` the last one besides the log, whose pane keeps its scroll position."""

    DEFAULT_CSS = "IncidentTabs.-tall #notes { border-top: solid $foreground 25%; }"

    def __init__(self) -> None:
        super().__init__(id="side")
        self.current, self.second = "log", "timeline"
        self.is_tall = False
        self.log_pane = Pane(id="log")
        self.log_pane.following = self.log_pane.wrapped = True
        self.pane = Pane(id="notes")
        self.pane.wrapped, self.pane.finds_errors = True, False
        self.pane.display = False
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield Bar(id="tabs", background="panel")
        yield self.log_pane
        yield self.pane

    @property
    def has_focus_within(self) -> bool:
        return self.log_pane.has_focus or self.pane.has_focus

    def choose(self, tab: str) -> None:
        self.current = tab
        if tab not in ("log", self.second):
            self.second, self._shown = tab, None
            self.pane.scroll_to(y=0, animate=False)
        self._lay_out()
        (self.log_pane if tab == "log" else self.pane).focus()

    def on_resize(self, event: events.Resize) -> None:
        self.is_tall = event.size.height >= TALL
        self.set_class(self.is_tall, "-tall")
        self._lay_out()

    def _lay_out(self) -> None:
        self.pane.hang = _HANGS[self.second]
        self.log_pane.display = self.is_tall or self.current == "log"
        self.pane.display = self.is_tall or self.current != "log"

    def tab_at(self, x: int) -> str:
        start = 0
        for tab in TABS:
            if start <= x < start + len(tab) + 2:
                return tab
            start += len(tab) + 3
        return ""

    def show_log(self, view: IncidentView) -> None:
        why = f": {view.log_error}" if view.log_error else ""
        self.log_pane.show(view.log.rstrip() or f"log not available{why}")

    def show(
        self, view: IncidentView, ctx: RenderContext, focused: Widget | None, forecasts: Sequence[JobForecastView] = ()
    ) -> None:
        here = "here" if focused in (self.log_pane, self.pane) else "strong"
        runs: list[Segment] = []
        for tab in TABS:
            beside = "strong" if self.is_tall and tab in ("log", self.second) else "dim"
            runs += [(f" {tab} ", here if tab == self.current else beside), (" ", "plain")]
        self.query_one("#tabs", Bar).show(runs, [(f"{ctx.key('incident', 'focus_next')} ", "key"), ("next ", "dim")])
        if not self.pane.display:
            return
        if self.second == "evidence":
            lines = evidence_lines(view, ctx, forecasts)
        else:
            lines = (timeline_lines if self.second == "timeline" else past_repair_lines)(view, ctx)
        if lines != self._shown:
            self._shown = lines
            self.pane.show_runs(lines)


class IncidentScreen(HeadwayScreen):
    WHERE = "incident"
    DEFAULT_CSS = """
    IncidentScreen #story { height: 2fr; }
    IncidentScreen #side { height: 1fr; }
    IncidentScreen.-narrow.-aside #story { display: none; }
    IncidentScreen.-wide #panels { layout: horizontal; }
    IncidentScreen.-wide #story { width: 1fr; height: 1fr; }
    IncidentScreen.-wide #side { width: 1fr; height: 1fr; border-left: solid $foreground 25%; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]

    def __init__(self, incident_id: int, tab: str = "") -> None:
        """`tab`: the one to open once the incident is loaded."""
        super().__init__()
        self.incident_id, self._tab = incident_id, tab
        self.subject = "incident", incident_id
        self.view: IncidentView | None = None
        self.plans: tuple[PlanView, ...] = ()
        self._shown_plans: tuple[PlanView, ...] = ()
        """Those in progress, else the last one."""
        self.forecasts: Sequence[JobForecastView] = ()
        self.night: TimelineView | None = None
        self.grid = Grid((), READING_TEXT, id="grid")
        self.tabs = IncidentTabs()
        self.job_preview = PreviewBelow(self, self._job_source, self.grid, PREVIEW_FROM)
        self.parts = (self.job_preview,)

    @property
    def zone(self) -> str:
        return self.view.zone if self.view is not None else ""

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            *incident_commands(self, lambda: self.incident_id, self._why_not_loaded),
            ScreenCommand("open", self.open_selected, self.why_no_run),
            ScreenCommand("recover", lambda: recover_incident(self, self.incident_id), self._why_not_recover),
            ScreenCommand("ack", self.acknowledge, self._why_not_acknowledge),
            ScreenCommand("stop_policy", self.stop_policy, self._why_no_policy),
            ScreenCommand("timeline", lambda: self._go_to("timeline")),
            ScreenCommand("evidence", lambda: self._go_to("evidence")),
            ScreenCommand("before", lambda: self._go_to("past repairs")),
            ScreenCommand("focus_next", lambda: self._turn(1)),
            ScreenCommand("focus_back", lambda: self._turn(-1)),
        ]

    def body(self) -> ComposeResult:
        yield Bar(id="clocks")
        yield Bar(id="path", background="panel")
        with CoveredContainer(id="panels"):
            with CoveredContainer(id="story"):
                yield self.grid
                yield from self.job_preview.widgets()
            yield self.tabs

    def _job_source(self) -> PreviewSource | None:
        """The job of the run under the cursor, else of the root."""
        members = {member.run_id: member for member in self.view.members} if self.view is not None else {}
        root = next((member for member in members.values() if member.role == "root"), None)
        member = members.get(self.selected.run_id, root) if self.selected is not None else root
        return job_source(member.job_id) if member is not None else None

    def fetch(self) -> None:
        number, services = self.incident_id, self.board.services
        self.fetch_subject("incident", lambda reads: read_incident(reads, number, services), self._show)

    def _show(self, answer: IncidentQuery) -> None:
        view, plans, self.forecasts, self.night = answer
        before, self.view = self.view, view
        self.plans = tuple(plan for plan in plans if plan.ended is None)
        self._shown_plans = self.plans or tuple(plans[:1])
        self.tick()
        self.job_preview.fetch()
        self.tabs.show_log(view)
        if self._is_over(before):
            self._point_at_step()
        elif not self.grid.touched:
            self._begin()
        tab, self._tab = self._tab, ""
        if tab:
            self._go_to(tab)

    def _is_over(self, before: IncidentView | None) -> bool:
        """True if the run under the cursor was a step to send and no longer is, under the same root cause."""
        run_id, view = self.selected.run_id if self.selected else None, self.view
        if before is None or view is None or before.row.root_run_id != view.row.root_run_id:
            return False
        return run_id in _step_ids(before) and run_id not in _step_ids(view)

    def _step_index(self) -> int | None:
        steps = open_steps(self.view) if self.view else []
        return self.grid.source.index_of(("run", steps[0].run_id, steps[0].job), 0) if steps else None

    def _point_at_step(self) -> None:
        index = self._step_index()
        if index is not None:
            self.grid.move_to(index)
            self.grid.touched = False

    def _begin(self) -> None:
        """Starts at the top, with the cursor on the step only if both are in view."""
        index = self._step_index()
        if index is not None and index < self.grid.page:
            self._point_at_step()
            return
        self.grid.action_move("top")
        self.grid.touched = False

    def tick(self) -> None:
        super().tick()
        if self.view is not None:
            plans = [joined_segments(("plan", plan.id), plan_line(plan, self.ctx), pick=True)
                     for plan in self._shown_plans]  # fmt: skip
            keys = {action.key for action in self.view.actions}
            waiting = [approval for approval in self.board.approvals if approval.key in keys]
            if self.grid.size:  # behind an open tab it has none: its lines wait until they know their width
                pending = [joined_segments(("approve", approval.key, number), line) for approval in waiting for number,
                           line in enumerate(summary.approval_lines(approval, self.ctx, self.grid.room))]  # fmt: skip
                lines = summary.summary_lines(self.view, self.ctx, self.grid.room)
                self.grid.show(FixedRows([*plans, *pending, *lines]))
            opened = OpenIncident(self.view, self.plans)
            head = summary.header_lines(opened, self.ctx, self.size.width, self.size.height, is_frozen=self.is_frozen)
            self.bar("clocks").show_lines([(tuple(runs), (), "") for runs in head])
            show_path(self.bar("path"), self.view, self.night, self.ctx, self.size)
            self.tabs.show(self.view, self.ctx, self.focused, self.forecasts)
            is_below = not self.has_class("-wide") and not self.has_class("-aside")
            self.tabs.styles.max_height = self.tabs.log_pane.row_count + 1 if is_below else None
            self.job_preview.moved()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        if self.view is None:
            return [(f" {incident_name(self.incident_id)}", "key"), (f"  {self.waiting}", "warn")], []
        return summary.incident_title(self.view, self.ctx, self.size.width, self.plans)

    def crumb(self) -> str:
        return incident_name(self.incident_id)

    # the selected run

    @property
    def selected(self) -> RunChoice | None:
        key = self.grid.key
        if self.view is None or not isinstance(key, tuple) or key[0] != "run" or not isinstance(key[1], int):
            return None
        job = next((member.job for member in self.view.members if member.run_id == key[1]), "")
        job = job or next((action.job for action in self.view.actions if action.run_id == key[1]), "")
        return RunChoice(key[1], job, self.incident_id)

    def selected_run(self) -> RunChoice | str:
        """The run under the cursor, else the root's."""
        if self.view is None:
            return self._why_not_loaded()
        return self.selected or root_run(self.view.row)

    def selected_name(self) -> str:
        return self.selected.job if self.selected else incident_name(self.incident_id)

    def selected_job(self) -> str:
        return self.selected.job if self.selected else self.view.row.root_job if self.view else ""

    def why_no_job(self) -> str:
        return "" if self.selected_job() else self.lost or "its root cause is not a job: pick one of its runs"

    def selected_links(self) -> list[tuple[str, str]]:
        return incident_links(self.view.row if self.view else None)

    @property
    def key_labels(self) -> Mapping[str, str]:
        return {"recover": OpenIncident(self.view, self.plans).recover_label} if self.view is not None else {}

    @property
    def finished_keys(self) -> Sequence[str]:
        if self.view is not None and self.view.row.closed is not None:
            return ("cancel", "ack", "stop_policy", *([] if self.plans else ["recover"]))
        return (*(["cancel"] if self._has_ended else []), *(["stop_policy"] if self._why_no_policy() else []))

    @property
    def _has_ended(self) -> bool:
        """True if the run under the cursor, else the root's, has ended."""
        run = self.selected_run()
        if self.view is None or not isinstance(run, RunChoice):
            return False
        return any(member.run_id == run.run_id and member.ended is not None for member in self.view.members)

    def why_not(self, name: str) -> str:
        if name == "cancel" and name in self.finished_keys:
            return "it is closed" if self.view is not None and self.view.row.closed is not None else HAS_ENDED
        return super().why_not(name)

    def _why_not_loaded(self) -> str:
        return "" if self.view is not None else self.lost or "the incident is not read yet"

    def _why_not_recover(self) -> str:
        if self.view is None:
            return self._why_not_loaded()
        if self.plans or (self.view.row.closed is None and open_steps(self.view)):
            return ""
        return blocked_text(self.view, self.ctx.zoned)

    def _why_not_acknowledge(self) -> str:
        return "it is closed" if self.view is not None and self.view.row.closed is not None else self._why_not_loaded()

    def _why_no_policy(self) -> str:
        has_policy = self.view is not None and self.view.row.policy != ""
        return "" if has_policy else self._why_not_acknowledge() or "no policy repairs it"

    def stop_policy(self) -> None:
        if self.view is not None:
            stop_policy(self, self.view.row)

    def acknowledge(self) -> None:
        if self.view is not None:
            acknowledge(self, self.view.row)

    def open_selected(self) -> None:
        key = self.grid.key
        if isinstance(key, tuple) and key[0] == "plan" and isinstance(key[1], int):
            self.navigation.open_plan(key[1])
        else:
            self.open_run()

    # panels: the summary, then the tabs beside it

    def _turn(self, by: int) -> None:
        stops = ("", *TABS)
        now = self.tabs.current if self.tabs.has_focus_within else ""
        self._go_to(stops[(stops.index(now) + by) % len(stops)])

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        if event.bar.id == "tabs" and (tab := self.tabs.tab_at(event.x)):
            self._go_to(tab)

    def _go_to(self, tab: str) -> None:
        self.set_class(bool(tab), "-aside")
        if tab:
            self.tabs.choose(tab)
        else:
            self.grid.focus()
        self.call_after_refresh(self.tick)

    def close_something(self) -> bool:
        if not self.tabs.has_focus_within:
            return False
        self._go_to("")
        return True

    @on(events.DescendantFocus)
    def focus_moved(self) -> None:
        self.set_class(self.tabs.has_focus_within, "-aside")
        self.call_after_refresh(self.tick)

    def resized(self) -> None:
        self.tick()
        if self.view is not None and not self.grid.touched:
            self._begin()


def _step_ids(view: IncidentView | None) -> set[int | None]:
    return {step.run_id for step in open_steps(view)} if view else set()
