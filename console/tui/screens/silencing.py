"""Muting the alerts of a service, a system or a job: how long and why is asked for, since others are not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.clean import clean_line
from console.durations import parse_duration
from console.tui.asking import Asking
from console.tui.ports import AnswerLike
from console.tui.screens.ask import AskScreen, a_duration

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen

FOR = "2h"


def silence(screen: BaseScreen, by: str, name: str) -> None:
    """`by`: the matcher that names it, "service", "system" or "job"; the name is one that there is."""
    shown = f"{by} {clean_line(name)}"

    def long(text: str | None) -> None:
        if text is not None:
            says = "why? it stands where somebody was not told, and in the audit"
            screen.board.push_screen(AskScreen(f"SILENCE {shown} for {text}", says), lambda why: asked(text, why))

    def asked(text: str, why: str | None) -> None:
        if why is not None:
            seconds, told = parse_duration(text).total_seconds(), f"{shown} is muted for {text}"
            Asking(screen.board, screen, "silence", lambda asks: asks.silence({by: name}, seconds, why),
                   lambda answer: answered(answer, told), refused, told)  # fmt: skip

    def answered(answer: AnswerLike, told: str) -> None:
        if answer.ok:
            screen.notice(f"{told}; headway silence lists and ends it", "ok")
        else:
            refused(answer.error)

    def refused(why: str) -> None:
        screen.notice(f"not done: {why}", "bad")

    says = "for how long is nobody told of it? What it is stays on the screens"
    screen.board.push_screen(AskScreen(f"SILENCE {shown}", says, FOR, a_duration), long)
