"""Job: one job with its runs, newest first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult

from console.model.views import JobView, RunRow
from console.model.views.ahead import JobAheadView
from console.tui import ahead, facts, runs
from console.tui.cells import paused_words, state_cells
from console.tui.ports import ReadsLike
from console.tui.screens import card
from console.tui.screens.base import BaseScreen, RunChoice
from console.tui.screens.early import Early
from console.tui.trail import Place
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Rows


def job_links(view: JobView) -> list[tuple[str, str]]:
    found = [
        ("owner", view.row.owner),
        ("runbook", view.runbook),
        ("web", view.native_url),
        ("definition", view.definition),
    ]
    return [(word, text) for word, text in found if text]


class JobScreen(Early):
    WHERE = "job"

    def __init__(self, name_or_id: str | int) -> None:
        super().__init__()
        self.name_or_id = name_or_id
        self.view: JobView | None = None
        self.foreseen: Sequence[JobAheadView] = ()
        """What the forecasts of the services that wait for it leave to it."""
        self.grid = Grid(runs.RUNS, "no run yet", id="grid")

    @property
    def place(self) -> Place:
        return "job", self.name_or_id

    def body(self) -> ComposeResult:
        yield Bar(id="facts")
        yield self.grid

    def on_mount(self) -> None:
        self.grid.focus()

    def fetch(self) -> None:
        def read(reads: ReadsLike) -> tuple[JobView, Sequence[JobAheadView]]:
            view = reads.job(self.name_or_id)
            return view, ahead.tonight(reads.job_ahead(view.row.id))

        self.look_up("job", read, self._show)

    def _show(self, found: tuple[JobView, Sequence[JobAheadView]]) -> None:
        self.view, self.foreseen = found
        self.tick()
        self.act_early()

    def tick(self) -> None:
        super().tick()
        if self.view is not None and self.is_whole:
            self.grid.show(
                Rows([runs.run(row, self.look, self._zone, row.id in self.marked) for row in self.view.runs])
            )
            said = card.groups(self.view, self.look)
            blocks = facts.of_job(self.view, said, self.look, self.size.width, self.foreseen)
            lines = facts.fitting(blocks, max(1, self.size.height // 2 - 1 + 2 * bool(self.foreseen)))
            self.bar("facts").show_lines([(tuple(line), (), "") for line in lines])

    @property
    def _zone(self) -> str:
        return self.board.clock.home

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self.view is None:
            return [(f" JOB {self.name_or_id}", "key"), (f"  {self.waiting}", "warn")], []
        row = self.view.row
        mark, _, word = state_cells(row, self.look) if row.state else ((" ", ""), (" ", ""), ("no run yet", "dim"))
        left: list[Run] = [(" JOB ", "key"), (row.name, "strong"), ("  ", "plain"), mark, (" ", "plain"), word]
        if row.held_by:
            by = "" if row.held_by == "headway" else f" (by {row.held_by})"
            left.append((f"  held by Headway until {self.board.clock.day(row.held_until, self.look.now)}{by}", "warn"))
        elif row.paused or row.gone:
            left.append(("  paused" if row.paused else "  gone", "warn"))
        pauses = self.board.header.paused if self.board.header else ()
        mine = [one for one in pauses if one.system == row.system]
        left += [(f"  polling {paused_words(one, self.look)}", "warn") for one in mine]
        return [*left, *self.marks_runs()], ahead.countdown(self.foreseen, self.look)

    def crumb(self) -> str:
        return "job"

    # acts

    @property
    def here(self) -> RunRow | None:
        runs = self.view.runs if self.view else ()
        return next((row for row in runs if row.id == self.grid.key), None)

    def name_here(self) -> str:
        return self.view.row.name if self.view else ""

    def record_here(self) -> Any:
        return self.view

    def links_here(self) -> list[tuple[str, str]]:
        return job_links(self.view) if self.view else []

    def run_here(self) -> RunChoice | str:
        if self.here is None:
            return "it has no run yet"
        return RunChoice(self.here.id, self.here.job)

    def choices(self, keys: Sequence[Hashable], then: Callable[[Mapping[Hashable, RunChoice]], None]) -> None:
        rows = self.view.runs if self.view else ()
        then({row.id: RunChoice(row.id, row.job) for row in rows if row.id in keys})

    def why_not_open(self) -> str:
        return "" if self.here else "it has no run yet"

    def do_open(self) -> None:
        if self.here:
            self.board.open_run(self.here.id)

    why_not_error_first = why_not_follow = why_not_pager = why_not_search = why_not_open

    def do_error_first(self) -> None:
        self._open_log("error_first")

    def do_follow(self) -> None:
        self._open_log("log")

    def do_pager(self) -> None:
        self._open_log("pager")

    def do_search(self) -> None:
        self._open_log("search")

    def _open_log(self, then: str) -> None:
        """The log of the run under the cursor, and what is done there."""
        if self.here:
            self.board.open_run(self.here.id, then)

    @on(Grid.Picked)
    def picked(self) -> None:
        self.action_act("open")

    @on(Grid.Moved)
    def moved(self) -> None:
        self.paint_foot()

    def close_something(self) -> bool:
        return self.clear_marks()

    def why_not_hold(self) -> str:
        return "" if self.view else "not read yet"

    def why_not_start_job(self) -> str:
        return self.why_not_hold()

    def do_start_job(self) -> None:
        from console.tui.screens.acting import start

        if self.view:
            start(self, self.view.row.id)

    def do_hold(self) -> None:
        from console.tui.screens.acting import hold

        if self.view:
            hold(self, self.view.row.id)

    def why_not_backfills(self) -> str:
        return self.why_not_hold()

    def do_backfills(self) -> None:
        from console.tui.screens.backfills import BackfillsScreen

        if self.view:
            self.board.push_screen(BackfillsScreen(self.view.row.name, self.view.row.id))

    def why_not_drift(self) -> str:
        return "" if self.view and self.view.drift else "it is as it was accepted: no drift"

    def do_drift(self) -> None:
        from console.tui.screens.drift import open_drift

        if self.view:
            open_drift(self, self.view)

    def why_not_card(self) -> str:
        return card.why_not(self.view)

    def do_card(self) -> None:
        if self.view:
            card.edit(self, self.view)


def show_links(screen: BaseScreen, job: str | int, more: Sequence[tuple[str, str]] = ()) -> None:
    """Opens what is known of a job: owner, runbook, web page, and `more`; says so where there is nothing."""

    def show(view: JobView) -> None:
        from console.tui.screens.text import links_screen

        links = [*job_links(view), *more]
        if links:
            screen.board.push_screen(links_screen(view.row.name, links))
        else:
            screen.notice("no runbook, owner or web page is known for it", "warn")

    screen.look_up("links", lambda reads: reads.job(job), show)
