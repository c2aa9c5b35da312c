"""From a key to an action: a verb on a run, on marked runs or on a job; a plan, the freeze, a silence, its links.

Each only opens a dialog; nothing here sends anything without a confirmation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import Verb
from console.domain.action import MANUAL_KIND
from console.domain.hold import HoldView, hold_length_fault
from console.domain.ids import incident_name
from console.domain.incident import blocked_reason, open_steps
from console.domain.job import JobView
from console.domain.run import RunView
from console.text.cleaning import clean_line
from console.timing.durations import parse_duration
from console.tui.dialogs.ask import AskScreen, ask_length_and_reason, duration_fault
from console.tui.frame.cells import counted
from console.tui.frame.engine_request import send_order
from console.tui.frame.intent import ActionIntent, verb_label
from console.tui.frame.screen import HeadwayScreen

if TYPE_CHECKING:
    from console.store.queries import Queries
    from console.tui.frame.intent import RunChoice


ASSERTING_VERBS = (Verb.MARK_OK, Verb.SKIP)
"""Headway records these itself if the system cannot."""
DEFAULT_HOLD = "6h"
RELEASABLE_STATES = ("held", "foreign")


def act_on_marked(screen: HeadwayScreen, verb: Verb, runs: Sequence[RunChoice]) -> None:
    ids = [run.run_id for run in runs]
    name = f"{verb_label(verb)} {len(ids)}"
    about = f"{verb_label(verb)} {counted(len(ids), 'marked run')}"
    screen.navigation.open_draft(lambda requests: requests.propose_bulk(ids, verb), about, name)


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
        view, plans = answer
        if plans:
            screen.navigation.open_plan(plans[0].id)
        elif view.row.closed is not None or not open_steps(view):
            screen.notice(blocked_reason(view), "warn")
        else:
            _propose(screen, incident_id, view.row.root_job or view.row.title)

    screen.fetch_subject(
        "step",
        lambda reads: (reads.incidents.incident(incident_id), reads.plans.list_plans(incident_id, ended=False)),
        found,
    )


def _propose(screen: HeadwayScreen, incident_id: int, cause: str) -> None:
    name = incident_name(incident_id)
    screen.navigation.open_draft(
        lambda requests: requests.propose(incident_id),
        f"{name} {cause}",
        name,
        lambda requests: requests.propose(incident_id, everything=True),
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
    def hold(length: str, why: str) -> None:
        from console.engine.api.origin import hold_owner

        until = (screen.board.now() + parse_duration(length)).replace(microsecond=0)
        parameters = {"by": hold_owner(), "until": until.isoformat().replace("+00:00", "Z")}
        intent = ActionIntent(Verb.HOLD, view.row.name, job_id=view.row.id, parameters=parameters, why=why)
        screen.navigation.open_order(intent)

    says = "for how long? It is released automatically after that"
    reason_says = "reason (recorded at its scheduler, in the audit and in the list of holds)"
    ask_length_and_reason(screen, f"HOLD {view.row.name}", says, DEFAULT_HOLD, reason_says, hold, _hold_fault)


def _hold_fault(text: str) -> str:
    return duration_fault(text) or hold_length_fault(parse_duration(text))


def release_hold(screen: HeadwayScreen, held: HoldView) -> None:
    if held.state not in RELEASABLE_STATES:
        screen.notice(f"{held.status_text}: {held.reason}", "warn")
        return
    parameters = {"hold": held.key}
    screen.navigation.open_order(ActionIntent(Verb.RELEASE, held.job, job_id=held.job_id, parameters=parameters))


def toggle_freeze(screen: HeadwayScreen) -> None:
    from console.tui.dialogs.palette import confirm

    if screen.board.header is not None and screen.board.header.frozen:
        confirm(screen, screen.board.header.frozen, "Thaw", "actions are sent again",
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
    if "*" in name:
        screen.notice(f"a * matches any text and would silence more than {shown}: headway silence add", "warn")
        return

    def silence(length: str, why: str) -> None:
        seconds, done = parse_duration(length).total_seconds(), f"silenced for {length} ({SILENCE_HINT}): {shown}"
        send_order(
            screen, "silence", lambda requests: requests.silence({by: name}, seconds, why), f"silence {shown}", done
        )

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
