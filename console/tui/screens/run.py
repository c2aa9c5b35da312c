"""Run: what happened, attempt by attempt, and its log: tail first, followed, searched, errors by `e`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from connectors.words import State, Verb, is_open
from console.model.views import FindingView, RunRow, RunView
from console.tui.cells import Look, state_cells, took
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
        yield Bar(id="tries")
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
            return [(f" RUN {self.run_id}", "key"), (f"  {self.lost or 'reading…'}", "warn")], []
        row = self.view.row
        mark, sign, word = state_cells(row, self.look)
        left: list[Run] = [(" RUN ", "key"), (row.job, "strong"), ("  ", "plain"), mark, sign, (" ", "plain"), word]
        if row.native_state and row.native_state.lower() != row.state:
            left.append((f' "{row.native_state}"', "dim"))
        return left, [(f"bd {row.bd} ", "dim")]

    def tick(self) -> None:
        super().tick()
        if self.view is None:
            return
        self.bar("facts").show(self._facts(self.view))
        self.bar("tries").show(self._tries(self.view))
        self.paint_log_title()

    def _facts(self, view: RunView) -> list[Run]:
        row, look = view.row, self.look
        runs: list[Run] = [
            (f" {look.clock.full(row.period, view.zone) if row.period else look.clock.period(row.period_key)}", "plain")
        ]
        if row.started:
            runs.append((f"   {_ran(row, look, view.zone)}", "plain"))
        if row.exit_code is not None:
            runs.append((f"   exit {row.exit_code}", "bad" if row.exit_code else "ok"))
        if row.message or row.reason:
            runs.append((f"   {row.message or row.reason}", "warn" if _red(row.state) else "dim"))
        if row.stale_read:
            runs.append(("   read its upstream too early: its data is stale", "warn"))
        elif row.partial_input:
            runs.append((f"   {row.partial_input}", "warn"))
        runs += [(f"   {_found(one)}", "dim" if one.closed else "warn") for one in view.findings]
        return runs

    def _tries(self, view: RunView) -> list[Run]:
        if not view.attempts:
            return [(" no attempt yet", "dim")]
        runs: list[Run] = [(" attempts ", "dim")]
        for attempt in view.attempts[-8:]:
            mark, word, style = self.look.glyphs.mark("state", attempt.state)
            here = self.attempt is not None and attempt.id == self.attempt.id
            ours = " ours" if attempt.action_key else ""
            when = self.look.clock.hm(attempt.started, self.look.now, view.zone)
            runs.append(
                (f" {attempt.number} {mark} {when} {word}{ours} ", "mark" if here and len(view.attempts) > 1 else style)
            )
            runs.append((" ", "plain"))
        last = view.actions[-1] if view.actions else None
        if last is not None and last.state not in ("verified",):
            mark, word, style = self.look.glyphs.mark("action", last.state)
            runs.append((f"  rerun: {mark} {word}", style))
        return runs

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


def _ran(row: RunRow, look: Look, zone: str) -> str:
    """From when until when; "since" while it goes on; that its end is not known."""
    start = look.clock.hms(row.started, zone)
    if row.ended is not None:
        return f"{start}–{look.clock.hms(row.ended, zone)} ({took(row, look)})"
    return f"since {start} ({took(row, look)})" if _goes_on(row.state) else f"{start}, its end is not known"


def _goes_on(state: str) -> bool:
    return state != State.UNKNOWN and is_open(state)


def _found(one: FindingView) -> str:
    return f"{one.rule.replace('_', ' ')}: {one.with_source}"


def _red(state: str) -> bool:
    try:
        return State(state).is_red
    except ValueError:
        return True
