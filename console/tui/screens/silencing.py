"""Muting the alerts of a service, a system or a job: how long and why is asked for, since others are not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.clean import clean_line
from console.durations import parse_duration
from console.tui.asking import give
from console.tui.screens.ask import AskScreen, a_duration

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen

FOR = "2h"
ENDS = "headway silence lists and ends it"


def silence(screen: BaseScreen, by: str, name: str) -> None:
    """`by`: the matcher that names it, "service", "system" or "job"; the name is one that there is."""
    shown = f"{by} {clean_line(name)}"
    if "*" in name:
        screen.notice(f"a * means any text, and more would be muted than {shown}: headway silence add", "warn")
        return

    def long(text: str | None) -> None:
        if text is not None:
            says = "why? it stands where somebody was not told, and in the audit"
            screen.board.push_screen(AskScreen(f"SILENCE {shown} for {text}", says), lambda why: asked(text, why))

    def asked(text: str, why: str | None) -> None:
        if why is not None:
            seconds, done = parse_duration(text).total_seconds(), f"muted for {text} ({ENDS}): {shown}"
            give(screen, "silence", lambda asks: asks.silence({by: name}, seconds, why), f"silence {shown}", done)

    says = "for how long is nobody told of it? What it is stays on the screens"
    screen.board.push_screen(AskScreen(f"SILENCE {shown}", says, FOR, a_duration), long)
