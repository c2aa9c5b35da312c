"""What a person leaves for others: a note in an incident's timeline, and the incident as a page to hand over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from console.model.carried import PlanView
from console.model.ids import incident_name
from console.model.views import IncidentView
from console.model.views.handover import ServiceNight
from console.tui.screens.ask import AskScreen, said

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen

LONGEST = 2000
"""Characters of a note, as `headway note` takes."""
MAY_BE_IGNORED = "sent by OSC 52, which a terminal may ignore; also: headway report {}"


def note(screen: BaseScreen, incident_id: int) -> None:
    """Asks for one line and writes it into the timeline at once, engine or not."""
    name = incident_name(incident_id)

    def written(_: object) -> None:
        screen.notice(f"{name}: noted", "ok")
        screen.fetch()

    def typed(text: str | None) -> None:
        if text is None:
            return
        words = " ".join(text.split())

        def refused(error: Exception) -> None:
            """What was typed is not typed again: the box comes back with it, where nobody has gone on."""
            if screen.is_current:
                ask(f"NOT noted: {error}. Once that is mended Enter notes it", words)
            else:
                screen.notice(f"not noted: {error}: {words}", "bad")

        put = f"note at {name}: {words}"
        screen.board.ask_engine("note", lambda asks: asks.note(incident_id, words), written, refused, put)

    def ask(says: str, text: str = "") -> None:
        screen.board.push_screen(AskScreen(f"NOTE at {name}", says, text, fault=_fault), typed)

    ask("what do you know? It stands in the timeline with your name, in the handover and in the report")


def _fault(text: str) -> str:
    long = len(text) > LONGEST
    return f"{len(text)} characters; write at most {LONGEST}" if long else said(text)


def hand_over(screen: BaseScreen, incident_id: int) -> None:
    """The incident as a page to read first; `y` hands it over in Markdown, as `headway report` prints it."""
    name = incident_name(incident_id)

    def found(answer: tuple[IncidentView, Sequence[ServiceNight], Sequence[PlanView]]) -> None:
        from console.control.pages import as_markdown, as_text
        from console.control.report import end_words, sections
        from console.tui.screens.text import TextScreen

        view, nights, plans = answer
        clock, zone = screen.board.clock, next((one.zone for one in view.services), "")

        def at(when: datetime | None) -> str:
            """On the wall that `Z` means: that of the service that is due first, mine, or UTC."""
            return clock.full(when, zone)

        page = sections(view, nights, plans, end_words(view, screen.board.now(), at), at)
        text, copied = ("\n".join(made(f"{name}: {view.row.title}", page)) for made in (as_text, as_markdown))
        screen.board.push_screen(TextScreen(f"handover of {name}", text, copied, MAY_BE_IGNORED.format(name)))

    screen.look_up(
        "handover",
        lambda reads: (reads.incident(incident_id), reads.nights_of(incident_id), reads.plans(incident_id)),
        found,
    )
