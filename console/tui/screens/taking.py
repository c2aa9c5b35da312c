"""Taking an incident: how long and why is asked for, then everybody sees who is on it; taken, it can be given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.durations import parse_duration
from console.model.ids import incident_name
from console.model.views import IncidentRow
from console.tui.asking import give
from console.tui.screens.ask import AskScreen, a_duration
from console.tui.screens.pick import confirm

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen

FOR = "1h"


def take(screen: BaseScreen, row: IncidentRow) -> None:
    """Asks how long and why; of one that somebody is on, whether they are not any more."""
    name = incident_name(row.id)
    if row.taken_by:
        says = f"{row.taken_by} is on {name}"
        confirm(screen, says, "Nobody is on it any more", "it is repeated and escalated again",
                lambda: give(screen, "ack", lambda asks: asks.lapse(row.id), f"give {name} back",
                             f"{name}: nobody is on it"))  # fmt: skip
        return

    def long(text: str | None) -> None:
        if text is not None:
            says = "what do you do? It stands beside the incident; it may be left empty"
            box = AskScreen(f"TAKE {name} for {text}", says, fault=lambda _: "")
            screen.board.push_screen(box, lambda why: taken(text, why))

    def taken(text: str, why: str | None) -> None:
        if why is not None:
            seconds = parse_duration(text).total_seconds()
            put, done = lambda asks: asks.acknowledge(row.id, seconds, why), f"{name}: you are on it for {text}"
            give(screen, "ack", put, f"take {name} for {text}", done)

    says = "for how long are you on it? Until then it is neither repeated nor escalated"
    screen.board.push_screen(AskScreen(f"TAKE {name}", says, FOR, a_duration), long)
