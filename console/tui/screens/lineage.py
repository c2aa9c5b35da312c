"""Lineage: the jobs around one over all systems, drawn as a graph that the cursor walks along its edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual import on
from textual.app import ComposeResult

from console.control.reach import Reach, services_below
from console.model.views import ServiceView
from console.model.views.lineage import LineageJob
from console.tui import lineage
from console.tui.ahead import by_job
from console.tui.lineage import Fold, Options, Shown
from console.tui.ports import ReadsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.seeking import SearchedGraph
from console.tui.trail import Place
from console.tui.widgets.bar import Bar
from console.tui.widgets.canvas import Canvas
from console.tui.widgets.paint import Run

FARTHEST = 99
"""Steps that nobody asks beyond."""
MOST_SERVICES = 20
"""Of which it is read what their forecasts leave to each job, the most urgent first."""


class LineageScreen(SearchedGraph):
    """`blast`: begins with what the job takes with it, as far as it goes."""

    WHERE = "lineage"

    def __init__(self, job: str | int, blast: bool = False) -> None:
        super().__init__(job)
        self.blast = blast
        self.options = Options(up=1, down=FARTHEST) if blast else Options()

    @property
    def place(self) -> Place:
        return "lineage", (self.job, self.blast)

    @property
    def row_left(self) -> Any:
        return self.here.id if self.here else None

    def stand_on(self, row: Any, top: int | None = None) -> None:
        self.stand_next_on = row if isinstance(row, int) else None

    def body(self) -> ComposeResult:
        yield self.canvas
        for name in ("what", "near", "services"):
            yield Bar(id=name, ground="panel" if name == "what" else "")

    def on_mount(self) -> None:
        self.canvas.focus()

    # reading and drawing: both in the desk's thread

    def fetch(self) -> None:
        job, options, look, size = self.job, self.options, self.look, self._room

        def read(reads: ReadsLike) -> Shown:
            view = reads.lineage(job if isinstance(job, int) else reads.job(job).row.id)
            below = services_below(view, view.job_id, reads.services())
            runs = reads.latest_runs(view.jobs) if options.by_run else None
            ahead = by_job(one for day in _open(below) for one in reads.jobs_ahead(day.name, day.bd, day.submission))
            return lineage.draw(Reach(view, below, look.now), options, look, size, runs, ahead)

        self.look_up("lineage", read, self._show)

    def redraw(self, **changes: Any) -> None:
        """The same jobs, seen in another way."""
        self.options = replace(self.options, **changes)
        shown, options, look, size = self.shown, self.options, self.look, self._room
        if shown is None:
            return
        self.board.ask_for(
            self,
            "drawing",
            lambda reads: lineage.draw(shown.found, options, look, size, shown.runs, shown.ahead),
            self._show,
            first=True,
        )

    @property
    def _room(self) -> tuple[int, int]:
        size = self.canvas.size  # less the cell of a scroll bar
        return (size.width - 1, size.height) if size else (self.app.size.width - 1, self.app.size.height - 6)

    def _show(self, shown: Shown) -> None:
        before, self.shown = self.shown, shown
        layout = shown.drawing.layout
        stood = before.drawing.layout.spots[self.canvas.cursor].jobs[:1] if before is not None else ()
        wanted = stood[0] if stood and self.stand_next_on is None else self.stand_next_on
        place = layout.spot_of(wanted) if wanted is not None else None
        centre = layout.spot_of(shown.found.view.job_id)
        self.stand_next_on = None
        self.canvas.show(shown.drawing, place if place is not None else centre or 0)
        self._lit()
        self.tick()
        self.seek_on()

    @property
    def is_drawn(self) -> bool:
        return self.shown is not None and self.shown.options == self.options

    def _lit(self) -> None:
        """With the blast radius lit, all else is dim."""
        self.canvas.styles_of = {}
        if self.blast and self.shown is not None and self.canvas.here is not None:
            below = self.shown.jobs_below(self.canvas.here.jobs)
            spots = enumerate(self.shown.drawing.layout.spots)
            self.canvas.styles_of = {place: "warn" if below.keys() & spot.jobs else "dim" for place, spot in spots}
        self.canvas.refresh()

    @on(Canvas.Resized)
    def resized(self) -> None:
        """Another room has another drawing."""
        self.redraw()

    # showing

    def tick(self) -> None:
        super().tick()
        shown, here = self.shown, self.canvas.here
        self.canvas.empty = "" if self.lost else self.waiting
        if shown is None or here is None or not self.is_whole:
            return
        lines = lineage.facts(shown, here, self.look, self.blast)
        seen = lineage.overview(shown.drawing.layout, here, self.look)
        for name, runs, right in zip(("what", "near", "services"), lines, (seen, [], []), strict=True):
            self.bar(name).show(runs, right)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self.shown is None:
            return [(f" LINEAGE {self.job}", "key"), (f"  {self.waiting}", "warn")], []
        found = self.shown.found
        counts = f"  {len(found.upstream)} upstream, {len(found.downstream)} downstream"
        marks: list[Run] = [(f" {self.options.up} up {min(self.options.down, FARTHEST)} down ", "dim")]
        if self.options.fold is not Fold.JOB:
            marks.append((f" by {self.options.fold} ", "mark"))
        if self.options.by_run:
            marks.append((" which run read which ", "mark"))
        if self.blast:
            marks.append((" blast radius ", "mark"))
        if self.searched:
            marks.append((f" / {self.searched} ", "mark"))
        return [(" LINEAGE ", "key"), (found.job.name, "strong"), (counts, "dim")], marks

    def crumb(self) -> str:
        return "lineage"

    # what the cursor stands on

    @property
    def here(self) -> LineageJob | None:
        """The job under the cursor; None on a fold."""
        spot = self.canvas.here
        if self.shown is None or spot is None or len(spot.jobs) != 1:
            return None
        return self.shown.found.view.jobs[spot.jobs[0]]

    def job_here(self) -> str | int:
        return self.here.id if self.here else ""

    def name_here(self) -> str:
        return self.here.name if self.here else ""

    def record_here(self) -> Any:
        return self.here

    def run_here(self) -> RunChoice | str:
        if self.here is None:
            return f"several jobs are folded here: {self.key_for('open')} shows them"
        if self.here.run_id is None:
            return f"{self.here.name} has not run yet"
        return RunChoice(self.here.run_id, self.here.name)

    def why_not_open(self) -> str:
        return "" if self.canvas.here else self.lost or "not read yet"

    def do_open(self) -> None:
        """The job; of what is folded, its jobs."""
        spot = self.canvas.here
        if self.here is not None:
            self.board.open_job(self.here.id)
        elif spot is not None:
            self.stand_next_on = spot.jobs[0]
            self.redraw(opened=self.options.opened | {spot.layer}, fold=Fold.JOB)

    def why_not_runbook(self) -> str:
        return "" if self.here else "no job is selected"

    def do_runbook(self) -> None:
        from console.tui.screens.job import show_links

        show_links(self, self.job_here())

    # acts

    def why_not_lineage(self) -> str:
        if self.here is None:
            return f"several jobs are folded here: {self.key_for('open')} shows them"
        is_centre = self.shown is not None and self.here.id == self.shown.found.view.job_id
        return "it is the centre already" if is_centre else ""

    def why_not_what_if(self) -> str:
        return "" if self.here is not None else self.why_not_lineage()

    def do_lineage(self) -> None:
        self.job = self.job_here()
        self.stand_next_on = self.here.id if self.here else None
        self.options = replace(self.options, opened=frozenset())
        self.fetch()

    def why_not_blast(self) -> str:
        return "" if self.shown is not None else self.lost or "not read yet"

    def do_blast(self) -> None:
        self.blast = not self.blast
        self._lit()
        self.tick()

    def do_up_more(self) -> None:
        self.redraw(up=min(FARTHEST, self.options.up + 1))

    def do_up_less(self) -> None:
        self.redraw(up=max(0, min(self.options.up, self._deepest(-1)) - 1))

    def do_down_more(self) -> None:
        self.redraw(down=min(FARTHEST, self.options.down + 1))

    def do_down_less(self) -> None:
        self.redraw(down=max(0, min(self.options.down, self._deepest(1)) - 1))

    def _deepest(self, side: int) -> int:
        """How many steps there are on that side."""
        found = self.shown.found if self.shown is not None else None
        steps = (found.downstream if side > 0 else found.upstream) if found is not None else {}
        return max(steps.values(), default=0)

    def do_collapse(self) -> None:
        self.redraw(fold=self.options.fold.next(), opened=frozenset())

    def do_by_run(self) -> None:
        self.options = replace(self.options, by_run=not self.options.by_run)
        self.fetch()

    @on(Canvas.Moved)
    def moved(self) -> None:
        if self.blast:
            self._lit()
        self.tick()

    @on(Canvas.Picked)
    def picked(self) -> None:
        self.action_act("open")


def _open(services: Sequence[ServiceView]) -> list[ServiceView]:
    return [one for one in services if one.delivered is None][:MOST_SERVICES]
