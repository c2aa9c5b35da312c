"""Job: one job with its runs, newest first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial

from textual.app import ComposeResult

from console.domain.forecast import JobForecastView
from console.domain.job import JobView
from console.domain.run import RunRow
from console.store.queries.reader import Queries
from console.tui.frame.cells import paused_text, state_cells
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_READ, READING_TEXT, HeadwayScreen
from console.tui.views.commands import RowMarks, common_commands, job_commands, job_links
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs import actions
from console.tui.views.jobs.preview import JobAnswer, read_job, title_segments
from console.tui.views.runs import forecast, overview, rows
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import FixedRows


class JobScreen(HeadwayScreen):
    WHERE = "job"

    def __init__(self, name_or_id: str | int) -> None:
        super().__init__()
        self.name_or_id = name_or_id
        self.subject = "job", name_or_id
        self.view: JobView | None = None
        self.forecasts: Sequence[JobForecastView] = ()
        self.grid = Grid(rows.JOB_RUN_COLUMNS, READING_TEXT, id="grid")
        self.verdict = VerdictLine(self, self._incident, services=lambda _: self.view.services if self.view else ())
        self.parts = (self.verdict,)

    def commands(self) -> Sequence[ScreenCommand]:
        def unread() -> str:
            return "" if self.view else NOT_READ

        def no_drift() -> str:
            return "" if self.view and self.view.drift else "it has no drift"

        def no_run() -> str:
            return "" if self.selected else "it has no run yet"

        return [
            *common_commands(self),
            *RowMarks(self, self.grid, self._choices).commands(),
            *job_commands(self, lambda: self.view.row.id if self.view else 0, unread),
            ScreenCommand("open", partial(self._open_run, ""), no_run),
            ScreenCommand("error_first", partial(self._open_run, "error_first"), no_run),
            ScreenCommand("follow", partial(self._open_run, "log"), no_run),
            ScreenCommand("pager", partial(self._open_run, "pager"), no_run),
            ScreenCommand("search", partial(self._open_run, "search"), no_run),
            ScreenCommand("backfills", self.list_backfills, unread),
            ScreenCommand("drift", self.accept_drift, no_drift),
            ScreenCommand("card", self.edit_card, lambda: actions.why_not_edit(self.view)),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield Bar(id="facts")
        yield self.grid

    def fetch(self) -> None:
        self.fetch_subject("job", lambda reads: read_job(reads, self.name_or_id), self._show)

    def _show(self, answer: JobAnswer) -> None:
        self.view, self.forecasts = answer
        self.grid.empty = "no run yet"
        self.tick()
        self.verdict.fetch()

    def _incident(self, reads: Queries) -> int | None:
        return reads.incidents.incident_of_job(self.view.row.id) if self.view else None

    def tick(self) -> None:
        super().tick()
        if self.view is not None and self.is_whole:
            marked = self.marked
            self.grid.show(FixedRows([rows.run_row(row, self.ctx, row.id in marked) for row in self.view.runs]))
            blocks = overview.job_overview(self.view, self.ctx, self.size.width, self.forecasts)
            lines = overview.fit_lines(blocks, max(1, self.size.height // 2 - 1 + 2 * bool(self.forecasts)))
            self.bar("facts").show_lines([(tuple(line), (), "") for line in lines])

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        if self.view is None:
            return [(f" JOB {self.name_or_id}", "key"), (f"  {self.waiting}", "warn")], []
        row = self.view.row
        mark, _, label = state_cells(row, self.ctx) if row.state else ((" ", ""), (" ", ""), ("no run yet", "dim"))
        title: list[Segment] = [(" JOB ", "key"), (row.name, "strong"), *title_segments(row), ("  ", "plain")]
        title += [mark, (" ", "plain"), label]
        if row.held_by:
            by = "" if row.held_by == "headway" else f" (by {row.held_by})"
            title.append((f"  held by Headway until {self.board.clock.day(row.held_until, self.ctx.now)}{by}", "warn"))
        elif row.paused or row.gone:
            title.append(("  paused" if row.paused else "  removed from its scheduler", "warn"))
        pauses = self.board.header.paused if self.board.header else ()
        title += [
            (f"  polling {paused_text(pause, self.ctx)}", "warn") for pause in pauses if pause.system == row.system
        ]
        return [*title, *self.marks_runs()], forecast.countdown(self.forecasts, self.ctx)

    # the selected run

    @property
    def selected(self) -> RunRow | None:
        runs = self.view.runs if self.view else ()
        return next((row for row in runs if row.id == self.grid.key), None)

    def selected_name(self) -> str:
        return self.view.row.name if self.view else ""

    def selected_links(self) -> list[tuple[str, str]]:
        return job_links(self.view) if self.view else []

    def selected_run(self) -> RunChoice | str:
        return RunChoice(self.selected.id, self.selected.job) if self.selected else "it has no run yet"

    def _choices(self, keys: Sequence[Hashable], then: Callable[[Mapping[Hashable, RunChoice]], None]) -> None:
        runs = self.view.runs if self.view else ()
        then({row.id: RunChoice(row.id, row.job) for row in runs if row.id in keys})

    def _open_run(self, then: str) -> None:
        if self.selected:
            self.navigation.open_run(self.selected.id, then)

    def close_something(self) -> bool:
        return self.clear_marks()

    # changing the job

    def list_backfills(self) -> None:
        from console.tui.dialogs.confirm import SendScreen

        if self.view:
            self.board.push_screen(SendScreen(actions.BackfillChoice(self.view.row.name, self.view.row.id)))

    def accept_drift(self) -> None:
        if self.view:
            actions.accept_drift(self, self.view)

    def edit_card(self) -> None:
        if self.view:
            actions.edit_card(self, self.view)
