"""Jobs: everything on every system, 100,000 rows as quick as twenty."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from console.model.filters import JobFilter
from console.model.views import DriftView, JobRow, JobView
from console.tui import runs
from console.tui.ports import ReadsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.big import BigTable
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row, shifted

PROMISED_SECONDS = 5.0
"""Deadlines and slack of all jobs are read anew at most so often."""


class JobsScreen(BigTable):
    WHERE = "jobs"
    SORT = "attention"
    COLUMNS = runs.JOBS
    WIDE, ROOMY = runs.JOBS_WIDE, runs.JOBS_ROOMY
    EMPTY = "no job is known yet: the first poll brings them in"

    def __init__(self, filter_text: str = "", sort: str = "", wide: bool = False) -> None:
        self.drifted: dict[str, str] = {}
        self.promised: Mapping[int, tuple[int, int | None]] = {}
        self._promised_at = 0.0
        super().__init__(filter_text, sort, wide)

    # reading

    def first_page(self, reads: ReadsLike, wanted: JobFilter, sort: str) -> Sequence[Any]:
        return reads.jobs_first_page(wanted, sort)

    def all_ids(self, reads: ReadsLike, wanted: JobFilter, sort: str) -> array[int]:
        return reads.job_ids(wanted, sort)

    def rows_of(self, reads: ReadsLike, ids: list[int]) -> Sequence[Any]:
        return reads.jobs_by_ids(ids)

    def fetch(self) -> None:
        self.board.ask_for(self, "drift", lambda reads: reads.drift(), self._on_drift)
        self._ask_promised()
        super().fetch()

    @property
    def shows_promises(self) -> bool:
        return self.wide or self.has_room or self.sort.removeprefix("-") in ("deadline", "slack")

    def _ask_promised(self) -> None:
        if self.shows_promises and time.monotonic() - self._promised_at > PROMISED_SECONDS:
            self._promised_at = time.monotonic()
            self.board.ask_for(self, "promised", lambda reads: reads.promised(), self._on_promised)

    def _on_promised(self, promised: Mapping[int, tuple[int, int | None]]) -> None:
        self.promised = promised
        self.grid.row_changed(*self.grid.visible_rows)

    def _on_drift(self, drift: Sequence[DriftView]) -> None:
        found = {view.job: view.words or view.what for view in drift}
        if found != self.drifted:
            self.drifted = found
            self.grid.row_changed(*self.grid.visible_rows)
            self.paint_frame()

    # showing

    def columns(self) -> Sequence[Column]:
        if self.wide or self.has_room or not self.shows_promises:
            return super().columns()
        return shifted(runs.JOBS_PROMISED, self.FIXED, self.shift)

    def row_of(self, view: JobRow) -> Row:
        drifted = self.drifted.get(view.name, "")
        return runs.job(view, self.look, drifted, view.id in self.marked, self.promised.get(view.id))

    def remarks(self) -> list[Run]:
        return [(f"   {len(self.drifted)} drifted", "warn")] if self.drifted else []

    # acts

    def sorted_anew(self) -> None:
        super().sorted_anew()
        self._ask_promised()

    def do_sort_deadline(self) -> None:
        self.sort_by("deadline")

    def do_sort_slack(self) -> None:
        self.sort_by("slack")

    def do_wide(self) -> None:
        super().do_wide()
        self._ask_promised()

    def why_not_hold(self) -> str:
        return self._why_not_one("held")

    def why_not_start_job(self) -> str:
        return self._why_not_one("started")

    def _why_not_one(self, done: str) -> str:
        if self.marked:
            return f"one job at a time is {done}: {self.key_for('back')} clears the marks"
        return self.why_not_open()

    def do_start_job(self) -> None:
        from console.tui.screens.acting import start

        if self.here:
            start(self, self.here.id)

    def do_hold(self) -> None:
        from console.tui.screens.acting import hold

        if self.here:
            hold(self, self.here.id)

    def name_here(self) -> str:
        return str(self.here.name) if self.here else ""

    def choice_of(self, view: JobRow) -> RunChoice | None:
        return None if view.run_id is None else RunChoice(view.run_id, view.name)

    def run_here(self) -> RunChoice | str:
        view: JobRow | None = self.here
        if view is None:
            return "nothing is selected"
        return self.choice_of(view) or f"{view.name} has no run yet"

    def do_open(self) -> None:
        if self.here:
            self.board.open_job(self.here.id)

    def why_not_runbook(self) -> str:
        return self.why_not_open()

    def do_runbook(self) -> None:
        from console.tui.screens.job import job_links
        from console.tui.screens.text import links_screen

        self._with_job(lambda view: self.board.push_screen(links_screen(view.row.name, job_links(view))))

    def why_not_drift(self) -> str:
        if self.here is None:
            return "nothing is selected"
        return "" if self.here.name in self.drifted else f"{self.here.name} is as it was accepted: no drift"

    def do_drift(self) -> None:
        from console.tui.screens.drift import open_drift

        self._with_job(lambda view: open_drift(self, view))

    def _with_job(self, then: Callable[[JobView], Any]) -> None:
        job_id = self.here.id if self.here else 0
        self.look_up("job", lambda reads: reads.job(job_id), then)
