"""The acts that mean the same on every screen: where one goes, and what is done with what the cursor stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.words import Verb
from console.tui import chrome, guide, where
from console.tui.screens.about_job import AboutJob
from console.tui.screens.marking import RunChoice
from console.tui.trail import Place
from console.tui.widgets.grid import Grid

__all__ = ["BaseScreen", "RunChoice"]


class BaseScreen(AboutJob):
    """A screen with the acts of the table that belong to all."""

    def do_services(self) -> None:
        self.board.go("services")

    def do_incidents(self) -> None:
        self.board.go("incidents")

    def do_jobs(self) -> None:
        self.board.go("jobs")

    def do_tonight(self) -> None:
        self.board.go("tonight")

    def do_runs(self) -> None:
        self.board.go("runs")

    def do_systems(self) -> None:
        self.board.go("systems")

    def do_holds(self) -> None:
        self.board.go("holds")

    def do_actions(self) -> None:
        self.board.go("actions")

    def do_shadow(self) -> None:
        self.board.go("shadow")

    def do_audit(self) -> None:
        self.board.go("audit")

    @property
    def place(self) -> Place | None:
        """What `visit` takes to come here again; None for what is gone once it is closed."""
        return ("screen", self.WHERE) if self.WHERE in where.NUMBERED else None

    @property
    def left_at(self) -> Place | None:
        """The same with what a person made of it: where he comes back to when his line was lost."""
        return self.place

    @property
    def row_left(self) -> Any:
        """The row under the cursor, where there are rows."""
        return next((grid.key for grid in self.query(Grid)), None)

    @property
    def was_moved_in(self) -> bool:
        """Whether anybody chose where one stands here; else it is the first row, whichever that is."""
        return all(grid.touched for grid in self.query(Grid))

    @property
    def top_left(self) -> int:
        """The first line in view, where there are rows."""
        return next((grid.scroll_offset.y for grid in self.query(Grid)), 0)

    def stand_on(self, row: Any, top: int | None = None) -> None:
        """Puts the cursor there as soon as there is such a row, and `top` as the first line in view."""

        def stand() -> None:
            for grid in self.query(Grid):
                grid.stand_on(row, top)

        if row is not None:
            self.call_after_refresh(stand)

    def take_table(self, *shown: Any) -> None:
        """Shows what a table showed: filter, sort, columns."""

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.place is not None and self.app.screen is self:  # not one that was only passed on the way to another
            self.board.trail.seen(self.place)

    def do_last(self) -> None:
        self._to(self.board.trail.last(), "this is the first view that was opened")

    def do_history_back(self) -> None:
        self._to(self.board.trail.step(-1), "nothing was seen before this")

    def do_history_on(self) -> None:
        self._to(self.board.trail.step(1), "nothing was seen after this")

    def _to(self, place: Place | None, why_not: str) -> None:
        if place is None:
            self.notice(why_not, "warn")
        else:
            self.board.return_to(place)

    def do_zone(self) -> None:
        self.board.clock.mode = self.board.clock.mode.next()
        self.tick()
        self.fetch()
        self.notice(f"times: {chrome.zone_words(self.look)}")

    def why_not_suspend(self) -> str:
        return "the console is in a browser: there is no shell behind it" if self.board.is_web else ""

    def why_not_tour(self) -> str:
        if self.board.tour is not None:
            return ""
        if self.board.header is not None and self.board.header.replay:
            return "this demo was opened without its tour: headway demo without --no-tour has it"
        return "the tour belongs to the recorded night: headway demo"

    def why_not_tour_skip(self) -> str:
        if self.why_not_tour():
            return self.why_not_tour()
        return "" if guide.is_shown(self.board) else "the tour was left; its key brings it back"

    def do_tour(self) -> None:
        guide.turn(self)

    def do_tour_skip(self) -> None:
        guide.skip(self)

    def do_redraw(self) -> None:
        self.board.redraw()
        self.board.look_again()

    def do_suspend(self) -> None:
        self.board.action_suspend_process()

    def do_leave(self) -> None:
        self.board.exit(0)

    def do_quit(self) -> None:
        self.board.back()

    def do_back(self) -> None:
        if not self.close_something():
            self.board.back(leave=False)

    def close_something(self) -> bool:
        """Closes what is open inside the screen (a filter, a search); False when nothing was."""
        return False

    def do_help(self) -> None:
        from console.tui.screens.pick import help_screen

        self.board.push_screen(help_screen(self), self.run_named)

    def do_jump(self) -> None:
        self._open_jump(jumps_first=True)

    def do_palette(self) -> None:
        self._open_jump(jumps_first=False)

    def _open_jump(self, jumps_first: bool) -> None:
        from console.tui.screens.jump import JumpScreen

        self.board.push_screen(JumpScreen(self.WHERE, jumps_first), self.run_named)

    def run_named(self, chosen: Any) -> None:
        """Runs what help or the palette gave back: an act's name, or a place to go."""
        if isinstance(chosen, str):
            self.action_act(chosen)
        elif chosen is not None:
            self.board.visit(*chosen)

    # what the cursor stands on: each screen says

    def record_here(self) -> Any:
        return None

    def links_here(self) -> list[tuple[str, str]]:
        """(word, address) of runbook, owner, web page."""
        return []

    def with_run(self, then: Callable[[RunChoice], None]) -> None:
        """Calls `then` with the run; a screen that has to look it up does so first."""
        choice = self.run_here()
        if isinstance(choice, RunChoice):
            then(choice)
        else:
            self.notice(choice, "warn")

    def why_not_rerun(self) -> str:
        choice = self.run_here()
        return choice if isinstance(choice, str) and not self.marked else ""

    def why_not_cancel(self) -> str:
        return self.why_not_rerun()

    def why_not_mark_ok(self) -> str:
        return self.why_not_rerun()

    def why_not_skip(self) -> str:
        return self.why_not_rerun()

    def why_not_approvals(self) -> str:
        return "" if self.board.approvals else "nothing waits for an approval"

    def why_not_log(self) -> str:
        choice = self.run_here()
        return choice if isinstance(choice, str) else ""

    def why_not_copy(self) -> str:
        return "" if self.name_here() else "nothing is selected"

    def why_not_record(self) -> str:
        return "" if self.record_here() is not None else "nothing is selected"

    def why_not_runbook(self) -> str:
        return "" if self.links_here() else "no runbook, owner or web page is known for it"

    def do_rerun(self) -> None:
        self._order(Verb.RERUN)

    def do_cancel(self) -> None:
        self._order(Verb.CANCEL)

    def do_mark_ok(self) -> None:
        self._order(Verb.MARK_OK)

    def do_skip(self) -> None:
        self._order(Verb.SKIP)

    def _order(self, verb: Verb) -> None:
        from console.tui.screens.acting import order

        order(self, verb)

    def do_freeze(self) -> None:
        from console.tui.screens.acting import freeze

        freeze(self)

    def do_approvals(self) -> None:
        from console.tui.screens.approve import approvals

        approvals(self)

    def do_log(self) -> None:
        self.with_run(lambda choice: self.board.open_run(choice.run_id))

    def do_copy(self) -> None:
        from console.clean import clean_line

        name = clean_line(self.name_here())
        self.board.copy_to_clipboard(name)
        self.notice(f"copied: {name}")

    def do_record(self) -> None:
        from console.tui.screens.text import record_screen

        self.board.push_screen(record_screen(self.name_here(), self.record_here()))

    def do_runbook(self) -> None:
        from console.tui.screens.text import links_screen

        self.board.push_screen(links_screen(self.name_here(), self.links_here()))
