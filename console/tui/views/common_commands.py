"""The commands that mean the same on every screen: navigation, marks, and verbs on the selected run or job."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import Verb
from console.config import key_table
from console.tui.frame import header_footer
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_SELECTED, HeadwayScreen
from console.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from console.tui.frame.history import ViewPlace

RUN_VERBS = (Verb.RERUN, Verb.CANCEL, Verb.MARK_OK, Verb.SKIP)
NO_SHELL = "a console in a browser has no shell"
MAX_MARKED = 1_000
"""Limit of one plan (`engine.api.plan_client.MAX_RUNS`)."""


def common_commands(screen: HeadwayScreen) -> list[ScreenCommand]:
    """The commands of the key table that every screen has; a screen lists its own after them."""
    board, navigation = screen.board, screen.navigation

    def no_verb_run() -> str:
        return "" if screen.marked else screen.why_no_run()

    def no_step() -> str:
        return "" if header_footer.is_tour_shown(board) else "the tour was left; its key brings it back"

    return [
        *(ScreenCommand(name, partial(navigation.go, name)) for name in key_table.GLOBAL_SCREENS),
        ScreenCommand("last", lambda: _return_to(screen, board.trail.last(), "no previous view")),
        ScreenCommand("history_back", lambda: _return_to(screen, board.trail.step(-1), "no earlier view")),
        ScreenCommand("history_on", lambda: _return_to(screen, board.trail.step(1), "no later view")),
        ScreenCommand("back", partial(go_back, screen)),
        ScreenCommand("quit", navigation.back),
        ScreenCommand("leave", lambda: board.exit(0)),
        ScreenCommand("suspend", board.action_suspend_process, lambda: NO_SHELL if board.is_web else ""),
        ScreenCommand("redraw", partial(refresh_all, screen)),
        ScreenCommand("zone", partial(turn_zone, screen)),
        ScreenCommand("tour", partial(turn_tour, screen), lambda: _why_no_tour(screen)),
        ScreenCommand("tour_skip", partial(skip_tour_step, screen),
                      lambda: _why_no_tour(screen) or no_step()),
        ScreenCommand("demo_pause", partial(pause_demo, screen),
                      lambda: "" if board.demo_pause is not None else "only a demo has a clock that can stop"),
        ScreenCommand("help", partial(open_help, screen)),
        ScreenCommand("jump", partial(open_jump, screen, jumps_first=True)),
        ScreenCommand("palette", partial(open_jump, screen, jumps_first=False)),
        ScreenCommand("freeze", partial(freeze, screen)),
        ScreenCommand("approvals", partial(approve, screen),
                      lambda: "" if board.approvals else "nothing waits for approval"),
        ScreenCommand("lineage", lambda: navigation.open_lineage(screen.selected_job()), screen.why_no_job),
        ScreenCommand("blast", lambda: navigation.open_lineage(screen.selected_job(), blast=True), screen.why_no_job),
        ScreenCommand("what_if", partial(what_if, screen), screen.why_no_job),
        ScreenCommand("log", screen.open_run, screen.why_no_run),
        *(ScreenCommand(verb.value, partial(order, screen, verb), no_verb_run) for verb in RUN_VERBS),
        ScreenCommand("copy", partial(copy_name, screen), lambda: "" if screen.selected_name() else NOT_SELECTED),
        ScreenCommand("record", partial(show_record, screen),
                lambda: NOT_SELECTED if screen.selected_record() is None else ""),
        ScreenCommand("runbook", partial(show_runbook, screen),
                lambda: "" if screen.selected_links() else "it has no runbook, owner or web page"),
        ScreenCommand("focus_next", screen.focus_next),
    ]  # fmt: skip


# navigation


def _return_to(screen: HeadwayScreen, place: ViewPlace | None, why_not: str) -> None:
    if place is None:
        screen.notice(why_not, "warn")
    else:
        screen.navigation.return_to(place)


def go_back(screen: HeadwayScreen) -> None:
    if not screen.close_something():
        screen.navigation.back(leave=False)


def refresh_all(screen: HeadwayScreen) -> None:
    screen.board.redraw()
    screen.board.reload()


def turn_zone(screen: HeadwayScreen) -> None:
    screen.board.clock.mode = screen.board.clock.mode.next()
    screen.tick()
    screen.fetch()
    screen.notice(f"times: {header_footer.zone_text(screen.ctx)}")


def _why_no_tour(screen: HeadwayScreen) -> str:
    if screen.board.tour is not None:
        return ""
    if screen.board.header is not None and screen.board.header.replay:
        return "Tour disabled (--no-tour). Fix: start headway demo again"
    return "the tour belongs to the recorded night: headway demo"


def pause_demo(screen: HeadwayScreen) -> None:
    if (pause := screen.board.demo_pause) is not None:
        pause.by_key = not pause.by_key
        screen.board.update_demo_clock()
        stopped = f"the clock of the demo is stopped; {screen.key_for('demo_pause')} resumes it"
        screen.notice(stopped if pause.by_key else "the clock of the demo runs again")


def turn_tour(screen: HeadwayScreen) -> None:
    if (tour := screen.board.tour) is not None:
        tour.on = not tour.on
        screen.paint_frame()
        screen.notice("" if tour.on else f"the tour waits; {screen.key_for('tour')} comes back to it")


def skip_tour_step(screen: HeadwayScreen) -> None:
    if screen.board.tour is not None:
        screen.board.tour.skip()
        screen.paint_frame()


def open_help(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.palette import help_screen

    screen.board.push_screen(help_screen(screen), partial(run_chosen, screen))


def open_jump(screen: HeadwayScreen, jumps_first: bool) -> None:
    from console.tui.dialogs.palette import jump_screen

    screen.board.push_screen(jump_screen(jumps_first), partial(run_chosen, screen))


def run_chosen(screen: HeadwayScreen, chosen: Any) -> None:
    if isinstance(chosen, str):
        screen.run_command(chosen)
    elif chosen is not None:
        screen.navigation.visit(*chosen)


# verbs


def order(screen: HeadwayScreen, verb: Verb) -> None:
    from console.tui.views.commands import act_on_marked, act_on_run

    if screen.marked:
        act_on_marked(screen, verb, list(screen.marked.values()))
    else:
        screen.with_run(lambda choice: act_on_run(screen, verb, choice))


def recover(screen: HeadwayScreen, incident_id: int) -> None:
    from console.tui.views.commands import recover_incident

    recover_incident(screen, incident_id)


def freeze(screen: HeadwayScreen) -> None:
    from console.tui.views.commands import toggle_freeze

    toggle_freeze(screen)


def approve(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.approve import list_approvals

    list_approvals(screen)


def what_if(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.what_if import open_what_if

    open_what_if(screen, screen.selected_job())


def copy_name(screen: HeadwayScreen) -> None:
    from console.text.cleaning import clean_line

    name = clean_line(screen.selected_name())
    screen.board.copy_to_clipboard(name)
    screen.notice(f"copied: {name}")


def show_record(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.overlay import record_screen

    screen.board.push_screen(record_screen(screen.selected_name(), screen.selected_record()))


def show_runbook(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.overlay import links_screen

    screen.board.push_screen(links_screen(screen.selected_name(), screen.selected_links()))


def show_job_links(screen: HeadwayScreen, job: str | int, extra: Sequence[tuple[str, str]] = ()) -> None:
    from console.tui.views.commands import show_links

    show_links(screen, job, extra)


def job_commands(screen: HeadwayScreen, job_id: Callable[[], int], why_not: Callable[[], str]) -> list[ScreenCommand]:
    """Start and hold of one job. `job_id` is called only if `why_not` is empty."""

    def start() -> None:
        from console.tui.views.commands import start_job

        start_job(screen, job_id())

    def hold() -> None:
        from console.tui.views.commands import hold_job

        hold_job(screen, job_id())

    def one(verb: str) -> str:
        marks = f"{verb} works on one job; clear the marks first ({screen.key_for('back')})"
        return marks if screen.marked and screen.WHERE == "jobs" else why_not()

    return [
        ScreenCommand("start_job", start, partial(one, "Start")),
        ScreenCommand("hold", hold, partial(one, "Hold")),
    ]


# marks

Choices = Callable[[Sequence[Hashable], Callable[[Mapping[Hashable, RunChoice]], None]], None]
"""Passes on the runs of those rows that have one."""


class RowMarks:
    """Marking rows of a grid for a bulk action. `choices` returns the runs of a range of rows."""

    def __init__(self, screen: HeadwayScreen, grid: Grid, choices: Choices) -> None:
        self._screen, self._grid, self._choices = screen, grid, choices
        self._last: Hashable = None

    def commands(self) -> list[ScreenCommand]:
        screen = self._screen
        return [
            ScreenCommand("mark", self.mark, screen.why_no_run),
            ScreenCommand("mark_range", self.mark_range,
                    lambda: "" if self._last in screen.marked else "Space marks the first row of a range"),
            ScreenCommand("clear_marks", screen.clear_marks, lambda: "" if screen.marked else "nothing is marked"),
        ]  # fmt: skip

    def mark(self) -> None:
        choice, grid, marked = self._screen.selected_run(), self._grid, self._screen.marked
        if isinstance(choice, RunChoice) and grid.key is not None:
            if marked.pop(grid.key, None) is None:
                marked[grid.key] = choice
                self._last = grid.key
            grid.row_changed(grid.cursor, grid.cursor)
            grid.action_move("down")
            self._screen.tick()

    def mark_range(self) -> None:
        grid = self._grid
        start = grid.source.index_of(self._last, grid.cursor)
        if start is None:
            self._screen.notice("the first row of the range is not in this list any more", "warn")
            return
        first, last = sorted((start, grid.cursor))
        if last - first >= MAX_MARKED:
            self._screen.notice(f"{last - first + 1:,} rows are more than the {MAX_MARKED:,} of one plan", "warn")
            return

        def mark(choices: Mapping[Hashable, RunChoice]) -> None:
            self._screen.marked.update(choices)
            self._last = grid.key
            self._screen.tick()

        self._choices([grid.source.key_at(index) for index in range(first, last + 1)], mark)
