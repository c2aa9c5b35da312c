"""Tonight: services and the jobs on their critical paths over time; any past night replayed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta

from textual.app import ComposeResult

from console.control.explain.timeline import TimelineLane
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, counted
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_READ, NOT_SELECTED, READING_TEXT, HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import job_source
from console.tui.views.lanes import (
    DrawnNight,
    TimeScale,
    drawn_at,
    fitted_scale,
    lane_cells,
    lane_label,
    lane_text,
    ruler,
)
from console.tui.views.preview import PreviewBelow, PreviewSource
from console.tui.views.runs.preview import run_source
from console.tui.views.services.preview import service_source
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment, fit, length_of
from console.tui.widgets.table import LazyRows, TableRow

WIDE = 100
SCRUBBER_LEAST, SCRUBBER_MOST = 18, 40


def scrubber(first: datetime, last: datetime, at: datetime, width: int, ctx: RenderContext) -> list[Segment]:
    ends = [ctx.clock.local(moment).strftime("%H:%M") for moment in (first, last)]
    room = max(3, width - 14)
    place = min(room - 1, max(0, int((at - first) / max(last - first, timedelta(seconds=1)) * room)))
    line, knob = ("-", "O") if ctx.plain else ("─", "●")
    return [(f" {ends[0]} ", "dim"), (line * place, "dim"), (knob, "key"), (line * (room - 1 - place), "dim"),
            (f" {ends[1]} ", "dim")]  # fmt: skip


class TonightScreen(HeadwayScreen):
    WHERE = "tonight"

    def __init__(self) -> None:
        super().__init__()
        self.business_date: str | None = None
        self.at: datetime | None = None
        self.scale: TimeScale | None = None
        self.drawn: DrawnNight | None = None
        self.grid = Grid((), READING_TEXT, id="grid")
        self.verdict = VerdictLine(self)
        self.preview = PreviewBelow(self, self._preview_source, self.grid)
        self.parts = (self.verdict, self.preview)

    def commands(self) -> Sequence[ScreenCommand]:
        def unread() -> str:
            return "" if self.scale is not None else NOT_READ

        return [
            *common_commands(self),
            ScreenCommand("open", self.open_selected, lambda: "" if self.selected is not None else NOT_SELECTED),
            ScreenCommand("earlier", lambda: self.scroll_by(-1, "this is the start of the night"), unread),
            ScreenCommand("later", lambda: self.scroll_by(1, "this is the end of the night"), unread),
            ScreenCommand("zoom_in", lambda: self.zoom(-1), unread),
            ScreenCommand("zoom_out", lambda: self.zoom(1), unread),
            ScreenCommand("whole", self.show_whole_night, unread),
            ScreenCommand("night_before", lambda: self._go_to_night(self._date(-1)), lambda: self._why_no_night(-1)),
            ScreenCommand("night_after", lambda: self._go_to_night(self._date(1)), lambda: self._why_no_night(1)),
            ScreenCommand("moment_before", lambda: self.step(-1)),
            ScreenCommand("moment_after", lambda: self.step(1)),
        ]

    @property
    def is_loading(self) -> bool:
        return self.drawn is None and not self.board.store_error

    # reading: the state at a moment is computed in the reader's thread too

    def fetch(self) -> None:
        business_date, at = self.business_date, self.at

        def read(reads: Queries) -> DrawnNight:
            return drawn_at(reads.service_days.timeline(business_date), at)

        self.ask("night", read, lambda drawn: self._show(drawn, business_date))
        super().fetch()

    def again(self) -> None:
        if self.drawn is not None:
            night, at, business_date = self.drawn.night, self.at, self.business_date

            def show(drawn: DrawnNight) -> None:
                self._show(drawn, business_date)

            self.ask("moment", lambda reads: drawn_at(night, at), show, first=True)

    def _show(self, drawn: DrawnNight, business_date: str | None) -> None:
        if business_date != self.business_date:
            return  # another night was requested meanwhile
        self.drawn = drawn
        self.grid.empty = "no service is configured yet: [services.NAME] in the config promises one"
        if self.scale is None or self.scale.width != self.cells_wide:
            self.scale = fitted_scale(drawn.first, drawn.last, self.cells_wide)
        self.paint()
        self.paint_foot()
        self.rows_arrived()

    # scroll and zoom

    def _show_scale(self, scale: TimeScale, at_end: str = "") -> None:
        """`at_end`: the notice if it cannot be scrolled further."""
        before, self.scale = self.scale, scale
        if self.drawn is not None:
            self.scale = scale.within(self.drawn.first, self.drawn.last)
        if at_end and self.scale == before:
            self.notice(at_end, "warn")
        self.paint()

    def scroll_by(self, direction: int, at_end: str) -> None:
        if self.scale is not None:
            self._show_scale(self.scale.moved(direction * (self.scale.width // 6)), at_end)

    def zoom(self, by: int) -> None:
        if self.scale is not None and self.drawn is not None:
            self._show_scale(self.scale.zoomed(by, self.drawn.at))

    def show_whole_night(self) -> None:
        if self.drawn is not None:
            self._show_scale(fitted_scale(self.drawn.first, self.drawn.last, self.cells_wide))

    # other nights, other moments

    def _why_no_night(self, step: int) -> str:
        if self.drawn is None:
            return NOT_READ
        return "" if self._date(step) is not None else f"no {'earlier' if step < 0 else 'later'} night is recorded"

    def _date(self, step: int) -> str | None:
        if self.drawn is None:
            return None
        night = self.drawn.night
        if step > 0:
            return next((date for date in night.dates if date > night.business_date), None)
        return next((date for date in reversed(night.dates) if date < night.business_date), None)

    def _go_to_night(self, business_date: str | None) -> None:
        latest = self.drawn.night.dates[-1:] if self.drawn is not None else ()
        self.business_date = None if business_date in latest else business_date
        self.at, self.scale = None, None
        self.fetch()

    def step(self, cells: int) -> None:
        drawn, scale = self.drawn, self.scale
        if drawn is None or scale is None:
            return
        end = min(drawn.last, self.ctx.now)
        at = max(drawn.first, min(self.at or end, end) + cells * scale.step)
        self.at = at if at < end else None
        self.again()

    def close_something(self) -> bool:
        if self.at is not None:
            self.at = None
            self.again()
            return True
        if self.business_date is not None:
            self._go_to_night(None)
            return True
        return False

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield Bar(id="ruler")
        yield self.grid
        yield from self.preview.widgets()
        yield Bar(id="scrub", background="panel")

    @property
    def _label(self) -> int:
        return 24 if self.app.size.width < 110 else 38

    @property
    def cells_wide(self) -> int:
        return max(20, self.grid.room - self._label)

    # showing

    def tick(self) -> None:
        super().tick()
        if self.drawn is not None and self.at is None and self.business_date is None:
            moved = self.ctx.now - self.drawn.at
            if self.scale is not None and abs(moved) >= self.scale.step:
                self.fetch()
        self.paint()

    def paint(self) -> None:
        drawn, scale = self.drawn, self.scale
        if drawn is None or scale is None or not self.is_whole:
            return
        keys: list[Hashable] = [("service", lane.service.name) if lane.service else
                                ("job", lane.job.id if lane.job else 0) for lane in drawn.lanes]  # fmt: skip
        at = drawn.at if self.at is not None or self.business_date is not None else self.ctx.now
        ctx, width = self.ctx, self._label

        def row(index: int) -> TableRow:
            lane = drawn.lanes[index]
            cells = (*lane_label(lane, width, ctx), *lane_cells(lane, scale, at, ctx))
            return TableRow(keys[index], cells, free=True)

        self.grid.show(LazyRows(keys, row), keep=self.grid.touched)
        self.bar("ruler").show([(fit(f" {ctx.other_zone(drawn.at)}", width), "dim"), *ruler(scale, ctx)])
        self.bar("scrub").show(*self._scrub(drawn, at))
        self.preview.moved()  # another night, other lanes
        self.paint_top()

    def _scrub(self, drawn: DrawnNight, at: datetime) -> tuple[list[Segment], list[Segment]]:
        lane = self.selected
        width = self.app.size.width
        text = [] if lane is None else lane_text(lane, self.ctx, width >= WIDE)
        room = max(SCRUBBER_LEAST, min(SCRUBBER_MOST, width // 3, width - length_of(text) - 1))
        return text, scrubber(drawn.first, drawn.last, at, room, self.ctx)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        drawn = self.drawn
        if drawn is None:
            return [(" TONIGHT", "key"), (f"  {self.waiting}", "warn")], []
        services = sum(lane.service is not None for lane in drawn.lanes)
        counts = f"  {counted(services, 'service')}, {counted(len(drawn.lanes) - services, 'critical job')}"
        name: Segment = (" TONIGHT " if self.business_date is None else " NIGHT ", "key")
        right: list[Segment] = []
        if self.at is not None:
            when = self.ctx.clock.local(drawn.at).strftime("%H:%M")
            right = [(f" as of {when} ", "mark")]
        elif self.business_date is not None:
            right = [(" past night ", "mark")]
        if self.scale is not None:
            right.append((f" {self.scale.minutes} min a cell ", "dim"))
        date: list[Segment] = [("business date ", "dim"), (drawn.night.business_date, "strong")]
        return [name, *date, *([(counts, "dim")] if self.size.width >= WIDE else [])], right

    def crumb(self) -> str:
        return "tonight" if self.business_date is None else self.business_date

    # the selection

    @property
    def selected(self) -> TimelineLane | None:
        lanes = self.drawn.lanes if self.drawn is not None else ()
        return lanes[self.grid.cursor] if self.grid.cursor < len(lanes) else None

    def _preview_source(self) -> PreviewSource | None:
        """The job or service under the cursor as of now; in a replayed night the run."""
        lane = self.selected
        if lane is None:
            return None
        if self.at is not None or self.business_date is not None:
            return run_source(lane.run_id) if lane.run_id is not None else None
        if lane.job is not None:
            return job_source(lane.job.id)
        return service_source(lane.service, self.verdict, self.board.is_old) if lane.service is not None else None

    def selected_name(self) -> str:
        return self.selected.name if self.selected else ""

    def selected_job(self) -> str | int:
        if self.selected is None or self.drawn is None:
            return ""
        if self.selected.job is not None:
            return self.selected.job.id
        path = self.selected.service.path if self.selected.service else ()
        return path[-1] if path else ""

    def selected_run(self) -> RunChoice | str:
        if self.selected is None:
            return NOT_SELECTED
        if self.selected.run_id is None and self.selected.job is None:
            return "a service has no log: its jobs have"
        if self.selected.run_id is None:
            return f"{self.selected.name} has no run that night"
        return RunChoice(self.selected.run_id, self.selected.name)

    def open_selected(self) -> None:
        """In a replayed night the run of a job; a service opens as of now and says so."""
        lane = self.selected
        if lane is not None and self.drawn is not None and (self.at is not None or self.business_date is not None):
            if lane.job is not None and lane.run_id is not None:
                self.navigation.open_run(lane.run_id)
            elif lane.job is not None:
                self.notice(f"{lane.name} had no run yet at that time", "warn")
            elif lane.service is not None:
                self.navigation.open_service(lane.service.name)
                night = f"the night of {self.drawn.night.business_date}"
                text = f"this is as of now; {self.key_for('back')} leads back to {night}"
                self.board.call_after_refresh(self.board.show_notice, text, "warn")
        elif lane is not None and lane.job is not None:
            self.navigation.open_job(lane.job.id)
        elif lane is not None and lane.service is not None:
            self.navigation.open_service(lane.service.name)

    def resized(self) -> None:
        if self.drawn is not None and self.cells_wide != (self.scale.width if self.scale else 0):
            self.scale = fitted_scale(self.drawn.first, self.drawn.last, self.cells_wide)
        self.paint()

    def moved(self) -> None:
        self.paint()
