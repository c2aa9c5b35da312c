"""The commands that mean the same on every screen: navigation, marks, and actions on the selected run or job.

An action only opens a dialog; nothing here sends anything without a confirmation. Dialogs and values that no first
screen needs are imported when a command runs: start-up does not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import Verb
from console.config import key_table
from console.domain.ids import incident_name
from console.domain.name_pattern import literal
from console.domain.switches import format_freeze
from console.engine.api.requests import AddSilence, ProposeRecovery
from console.store.queries.reader import Queries
from console.text.cleaning import clean_line
from console.timing.durations import parse_duration
from console.tui.frame import header_footer
from console.tui.frame.cells import counted
from console.tui.frame.clock_format import ZoneMode
from console.tui.frame.engine_request import send_order
from console.tui.frame.history import ViewAddress
from console.tui.frame.intent import ActionIntent, RunChoice, ScreenCommand, verb_label
from console.tui.frame.screen import NOT_SELECTED, HeadwayScreen
from console.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from console.domain.hold import HoldView
    from console.domain.job import JobView
    from console.domain.run import RunView

RUN_VERBS = (Verb.RERUN, Verb.CANCEL, Verb.MARK_OK, Verb.SKIP)
HAS_ENDED = "it has ended: nothing of it runs"
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
        ScreenCommand("quit", partial(quit_screen, screen)),
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
        ScreenCommand("freeze", partial(toggle_freeze, screen)),
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


def _return_to(screen: HeadwayScreen, address: ViewAddress | None, why_not: str) -> None:
    if address is None:
        screen.notice(why_not, "warn")
    else:
        screen.navigation.return_to(address)


def go_back(screen: HeadwayScreen) -> None:
    if not screen.close_something():
        screen.navigation.back(leave=False)


def quit_screen(screen: HeadwayScreen) -> None:
    """Goes back. The first screen first closes what is open, a filter too, and then quits."""
    if len(screen.board.screen_stack) > 1 or not screen.close_something():
        screen.navigation.back()


def refresh_all(screen: HeadwayScreen) -> None:
    screen.refresh()
    screen.board.reload()


def turn_zone(screen: HeadwayScreen) -> None:
    """Turns to the next mode that shows another zone than before."""

    def zone() -> str:
        return screen.ctx.clock.local(screen.ctx.now).strftime("%z %Z")

    before, clock = zone(), screen.board.clock
    for _ in ZoneMode:
        clock.mode = clock.mode.next()
        if zone() != before:
            break
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
    if screen.marked:
        act_on_marked(screen, verb, list(screen.marked.values()))
    else:
        screen.with_run(lambda choice: act_on_run(screen, verb, choice))


def approve(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.approve import list_approvals

    list_approvals(screen)


def what_if(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.what_if import open_what_if

    open_what_if(screen, screen.selected_job())


def copy_name(screen: HeadwayScreen) -> None:
    name = clean_line(screen.selected_name())
    screen.board.copy_to_clipboard(name)
    screen.notice(f"copied: {name}")


def show_record(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.overlay import record_screen

    screen.board.push_screen(record_screen(screen.selected_name(), screen.selected_record()))


def show_runbook(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.overlay import links_screen

    screen.board.push_screen(links_screen(screen.selected_name(), screen.selected_links()))


def job_commands(screen: HeadwayScreen, job_id: Callable[[], int], why_not: Callable[[], str]) -> list[ScreenCommand]:
    """Start and hold of one job. `job_id` is called only if `why_not` is empty."""

    def one(verb: str) -> str:
        marks = f"{verb} works on one job; clear the marks first ({screen.key_for('back')})"
        return marks if screen.marked and screen.WHERE == "jobs" else why_not()

    return [
        ScreenCommand("start_job", lambda: start_job(screen, job_id()), partial(one, "Start")),
        ScreenCommand("hold", lambda: hold_job(screen, job_id()), partial(one, "Hold")),
    ]


# actions on a run, an incident, a job

ASSERTING_VERBS = (Verb.MARK_OK, Verb.SKIP)
"""Headway records these itself if the system cannot."""
DEFAULT_HOLD = "6h"
RELEASABLE_STATES = ("held", "foreign")


def act_on_marked(screen: HeadwayScreen, verb: Verb, runs: Sequence[RunChoice]) -> None:
    ids = [run.run_id for run in runs]
    name = f"{verb_label(verb)} {len(ids)}"
    about = f"{verb_label(verb)} {counted(len(ids), 'marked run')}"
    screen.navigation.open_draft(lambda requests, left_out: requests.propose_bulk(ids, verb, left_out), about, name)


def act_on_run(screen: HeadwayScreen, verb: Verb, choice: RunChoice) -> None:
    """Opens the preview of the verb on this run, or says why its system cannot do it."""

    def found(answer: tuple[RunView, str]) -> None:
        view, builds_on = answer
        if verb in ASSERTING_VERBS or verb.needs in view.capabilities:
            incident = choice.incident_id if choice.incident_id is not None else view.incident_id
            intent = ActionIntent(verb, choice.job, choice.run_id, incident_id=incident, builds_on=builds_on)
            screen.navigation.open_order(intent)
        else:
            screen.notice(view.missing.get(verb.needs, f"its system cannot {verb_label(verb)}"), "warn")

    def read(reads: Queries) -> tuple[RunView, str]:
        view = reads.runs.run(choice.run_id)
        return view, _failed_upstream(reads, view) if verb == Verb.MARK_OK else ""

    screen.fetch_subject("order", read, found)


def _failed_upstream(reads: Queries, view: RunView) -> str:
    """The red or stale upstream of a manual step, in the words of `headway action complete`; else empty."""
    from console.control.holds.gate import GateStatus, judge_gate
    from console.domain.action import MANUAL_KIND

    name = view.row.job
    by_people = {system.system for system in reads.estate.systems() if system.kind == MANUAL_KIND}
    if name.partition("/")[0] not in by_people:
        return ""
    gate = reads.holds.gate(name, view.row.period_key)
    verdict = judge_gate(gate, reads.estate.engine().alive, reads.now(), reads.declared())
    if verdict.status is not GateStatus.RED:
        return ""
    return f"{name} {view.row.business_date} has an upstream that is not good: {verdict.text}"


def recover_incident(screen: HeadwayScreen, incident_id: int) -> None:
    """Opens the plan in progress of an incident, else a proposal, else says why there is nothing to send."""

    def found(answer: tuple[Any, Sequence[Any]]) -> None:
        from console.domain.incident import blocked_text, open_steps

        view, plans = answer
        if plans:
            screen.navigation.open_plan(plans[0].id)
        elif view.row.closed is not None or not open_steps(view):
            screen.notice(blocked_text(view, screen.ctx.zoned), "warn")
        else:
            _propose(screen, incident_id, view.row.root_job or view.row.title.subject)

    screen.fetch_subject(
        "step",
        lambda reads: (reads.incidents.incident(incident_id), reads.plans.list_plans(incident_id, ended=False)),
        found,
    )


def _propose(screen: HeadwayScreen, incident_id: int, cause: str) -> None:
    name = incident_name(incident_id)
    screen.navigation.open_draft(
        lambda requests, left_out: requests.ask(ProposeRecovery(incident_id, leave_out=tuple(sorted(left_out)))),
        f"{name} {cause}",
        name,
    )


def start_job(screen: HeadwayScreen, job_id: int) -> None:
    def found(answer: tuple[JobView, Sequence[HoldView], str]) -> None:
        view, _, cannot = answer
        if cannot:
            screen.notice(cannot, "warn")
        else:
            screen.navigation.open_order(ActionIntent(Verb.START, view.row.name, job_id=job_id))

    screen.fetch_subject("start", lambda reads: _job_and_holds(reads, job_id, Verb.START), found)


def hold_job(screen: HeadwayScreen, job_id: int) -> None:
    def found(answer: tuple[JobView, Sequence[HoldView], str]) -> None:
        view, holds, cannot = answer
        own = next((hold for hold in holds if hold.job_id == job_id), None)
        if cannot:
            screen.notice(cannot, "warn")
        elif own is None:
            _ask_hold_length(screen, view)
        else:
            release_hold(screen, own)

    screen.fetch_subject("hold", lambda reads: _job_and_holds(reads, job_id, Verb.HOLD), found)


def _job_and_holds(reads: Queries, job_id: int, verb: Verb) -> tuple[JobView, Sequence[HoldView], str]:
    """The job, all holds, and why its system cannot do the verb; empty if it can."""
    view = reads.jobs.job(job_id)
    targets = [system for system in reads.estate.systems() if system.system == view.row.system]
    able = any(verb.needs in target.capabilities for target in targets)
    missing = next((target.missing.get(verb.needs, "") for target in targets), "")
    cannot = "" if able else missing or f"{view.row.system} cannot {verb_label(verb)} a job"
    return view, reads.holds.list_holds(), cannot


def _ask_hold_length(screen: HeadwayScreen, view: JobView) -> None:
    from console.domain.hold import hold_length_fault
    from console.tui.dialogs.ask import ask_length_and_reason, duration_fault

    def fault(text: str) -> str:
        return duration_fault(text) or hold_length_fault(parse_duration(text))

    def hold(length: str, why: str) -> None:
        from console.engine.api.origin import hold_owner

        until = (screen.board.now() + parse_duration(length)).replace(microsecond=0)
        parameters = {"by": hold_owner(), "until": until.isoformat().replace("+00:00", "Z")}
        intent = ActionIntent(Verb.HOLD, view.row.name, job_id=view.row.id, parameters=parameters, why=why)
        screen.navigation.open_order(intent)

    says = "for how long? It is released automatically after that"
    reason_says = "reason (recorded at its scheduler, in the audit and in the list of holds)"
    ask_length_and_reason(screen, f"HOLD {view.row.name}", says, DEFAULT_HOLD, reason_says, hold, fault)


def release_hold(screen: HeadwayScreen, hold: HoldView) -> None:
    if hold.state not in RELEASABLE_STATES:
        screen.notice(f"{hold.status_text}: {hold.reason}", "warn")
        return
    parameters = {"hold": hold.key}
    screen.navigation.open_order(ActionIntent(Verb.RELEASE, hold.job, job_id=hold.job_id, parameters=parameters))


def toggle_freeze(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.ask import AskScreen
    from console.tui.dialogs.palette import confirm

    if screen.board.header is not None and screen.board.header.frozen:
        confirm(screen, format_freeze(screen.board.header.frozen, screen.ctx.zoned), "Thaw", "actions are sent again",
                lambda: _set_freeze(screen, "off", "thawed by hand"))  # fmt: skip
        return

    def answered(why: str | None) -> None:
        if why is not None:  # a line that was pasted brings its own Enter: it ends at "Back"
            confirm(screen, f"FREEZE all sending: {why}", "Freeze", "nothing is sent until it is thawed",
                    lambda: _set_freeze(screen, "on", why))  # fmt: skip

    says = "no action or hold is sent until it is thawed; monitoring and alerts continue. Reason"
    screen.board.push_screen(AskScreen("FREEZE all sending", says), answered)


def _set_freeze(screen: HeadwayScreen, value: str, why: str) -> None:
    from console.domain.switches import FREEZE

    def turned(moved: bool) -> None:
        screen.notice(f"{'frozen' if value == 'on' else 'thawed'}{'' if moved else ' already'}", "ok")
        screen.board.read_header()

    what = "freeze" if value == "on" else "thaw"
    screen.send_request(what, lambda requests: requests.turn(FREEZE, value, why), turned, what)


DEFAULT_SILENCE = "2h"
SILENCE_HINT = "headway silence lists and expires it"


def add_silence(screen: HeadwayScreen, by: str, name: str) -> None:
    """`by`: the matcher that names it, "service", "system" or "job"."""
    shown = f"{by} {clean_line(name)}"
    from console.tui.dialogs.ask import ask_length_and_reason

    def silence(length: str, why: str) -> None:
        seconds, done = parse_duration(length).total_seconds(), f"silenced for {length} ({SILENCE_HINT}): {shown}"
        request = AddSilence({by: literal(name)}, seconds, why)
        send_order(screen, "silence", lambda requests: requests.ask(request), f"silence {shown}", done)

    says = "for how long? Its status stays on the screens"
    reason_says = "reason (recorded with each suppressed notification and in the audit)"
    ask_length_and_reason(screen, f"SILENCE {shown}", says, DEFAULT_SILENCE, reason_says, silence)


def job_links(view: JobView) -> list[tuple[str, str]]:
    links = [("owner", view.row.owner), ("runbook", view.runbook), ("web", view.native_url),
             ("definition", view.definition)]  # fmt: skip
    return [(label, text) for label, text in links if text]


def show_links(screen: HeadwayScreen, job: str | int, extra: Sequence[tuple[str, str]] = ()) -> None:
    def show(view: JobView) -> None:
        from console.tui.dialogs.overlay import links_screen

        links = [*job_links(view), *extra]
        if links:
            screen.board.push_screen(links_screen(view.row.name, links))
        else:
            screen.notice("it has no runbook, owner or web page", "warn")

    screen.fetch_subject("links", lambda reads: reads.jobs.job(job), show)


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
