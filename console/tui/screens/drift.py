"""Accepting drift: what changed at the source is shown, then one Enter makes it the expectation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.model.views import JobView
from console.tui.asking import give
from console.tui.screens.pick import ANSWERS, Choice, PickScreen

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen


def open_drift(screen: BaseScreen, view: JobView) -> None:
    """Asks whether the drift of a job is accepted, and has it accepted."""
    name, board = view.row.name, screen.board
    if not view.drift:
        screen.notice(f"{name} is as it was accepted: no drift", "warn")
        return
    words = "; ".join(drift.words or drift.what for drift in view.drift)
    shown = max(drift.id for drift in view.drift)
    choices = [
        Choice("", "Leave it as it is", "the last accepted schedule goes on saying what must run", None),
        Choice("", "Accept it", f"{words}: from now on this is what is expected", "accept"),
    ]

    def answered(value: object) -> None:
        if value == "accept":
            order = f"accept the drift of {name}"
            done = f"accepted: {words}"
            give(screen, "drift", lambda asks: asks.accept_drift(view.row.id, shown), order, done, "not accepted")
        else:
            screen.notice("nothing was accepted")

    board.push_screen(PickScreen(f"drift of {name}: {words}", choices, columns=ANSWERS), answered)
