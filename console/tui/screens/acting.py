"""How a key becomes an order: one verb on one run, on the marked runs, or on a job; a plan; the freeze.

Each only opens a box that says what would be done; nothing here sends anything by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from connectors.words import Verb
from console.durations import parse_duration
from console.model.holding import length_fault
from console.model.ids import incident_name
from console.model.steps import open_steps, waiting_for
from console.model.views import HoldView, JobView, RunView
from console.model.words import BY_PEOPLE
from console.tui.cells import counted
from console.tui.order import Order, verb_word
from console.tui.ports import ReadsLike

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen, RunChoice

MARKS = (Verb.MARK_OK, Verb.SKIP)
"""Where a kind cannot say them itself, Headway does."""
HOLD_FOR = "6h"
OPEN_HOLDS = ("held", "found")
"""States in which a hold can be let go by a person."""


def order(screen: BaseScreen, verb: Verb) -> None:
    """The verb on the marked runs, as one plan; without marks on the run under the cursor."""
    if screen.marked:
        marked_order(screen, verb, list(screen.marked.values()))
    else:
        screen.with_run(lambda choice: run_order(screen, verb, choice))


def marked_order(screen: BaseScreen, verb: Verb, runs: Sequence[RunChoice]) -> None:
    """One plan that does the same with each of these runs, upstreams first."""
    from console.tui.screens.draft import DraftScreen

    ids = [one.run_id for one in runs]
    word = f"{verb_word(verb)} {len(ids)}"
    about = f"{verb_word(verb)} {counted(len(ids), 'marked run')}"
    screen.board.push_screen(DraftScreen(lambda requests: requests.propose_bulk(ids, verb), about, word))


def run_order(screen: BaseScreen, verb: Verb, choice: RunChoice) -> None:
    """The preview of the verb on this run, where its system has such a verb; else why not."""

    def found(told: tuple[RunView, str]) -> None:
        view, builds_on = told
        if verb in MARKS or verb.needs in view.capabilities:
            incident = choice.incident_id if choice.incident_id is not None else view.incident_id
            screen.board.open_order(Order(verb, choice.job, choice.run_id, incident_id=incident, builds_on=builds_on))
        else:
            screen.notice(view.missing.get(verb.needs, f"its system cannot {verb_word(verb)}"), "warn")

    def read(reads: ReadsLike) -> tuple[RunView, str]:
        view = reads.run(choice.run_id)
        return view, _builds_on(reads, view) if verb == Verb.MARK_OK else ""

    screen.look_up("order", read, found)


def _builds_on(reads: ReadsLike, view: RunView) -> str:
    """What a manual step builds on, where that is red or stale; as `headway done` says it."""
    from console.control.gate import Standing, judge

    name = view.row.job
    by_people = {one.system for one in reads.systems() if one.kind == BY_PEOPLE}
    if name.partition("/")[0] not in by_people:
        return ""
    verdict = judge(reads.gate(name, view.row.period_key), reads.engine().alive, reads.now(), reads.declared())
    if verdict.standing is not Standing.RED:
        return ""
    return f"{name} {view.row.bd} builds on what is not good: {verdict.words}"


def recover(screen: BaseScreen, incident_id: int) -> None:
    """The plan of an incident that goes on; else a proposal; else why there is nothing to send."""

    def found(answer: tuple[Any, Sequence[Any]]) -> None:
        view, plans = answer
        if plans:
            screen.board.open_plan(plans[0].id)
        elif view.row.closed is not None or not open_steps(view):
            screen.notice(waiting_for(view), "warn")
        else:
            _propose(screen, incident_id, view.row.root_job or view.row.title)

    screen.look_up("step", lambda reads: (reads.incident(incident_id), reads.plans(incident_id, ended=False)), found)


def _propose(screen: BaseScreen, incident_id: int, cause: str) -> None:
    from console.tui.screens.draft import DraftScreen

    name = incident_name(incident_id)
    screen.board.push_screen(
        DraftScreen(
            lambda requests: requests.propose(incident_id),
            f"{name} {cause}",
            name,
            lambda requests: requests.propose(incident_id, everything=True),
        )
    )


# start, hold and release


def start(screen: BaseScreen, job_id: int) -> None:
    """The preview of the job once, now, where its system has a start; else why not."""

    def found(answer: tuple[JobView, Sequence[HoldView], str]) -> None:
        view, _, cannot = answer
        if cannot:
            screen.notice(cannot, "warn")
        else:
            screen.board.open_order(Order(Verb.START, view.row.name, job_id=job_id))

    screen.look_up("start", lambda reads: _about_job(reads, job_id, Verb.START), found)


def hold(screen: BaseScreen, job_id: int) -> None:
    """Holds a job, asked how long and why; lets it go where it is held by us."""

    def found(answer: tuple[JobView, Sequence[HoldView], str]) -> None:
        view, holds, cannot = answer
        own = next((one for one in holds if one.job_id == job_id), None)
        if cannot:
            screen.notice(cannot, "warn")
        elif own is None:
            _ask_how_long(screen, view)
        else:
            release(screen, own)

    screen.look_up("hold", lambda reads: _about_job(reads, job_id, Verb.HOLD), found)


def _about_job(reads: ReadsLike, job_id: int, verb: Verb) -> tuple[JobView, Sequence[HoldView], str]:
    """The job, what is held, and why its system has no such verb ("" where it has)."""
    view = reads.job(job_id)
    targets = [one for one in reads.systems() if one.system == view.row.system]
    able = any(verb.needs in one.capabilities for one in targets)
    missing = next((one.missing.get(verb.needs, "") for one in targets), "")
    return view, reads.holds(), "" if able else missing or f"{view.row.system} cannot {verb_word(verb)} a job"


def _ask_how_long(screen: BaseScreen, view: JobView) -> None:
    from console.tui.screens.ask import AskScreen

    name, board = view.row.name, screen.board

    def long(text: str | None) -> None:
        if text is not None:
            says = "why? it stands in the mark at its scheduler's side, in the audit and in the list of holds"
            board.push_screen(AskScreen(f"HOLD {name} for {text}", says), lambda why: asked(text, why))

    def asked(text: str, why: str | None) -> None:
        if why is not None:
            until = (board.now() + parse_duration(text)).replace(microsecond=0)
            parameters = {"by": _mark_name(), "until": until.isoformat().replace("+00:00", "Z")}
            board.open_order(Order(Verb.HOLD, name, job_id=view.row.id, parameters=parameters, why=why))

    says = "for how long may it not start? It is let go by itself after that"
    board.push_screen(AskScreen(f"HOLD {name}", says, HOLD_FOR, _a_time), long)


def _a_time(text: str) -> str:
    from console.tui.screens.ask import a_duration

    fault = a_duration(text)
    return fault or length_fault(parse_duration(text))


def _mark_name() -> str:
    from console.engine.origin import mark_name

    return mark_name()


def release(screen: BaseScreen, held: HoldView) -> None:
    """The preview of letting a held job go."""
    if held.state not in OPEN_HOLDS:
        screen.notice(f"{held.stands}: {held.told}", "warn")
        return
    parameters = {"hold": held.key}
    screen.board.open_order(Order(Verb.RELEASE, held.job, job_id=held.job_id, parameters=parameters))


# the freeze


def freeze(screen: BaseScreen) -> None:
    """Stops all sending, once a person has said why, or thaws where it is stopped; either is asked once more."""
    from console.tui.screens.pick import confirm

    if screen.board.header is not None and screen.board.header.frozen:
        confirm(screen, screen.board.header.frozen, "Thaw it", "what is asked for is sent again",
                lambda: _turn(screen, "off", "thawed by hand"))  # fmt: skip
        return
    from console.tui.screens.ask import AskScreen

    def answered(why: str | None) -> None:
        if why is not None:  # a line that was pasted brings its own Enter: it ends at "Back"
            confirm(screen, f"FREEZE all sending: {why}", "Freeze it", "nothing is sent until somebody thaws",
                    lambda: _turn(screen, "on", why))  # fmt: skip

    says = "nothing is sent to a scheduler, and nothing is held, until somebody thaws; watching and alerts go on. Why?"
    screen.board.push_screen(AskScreen("FREEZE all sending", says), answered)


def _turn(screen: BaseScreen, value: str, why: str) -> None:
    from console.model.modes import FREEZE

    def turned(moved: bool) -> None:
        screen.notice(f"{'frozen' if value == 'on' else 'thawed'}{'' if moved else ' already'}", "ok")
        screen.board.read_header()

    def refused(error: Exception) -> None:
        screen.notice(f"not done: {error}", "bad")

    what = "freeze" if value == "on" else "thaw"
    screen.board.ask_engine(what, lambda requests: requests.turn(FREEZE, value, why), turned, refused, what)
