"""Lineage: the jobs around one over all systems, drawn as a graph that the cursor and a search walk through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual import on
from textual.app import ComposeResult

from console.control.explain.lineage import LineageReach, services_below
from console.domain.dependency import LineageJob
from console.domain.service import ServiceView
from console.store.queries.reader import Queries
from console.tui.frame.history import ViewAddress
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_READ, READING_TEXT, HeadwayScreen
from console.tui.views.commands import common_commands, show_links
from console.tui.views.details import SearchLine
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import job_source
from console.tui.views.lineage import diagram
from console.tui.views.lineage.diagram import LineageDiagram, LineageFold, LineageOptions
from console.tui.views.lineage.suggestions import list_suggestions, why_no_suggestions
from console.tui.views.preview import PREVIEW_FROM, PreviewBelow, PreviewBeside, PreviewSource, list_width
from console.tui.views.runs.forecast import by_job
from console.tui.views.runs.preview import run_source
from console.tui.widgets.bar import Bar
from console.tui.widgets.canvas import Canvas
from console.tui.widgets.paint import Segment, length_of

MAX_DEPTH = 99
MAX_SERVICES = 20


class LineageScreen(HeadwayScreen):
    """`blast`: opens with the whole blast radius of the job."""

    WHERE = "lineage"

    def __init__(self, job: str | int, blast: bool = False) -> None:
        super().__init__()
        self.job = job
        self.shown: LineageDiagram | None = None
        self._pending_seek = 0
        """The step of a search that waits for a drawing."""
        self.next_cursor_job: int | None = None
        """The job that the cursor goes to in the next drawing; None: it stays on its job."""
        self.canvas = Canvas(READING_TEXT, id="graph")
        self.search = SearchLine(self, self.canvas, "part of a job's name", self._seek, self._search_cleared)
        self.verdict = VerdictLine(self, self._incident, services=self._services)
        self.preview = PreviewBeside(self, lambda: job_source(self.selected.id) if self.selected else None)
        self.run_preview = PreviewBelow(self, self._run_source, self.canvas, PREVIEW_FROM)
        self.parts = (self.search, self.verdict, self.preview, self.run_preview)
        self.blast = blast
        self.options = LineageOptions(up=1, down=MAX_DEPTH) if blast else LineageOptions()

    def commands(self) -> Sequence[ScreenCommand]:
        def no_job() -> str:
            return "" if self.selected else "no job is selected"

        return [
            *common_commands(self),
            ScreenCommand("open", self.open_selected, lambda: "" if self.canvas.here else self.lost or NOT_READ),
            ScreenCommand("runbook", lambda: show_links(self, self.selected_job()), no_job),
            ScreenCommand("lineage", self.center, self._why_not_center),
            ScreenCommand("blast", self.toggle_blast, lambda: "" if self.shown is not None else self.lost or NOT_READ),
            ScreenCommand("up_more", lambda: self.redraw(up=min(MAX_DEPTH, self.options.up + 1))),
            ScreenCommand("up_less", lambda: self.redraw(up=max(0, min(self.options.up, self._deepest(-1)) - 1))),
            ScreenCommand("down_more", lambda: self.redraw(down=min(MAX_DEPTH, self.options.down + 1))),
            ScreenCommand("down_less", lambda: self.redraw(down=max(0, min(self.options.down, self._deepest(1)) - 1))),
            ScreenCommand("collapse", lambda: self.redraw(fold=self.options.fold.next(), opened=frozenset())),
            ScreenCommand("by_run", self.toggle_runs),
            ScreenCommand("suggestions", self.list_suggestions, lambda: why_no_suggestions(self)),
        ]

    # searching

    def _search_cleared(self) -> None:
        self._pending_seek = 0
        self.paint_frame()

    def _seek(self, step: int) -> None:
        """The next job whose name contains the text; one that is not drawn becomes the center."""
        text = self.search.text.lower()
        if self.shown is None or not text:
            return
        if not self.is_drawn:
            self._pending_seek = step
            self.paint_frame()
            return
        matches = sorted((job.name, job.id) for job in self.shown.reach.view.jobs.values() if text in job.name.lower())
        if not matches:
            self.notice(f'no job around it has "{self.search.text}" in its name', "warn")
            return
        names = [name for name, _ in matches]
        at = names.index(self.selected_name()) + step if self.selected_name() in names else 0
        job_id = matches[at % len(matches)][1]
        node = self.shown.drawing.layout.spot_of(job_id)
        if node is not None and len(self.shown.drawing.layout.spots[node].jobs) == 1:
            self.canvas.move_to(node)
        else:
            self.job, self.next_cursor_job = job_id, job_id
            self.fetch()
        self.paint_frame()

    @property
    def address(self) -> ViewAddress:
        return "lineage", (self.job, self.blast)

    @property
    def row_key(self) -> Any:
        return self.selected.id if self.selected else None

    def restore_cursor(self, row: Any, top: int | None = None) -> None:
        self.next_cursor_job = row if isinstance(row, int) else None

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.preview.beside([self.canvas], self.run_preview.widgets())
        for name in ("what", "near", "services"):
            yield Bar(id=name, background="panel" if name == "what" else "")

    @property
    def is_loading(self) -> bool:
        return self.shown is None and not (self.lost or self.board.store_error)

    # reading and drawing: both in the query thread

    def fetch(self) -> None:
        job, options, ctx, size = self.job, self.options, self.ctx, self._room

        def read(reads: Queries) -> LineageDiagram:
            view = reads.lineage.lineage_of(job if isinstance(job, int) else reads.jobs.job(job).row.id)
            below = services_below(view, view.job_id, reads.services.list_services())
            runs = reads.lineage.latest_runs(view.jobs) if options.by_run else None
            ahead = by_job(
                job_forecast
                for day in _open(below)
                for job_forecast in reads.service_days.job_forecasts(day.name, day.business_date)
            )
            return diagram.draw_lineage(LineageReach(view, below, ctx.now), options, ctx, size, runs, ahead)

        self.fetch_subject("lineage", read, self._fetched)

    def _fetched(self, drawn: LineageDiagram) -> None:
        self._show(drawn)
        self.verdict.fetch()
        self.preview.fetch()
        self.run_preview.fetch()

    def _run_source(self) -> PreviewSource | None:
        run_id = self.selected.run_id if self.selected else None
        return run_source(run_id) if run_id is not None else None

    def _incident(self, reads: Queries) -> int | None:
        return reads.incidents.incident_of_job(self.shown.reach.view.job_id) if self.shown is not None else None

    def _services(self, reads: Queries) -> tuple[str, ...]:
        return reads.members.services_of(self.shown.reach.view.job_id) if self.shown is not None else ()

    def redraw(self, **changes: Any) -> None:
        self.options = replace(self.options, **changes)
        shown, options, ctx, size = self.shown, self.options, self.ctx, self._room
        if shown is None:
            return

        def show(drawn: LineageDiagram) -> None:
            if self.shown is not None and self.shown.reach is not shown.reach:
                self.redraw()  # other jobs were loaded meanwhile
            else:
                self._show(drawn)

        self.ask(
            "drawing",
            lambda reads: diagram.draw_lineage(shown.reach, options, ctx, size, shown.runs, shown.ahead),
            show,
            first=True,
        )

    @property
    def _room(self) -> tuple[int, int]:
        size = self.canvas.size  # less the cell of a scroll bar
        if not size:
            return list_width(self.app.size.width) - 1, self.app.size.height - 6
        return size.width - 1, size.height + self.run_preview.height

    def _show(self, shown: LineageDiagram) -> None:
        before, self.shown = self.shown, shown
        layout = shown.drawing.layout
        previous = before.drawing.layout.spots[self.canvas.cursor].jobs[:1] if before is not None else ()
        job_id = previous[0] if previous and self.next_cursor_job is None else self.next_cursor_job
        node = layout.spot_of(job_id) if job_id is not None else None
        centre = layout.spot_of(shown.reach.view.job_id)
        self.next_cursor_job = None
        self.canvas.show(shown.drawing, node if node is not None else centre or 0)
        self._lit()
        self.tick()
        step, self._pending_seek = self._pending_seek, 0
        if step:
            self._seek(step)

    @property
    def is_drawn(self) -> bool:
        return self.shown is not None and self.shown.options == self.options

    def _lit(self) -> None:
        self.canvas.styles_of = {}
        if self.blast and self.shown is not None and self.canvas.here is not None:
            below = self.shown.jobs_below(self.canvas.here.jobs)
            spots = enumerate(self.shown.drawing.layout.spots)
            self.canvas.styles_of = {node: "warn" if below.keys() & spot.jobs else "dim" for node, spot in spots}
        self.canvas.refresh()

    @on(Canvas.Resized)
    def canvas_resized(self) -> None:
        self.redraw()

    # showing

    def tick(self) -> None:
        super().tick()
        shown, here = self.shown, self.canvas.here
        self.canvas.empty = "" if self.lost else self.waiting
        if shown is None or here is None or not self.is_whole:
            return
        seen = diagram.overview_lines(shown.drawing.layout, here, self.ctx)
        lines = diagram.node_lines(shown, here, self.ctx, self.blast, self.size.width, length_of(seen))
        for name, runs, right in zip(("what", "near", "services"), lines, (seen, [], []), strict=True):
            self.bar(name).show(runs, right)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        if self.shown is None:
            return [(f" LINEAGE {self.job}", "key"), (f"  {self.waiting}", "warn")], []
        reach = self.shown.reach
        up, down = min(self.options.up, self._deepest(-1)), min(self.options.down, self._deepest(1))
        title: list[Segment] = [(" LINEAGE ", "key"), (reach.job.name, "strong")]
        marks: list[Segment] = [(f" levels: {up} up, {down} down ", "dim")]
        if self.options.fold is not LineageFold.JOB:
            marks.append((f" by {self.options.fold} ", "mark"))
        if self.options.by_run:
            marks.append((" by run ", "mark"))
        if self.blast:
            marks.append((" blast radius ", "mark"))
        if self.search.text:
            marks.append((f" / {self.search.text} ", "mark"))
        return title, marks

    # the selection

    @property
    def selected(self) -> LineageJob | None:
        spot = self.canvas.here
        if self.shown is None or spot is None or len(spot.jobs) != 1:
            return None
        return self.shown.reach.view.jobs[spot.jobs[0]]

    def selected_job(self) -> str | int:
        return self.selected.id if self.selected else ""

    def selected_name(self) -> str:
        return self.selected.name if self.selected else ""

    def selected_run(self) -> RunChoice | str:
        if self.selected is None:
            return f"several jobs are folded here: {self.key_for('open')} shows them"
        if self.selected.run_id is None:
            return f"{self.selected.name} has not run yet"
        return RunChoice(self.selected.run_id, self.selected.name)

    def open_selected(self) -> None:
        spot = self.canvas.here
        if self.selected is not None:
            self.navigation.open_job(self.selected.id)
        elif spot is not None:
            self.next_cursor_job = spot.jobs[0]
            self.redraw(opened=self.options.opened | {spot.layer}, fold=LineageFold.JOB)

    # the drawing

    def why_no_job(self) -> str:
        return "" if self.selected is not None else f"several jobs are folded here: {self.key_for('open')} shows them"

    def _why_not_center(self) -> str:
        is_center = self.selected and self.shown is not None and self.selected.id == self.shown.reach.view.job_id
        return "it is the centre already" if is_center else self.why_no_job()

    def center(self) -> None:
        self.job = self.selected_job()
        self.next_cursor_job = self.selected.id if self.selected else None
        self.options = replace(self.options, opened=frozenset())
        self.fetch()

    def toggle_blast(self) -> None:
        self.blast = not self.blast
        self._lit()
        self.tick()

    def toggle_runs(self) -> None:
        self.options = replace(self.options, by_run=not self.options.by_run)
        self.fetch()

    def list_suggestions(self) -> None:
        list_suggestions(self, self.selected_name())

    def _deepest(self, side: int) -> int:
        reach = self.shown.reach if self.shown is not None else None
        steps = (reach.downstream if side > 0 else reach.upstream) if reach is not None else {}
        return max(steps.values(), default=0)

    @on(Canvas.Moved)
    def node_moved(self) -> None:
        if self.blast:
            self._lit()
        self.tick()

    @on(Canvas.Picked)
    def picked(self) -> None:
        self.run_command("open")


def _open(services: Sequence[ServiceView]) -> list[ServiceView]:
    return [service for service in services if service.delivered is None][:MAX_SERVICES]
