"""The base of every dialog that sends something: "Back" is selected, Enter alone goes back, one key sends.

Where the job is not declared safe its name is typed; where a rule needs a reason, the reason is typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from console.config import key_table
from console.domain.ids import new_action_key
from console.store.errors import ReasonNeeded
from console.tui.dialogs.overlay import Overlay
from console.tui.frame import header_footer
from console.tui.frame.context import EngineRequests
from console.tui.frame.intent import ScreenCommand
from console.tui.widgets.bar import KeyHint
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Column, FixedRows, TableRow

ConfirmResult = TypeVar("ConfirmResult")
CHOICES = (Column("", 20, 1), Column("", 20, 1, flex=1))
ASKS_NAME, WRONG_NAME = "type the name shown above, then Enter", "that is not the name"


class Choices(Grid):
    """What can be chosen below a text; the page keys move the text."""

    def __init__(self, text: Pane) -> None:
        super().__init__(CHOICES, id="choices")
        self.text = text

    def action_move(self, way: str) -> None:
        if way.startswith("page"):
            self.text.action_move(way)
        else:
            super().action_move(way)


class SendScreen(Overlay[ConfirmResult]):
    """`put` asks for it in the desk's thread; `gone` is told what came of that."""

    WHERE = "preview"
    DEFAULT_CSS = """
    SendScreen #choices { height: auto; max-height: 6; margin-top: 1; }
    SendScreen.-tight #choices { margin-top: 0; }
    """
    SEND: ClassVar[str] = "Send"
    DOES: ClassVar[str] = "sends"

    def __init__(self) -> None:
        super().__init__()
        self.key = new_action_key()
        self.sent = self.turned_down = False
        self.why = ""
        self.wants_why = False
        self.said = ""
        self.pane = Pane(id="plan")
        self.pane.wrapped = True
        self.grid = Choices(self.pane)

    def put(self, requests: EngineRequests) -> Any:
        """Asks for it, under `key`; in the desk's thread."""
        raise NotImplementedError

    def gone(self, answer: Any) -> None:
        """It was asked for."""

    def refused(self, words: str) -> None:
        """It was not taken; nothing was sent."""
        self.say(words)

    def alarm(self) -> str:
        """Also that nothing is sent: the box covers the banner that says so."""
        header = self.board.header
        frozen = header_footer.banner_text(header, "", self.look) if header is not None and header.frozen else ""
        return super().alarm() or frozen

    @property
    def about(self) -> tuple[str, str]:
        """What is done, and to what."""
        return "", ""

    @property
    def must_type(self) -> bool:
        """True where one Enter is not enough."""
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """What may be typed to send it: first the one that is asked for, which stands in the title."""
        return ()

    @property
    def asks(self) -> str:
        """What a person is asked to type, before the cursor."""
        return f"type {self.names[0]}"

    @property
    def typed_first(self) -> str:
        """What is asked for in the line now; empty while nothing is."""
        if not self.is_attached or not self.line.display:
            return ""
        return "enter a reason" if self.wants_why else self.asks

    def may_send(self) -> bool:
        """Whether there is something to send, and nothing forbids it."""
        return True

    # the box

    def content(self) -> ComposeResult:
        yield self.pane
        yield Entry(placeholder="", id="typed")
        yield self.grid

    def on_mount(self) -> None:
        self.line.display = False
        self.paint_title("")
        self.offer([("back", "Back", "nothing is sent")])
        self._foot()
        self.begin()

    def fitted(self) -> None:
        self._foot()

    def begin(self) -> None:
        """It is open; only "Back" can be chosen yet."""

    @property
    def line(self) -> Input:
        return self.query_one(Input)

    def offer(self, choices: Sequence[tuple[str, str, str]]) -> None:
        """What can be chosen, the cursor on the first."""
        self.grid.show(
            FixedRows([TableRow(key, ((f" {name}", "strong"), (says, "dim"))) for key, name, says in choices]),
            keep=False,
        )
        self.grid.styles.height = len(choices)
        if not self.line.display:
            self.grid.focus()

    def offer_sending(self, says: str) -> None:
        """Asks for the name, or offers to send below "Back"."""
        if self.must_type:
            self._ask_name()
            return
        self.offer([("back", "Back", "nothing is sent"), ("send", self.SEND, says)])
        self.paint_title(f"{self._key('down')} {self._key('enter')} {self.DOES} ")

    def paint_title(self, how: str) -> None:
        """What it is about, and how it is sent."""
        what, whom = self.about
        self.bar("box-title").show([(f"{what} ", "key"), (whom, "strong")], [(how, "key")])

    def _key(self, key: str) -> str:
        return key_table.key_label(key, self.look.glyphs.plain)

    def focus_again(self, widget: Widget) -> None:
        (self.line if self.line.display else self.grid).focus()

    def _foot(self) -> None:
        if not self.is_attached:
            return
        words = "back; what was sent continues" if self.sent and not self.turned_down else "nothing is sent"
        hints = [KeyHint(self._key("enter"), "choose", 1), KeyHint(self.key_for("back"), words)]
        if self.pane.virtual_size.height > self.pane.size.height:
            hints.insert(0, KeyHint(self._key("pagedown"), "more below", style="mark"))
        self.foot(*hints, said=self.said)

    def say(self, words: str) -> None:
        """One line at the foot of the box."""
        self.said = words
        self._foot()

    def _open_line(self, placeholder: str) -> None:
        line = self.line
        line.display, line.value, line.placeholder = True, "", placeholder
        line.focus()
        self.offer([("back", "Back", "nothing is sent")])
        header_footer.paint_tour(self, self.WHERE, asks=self.typed_first)

    def _ask_name(self) -> None:
        self._open_line(f"{self.asks} to send it")
        self.say(ASKS_NAME)

    def _ask_why(self, text: str) -> None:
        """Nothing was sent yet: what a person says here goes into the audit with it."""
        self.sent, self.wants_why = False, True
        self._open_line("enter a reason, then Enter sends")
        self.say(text.removesuffix(" (--why)"))

    # deciding

    def commands(self) -> Sequence[ScreenCommand]:
        return [*super().commands(), ScreenCommand("choose", lambda: self._decide(self.grid.key))]

    def on_key(self, event: events.Key) -> None:
        """While one types, too, the page keys move the text."""
        if event.key in ("pageup", "pagedown"):
            event.stop()
            self.pane.action_move({"pageup": "page_up", "pagedown": "page_down"}[event.key])

    @on(Grid.Picked)
    def picked(self, event: Grid.Picked) -> None:
        self._decide(event.key)

    def _decide(self, key: Any) -> None:
        if key == "send" and not self.must_type:
            self.send()
        elif key == "back":
            self.dismiss(None)

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if self.wants_why:
            self.why = text
            if text:
                self.send()
        elif text in self.names:
            self.send()
        elif text:
            self.say(f"{WRONG_NAME}: {self.names[0]}")

    @on(Input.Changed)
    def corrected(self) -> None:
        """What was typed is another text now: what was wrong with the one before is not said of it."""
        if self.said.startswith(WRONG_NAME):
            self.say(ASKS_NAME)

    def send(self) -> None:
        """Asks the engine for what was shown, once."""
        if self.sent or not self.may_send() or header_footer.is_small(self.app.size):
            return
        self.sent, self.turned_down = True, False
        self.line.display = False
        self.say("")
        self.paint_title("")
        self.offer([("back", "Back", "what was sent continues without this dialog")])
        self.board.ask_engine(f"send {self.key}", self.put, self._gone, self._not_sent, self._order)

    @property
    def _order(self) -> str:
        return f"{self.about[0].lower()} {self.about[1]}"

    def _gone(self, answer: Any) -> None:
        if self.is_attached:
            self.gone(answer)

    def _not_sent(self, error: Exception) -> None:
        if not self.is_attached:
            self.board.tell(f"{self._order}: it was NOT sent: {error}", "bad")
        elif isinstance(error, ReasonNeeded):
            self._ask_why(str(error))
        else:
            self.turned_down = True
            self.offer([("back", "Back", "nothing was sent")])
            self.refused(str(error) or type(error).__name__)
