"""Jobs: every job on every system; 100,000 rows are as quick as twenty."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from textual.app import ComposeResult

from console.domain.ids import instant
from console.domain.job import JobRow, JobView
from console.domain.system import DriftView
from console.tui.frame.cells import RenderContext, duration_text, marked_row, state_cells
from console.tui.frame.clock_format import format_signed
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_SELECTED, HeadwayScreen
from console.tui.views.commands import common_commands, job_commands, show_links
from console.tui.views.incidents.path import PathBelow
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import job_source
from console.tui.views.lists import PagedColumns, PagedList, PagedQueries
from console.tui.views.preview import PreviewBeside, PreviewSource
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import NAME_FIRST, Column, TableRow, by_priority, cells_row, roomy, widened

JOB_COLUMNS = (
    Column("", 1, 1),
    Column("", 1, 1),
    Column("job", 34, 1, flex=NAME_FIRST, most=64, middle=True, whole=45, whole_rank=4),
    Column("state", 10, 2),
    Column("deadline", 9, 0),
    Column("slack", 7, 0, right=True),
    Column("business date", 13, 5),
    Column("started", 9, 3),
    Column("took", 7, 4, right=True),
    Column("next", 9, 3),
    Column("schedule", 16, 6, flex=1, most=44),
    Column("owner", 13, 7, flex=1, most=24),
    Column("native", 10, 0, flex=1, most=20),
    Column("try", 3, 0, right=True),
)
PROMISED_COLUMNS = by_priority(JOB_COLUMNS, deadline=2, slack=2)
JOB_COLUMNS_ROOMY = roomy(
    by_priority(JOB_COLUMNS, deadline=8, slack=9, native=10, **{"try": 11}), job=48, schedule=44, native=14
)
JOB_COLUMNS_WIDE = widened(by_priority(JOB_COLUMNS, deadline=3, slack=3, native=8, **{"try": 8}))


def job_row(
    view: JobRow,
    ctx: RenderContext,
    drifted: str = "",
    marked: bool = False,
    promised: tuple[int, int | None] | None = None,
) -> TableRow:
    """A line of Jobs; `drifted`: its drift; `promised`: deadline and slack of the services below, in microseconds."""
    dash = ctx.sign("dash")
    name = "  " + view.name if view.is_task else view.name
    mark, sign, label = (" ", "dim"), (" ", "dim"), ("no run yet", "dim")
    if view.state:
        mark, sign, label = state_cells(view, ctx)
    status = "held" if view.held_by else "paused" if view.paused else "removed" if view.gone else ""
    schedule: Segment = (
        (f"drift: {drifted}", "warn") if drifted else (ctx.clock.schedule(view.schedule, ctx.now), "dim")
    )
    return cells_row(
        view.id,
        mark,
        *marked_row(sign, name, ctx, marked, "dim" if view.gone else "plain"),
        label,
        *_promise(promised, ctx),
        (view.business_date, "dim"),
        (ctx.day(view.started), "plain"),
        (duration_text(view, ctx) or dash, "plain"),
        (status or ctx.day(view.next), "warn" if status else "plain"),
        schedule,
        (view.owner, "dim"),
        (view.native_state, "dim"),
        (str(view.attempts or ""), "warn" if view.attempts > 1 else "dim"),
    )


def _promise(promised: tuple[int, int | None] | None, ctx: RenderContext) -> tuple[Segment, Segment]:
    dash: Segment = (ctx.sign("dash"), "dim")
    if promised is None:
        return dash, dash
    deadline, slack_us = instant(promised[0]), promised[1]
    at: Segment = (ctx.day(deadline), "plain" if deadline > ctx.now else "bad")
    if slack_us is None:
        return at, dash
    slack = timedelta(microseconds=slack_us)
    return at, (format_signed(slack), "bad" if slack < timedelta(0) else "plain")


PROMISED_SECONDS = 5.0
QUERIES = PagedQueries(
    first_page=lambda reads, job_filter, sort: reads.jobs.jobs_first_page(job_filter, sort),
    all_ids=lambda reads, job_filter, sort: reads.jobs.job_ids(job_filter, sort),
    rows=lambda reads, ids: reads.jobs.jobs_by_ids(ids),
)


class JobList(PagedList):
    """With the columns of deadline and slack if they are sorted by, or there is room for them."""

    @property
    def shows_deadlines(self) -> bool:
        return self.wide or self.has_room or self.sort.removeprefix("-") in ("deadline", "slack")

    def columns(self) -> Sequence[Column]:
        if self.wide or self.has_room or not self.shows_deadlines:
            return super().columns()
        return self.shifted(PROMISED_COLUMNS)


class JobsScreen(HeadwayScreen):
    WHERE = "jobs"

    def __init__(self) -> None:
        super().__init__()
        self.drifted: dict[str, str] = {}
        self.deadlines: Mapping[int, tuple[int, int | None]] = {}
        """Job id -> soonest deadline and least slack of the services below, in microseconds."""
        self._deadlines_at = 0.0
        self.list = JobList(
            self,
            PagedColumns(JOB_COLUMNS, JOB_COLUMNS_WIDE, JOB_COLUMNS_ROOMY),
            QUERIES,
            self._row,
            self._choice,
            "no job yet: the first poll adds them",
            "attention",
        )
        self.list.columns_shown = self._fetch_deadlines
        self.grid = self.list.grid
        self.verdict = VerdictLine(self)
        self.preview = PreviewBeside(self, self._preview_source)
        self.path = PathBelow(self, self.grid, lambda: self.verdict.incident_id, lambda: self.verdict.view, share=None)
        self.parts = (self.list, self.preview, self.verdict, self.path)

    def commands(self) -> Sequence[ScreenCommand]:
        unread = self.list.why_not_open
        return [
            *common_commands(self),
            *job_commands(self, lambda: int(self.selected.id), unread),
            ScreenCommand("open", lambda: self.navigation.open_job(self.selected.id), unread),
            ScreenCommand("runbook", lambda: show_links(self, self.selected.id), unread),
            ScreenCommand("drift", self.accept_drift, self._why_no_drift),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.preview.beside(self.list.widgets(), self.path.widgets())

    def _preview_source(self) -> PreviewSource | None:
        return None if self.selected is None else job_source(self.selected.id)

    def fetch(self) -> None:
        self.ask("drift", lambda reads: reads.estate.drift(), self._show_drift)
        self._fetch_deadlines()
        super().fetch()

    def _fetch_deadlines(self) -> None:
        if self.list.shows_deadlines and time.monotonic() - self._deadlines_at > PROMISED_SECONDS:
            self._deadlines_at = time.monotonic()
            self.ask("promised", lambda reads: reads.services.promised(), self._show_deadlines)

    def _show_deadlines(self, deadlines: Mapping[int, tuple[int, int | None]]) -> None:
        self.deadlines = deadlines
        self.list.repaint_rows()

    def _show_drift(self, drift: Sequence[DriftView]) -> None:
        drifted = {view.job: view.text or view.what for view in drift}
        if drifted != self.drifted:
            self.drifted = drifted
            self.list.repaint_rows()
            self.paint_frame()

    def _row(self, view: JobRow) -> TableRow:
        drifted = self.drifted.get(view.name, "")
        return job_row(view, self.ctx, drifted, view.id in self.marked, self.deadlines.get(view.id))

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        drifted: list[Segment] = [(f"   {len(self.drifted)} drifted", "warn")] if self.drifted else []
        return self.list.title_runs(drifted)

    def selected_name(self) -> str:
        return str(self.selected.name) if self.selected else ""

    def _choice(self, view: JobRow) -> RunChoice | None:
        return None if view.run_id is None else RunChoice(view.run_id, view.name)

    def selected_run(self) -> RunChoice | str:
        view: JobRow | None = self.selected
        if view is None:
            return NOT_SELECTED
        return self._choice(view) or f"{view.name} has no run yet"

    def _why_no_drift(self) -> str:
        if self.selected is None:
            return NOT_SELECTED
        return "" if self.selected.name in self.drifted else f"{self.selected.name} has no drift"

    def accept_drift(self) -> None:
        from console.tui.views.jobs.actions import accept_drift

        job_id = self.selected.id
        accept: Callable[[JobView], None] = partial(accept_drift, self)
        self.fetch_subject("job", lambda reads: reads.jobs.job(job_id), accept)
