"""A graph of jobs that is searched: the next one whose name holds a text, in view or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.tui.lineage import Shown
from console.tui.screens.base import BaseScreen
from console.tui.widgets.canvas import Canvas

if TYPE_CHECKING:
    from textual.widgets import Input


class SearchedGraph(BaseScreen):
    """A screen with the jobs around `job` in `canvas`."""

    def __init__(self, job: str | int) -> None:
        super().__init__()
        self.job = job
        self.shown: Shown | None = None
        self.searched = ""
        self._sought = 0
        """The step of a search that waits for a drawing: what it would find in the one before may not be in that."""
        self.stand_next_on: int | None = None
        """The job that the cursor goes to in the next drawing; None: it stays on its job."""
        self.canvas = Canvas("reading…", id="graph")

    @property
    def is_drawn(self) -> bool:
        """True where what is shown is what was asked for last."""
        raise NotImplementedError

    def seek_on(self) -> None:
        """What was searched for while the drawing was on its way."""
        step, self._sought = self._sought, 0
        if step:
            self._seek(step)

    def do_search(self) -> None:
        self.open_line(self.searched, "part of a job's name")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.searched = event.value
        self._leave_search()
        self._seek(1)

    def _leave_search(self) -> None:
        self.close_line()
        self.canvas.focus()

    def close_something(self) -> bool:
        typing = self.is_typing
        if typing:
            self._leave_search()
        if not self.searched:
            return typing
        self.searched, self._sought = "", 0
        self.paint_frame()
        return True

    def why_not_match_next(self) -> str:
        return "" if self.searched else f"nothing was searched for: {self.key_for('search')} does"

    def why_not_match_previous(self) -> str:
        return self.why_not_match_next()

    def do_match_next(self) -> None:
        self._seek(1)

    def do_match_previous(self) -> None:
        self._seek(-1)

    def _seek(self, step: int) -> None:
        """The next job whose name holds the text; one that is not in view becomes the centre."""
        if self.shown is None or not self.searched:
            return
        if not self.is_drawn:
            self._sought = step
            self.paint_frame()
            return
        jobs, wanted = self.shown.found.view.jobs, self.searched.lower()
        known = sorted((one.name, one.id) for one in jobs.values() if wanted in one.name.lower())
        if not known:
            self.notice(f'no job around it has "{self.searched}" in its name', "warn")
            return
        names = [name for name, _ in known]
        at = names.index(self.name_here()) + step if self.name_here() in names else 0
        job_id = known[at % len(known)][1]
        place = self.shown.drawing.layout.spot_of(job_id)
        if place is not None and len(self.shown.drawing.layout.spots[place].jobs) == 1:
            self.canvas.move_to(place)
        else:
            self.job, self.stand_next_on = job_id, job_id
            self.fetch()
        self.paint_frame()
