"""Runs: every run of every job that was due, newest first, a million rows as quick as twenty."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from console.model.filters import JobFilter
from console.model.views import JobView, RunRow
from console.tui import runs
from console.tui.ports import ReadsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.big import BigTable
from console.tui.widgets.table import Row


class RunsScreen(BigTable):
    WHERE = "runs"
    SORT = "age"
    SORT_AGAIN_SECONDS = 15.0
    COLUMNS = runs.ALL_RUNS
    WIDE, ROOMY = runs.ALL_RUNS_WIDE, runs.ALL_RUNS_ROOMY
    EMPTY = "no run is known yet: the first poll brings them in"

    def first_page(self, reads: ReadsLike, wanted: JobFilter, sort: str) -> Sequence[Any]:
        return reads.runs_first_page(wanted, sort)

    def all_ids(self, reads: ReadsLike, wanted: JobFilter, sort: str) -> array[int]:
        return reads.run_ids(wanted, sort)

    def rows_of(self, reads: ReadsLike, ids: list[int]) -> Sequence[Any]:
        return reads.runs_by_ids(ids)

    def row_of(self, view: RunRow) -> Row:
        return runs.one_of_all(view, self.look, view.id in self.marked)

    def choice_of(self, view: RunRow) -> RunChoice:
        return RunChoice(view.id, view.job)

    def run_here(self) -> RunChoice | str:
        return self.choice_of(self.here) if self.here is not None else "nothing is selected"

    def name_here(self) -> str:
        return str(self.here.job) if self.here is not None else ""

    def do_open(self) -> None:
        self.board.open_run(self.here.id)

    def do_heat(self) -> None:
        from console.tui.screens.heat import HeatScreen

        self.board.push_screen(HeatScreen(self.wanted, self.filter_text))

    def why_not_runbook(self) -> str:
        return self.why_not_open()

    def do_runbook(self) -> None:
        from console.tui.screens.job import job_links
        from console.tui.screens.text import links_screen

        job_id = self.here.job_id

        def found(view: JobView) -> None:
            self.board.push_screen(links_screen(view.row.name, job_links(view)))

        self.look_up("job", lambda reads: reads.job(job_id), found)
