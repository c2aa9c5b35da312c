"""One line of input: a duration or a reason. Escape returns None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Input

from console.config import key_table
from console.tui.dialogs.overlay import Overlay
from console.tui.widgets.bar import KeyHint
from console.tui.widgets.entry import Entry
from console.tui.widgets.pane import Pane


def reason_fault(text: str) -> str:
    return "" if text else "enter a short text"


def duration_fault(text: str) -> str:
    from console.timing.durations import parse_duration

    try:
        parse_duration(text)
    except ValueError as error:
        return str(error)
    return ""


class AskScreen(Overlay[str]):
    """`says` explains what the text is used for; `fault` returns why a text is not accepted, empty if it is; `prompt`
    names the field."""

    WHERE = "ask"
    DEFAULT_CSS = "AskScreen #field { height: 3; border: round $primary; }"

    def __init__(
        self,
        title: str,
        says: str,
        text: str = "",
        fault: Callable[[str], str] = reason_fault,
        prompt: str = "reason",
    ) -> None:
        super().__init__()
        self.title_text, self.says, self.text, self.prompt = title, says, text, prompt
        self._fault = fault
        self.pane = Pane(id="says")
        self.pane.wrapped, self.pane.can_focus = True, False

    @property
    def lines_at_first(self) -> int:
        return super().lines_at_first + 3

    def content(self) -> ComposeResult:
        yield self.pane
        with Container(id="field") as field:
            field.border_title = Text(self.prompt)
            yield Entry(self.text, id="typed", select_on_focus=False)

    def on_mount(self) -> None:
        self.bar("box-title").show([(self.title_text, "strong")])
        self.pane.show_runs([[(self.says, "plain")]])
        self._foot("")

    def _foot(self, fault: str) -> None:
        enter = key_table.key_label("enter", self.ctx.plain)
        self.foot(KeyHint(enter, "continue", 1), KeyHint(self.key_for("back"), "back"), message=fault)

    @on(Input.Changed)
    def changed(self) -> None:
        self._foot("")

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        fault = self._fault(text)
        if fault:
            self._foot(fault)
        else:
            self.dismiss(text)


def ask_length_and_reason(
    screen: Screen[Any],
    title: str,
    length_says: str,
    length: str,
    reason_says: str,
    then: Callable[[str, str], object],
    length_fault: Callable[[str], str] = duration_fault,
    reason_fault: Callable[[str], str] = reason_fault,
) -> None:
    """Asks for a duration, proposing `length`, then for a reason; `then` gets both texts."""

    def ask_reason(length: str | None) -> None:
        def answered(reason: str | None) -> None:
            if length is not None and reason is not None:
                then(length, reason)

        if length is not None:
            screen.app.push_screen(AskScreen(f"{title} for {length}", reason_says, fault=reason_fault), answered)

    screen.app.push_screen(AskScreen(title, length_says, length, length_fault, "duration"), ask_reason)
