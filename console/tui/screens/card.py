"""A job's card: owner, runbook, how safe a rerun is. Config's word stands; what it leaves open a person may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.model import cards
from console.model.views import CardView, JobView
from console.tui.asking import give
from console.tui.cells import Look
from console.tui.screens.ask import AskScreen
from console.tui.screens.pick import ANSWERS, Choice, PickScreen, confirm
from console.tui.widgets.paint import Run

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen

_MEANS = {
    "safe": "one Enter sends a rerun of it, and plans take it in",
    "ask": "its name is typed before a rerun of it is sent",
    "never": "nobody reruns it from here",
}


def groups(view: JobView, look: Look) -> list[list[Run]]:
    """Word for word: whose each is, where it is a person's."""
    found: list[list[Run]] = []
    for one in sorted(view.card, key=lambda one: one.field != "rerun"):  # an address may be longer than the line
        value, style = one.value or look.glyphs.sign("dash"), "plain"
        if one.field == "rerun":
            mark, word, style = look.glyphs.mark("safety", one.value)
            value = f"{mark} {word}"
        found.append([(f"{one.field} ", "dim"), (value, style), (_said(one, look), "dim")])
    return found


def _said(one: CardView, look: Look) -> str:
    return f", said by {one.said_by} {look.clock.day(one.said_at, look.now)}" if one.said_by else ""


def why_not(view: JobView | None) -> str:
    """Why nothing of the card can be edited here; empty where something can."""
    if view is None:
        return "not read yet"
    if any(not one.why_not for one in view.card):
        return ""
    return f"nothing of its card is for people to say: {view.card[0].why_not}" if view.card else "it has no card"


def edit(screen: BaseScreen, view: JobView) -> None:
    """Asks which word, then for the word; what config says is shown, with why it stays."""
    choices = [Choice("", "Back", "nothing is written", None)]
    for one in view.card:
        says = f"{one.value or screen.look.glyphs.sign('dash')}{_said(one, screen.look)}"
        choices.append(Choice("", one.field, f"{says}: {one.why_not}" if one.why_not else says, one, bool(one.why_not)))

    def chosen(one: CardView | None) -> None:
        if one is None:
            screen.notice("nothing was written")
        elif one.why_not:
            screen.notice(f"{one.field}: {one.why_not}", "warn")
        elif one.field == "rerun":
            _choose_safety(screen, view, one)
        else:
            _type_word(screen, view, one)

    screen.board.push_screen(PickScreen(f"CARD of {view.row.name}", choices, columns=ANSWERS), chosen)


def _type_word(screen: BaseScreen, view: JobView, one: CardView) -> None:
    def typed(text: str | None) -> None:
        if text is not None and text != one.value:
            _confirm(screen, view, one, text)
        elif text is not None:
            screen.notice("nothing was written: it says so already")

    back = "; nothing at all takes back what was said" if one.said_by else ""
    says = f"{cards.WORDS[one.field]}{back}"

    def fault(text: str) -> str:
        return cards.fault(one.field, text) or ("" if text or one.said_by else "say it in a few words")

    screen.board.push_screen(AskScreen(f"{one.field} of {view.row.name}", says, one.value, fault), typed)


def _choose_safety(screen: BaseScreen, view: JobView, one: CardView) -> None:
    choices = [Choice("", "Back", "nothing is written", None)]
    for value, means in _MEANS.items():
        mark, word, _ = screen.look.glyphs.mark("safety", value)
        choices.append(Choice(mark, word, f"{means}{' (as it is)' if value == one.value else ''}", value))
    if one.said_by:
        choices.append(Choice("", "take it back", "as if nobody had said it", ""))

    def chosen(value: str | None) -> None:
        if value is None:
            screen.notice("nothing was written")
        elif value == one.value and one.said_by:
            screen.notice("nothing was written: it says so already")
        else:
            _confirm(screen, view, one, value)

    title = f"How safe is a rerun of {view.row.name}?"
    screen.board.push_screen(PickScreen(title, choices, columns=ANSWERS), chosen)


def _confirm(screen: BaseScreen, view: JobView, one: CardView, value: str) -> None:
    """What is other from then on, and who sees it; then it is written."""
    name = view.row.name
    then = value or "as if nobody had said it"
    says = f"{then}; it was {one.value or 'empty'}. Your name stands beside it, and in the audit"
    told = f"{name} {one.field}: {then}"

    def write() -> None:
        order, given = f"write {one.field} of {name}", {one.field: value}
        give(screen, "card", lambda asks: asks.card(view.row.id, given), order, told, "not written")

    confirm(screen, f"{one.field} of {name}", "Write it", says, write)
