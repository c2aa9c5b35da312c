"""The dialog of everything that is sent: "Back" is selected, Enter alone goes back, one key sends.

Its subject is given as a `Confirmation`. For a job that is not declared safe its name is typed; where a rule
needs a reason, the reason is typed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input

from console.config import key_table
from console.domain.ids import new_action_key
from console.store.errors import ReasonNeeded
from console.tui.dialogs.overlay import Overlay
from console.tui.frame import header_footer
from console.tui.frame.console_app import EngineAnswer, EngineRequests
from console.tui.frame.engine_request import PendingRequest
from console.tui.frame.intent import ActionIntent, ScreenCommand
from console.tui.widgets.bar import Bar, KeyHint
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import fit_middle
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Column, FixedRows, TableRow

CHOICES = (Column("", 20, 1), Column("", 20, 1, flex=1))
PROMPT_WIDTH = 26
"""Cells of a prompt beside its field."""


class Choices(Grid):
    """Choices below a text; the page keys scroll the text."""

    def __init__(self, text: Pane) -> None:
        super().__init__(CHOICES, id="choices")
        self.text = text

    def action_move(self, way: str) -> None:
        if way.startswith("page"):
            self.text.action_move(way)
        else:
            super().action_move(way)


class Confirmation:
    """Subject of a `SendScreen`. It sends in `put`, called in the request thread, and shows the outcome in
    `gone`."""

    SEND: ClassVar[str] = "Send"
    DOES: ClassVar[str] = "send"
    HANG: ClassVar[int] = 0
    """Indent of wrapped lines of its text."""
    box: SendScreen

    def put(self, requests: EngineRequests) -> Any:
        raise NotImplementedError

    def check(self, requests: EngineRequests) -> None:
        """Raises ReasonNeeded if it cannot be sent without a reason. Called in the request thread."""

    def gone(self, answer: Any) -> None: ...

    def refused(self, reason: str) -> None:
        """The engine refused it; nothing was sent."""
        self.box.say(reason)

    @property
    def about(self) -> tuple[str, str]:
        return "", ""

    @property
    def must_type(self) -> bool:
        """True if one Enter is not enough."""
        return True

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def may_send(self) -> bool:
        """False while it cannot be sent, or is sent in another way."""
        return True

    def begin(self) -> None:
        """The box is open; only "Back" can be chosen yet."""

    def decides(self, key: Any) -> bool:
        """True if it did what the chosen line says."""
        return False

    has_details = False
    """True if it shows a summary first."""

    def toggle_details(self) -> None: ...

    def fetch(self) -> None: ...


class SendScreen(Overlay[Any]):
    WHERE = "preview"
    DEFAULT_CSS = """
    SendScreen #choices { height: auto; max-height: 6; margin-top: 1; }
    SendScreen.-tight #choices { margin-top: 0; }
    SendScreen #form { height: auto; border: round $primary; }
    SendScreen #form Horizontal { height: 1; }
    SendScreen #form Bar { width: 26; }
    """

    def __init__(self, subject: Confirmation) -> None:
        super().__init__()
        self.subject, subject.box = subject, self
        self.key = new_action_key()
        self.sent = self.turned_down = self.is_wrong_name = False
        self.why = self.reason_rule = ""
        self.is_offered = False
        self.message = ""
        self.pane = Pane(id="plan")
        self.pane.wrapped, self.pane.hang = True, subject.HANG
        self.grid = Choices(self.pane)

    def alarm(self) -> str:
        header = self.board.header
        frozen = header_footer.banner_text(header, "", self.ctx) if header is not None and header.frozen else ""
        return super().alarm() or frozen

    @property
    def stops_demo(self) -> bool:
        return not self.sent or self.turned_down

    @property
    def prompt(self) -> str:
        return f"type {self.subject.names[0]}"

    @property
    def typed_first(self) -> str:
        if not self.is_attached or not self.form.display:
            return ""
        if not self.query_one("#name-row").display:
            return "enter a reason"
        return f"{self.prompt} {self.key_name('enter')} {'a reason' if self.reason_rule else 'an optional reason'}"

    def ask_preview(
        self, intent: ActionIntent, text: str, then: Callable[[EngineAnswer], None], failed: Callable[[str], None]
    ) -> None:
        """Requests the preview of an action, showing `text` meanwhile."""
        if reason := header_footer.why_no_answer(self.board):
            failed(reason)
            return
        self.pane.show_runs([[(text, "dim")]])
        PendingRequest(self, "preview", lambda requests: requests.preview(intent.request()), then, failed)

    # the box

    def content(self) -> ComposeResult:
        yield self.pane
        with Vertical(id="form"):
            with Horizontal(id="name-row"):
                yield Bar(id="name-prompt")
                yield Entry(id="typed")
            with Horizontal():
                yield Bar(id="why-prompt")
                yield Entry(id="why", placeholder="optional")
        yield self.grid

    def on_mount(self) -> None:
        self.form.display = False
        self.bar("why-prompt").show([(" reason", "key")])
        self.paint_title("")
        self.offer([("back", "Back", "nothing is sent")])
        self._foot()
        self.subject.begin()
        self.board.ask_engine(f"check {self.key}", self.subject.check, lambda _: None, self._checked)

    def fitted(self) -> None:
        self._foot()

    @property
    def form(self) -> Widget:
        return self.query_one("#form")

    @property
    def name_field(self) -> Input:
        return self.query_one("#typed", Input)

    @property
    def why_field(self) -> Input:
        return self.query_one("#why", Input)

    def offer(self, choices: Sequence[tuple[str, str, str]]) -> None:
        self.grid.show(
            FixedRows([TableRow(key, ((f" {name}", "strong"), (says, "dim"))) for key, name, says in choices]),
            keep=False,
        )
        self.grid.styles.height = len(choices)
        if not self.form.display:
            self.grid.focus()

    def offer_sending(self, says: str) -> None:
        self.is_offered = True
        if self.must_type:
            self._open_form()
            return
        self.offer([("back", "Back", "nothing is sent"), ("send", self.subject.SEND, says)])
        self.paint_title(f"{self.key_name('down')} then {self.key_name('enter')}: {self.subject.DOES} ")

    @property
    def must_type(self) -> bool:
        """True if a name or a reason must be typed."""
        return self.subject.must_type or bool(self.reason_rule)

    def _checked(self, error: Exception) -> None:
        if isinstance(error, ReasonNeeded) and self.is_attached and not self.sent:
            self._require_reason(error)
            if self.is_offered:
                self.offer_sending("")

    def _require_reason(self, error: ReasonNeeded) -> None:
        self.reason_rule = str(error)
        self.why_field.placeholder = "required"

    def paint_title(self, how: str) -> None:
        what, subject = self.subject.about
        zone = self.ctx.clock.label(self.ctx.now)  # the dialog covers the header
        self.bar("box-title").show([(f"{what} ", "key"), (subject, "strong")], [(f" {how}", "key"), (zone, "dim")])

    def key_name(self, key: str) -> str:
        return key_table.key_label(key, self.ctx.plain)

    def _foot(self) -> None:
        if not self.is_attached:
            return
        label = "back; the sent action continues" if self.sent and not self.turned_down else "nothing is sent"
        hints = [KeyHint(self.key_name("enter"), self._enter_does, 1), KeyHint(self.key_for("back"), label)]
        if self.subject.has_details and not self.sent:
            hints.append(KeyHint(self.key_for("details"), "show all steps"))
        if self.pane.virtual_size.height > self.pane.size.height:
            hints.insert(0, KeyHint(self.key_name("pagedown"), "more below", style="mark"))
        self.foot(*hints, message=self.message)

    @property
    def _enter_does(self) -> str:
        if self.focused is self.name_field:
            return "next field"
        return self.subject.SEND.lower() if self.focused is self.why_field else "choose"

    def on_descendant_focus(self) -> None:
        self._foot()

    def say(self, text: str) -> None:
        self.message, self.is_wrong_name = text, False
        self._foot()

    def _open_form(self) -> None:
        """Asks for the name, if one must be typed, and the reason, both at once."""
        has_name = bool(self.subject.names) and self.subject.must_type
        self.bar("name-prompt").show([(f" {fit_middle(self.prompt if has_name else '', PROMPT_WIDTH - 2)}", "key")])
        self.query_one("#name-row").display = has_name
        self.form.display = True
        is_named = not has_name or self.name_field.value.strip() in self.subject.names
        (self.why_field if is_named else self.name_field).focus()
        self.paint_title("")
        self.offer([("back", "Back", "nothing is sent")])
        header_footer.paint_tour(self, self.WHERE, must_type=self.typed_first)

    def ask_again(self, message: str) -> None:
        """The confirmation given so far does not apply any more."""
        self.name_field.value = ""
        self.offer_sending("")
        self.say(message)

    # deciding

    def commands(self) -> Sequence[ScreenCommand]:
        def no_details() -> str:
            return "" if self.subject.has_details else "all of it is shown"

        return [
            *super().commands(),
            ScreenCommand("choose", self.choose),
            ScreenCommand("details", self.subject.toggle_details, no_details),
            ScreenCommand("field", self._next_field, lambda: "" if self.form.display else "there is no field"),
        ]

    def _next_field(self) -> None:
        fields = [field for field in (self.name_field, self.why_field) if field.parent and field.parent.display]
        place = fields.index(self.focused) if self.focused in fields else -1
        fields[(place + 1) % len(fields)].focus()

    def on_key(self, event: events.Key) -> None:
        """The page keys scroll the text also while the user types."""
        if event.key in ("pageup", "pagedown"):
            event.stop()
            self.pane.action_move({"pageup": "page_up", "pagedown": "page_down"}[event.key])

    @on(Grid.Picked)
    def choose(self) -> None:
        self._decide(self.grid.key)

    def _decide(self, key: Any) -> None:
        if self.subject.decides(key):
            return
        if key == "send" and not self.must_type:
            self.send()
        elif key == "back":
            self.dismiss(None)

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        """Goes from the name to the reason; there it is sent once the form is complete. Says what is missing."""
        name, self.why = self.name_field.value.strip(), self.why_field.value.strip()
        if self.query_one("#name-row").display and name not in self.subject.names:
            self.name_field.focus()
            self.say(f"another name was typed; {self.prompt}" if name else f"the field is empty: {self.prompt}")
            self.is_wrong_name = True
        elif event.input is self.name_field or (self.reason_rule and not self.why):
            self.why_field.focus()
            self.say("" if self.why else self.reason_rule)
        else:
            self.send()

    @on(Input.Changed)
    def corrected(self) -> None:
        """A fault of the previous text does not apply to the new one."""
        if self.is_wrong_name or (self.message == self.reason_rule and self.why_field.value.strip()):
            self.say("")

    def send(self) -> None:
        """Sends the request to the engine, once."""
        if self.sent or self.is_small or not self.subject.may_send():
            return
        self.sent, self.turned_down = True, False
        self.form.display = False
        self.say("")
        self.paint_title("")
        self.offer([("back", "Back", "the sent action continues without this dialog")])

        def sent(answer: Any) -> None:
            if self.is_attached:
                self.subject.gone(answer)

        self.board.ask_engine(f"send {self.key}", self.subject.put, sent, self._not_sent, self.order)

    @property
    def order(self) -> str:
        """The request, as a notice names it."""
        what, subject = self.subject.about
        return f"{what.lower()} {subject}"

    def fetch(self) -> None:
        self.subject.fetch()

    def tick(self) -> None:
        super().tick()
        self.fetch()

    def _not_sent(self, error: Exception) -> None:
        if not self.is_attached:
            self.board.show_notice(f"{self.order}: it was NOT sent: {error}", "bad")
        elif isinstance(error, ReasonNeeded):
            self.sent = False
            self._require_reason(error)
            self._open_form()
            self.say(self.reason_rule)
        else:
            self.turned_down = True
            self.offer([("back", "Back", "nothing was sent")])
            self.subject.refused(str(error) or type(error).__name__)
