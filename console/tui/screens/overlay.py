"""A box over a screen; Escape closes it and nothing has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from console.tui import keys
from console.tui.rows import Look
from console.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from console.tui.app import HeadwayApp

Chosen = TypeVar("Chosen")


class Overlay(ModalScreen[Chosen], inherit_bindings=False):
    """`WHERE` names its keys in the table, as on a screen."""

    WHERE: ClassVar[str] = "text"
    DEFAULT_CSS = """
    Overlay { align: center middle; background: $background 60%; }
    Overlay #box { width: 90%; max-width: 110; height: 80%; padding: 0 1; }
    Overlay #box { background: $background; border: solid $primary; }
    Overlay.-tight #box { width: 100%; height: 100%; }
    """

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = keys.bindings(cls.WHERE)
        super().__init_subclass__(**options)

    @property
    def board(self) -> HeadwayApp:
        return cast("HeadwayApp", self.app)

    @property
    def look(self) -> Look:
        return self.board.look

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Bar(id="box-title")
            yield from self.content()
            yield Bar(id="box-foot")

    def content(self) -> ComposeResult:
        """The widgets inside the box."""
        yield from ()

    def bar(self, name: str) -> Bar:
        return self.query_one(f"#{name}", Bar)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < 100 or event.size.height < 30, "-tight")

    def action_act(self, name: str) -> None:
        getattr(self, f"do_{name}")()

    def do_back(self) -> None:
        self.dismiss(None)

    def do_leave(self) -> None:
        self.board.exit(0)
