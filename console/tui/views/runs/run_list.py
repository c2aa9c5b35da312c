"""Runs: every run of every job, newest first; and their failures by day and hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from textual.app import ComposeResult

from console.domain.filter import JobFilter
from console.domain.run import HourlyRunCount, RunRow
from console.tui.dialogs.overlay import Overlay
from console.tui.frame.cells import RenderContext
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_SELECTED, READING_TEXT, HeadwayScreen
from console.tui.views.commands import common_commands, show_links
from console.tui.views.incidents.path import PathBelow
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.lists import PagedColumns, PagedList, PagedQueries
from console.tui.views.preview import PreviewBeside, PreviewSource
from console.tui.views.runs import rows
from console.tui.views.runs.preview import run_source
from console.tui.widgets.bar import KeyHint
from console.tui.widgets.paint import Segment
from console.tui.widgets.pane import Pane

QUERIES = PagedQueries(
    first_page=lambda reads, job_filter, sort: reads.run_table.runs_first_page(job_filter, sort),
    all_ids=lambda reads, job_filter, sort: reads.run_table.run_ids(job_filter, sort),
    rows=lambda reads, ids: reads.run_table.runs_by_ids(ids),
)


class RunsScreen(HeadwayScreen):
    WHERE = "runs"

    def __init__(self) -> None:
        super().__init__()
        self.list = PagedList(
            self,
            PagedColumns(rows.RUN_COLUMNS, rows.RUN_COLUMNS_WIDE, rows.RUN_COLUMNS_ROOMY),
            QUERIES,
            lambda view: rows.any_run_row(view, self.ctx, view.id in self.marked),
            _choice,
            "no run yet: the first poll adds them",
            "age",
            sort_seconds=15.0,
        )
        self.grid = self.list.grid
        self.verdict = VerdictLine(self)
        self.preview = PreviewBeside(self, self._preview_source)
        self.path = PathBelow(self, self.grid, lambda: self.verdict.incident_id, lambda: self.verdict.view, share=None)
        self.parts = (self.list, self.preview, self.verdict, self.path)

    def commands(self) -> Sequence[ScreenCommand]:
        unread = self.list.why_not_open
        return [
            *common_commands(self),
            ScreenCommand("open", lambda: self.navigation.open_run(self.selected.id), unread),
            ScreenCommand("runbook", lambda: show_links(self, self.selected.job_id), unread),
            ScreenCommand("heat", lambda: self.board.push_screen(HeatScreen(self.list.filter, self.list.filter_text))),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.preview.beside(self.list.widgets(), self.path.widgets())

    def _preview_source(self) -> PreviewSource | None:
        return None if self.selected is None else run_source(self.selected.id)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        return self.list.title_runs()

    def selected_run(self) -> RunChoice | str:
        return _choice(self.selected) if self.selected is not None else NOT_SELECTED

    def selected_name(self) -> str:
        return str(self.selected.job) if self.selected is not None else ""


def _choice(view: RunRow) -> RunChoice:
    return RunChoice(view.id, view.job)


DAYS = 7
AGAIN_SECONDS = 2.0
"""After which a chart that could not be read is read again."""
SHAPES = " ▁▂▃▄▅▆▇█"
PLAIN_SHAPES = " 123456789"


def heat_lines(hours: Sequence[HourlyRunCount], ctx: RenderContext) -> list[list[Segment]]:
    most = max((hour.runs for hour in hours), default=0)
    days: dict[str, dict[int, HourlyRunCount]] = {}
    for back in range(DAYS - 1, -1, -1):
        days[f"{ctx.clock.local(ctx.now - timedelta(days=back)):%a %-d %b}"] = {}
    for count in hours:
        local = ctx.clock.local(count.at)
        day = days.get(f"{local:%a %-d %b}")
        if day is not None:
            day[local.hour] = count
    ruler = "".join(f"{hour:02d}    " for hour in range(0, 24, 3))
    lines: list[list[Segment]] = [[(f"{'':11}{ruler}", "dim"), ("  runs   red", "dim")]]
    lines += [_heat_line(day, of, most, ctx) for day, of in days.items()]
    return [
        *lines,
        [],
        [(f"the busiest hour had {most:,} runs; ", "dim"), (ctx.sign("red_hour"), "bad"), (" something failed", "dim")],
    ]


def _heat_line(day: str, of: dict[int, HourlyRunCount], most: int, ctx: RenderContext) -> list[Segment]:
    segments: list[Segment] = [(f"{day:<11}", "plain")]
    shapes = PLAIN_SHAPES if ctx.plain else SHAPES
    for hour in range(24):
        count = of.get(hour)
        runs, red = (count.runs, count.red) if count else (0, 0)
        step = -(-runs * (len(shapes) - 1) // most) if most else 0
        mark = ctx.sign("red_hour") if red else " "
        segments += [(shapes[step], "run"), (mark, "bad")]
    total, failed = sum(value.runs for value in of.values()), sum(value.red for value in of.values())
    return [*segments, (f"{total:>6,}", "plain"), (f"{failed:>6,}", "bad" if failed else "dim")]


class HeatScreen(Overlay[None]):
    WHERE = "text"

    def __init__(self, job_filter: JobFilter, text: str) -> None:
        super().__init__()
        self.job_filter, self.text = job_filter, text
        self.pane = Pane(id="text")

    def content(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.foot(KeyHint(self.key_for("back"), "back"), KeyHint(self.key_for("copy"), "copy", 1))
        self._title(READING_TEXT, "dim")
        self._read()

    def _read(self) -> None:
        self.ask(
            "hours", lambda reads: reads.run_table.run_hours(self.job_filter, DAYS * 24), self._show, self._read_again
        )

    def _show(self, hours: Sequence[HourlyRunCount]) -> None:
        self._title()
        self.pane.show_runs(heat_lines(hours, self.ctx))

    def _read_again(self, error: Exception) -> None:
        """Nothing else reads here: without this an error would remain until the dialog is closed."""
        self._title(str(error), "bad")
        self.set_timer(AGAIN_SECONDS, self._read)

    def _title(self, note: str = "", style: str = "dim") -> None:
        zone = self.ctx.clock.label(self.ctx.now)
        title = f"runs by hour, {DAYS} days, {zone}" + (f": {self.text}" if self.text else "")
        self.bar("box-title").show([(title, "strong"), *([(f"   {note}", style)] if note else [])])

    def commands(self) -> Sequence[ScreenCommand]:
        copy = ScreenCommand("copy", lambda: self.board.copy_to_clipboard(self.pane.text))
        return [*super().commands(), copy]
