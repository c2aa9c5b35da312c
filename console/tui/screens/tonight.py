"""Tonight: services and the jobs on their critical paths over time; and any past night, played again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from textual import on
from textual.app import ComposeResult

from console.control.timeline import Lane, lanes, span
from console.model.views.night import NightView
from console.tui import gantt
from console.tui.cells import counted
from console.tui.gantt import Scale
from console.tui.ports import ReadsLike
from console.tui.screens.base import BaseScreen, RunChoice
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Made, Row


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A night as it stood at a moment."""

    night: NightView
    lanes: tuple[Lane, ...]
    at: datetime
    first: datetime
    last: datetime


def _drawn(night: NightView, at: datetime | None) -> _Drawn:
    whole = lanes(night, night.now)
    first, last = span(night, whole)
    shown = whole if at is None else lanes(night, at)
    return _Drawn(night, tuple(shown), at or night.now, first, last)


class TonightScreen(BaseScreen):
    WHERE = "tonight"

    def __init__(self) -> None:
        super().__init__()
        self.bd: str | None = None
        """A past night; None: the present one."""
        self.at: datetime | None = None
        """The moment that is looked at; None: the latest that there is."""
        self.playing = False
        self.scale: Scale | None = None
        self.drawn: _Drawn | None = None
        self.grid = Grid((), "reading…", id="grid")

    def body(self) -> ComposeResult:
        yield Bar(id="ruler")
        yield self.grid
        yield Bar(id="scrub", ground="panel")

    def on_mount(self) -> None:
        self.grid.focus()

    # reading: what a moment looked like is found in the desk's thread too

    def fetch(self) -> None:
        bd, at = self.bd, self.at

        def read(reads: ReadsLike) -> _Drawn:
            return _drawn(reads.night(bd), at)

        self.board.ask_for(self, "night", read, self._show)

    def _again(self) -> None:
        """The same night at another moment."""
        if self.drawn is not None:
            night, at = self.drawn.night, self.at
            self.board.ask_for(self, "moment", lambda reads: _drawn(night, at), self._show, first=True)

    def _show(self, drawn: _Drawn) -> None:
        self.drawn = drawn
        self.grid.empty = "no service is configured yet: [services.NAME] in the config promises one"
        if self.scale is None or self.scale.width != self._cells:
            self.scale = gantt.fitted(drawn.first, drawn.last, self._cells)
        self._paint()

    @property
    def _label(self) -> int:
        return 24 if self.app.size.width < 110 else 38

    @property
    def _cells(self) -> int:
        return max(20, self.grid.room - self._label)

    # showing

    def tick(self) -> None:
        super().tick()
        if self.playing:
            self._step(1)
        elif self.drawn is not None and self.at is None and self.bd is None:
            moved = self.look.now - self.drawn.at
            if self.scale is not None and abs(moved) >= self.scale.step:
                self.fetch()
        self._paint()

    def _paint(self) -> None:
        drawn, scale = self.drawn, self.scale
        if drawn is None or scale is None or not self.is_whole:
            return
        keys: list[Hashable] = [("service", lane.service.name, lane.service.instance) if lane.service else
                                ("job", lane.job.id if lane.job else 0) for lane in drawn.lanes]  # fmt: skip
        at = drawn.at if self.at is not None or self.bd is not None else self.look.now
        look, width = self.look, self._label

        def row(index: int) -> Row:
            lane = drawn.lanes[index]
            cells = (*gantt.label(lane, width, look), *gantt.cells(lane, scale, at, look))
            return Row(keys[index], cells, free=True)

        self.grid.show(Made(keys, row), keep=self.grid.touched)
        self.bar("ruler").show([(" " * width, "plain"), *gantt.ruler(scale, look)])
        self.bar("scrub").show(*self._scrub(drawn, at))
        self.paint_top()

    def _scrub(self, drawn: _Drawn, at: datetime) -> tuple[list[Run], list[Run]]:
        """What the lane under the cursor says, and where in the night one looks."""
        lane = self.here
        line = gantt.scrubber(drawn.first, drawn.last, at, min(40, self.app.size.width // 3), self.look)
        return ([] if lane is None else gantt.words(lane, self.look)), line

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        drawn = self.drawn
        if drawn is None:
            return [(" TONIGHT", "key"), ("  reading…", "warn")], []
        services = sum(lane.service is not None for lane in drawn.lanes)
        said = f"  {counted(services, 'service')}, {counted(len(drawn.lanes) - services, 'critical job')}"
        left: list[Run] = [(" TONIGHT " if self.bd is None else " NIGHT ", "key"), (drawn.night.bd, "strong")]
        right: list[Run] = []
        if self.at is not None:
            when = self.look.clock.local(drawn.at).strftime("%H:%M")
            right = [(f" as it looked at {when} ", "mark"), (" playing " if self.playing else "", "run")]
        elif self.bd is not None:
            right = [(" past night ", "mark")]
        if self.scale is not None:
            right.append((f" {self.scale.minutes} min a cell ", "dim"))
        return [*left, (said, "dim")], right

    def crumb(self) -> str:
        return "tonight" if self.bd is None else self.bd

    # what the cursor stands on

    @property
    def here(self) -> Lane | None:
        lanes = self.drawn.lanes if self.drawn is not None else ()
        return lanes[self.grid.cursor] if self.grid.cursor < len(lanes) else None

    def name_here(self) -> str:
        return self.here.name if self.here else ""

    def record_here(self) -> Any:
        return self.here

    def job_here(self) -> str | int:
        if self.here is None or self.drawn is None:
            return ""
        if self.here.job is not None:
            return self.here.job.id
        path = self.here.service.path if self.here.service else ()
        return path[-1] if path else ""

    def run_here(self) -> RunChoice | str:
        if self.here is None:
            return "nothing is selected"
        if self.here.run_id is None:
            return f"{self.here.name} has no run that night" if self.here.job else "a service has no log: its jobs have"
        return RunChoice(self.here.run_id, self.here.name)

    def why_not_open(self) -> str:
        return "" if self.here is not None else "nothing is selected"

    def do_open(self) -> None:
        lane = self.here
        if lane is not None and lane.job is not None:
            self.board.open_job(lane.job.id)
        elif lane is not None and lane.service is not None:
            self.board.open_service(lane.service.name)

    # scroll and zoom

    def why_not_later(self) -> str:
        return "" if self.scale is not None else "not read yet"

    why_not_earlier = why_not_zoom_in = why_not_zoom_out = why_not_whole = why_not_later

    def _see(self, scale: Scale) -> None:
        self.scale = scale
        self._paint()

    def do_later(self) -> None:
        if self.scale is not None:
            self._see(self.scale.moved(self.scale.width // 6))

    def do_earlier(self) -> None:
        if self.scale is not None:
            self._see(self.scale.moved(-(self.scale.width // 6)))

    def do_zoom_in(self) -> None:
        if self.scale is not None and self.drawn is not None:
            self._see(self.scale.zoomed(-1, self.drawn.at))

    def do_zoom_out(self) -> None:
        if self.scale is not None and self.drawn is not None:
            self._see(self.scale.zoomed(1, self.drawn.at))

    def do_whole(self) -> None:
        if self.drawn is not None:
            self._see(gantt.fitted(self.drawn.first, self.drawn.last, self._cells))

    # other nights, other moments

    def why_not_night_before(self) -> str:
        return self._why_no_night(-1)

    def why_not_night_after(self) -> str:
        return self._why_no_night(1)

    def _why_no_night(self, step: int) -> str:
        if self.drawn is None:
            return "not read yet"
        return "" if self._date(step) is not None else f"no night {'before' if step < 0 else 'after'} it was judged"

    def _date(self, step: int) -> str | None:
        """The business date so many after the one that is shown."""
        night = self.drawn.night if self.drawn is not None else None
        dates = [each for each in night.dates if (each > night.bd) == (step > 0) and each != night.bd] if night else []
        return (dates[0] if step > 0 else dates[-1]) if dates else None

    def do_night_before(self) -> None:
        self._go(self._date(-1))

    def do_night_after(self) -> None:
        self._go(self._date(1))

    def _go(self, bd: str | None) -> None:
        latest = self.drawn.night.dates[-1:] if self.drawn is not None else ()
        self.bd = None if bd in latest else bd
        self.at, self.playing, self.scale = None, False, None
        self.fetch()

    def do_moment_before(self) -> None:
        self._step(-1)

    def do_moment_after(self) -> None:
        self._step(1)

    def _step(self, cells: int) -> None:
        """One cell on in time; at the last moment that there is it is the present again."""
        drawn, scale = self.drawn, self.scale
        if drawn is None or scale is None:
            return
        end = min(drawn.last, self.look.now)
        at = max(drawn.first, min(self.at or end, end) + cells * scale.step)
        self.at = at if at < end else None
        self.playing = self.playing and self.at is not None
        self._again()

    def do_play(self) -> None:
        self.playing = not self.playing
        if self.playing and self.at is None and self.drawn is not None:
            self.at = self.drawn.first
            self._again()
        self.tick()

    def close_something(self) -> bool:
        """Back to the present, moment by night."""
        if self.at is not None:
            self.at, self.playing = None, False
            self._again()
            return True
        if self.bd is not None:
            self._go(None)
            return True
        return False

    @on(Grid.Resized)
    def resized(self) -> None:
        if self.drawn is not None and self._cells != (self.scale.width if self.scale else 0):
            self.scale = gantt.fitted(self.drawn.first, self.drawn.last, self._cells)
        self._paint()

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    @on(Grid.Moved)
    def moved(self) -> None:
        self._paint()
        self.paint_foot()
