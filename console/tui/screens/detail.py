"""A screen that is one text to read: an action, a system, the shadow report."""

from __future__ import annotations

from textual.app import ComposeResult

from console.tui.screens.base import BaseScreen
from console.tui.steps import LABEL, Lines
from console.tui.widgets.pane import Pane


class DetailScreen(BaseScreen):
    """`lines` says what stands there now; nothing while it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.pane = Pane(id="detail")
        self.pane.wrapped, self.pane.hang, self.pane.finds_errors = True, LABEL + 1, False

    def body(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.pane.focus()

    def lines(self) -> Lines:
        raise NotImplementedError

    def tick(self) -> None:
        super().tick()
        self.pane.show_runs([[(" ", "plain"), *line] for line in self.lines()])
