"""Working on an incident with others: acknowledge it, add a note, hand it over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from console.control.incidents.verdict.decision import incident_verdict
from console.control.incidents.verdict.text import verdict_text
from console.domain.handover import ServiceNight
from console.domain.ids import incident_name
from console.domain.incident import ACKNOWLEDGE_FOR, IncidentRow, IncidentView
from console.domain.plan import PlanView
from console.engine.api.requests import Acknowledge, PausePolicy, Unacknowledge
from console.store.queries.reader import Queries
from console.timing.durations import parse_duration
from console.tui.dialogs.ask import AskScreen, ask_length_and_reason, reason_fault
from console.tui.dialogs.palette import confirm
from console.tui.frame.engine_request import send_order
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import HeadwayScreen


def incident_commands(
    screen: HeadwayScreen, incident_id: Callable[[], int], why_not: Callable[[], str]
) -> list[ScreenCommand]:
    """Note and handover. `incident_id` is called only if `why_not` is empty."""
    return [
        ScreenCommand("note", lambda: add_note(screen, incident_id()), why_not),
        ScreenCommand("handover", lambda: hand_over(screen, incident_id()), why_not),
    ]


def incident_links(row: IncidentRow | None) -> list[tuple[str, str]]:
    links = (("owner", row.owner), ("runbook", row.runbook)) if row is not None else ()
    return [(label, text) for label, text in links if text]


def root_run(row: IncidentRow) -> RunChoice | str:
    if row.root_run_id is None:
        return "its root cause is not a run: nothing to rerun"
    return RunChoice(row.root_run_id, row.root_job, row.id)


def acknowledge(screen: HeadwayScreen, row: IncidentRow) -> None:
    name = incident_name(row.id)
    if row.acknowledged_by:
        says = f"{name} is acknowledged by {row.acknowledged_by}"
        confirm(screen, says, "Unacknowledge", "it repeats and escalates again",
                lambda: send_order(screen, "ack", lambda requests: requests.ask(Unacknowledge(row.id)),
                                   f"unacknowledge {name}", f"{name}: unacknowledged"))  # fmt: skip
        return

    def send(length: str, note: str) -> None:
        request = Acknowledge(row.id, parse_duration(length).total_seconds(), note)
        order, done = f"acknowledge {name} for {length}", f"{name}: acknowledged for {length}"
        send_order(screen, "ack", lambda requests: requests.ask(request), order, done)

    title, says = f"ACKNOWLEDGE {name}", "for how long? Until then it neither repeats nor escalates"
    note_says = "note (shown with the incident; optional)"
    ask_length_and_reason(screen, title, says, ACKNOWLEDGE_FOR, note_says, send, reason_fault=lambda _: "")


def stop_policy(screen: HeadwayScreen, row: IncidentRow) -> None:
    """Pauses the policy that repairs the incident, once the user confirms it."""
    name, policy = incident_name(row.id), row.policy
    says = f"it repairs nothing until it is resumed: headway policy resume {policy}"
    confirm(screen, f"policy {policy} repairs {name}", "Pause it", says,
            lambda: send_order(screen, "policy", lambda requests: requests.ask(PausePolicy(policy, name)),
                               f"pause policy {policy}", f"policy {policy}: paused"))  # fmt: skip


MAX_NOTE = 2000
MAY_BE_IGNORED = "by OSC 52, which a terminal may ignore; headway incident report {}"


def add_note(screen: HeadwayScreen, incident_id: int) -> None:
    """Writes one line into the timeline at once, with or without an engine."""
    name = incident_name(incident_id)

    def written(_: object) -> None:
        screen.notice(f"{name}: noted", "ok")
        screen.fetch()

    def typed(text: str | None) -> None:
        if text is None:
            return
        note = " ".join(text.split())

        def refused(error: Exception) -> None:
            """Opens the box again with the text, unless another screen is open."""
            if screen.is_current:
                ask(f"NOT noted: {error}. Fix that, then press Enter again", note)
            else:
                screen.notice(f"not noted: {error}: {note}", "bad")

        order = f"note at {name}: {note}"
        screen.board.ask_engine("note", lambda requests: requests.note(incident_id, note), written, refused, order)

    def ask(says: str, text: str = "") -> None:
        screen.board.push_screen(AskScreen(f"NOTE on {name}", says, text, _note_fault, "note"), typed)

    ask("note (added with your name to the timeline, the handover and the report)")


def _note_fault(text: str) -> str:
    long = len(text) > MAX_NOTE
    return f"{len(text)} characters; write at most {MAX_NOTE}" if long else reason_fault(text)


def hand_over(screen: HeadwayScreen, incident_id: int) -> None:
    name = incident_name(incident_id)

    def show(answer: tuple[IncidentView, Sequence[ServiceNight], Sequence[PlanView]]) -> None:
        from console.control.explain.incident_report import as_markdown, as_text, end_text, report_sections
        from console.tui.dialogs.overlay import TextScreen

        def clock(instant: datetime) -> str:
            """With the zone: the text leaves the screen."""
            return f"{ctx.due(instant)} {ctx.clock.label(instant)}"

        view, nights, plans = answer
        at, now, ctx = screen.ctx.clock.full, screen.board.now(), screen.ctx
        open_plans = [plan for plan in plans if plan.ended is None]
        verdict = incident_verdict(view, open_plans, now, is_frozen=screen.is_frozen)
        text = verdict_text(verdict, now, clock)
        page = report_sections(view, nights, plans, text, end_text(view, now, at), at)
        title = f"{name}: {view.row.title.text(at)}"
        text, copied = ("\n".join(write(title, page)) for write in (as_text, as_markdown))
        screen.board.push_screen(TextScreen(f"handover of {name}", text, copied, MAY_BE_IGNORED.format(name)))

    def read(reads: Queries) -> tuple[IncidentView, Sequence[ServiceNight], Sequence[PlanView]]:
        view, nights = reads.incidents.incident(incident_id), reads.handover.nights_of_incident(incident_id)
        return view, nights, reads.plans.list_plans(incident_id)

    screen.fetch_subject("handover", read, show)
