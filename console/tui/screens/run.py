"""Run: what happened, attempt by attempt, and its log: tail first, followed, searched, errors by `e`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from connectors.words import Verb
from console.model.views import RunView
from console.tui import facts
from console.tui.cells import state_cells
from console.tui.screens.base import RunChoice
from console.tui.screens.log import LogScreen
from console.tui.trail import Place
from console.tui.widgets.bar import Bar
from console.tui.widgets.paint import Run


class RunScreen(LogScreen):
    WHERE = "run"

    @property
    def place(self) -> Place:
        return "run", self.run_id

    def body(self) -> ComposeResult:
        yield Bar(id="facts")
        yield Bar(id="log-title", ground="panel")
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()

    def fetch(self) -> None:
        self.look_up("run", lambda reads: reads.run(self.run_id), self._show)

    def _show(self, view: RunView) -> None:
        before, self.view = self.view, view
        ids = [attempt.id for attempt in view.attempts]
        grown = before is None or len(view.attempts) > len(before.attempts)
        if grown or self.attempt is None or self.attempt.id not in ids:
            self.look_at(view.attempts[-1] if view.attempts else None)
        else:
            self.attempt = view.attempts[ids.index(self.attempt.id)]
        self.tick()

    # showing

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self.view is None:
            return [(f" RUN {self.run_id}", "key"), (f"  {self.waiting}", "warn")], []
        row = self.view.row
        mark, sign, word = state_cells(row, self.look)
        left: list[Run] = [(" RUN ", "key"), (row.job, "strong"), ("  ", "plain"), mark, sign, (" ", "plain"), word]
        return left, [(f"bd {row.bd} ", "dim")]

    def tick(self) -> None:
        super().tick()
        if self.view is None or not self.is_whole:
            return
        blocks = facts.of_run(self.view, self.attempt, self.look, self.size.width)
        lines = facts.fitting(blocks, max(1, self.size.height // 2 - 2))
        self.bar("facts").show_lines([(tuple(line), (), "") for line in lines])
        self.paint_log_title()

    # acts

    def name_here(self) -> str:
        return self.view.row.job if self.view else ""

    def record_here(self) -> Any:
        return self.view

    def why_not_runbook(self) -> str:
        return "" if self.view else "not read yet"

    def do_runbook(self) -> None:
        """Those of its job, and the attempt's own page."""
        if self.view is not None:
            from console.tui.screens.job import show_links

            own = self.attempt.native_url if self.attempt else ""
            more = [("web page of this attempt", own)] if own else []
            show_links(self, self.view.row.job_id, more)

    def run_here(self) -> RunChoice | str:
        if self.view is None:
            return "not read yet"
        return RunChoice(self.run_id, self.view.row.job, self.view.incident_id)

    def _lacks(self, verb: Verb) -> str:
        if self.view is None:
            return "not read yet"
        if verb.needs in self.view.capabilities:
            return ""
        return self.view.missing.get(verb.needs, f"its system cannot {verb}")

    def why_not_rerun(self) -> str:
        return self._lacks(Verb.RERUN)

    def why_not_cancel(self) -> str:
        if self.view is not None and self.view.row.ended is not None:
            return "it has ended: nothing of it runs"
        return self._lacks(Verb.CANCEL)

    def why_not_previous(self) -> str:
        return "" if self.view and len(self.view.attempts) > 1 else "there is only one attempt"

    def do_previous(self) -> None:
        if self.view and self.attempt:
            ids = [attempt.id for attempt in self.view.attempts]
            self.look_at(self.view.attempts[ids.index(self.attempt.id) - 1])
            self.tick()

    def do_focus_next(self) -> None:
        self.focus_next()
