"""What every box that sends something has: "Back" under the cursor, a line for a name or a reason, one key for it all.

Nothing is sent before a person says so: Enter alone goes back. Where the job is not declared safe its name is typed;
where the engine's rules want a reason, its words are shown and the reason is asked for here. The key of what is asked
for is made when the box opens, so that two Enters are one action.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from console.model.ids import new_action_key
from console.store.errors import ReasonNeeded
from console.tui import chrome, guide, keys
from console.tui.ports import RequestsLike
from console.tui.screens.overlay import Overlay
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.hints import Hint
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Column, Row, Rows

Chosen = TypeVar("Chosen")
CHOICES = (Column("", 20, 1), Column("", 20, 1, flex=1))
ASKS_NAME, NOT_ITS_NAME = "type its name, as it stands above, then Enter", "that is not its name"


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


class SendScreen(Overlay[Chosen]):
    """`put` asks for it in the desk's thread; `gone` is told what came of that."""

    WHERE = "preview"
    DEFAULT_CSS = """
    SendScreen #choices { height: auto; max-height: 6; margin-top: 1; }
    SendScreen.-tight #choices { margin-top: 0; }
    """
    SEND: ClassVar[str] = "Send it"
    DOES: ClassVar[str] = "sends it"

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

    def put(self, requests: RequestsLike) -> Any:
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
        frozen = chrome.banner(header, "", self.look) if header is not None and header.frozen else ""
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
        return "say why" if self.wants_why else self.asks

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
            Rows([Row(key, ((f" {name}", "strong"), (says, "dim"))) for key, name, says in choices]), keep=False
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
        return keys.shown(key, self.look.glyphs.plain)

    def focus_again(self, kept: Widget) -> None:
        (self.line if self.line.display else self.grid).focus()

    def _foot(self) -> None:
        if not self.is_attached:
            return
        words = "back; what was sent goes on" if self.sent and not self.turned_down else "nothing is sent"
        hints = [Hint(self._key("enter"), "choose", 1), Hint(self.key_for("back"), words)]
        if self.pane.virtual_size.height > self.pane.size.height:
            hints.insert(0, Hint(self._key("pagedown"), "there is more", style="mark"))
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
        guide.paint(self, self.WHERE)

    def _ask_name(self) -> None:
        self._open_line(f"{self.asks} to send it")
        self.say(ASKS_NAME)

    def _ask_why(self, words: str) -> None:
        """Nothing was sent yet: what a person says here goes into the audit with it."""
        self.sent, self.wants_why = False, True
        self._open_line("say why, then Enter sends it")
        self.say(words.removesuffix(" (--why)"))

    # deciding

    def do_choose(self) -> None:
        self._decide(self.grid.key)

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
            self.say(f"{NOT_ITS_NAME}: {self.names[0]}")

    @on(Input.Changed)
    def corrected(self) -> None:
        """What was typed is another text now: what was wrong with the one before is not said of it."""
        if self.said.startswith(NOT_ITS_NAME):
            self.say(ASKS_NAME)

    def send(self) -> None:
        """Asks the engine for what was shown, once."""
        if self.sent or not self.may_send() or chrome.is_small(self.app.size):
            return
        self.sent, self.turned_down = True, False
        self.line.display = False
        self.say("")
        self.paint_title("")
        self.offer([("back", "Back", "what was sent goes on without this box")])
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
