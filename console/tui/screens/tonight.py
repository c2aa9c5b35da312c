"""Tonight: services and the jobs on their critical paths over time; and any past night, played again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Any

from textual import on
from textual.app import ComposeResult

from console.control.timeline import Lane
from console.tui import gantt
from console.tui.cells import counted
from console.tui.screens.base import RunChoice
from console.tui.screens.nights import Drawn, NightScreen
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run, fit, length_of
from console.tui.widgets.table import Made, Row

WIDE = 100
SCRUBBER_LEAST, SCRUBBER_MOST = 18, 40
"""Cells of the line that says where in the night one looks: what is told of a lane goes before it."""


class TonightScreen(NightScreen):
    WHERE = "tonight"

    def body(self) -> ComposeResult:
        yield Bar(id="ruler")
        yield self.grid
        yield Bar(id="scrub", ground="panel")

    def on_mount(self) -> None:
        self.grid.focus()

    @property
    def _label(self) -> int:
        return 24 if self.app.size.width < 110 else 38

    @property
    def cells_wide(self) -> int:
        return max(20, self.grid.room - self._label)

    # showing

    def tick(self) -> None:
        super().tick()
        if self.playing:
            self.step(1)
        elif self.drawn is not None and self.at is None and self.bd is None:
            moved = self.look.now - self.drawn.at
            if self.scale is not None and abs(moved) >= self.scale.step:
                self.fetch()
        self.paint()

    def paint(self) -> None:
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
        zone = f"  times: {look.clock.label(drawn.at)}"
        self.bar("ruler").show([(fit(zone, width), "dim"), *gantt.ruler(scale, look)])
        self.bar("scrub").show(*self._scrub(drawn, at))
        self.paint_top()

    def _scrub(self, drawn: Drawn, at: datetime) -> tuple[list[Run], list[Run]]:
        """What the lane under the cursor says, and where in the night one looks."""
        lane = self.here
        width = self.app.size.width
        told = [] if lane is None else gantt.words(lane, self.look, width >= WIDE)
        room = max(SCRUBBER_LEAST, min(SCRUBBER_MOST, width // 3, width - length_of(told) - 1))
        return told, gantt.scrubber(drawn.first, drawn.last, at, room, self.look)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        drawn = self.drawn
        if drawn is None:
            return [(" TONIGHT", "key"), (f"  {self.waiting}", "warn")], []
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
        """Of a night that is played again the run that a job had; what is as of now says so."""
        lane = self.here
        if lane is not None and self.drawn is not None and (self.at is not None or self.bd is not None):
            self._open_past(lane, self.drawn.night.bd)
        elif lane is not None and lane.job is not None:
            self.board.open_job(lane.job.id)
        elif lane is not None and lane.service is not None:
            self.board.open_service(lane.service.name)

    def _open_past(self, lane: Lane, bd: str) -> None:
        if lane.job is not None and lane.run_id is not None:
            self.board.open_run(lane.run_id)
        elif lane.job is not None:
            self.notice(f"{lane.name} had no run yet as it looked then", "warn")
        elif lane.service is not None:
            self.board.open_service(lane.service.name)
            words = f"this is as of now; {self.key_for('back')} leads back to the night of {bd}"
            self.board.call_after_refresh(self.board.tell, words, "warn")

    @on(Grid.Resized)
    def resized(self) -> None:
        if self.drawn is not None and self.cells_wide != (self.scale.width if self.scale else 0):
            self.scale = gantt.fitted(self.drawn.first, self.drawn.last, self.cells_wide)
        self.paint()

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    @on(Grid.Moved)
    def moved(self) -> None:
        self.paint()
        self.paint_foot()
