"""A plan that was started: the state of each step at its scheduler; paused, resumed, aborted. It continues without
this screen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from textual.app import ComposeResult

from console.domain.ids import incident_name
from console.domain.incident import IncidentView
from console.domain.plan import STEERING, PlanStepView, PlanView, unpolled_warning
from console.domain.request import RequestKind
from console.store.queries.reader import Queries
from console.tui.dialogs.palette import confirm
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import READING_TEXT, HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.details import SelectionPane
from console.tui.views.incidents.path import PathBelow
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.plans import rows
from console.tui.views.preview import PREVIEW_BREAKPOINTS
from console.tui.widgets.bar import Bar, BarLine, CoveredContainer
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment, length_of
from console.tui.widgets.table import FixedRows

STEERING_KEYS = {
    "pause": RequestKind.PAUSE_PLAN, "resume": RequestKind.RESUME_PLAN, "abort": RequestKind.ABORT_PLAN,
}  # fmt: skip
STYLES = {"running": "run", "paused": "warn", "stopped": "bad", "done": "ok", "aborted": "warn"}


class StartedScreen(HeadwayScreen):
    WHERE = "recovery"
    DEFAULT_CSS = "StartedScreen #grid { height: 3fr; }"
    HORIZONTAL_BREAKPOINTS = PREVIEW_BREAKPOINTS

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.subject = "plan", number
        self.view: PlanView | None = None
        self.incident: IncidentView | None = None
        self.grid = Grid(rows.PROGRESS_COLUMNS, READING_TEXT, id="grid")
        self.pane = SelectionPane()
        self.verdict = VerdictLine(self, lambda _: self._open_incident, lambda _: self._next_command)
        self.path = PathBelow(
            self, self.grid, lambda: self.view.incident_id if self.view is not None else None, lambda: self.incident
        )
        self.parts = (self.verdict, self.path)

    @property
    def zone(self) -> str:
        return self.incident.zone if self.incident is not None else ""

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            ScreenCommand("open", self.open_run, self.why_no_run),
            *(
                ScreenCommand(name, act, partial(self._why_not, STEERING_KEYS[name]))
                for name, act in (("pause", self.pause), ("resume", self.resume), ("abort", self.abort))
            ),
        ]

    @property
    def finished_keys(self) -> Sequence[str]:
        return [name for name, kind in STEERING_KEYS.items() if self.view and self.view.state not in STEERING[kind][0]]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield Bar(id="status")
        with CoveredContainer():
            yield self.grid
            yield from self.path.widgets()
            yield self.pane

    def fetch(self) -> None:
        self.fetch_subject("plan", self._read, self._show)

    def _read(self, reads: Queries) -> tuple[PlanView, IncidentView | None]:
        view = reads.plans.plan(self.number)
        if view.incident_id is None:
            return view, None
        return view, reads.incidents.incident(view.incident_id)

    def _show(self, answer: tuple[PlanView, IncidentView | None]) -> None:
        view, self.incident = answer
        self.view = view
        self.grid.set_columns(rows.progress_columns(view, self.ctx, self.size.width))
        if not self.grid.touched:
            self.grid.show(self._rows(view))
            at = next((step.place for step in view.steps if step.state in ("requested", "failed")), None)
            if at is not None:
                self.grid.move_to(at - 1)
                self.grid.touched = False
        self.tick()
        self.verdict.fetch()
        self.path.fetch()

    @property
    def _open_incident(self) -> int | None:
        """Of a plan that does not run: the title has the progress and end of one that does."""
        return self.view.incident_id if self.view is not None and self.view.state != "running" else None

    @property
    def _next_command(self) -> str:
        return "resume" if self.view is not None and self.view.state in ("paused", "stopped") else ""

    def tick(self) -> None:
        super().tick()
        if self.view is not None:
            self.grid.show(self._rows(self.view))
            self.bar("status").show_lines(self._status_lines(self.view, self.size.width))
            self._explain()

    def _rows(self, view: PlanView) -> FixedRows:
        is_done = self.incident is not None and view.state == "done"
        ended = rows.ended_rows(self.incident, self.ctx) if self.incident is not None and is_done else []
        return FixedRows([*rows.plan_rows(view, self.ctx, self.size.width), *ended])

    def _status_lines(self, view: PlanView, width: int) -> list[BarLine]:
        """Its services, requester and reason on two lines at most; of an ended plan its recap."""
        style = STYLES.get(view.state, "plain")
        parts: list[Segment] = [(f" {view.stop_reason} ", style)] if view.text and view.state != "done" else []
        if view.ended is not None:
            parts += [(f" {text} ", style) for text in rows.plan_recap(view, self.incident, self.ctx)]
        else:
            saves = rows.saved_services(view, self.incident, self.ctx)
            parts += [(f" {saves} ", "strong")] if saves else []
            parts += [self._continues()] if view.state == "running" else []
            parts.append((f" requested by {view.requester} at {self.ctx.clock.hms(view.requested)} ", "dim"))
        parts += [(f" why: {view.why} ", "dim")] if view.why else []
        lines: list[list[Segment]] = [[]]
        for part in parts:
            if len(lines) == 1 and lines[0] and length_of([*lines[0], part]) > width:
                lines.append([])
            lines[-1].append(part)
        return [(tuple(line), (), "") for line in lines]

    @property
    def _has_no_engine(self) -> bool:
        header = self.board.header
        return header is not None and header.engine.stopped_at is not None

    def _continues(self) -> Segment:
        if self._has_no_engine:
            return " it continues once an engine runs ", "warn"
        return " it continues without this screen ", "dim"

    def _explain(self) -> None:
        step, view = self.selected, self.view
        self.pane.show_runs(rows.plan_detail(view, step, self.ctx) if step and view else [])

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        view = self.view
        if view is None:
            return [(f" PLAN {self.number}", "key"), (f"  {self.waiting}", "warn")], []
        title: list[Segment] = [(f" PLAN {view.id} ", "key"), (view.status, STYLES.get(view.state, "plain"))]
        title.append((f"  {view.title}", "strong"))
        incident = self.incident if not self._has_no_engine else None  # without an engine the end is unknown
        return title, rows.progress_segments(view, incident, self.ctx, self.size.width)

    def crumb(self) -> str:
        incident = self.view.incident_id if self.view else None
        return incident_name(incident) if incident is not None else f"plan {self.number}"

    # the selected step

    @property
    def selected(self) -> PlanStepView | None:
        steps = self.view.steps if self.view else ()
        return next((step for step in steps if step.place == self.grid.key), None)

    def moved(self) -> None:
        self._explain()

    def selected_name(self) -> str:
        return self.selected.job if self.selected else ""

    def selected_run(self) -> RunChoice | str:
        step = self.selected
        if step is None or step.run_id is None:
            return "it has no run yet" if step else "the plan is not read yet"
        return RunChoice(step.run_id, step.job)

    # steering

    def _why_not(self, how: RequestKind) -> str:
        if self.view is None:
            return self.lost or "the plan is not read yet"
        if self.view.state in STEERING[how][0]:
            return ""
        return f"plan {self.number} {self.view.predicate}"

    def pause(self) -> None:
        self._steer(RequestKind.PAUSE_PLAN)

    def resume(self) -> None:
        failed = [step.job for step in self.view.steps if step.state == "failed"] if self.view else []
        says = "sends its remaining steps"
        if failed:
            says = f"retries failed steps that have not succeeded since: {', '.join(failed)}"
        if waits := self.view.failed_waits if self.view else []:
            says = f"only waits again for {', '.join(waits)}: rerun it first"
        paused = self.board.header.paused if self.board.header is not None else ()
        warning = unpolled_warning(self.view, [pause.system for pause in paused]) if self.view else ""
        self._confirm(RequestKind.RESUME_PLAN, "Resume it", "; ".join(filter(None, [says, warning])))

    def abort(self) -> None:
        self._confirm(RequestKind.ABORT_PLAN, "Abort it", "remaining steps are not sent; steps in progress continue")

    def _confirm(self, how: RequestKind, name: str, says: str) -> None:
        confirm(self, f"plan {self.number} {self.view.predicate if self.view else ''}", name, says,
                lambda: self._steer(how))  # fmt: skip

    def _steer(self, how: RequestKind) -> None:
        number = self.number

        def steered(state: str) -> None:
            self.notice(f"plan {number} is {state}", "ok")
            self.fetch()

        order = f"{how} {number}"
        self.send_request(order, lambda requests: requests.steer_plan(number, how), steered, order)
