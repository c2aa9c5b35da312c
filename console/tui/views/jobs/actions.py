"""Actions on a job besides running it: accept drift, edit its card, control its scheduler's own backfills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.sdk.states import Verb
from console.domain import job
from console.domain.job import CardView, JobView
from console.engine.api.requests import AcceptDrift
from console.tui.dialogs.ask import AskScreen
from console.tui.dialogs.confirm import Confirmation
from console.tui.dialogs.palette import ANSWER_COLUMNS, PaletteChoice, PickScreen, confirm
from console.tui.frame.console_app import EngineAnswer
from console.tui.frame.engine_request import send_order
from console.tui.frame.intent import ActionIntent
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.actions.preview import BACK_CHOICE
from console.tui.views.runs.overview import card_source
from console.tui.widgets.paint import Segment


def accept_drift(screen: HeadwayScreen, view: JobView) -> None:
    name, board = view.row.name, screen.board
    if not view.drift:
        screen.notice(f"{name} has no drift", "warn")
        return
    changes = "; ".join(drift.text or drift.what for drift in view.drift)
    shown = max(drift.id for drift in view.drift)
    choices = [
        PaletteChoice("", "Keep as accepted", "the last accepted schedule stays in force", None),
        PaletteChoice("", "Accept", f"{changes}: this becomes the accepted definition", "accept"),
    ]

    def answered(value: object) -> None:
        if value == "accept":
            order, done, request = (
                f"accept the drift of {name}",
                f"accepted: {changes}",
                AcceptDrift(view.row.id, shown),
            )
            send_order(screen, "drift", lambda requests: requests.ask(request), order, done, "not accepted")
        else:
            screen.notice("nothing was accepted")

    board.push_screen(PickScreen(f"drift of {name}: {changes}", choices, columns=ANSWER_COLUMNS), answered)


_MEANS = {
    "safe": "Enter alone reruns it, and plans include it",
    "ask": "its name is typed before it is rerun",
    "never": "it is never rerun from here",
}


def why_not_edit(view: JobView | None) -> str:
    if view is None:
        return "not read yet"
    if any(not card_field.why_not for card_field in view.card):
        return ""
    return f"its card cannot be edited: {view.card[0].why_not}" if view.card else "it has no card"


def edit_card(screen: HeadwayScreen, view: JobView) -> None:
    choices = [PaletteChoice("", "Back", "nothing is written", None)]
    for card_field in view.card:
        value = f"{card_field.value or screen.ctx.sign('dash')}{card_source(card_field, screen.ctx)}"
        value += f": {card_field.why_not}" if card_field.why_not else ""
        choices.append(PaletteChoice("", card_field.field, value, card_field, bool(card_field.why_not)))

    def chosen(card_field: CardView | None) -> None:
        if card_field is None:
            screen.notice("nothing was written")
        elif card_field.why_not:
            screen.notice(f"{card_field.field}: {card_field.why_not}", "warn")
        elif card_field.field == "rerun":
            _choose_safety(screen, view, card_field)
        else:
            _ask_value(screen, view, card_field)

    screen.board.push_screen(PickScreen(f"CARD of {view.row.name}", choices, columns=ANSWER_COLUMNS), chosen)


def _ask_value(screen: HeadwayScreen, view: JobView, card_field: CardView) -> None:
    def typed(text: str | None) -> None:
        if text is not None and text != card_field.value:
            _confirm(screen, view, card_field, text)
        elif text is not None:
            screen.notice("nothing was written: unchanged")

    back = "; empty removes the value" if card_field.said_by else ""
    says = f"{job.FIELD_DESCRIPTIONS[card_field.field]}{back}"

    def fault(text: str) -> str:
        return job.card_fault(card_field.field, text) or ("" if text or card_field.said_by else "enter a short text")

    screen.board.push_screen(
        AskScreen(f"{card_field.field} of {view.row.name}", says, card_field.value, fault, card_field.field), typed
    )


def _choose_safety(screen: HeadwayScreen, view: JobView, card_field: CardView) -> None:
    choices = [PaletteChoice("", "Back", "nothing is written", None)]
    for value, means in _MEANS.items():
        mark, label, _ = screen.ctx.mark("safety", value)
        says = f"{means}{' (as it is)' if value == card_field.value else ''}"
        choices.append(PaletteChoice(mark, label, says, value))
    if card_field.said_by:
        choices.append(PaletteChoice("", "remove it", "back to the value from config", ""))

    def chosen(value: str | None) -> None:
        if value is None:
            screen.notice("nothing was written")
        elif value == card_field.value and card_field.said_by:
            screen.notice("nothing was written: unchanged")
        else:
            _confirm(screen, view, card_field, value)

    title = f"How safe is a rerun of {view.row.name}?"
    screen.board.push_screen(PickScreen(title, choices, columns=ANSWER_COLUMNS), chosen)


def _confirm(screen: HeadwayScreen, view: JobView, card_field: CardView, value: str) -> None:
    name = view.row.name
    then = value or "back to the value from config"
    says = f"{then}; it was {card_field.value or 'empty'}. Recorded with your name, and in the audit"
    done = f"{name} {card_field.field}: {then}"

    def write() -> None:
        order, given = f"write {card_field.field} of {name}", {card_field.field: value}
        send_order(screen, "card", lambda requests: requests.edit_card(view.row.id, given), order, done, "not written")

    confirm(screen, f"{card_field.field} of {name}", "Write", says, write)


NO_BACKFILL = "no native backfill is in progress"
MORE_BACKFILLS = "headway plan backfill JOB --from DATE --to DATE --native makes one"


class BackfillChoice(Confirmation):
    """Lists the scheduler's backfills; choosing one opens the preview of that change."""

    def __init__(self, job: str, job_id: int) -> None:
        self.intent = ActionIntent(Verb.BACKFILL, job, job_id=job_id, parameters={"do": "list", "of": "job"})

    @property
    def about(self) -> tuple[str, str]:
        return "BACKFILLS", self.intent.job

    def begin(self) -> None:
        self.box.ask_preview(self.intent, "asking its scheduler for its backfills…", self._listed, self._failed)

    def may_send(self) -> bool:
        return False

    def _failed(self, text: str) -> None:
        self.box.pane.show_runs([[("no list: ", "bad"), (text, "plain")]])

    def _listed(self, answer: EngineAnswer) -> None:
        if not answer.ok or answer.data.get("verb") != "list":
            self._failed(answer.error or str(answer.data.get("refused") or "it has no list of its backfills"))
            return
        backfills = answer.data.get("backfills", ())
        lines = [_backfill_line(backfill) for backfill in backfills]
        self.box.pane.show_runs(lines or [[(NO_BACKFILL, "plain")], [(MORE_BACKFILLS, "dim")]])
        self.box.offer([BACK_CHOICE, *(way for backfill in backfills for way in _backfill_verbs(backfill))])

    def decides(self, key: Any) -> bool:
        do, _, number = str(key).partition(" ")
        if not number:
            return False
        board, intent = self.box.board, self.intent._replace(parameters={"do": do, "backfill": int(number)})
        self.box.dismiss(None)
        board.navigation.open_order(intent)
        return True


def _backfill_line(backfill: Mapping[str, Any]) -> list[Segment]:
    status: Segment = ("paused", "warn") if backfill["paused"] else ("going on", "plain")
    span = f"{backfill['first'][:10]} to {backfill['last'][:10]}, {backfill['at_once']} at once"
    made = f", made {backfill['made'][:16].replace('T', ' ')}Z" if backfill["made"] else ""
    return [(f"{backfill['number']}  ", "strong"), status, (f"  {span}{made}", "plain")]


def _backfill_verbs(backfill: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    number = backfill["number"]
    first = "resume" if backfill["paused"] else "pause"
    yield f"{first} {number}", f"{first.capitalize()} {number}", "preview first; nothing is sent yet"
    yield f"cancel {number}", f"Cancel {number}", "its queued runs are failed; preview first"
