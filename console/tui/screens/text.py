"""A text to read: a record as JSON, or the addresses that belong to a thing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from console.tui.screens.overlay import Overlay
from console.tui.widgets.hints import Hint
from console.tui.widgets.pane import Pane


class TextScreen(Overlay[None]):
    WHERE = "text"

    def __init__(self, title: str, text: str, copied: str, told: str = "copied") -> None:
        super().__init__()
        self.title_text, self.copied, self.told = title, copied, told
        self.pane = Pane(id="text")
        self.pane.wrapped, self.pane.finds_errors = True, False
        self.text = text

    def content(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.bar("box-title").show([(self.title_text, "strong")])
        self.foot(Hint(self.key_for("back"), "back"), Hint(self.key_for("copy"), "copy", 1))
        self.pane.show(self.text)
        self.pane.focus()

    def do_copy(self) -> None:
        from console.clean import clean

        self.board.copy_to_clipboard(clean(self.copied))
        self.foot(said=self.told, style="ok")


def record_screen(name: str, record: Any) -> TextScreen:
    """The record of a thing as JSON, with instants in UTC."""
    plain = dataclasses.asdict(record) if dataclasses.is_dataclass(record) and not isinstance(record, type) else record
    text = json.dumps(plain, indent=2, default=str, ensure_ascii=False)
    return TextScreen(f"record of {name}", text, text)


def links_screen(name: str, links: Sequence[tuple[str, str]]) -> TextScreen:
    """Owner, runbook and addresses of a thing; `y` copies the first address."""
    text = "\n".join(f"{word}:\n  {address}\n" for word, address in links) or "nothing is known"
    first = next((address for _, address in links if "://" in address), links[0][1] if links else "")
    return TextScreen(name, text, first)
