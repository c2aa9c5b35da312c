"""Jobs: everything on every system, 100,000 rows as quick as twenty."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from textual import on

from console.model.views import DriftView, JobFilter, JobRow, JobView
from console.tui import runs
from console.tui.screens.base import RunChoice
from console.tui.screens.lists import ListScreen
from console.tui.widgets.grid import Grid
from console.tui.widgets.pages import IdRows
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row

SORT = "attention"
FIRST_PAGE = 128
SORT_AGAIN_SECONDS = 5.0
FIELDS = ("state", "system", "owner", "service")


def parse_filter(text: str, only_problems: bool = False) -> JobFilter:
    """What `/` means: words that must stand in the name, -word or !word without it, state: system: owner: service:."""
    words: list[str] = []
    without: list[str] = []
    fields: dict[str, list[str]] = {name: [] for name in FIELDS}
    for word in text.split():
        name, colon, value = word.partition(":")
        if colon and name in FIELDS:
            if value:
                fields[name].append(value)
        elif word[0] in "-!":
            if len(word) > 1:
                without.append(word[1:])
        else:
            words.append(word)
    states, systems, owners, services = (tuple(fields[name]) for name in FIELDS)
    return JobFilter(tuple(words), tuple(without), states, systems, owners, only_problems, services)


class JobsScreen(ListScreen):
    WHERE = "jobs"
    COLUMNS = runs.JOBS
    EMPTY = "no job is known yet: the first poll brings them in"

    def __init__(self, filter_text: str = "") -> None:
        super().__init__(filter_text)
        self.source = IdRows(self._row, self._ask)
        self.total = 0
        self.drifted: dict[str, str] = {}
        self.whole = False
        self.order_changed = False
        self._sorted_at = 0.0
        self._asked_filter: JobFilter | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.grid.empty = "reading…"
        self.grid.show(self.source)

    # reading

    def fetch(self) -> None:
        """First the first page, at once; later only what is in view, and the order when nobody is in the table."""
        self.board.ask_for(self, "drift", lambda reads: reads.drift(), self._on_drift)
        if self._asked_filter is None:
            self.refilter()
            return
        self.source.again(*self.grid.visible_rows)
        self.order_changed = True
        if self.grid.cursor == 0 and time.monotonic() - self._sorted_at > SORT_AGAIN_SECONDS:
            self.sort_again()
        self.paint_frame()

    def refilter(self) -> None:
        wanted = parse_filter(self.filter_text, self.only_problems)
        if wanted == self._asked_filter:
            return
        self._asked_filter, self.whole = wanted, False
        self.board.ask_for(
            self,
            "jobs",
            lambda reads: reads.jobs_first_page(wanted, SORT, FIRST_PAGE),
            lambda views: self._first_page(wanted, views),
            first=True,
        )
        self.sort_again()

    def sort_again(self) -> None:
        """Asks for the order of everything; the old one stays until it comes."""
        wanted, self._sorted_at = self._asked_filter, time.monotonic()
        if wanted is not None:
            self.board.ask_for(
                self, "ids", lambda reads: reads.job_ids(wanted, SORT), lambda ids: self._ids(wanted, ids)
            )

    def _first_page(self, wanted: JobFilter, views: Sequence[JobRow]) -> None:
        if wanted != self._asked_filter:
            return
        self.source.arrived(views)
        if not self.whole:
            self._show(array("q", [view.id for view in views]), keep=False)

    def _ids(self, wanted: JobFilter, ids: array[int]) -> None:
        if wanted != self._asked_filter:
            return
        first = not self.whole
        self.whole, self.order_changed = True, False
        self._show(ids, keep=first or self.grid.cursor > 0)

    def _show(self, ids: array[int], keep: bool) -> None:
        self.source.ids = ids
        self.grid.empty = (
            f'nothing matches "{self.filter_text}"; Esc clears the filter'
            if self.filter_text
            else ("no problem here; ! shows everything" if self.only_problems else self.EMPTY)
        )
        self.grid.show(self.source, keep)
        self.paint_frame()

    def _ask(self, ids: list[int]) -> None:
        self.board.ask_for(
            self, "job rows", lambda reads: reads.jobs_by_ids(ids), self._arrived, self.board.store_failed, first=True
        )

    def _arrived(self, views: Sequence[JobRow]) -> None:
        changed = self.source.arrived(views)
        first, last = self.grid.visible_rows
        ids = self.source.ids
        for index in range(first, min(last + 1, len(ids))):
            if ids[index] in changed:
                self.grid.row_changed(index, index)

    def _on_drift(self, drift: Sequence[DriftView]) -> None:
        found = {view.job: view.words or view.what for view in drift}
        if found != self.drifted:
            self.drifted = found
            self.grid.row_changed(*self.grid.visible_rows)
            self.paint_frame()

    # showing

    def _row(self, view: JobRow) -> Row:
        return runs.job(view, self.look, self.drifted.get(view.name, ""), view.id in self.marked)

    def tick(self) -> None:
        super().tick()
        self.grid.row_changed(*self.grid.visible_rows)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        count = len(self.source)
        place = f"  row {self.grid.cursor + 1:,} of {count:,}{'' if self.whole else '…'}" if count else " 0"
        left: list[Run] = [(" JOBS", "key"), (place, "strong")]
        left += self.marks_runs()
        if self.drifted:
            left.append((f"   {len(self.drifted)} drifted", "warn"))
        if self.order_changed and self.grid.cursor:
            left.append(("   order changed, Home sorts", "dim"))
        return left, self.marks()

    @on(Grid.Moved)
    def moved(self) -> None:
        self.source.near_edge(*self.grid.visible_rows)
        if self.grid.cursor == 0 and self.order_changed:
            self.sort_again()
        self.paint_top()
        self.paint_foot()

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    # acts

    def close_something(self) -> bool:
        return (self.is_typing and super().close_something()) or self.clear_marks() or super().close_something()

    def why_not_hold(self) -> str:
        if self.marked:
            return "one job at a time is held: Esc clears the marks"
        return self.why_not_open()

    def do_hold(self) -> None:
        from console.tui.screens.acting import hold

        if self.here:
            hold(self, self.here.id)

    @property
    def here(self) -> JobRow | None:
        return self.source.view(self.grid.key)

    def name_here(self) -> str:
        return self.here.name if self.here else ""

    def record_here(self) -> Any:
        return self.here

    def run_here(self) -> RunChoice | str:
        view = self.here
        if view is None:
            return "nothing is selected"
        if view.run_id is None:
            return f"{view.name} has no run yet"
        return RunChoice(view.run_id, view.name)

    def why_not_open(self) -> str:
        return "" if self.here else "nothing is selected"

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
