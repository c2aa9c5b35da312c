"""Jobs: every job on every system; 100,000 rows are as quick as twenty."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from textual import on

from console.domain.job import JobRow, JobView
from console.domain.system import DriftView
from console.tui.frame.history import ViewPlace
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_SELECTED, HeadwayScreen
from console.tui.views.common_commands import common_commands, job_commands, show_job_links
from console.tui.views.lists import PagedColumns, PagedList, PagedQueries
from console.tui.views.runs import rows
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, TableRow, shift_right

PROMISED_SECONDS = 5.0
QUERIES = PagedQueries(
    first_page=lambda reads, wanted, sort: reads.jobs.jobs_first_page(wanted, sort),
    all_ids=lambda reads, wanted, sort: reads.jobs.job_ids(wanted, sort),
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
        return shift_right(rows.PROMISED_COLUMNS, self._columns.fixed, self.shift)


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
            PagedColumns(rows.JOB_COLUMNS, rows.JOB_COLUMNS_WIDE, rows.JOB_COLUMNS_ROOMY),
            QUERIES,
            self._row,
            self._choice,
            "no job yet: the first poll adds them",
            "attention",
        )
        self.list.columns_shown = self._fetch_deadlines
        self.grid = self.list.grid
        self.parts = (self.list,)

    def commands(self) -> Sequence[ScreenCommand]:
        unread = self.list.why_not_open
        return [
            *common_commands(self),
            *self.list.commands(),
            *job_commands(self, lambda: int(self.selected.id), unread),
            ScreenCommand("open", lambda: self.board.open_job(self.selected.id), unread),
            ScreenCommand("runbook", lambda: show_job_links(self, self.selected.id), unread),
            ScreenCommand("drift", self.accept_drift, self._why_no_drift),
        ]

    @property
    def place(self) -> ViewPlace:
        return self.list.place

    def fetch(self) -> None:
        self.board.ask_for(self, "drift", lambda reads: reads.estate.drift(), self._show_drift)
        self._fetch_deadlines()
        self.list.fetch()

    def _fetch_deadlines(self) -> None:
        if self.list.shows_deadlines and time.monotonic() - self._deadlines_at > PROMISED_SECONDS:
            self._deadlines_at = time.monotonic()
            self.board.ask_for(self, "promised", lambda reads: reads.services.promised(), self._show_deadlines)

    def _show_deadlines(self, deadlines: Mapping[int, tuple[int, int | None]]) -> None:
        self.deadlines = deadlines
        self.list.repaint_rows()

    def _show_drift(self, drift: Sequence[DriftView]) -> None:
        drifted = {view.job: view.words or view.what for view in drift}
        if drifted != self.drifted:
            self.drifted = drifted
            self.list.repaint_rows()
            self.paint_frame()

    @on(Grid.Headed)
    def sort_by_heading(self, event: Grid.Headed) -> None:
        self.list.sort_by_heading(event.title)

    def _row(self, view: JobRow) -> TableRow:
        drifted = self.drifted.get(view.name, "")
        return rows.job_row(view, self.ctx, drifted, view.id in self.marked, self.deadlines.get(view.id))

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        return self.list.title_runs([(f"   {len(self.drifted)} drifted", "warn")] if self.drifted else [])

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
