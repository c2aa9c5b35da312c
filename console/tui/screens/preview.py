"""Recovery preview: what a rerun would send, in the scheduler's own words; then what became of it.

Nothing is sent before a person says so: the cursor stands on "Back", so that Enter alone sends nothing; "Send it" below
it where the owner declared it safe, the job's name typed where he did not or where it may overlap, never where he said
never. What hangs on a tier that wants a reason asks for one. The action's key is made when the preview opens, so that
two Enters are one action.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from console.model.ids import new_action_key
from console.model.steps import refusal
from console.model.views import ActionView
from console.model.words import Safety
from console.store.errors import ReasonNeeded
from console.tui import chrome, keys, plan
from console.tui.asking import Asking
from console.tui.ports import AnswerLike, RequestsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.overlay import Overlay
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Column, Row, Rows

CHOICES = (Column("", 20, 1), Column("", 20, 1, flex=1))


class PreviewScreen(Overlay[None]):
    """Asks for the preview, lets a person decide, sends once, and watches the result."""

    WHERE = "preview"
    DEFAULT_CSS = "PreviewScreen #choices { height: auto; max-height: 6; }"

    def __init__(self, choice: RunChoice) -> None:
        super().__init__()
        self.choice = choice
        self.key = new_action_key()
        self.preview: dict[str, Any] | None = None
        self.sent = False
        self.why = ""
        self.wants_why = False
        self.watched: tuple[ActionView, ...] = ()
        self.said = ""
        self.pane = Pane(id="plan")
        self.pane.wrapped, self.pane.hang = True, plan.LABEL
        self.grid = Grid(CHOICES, id="choices")

    def content(self) -> ComposeResult:
        yield self.pane
        yield Entry(placeholder="", id="typed")
        yield self.grid

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self._title("")
        self.pane.show_runs([[("asking the engine what a rerun would send…", "dim")]])
        self._offer([("back", "Back", "nothing is sent")])
        self._foot()
        Asking(self.board, self, "preview", self._put, self._previewed, self._failed)

    def _put(self, requests: RequestsLike) -> int:
        return requests.preview_rerun(self.choice.run_id)

    def _offer(self, choices: Sequence[tuple[str, str, str]]) -> None:
        self.grid.show(
            Rows([Row(key, ((f" {name}", "strong"), (says, "dim"))) for key, name, says in choices]), keep=False
        )
        self.grid.styles.height = len(choices)
        if not self.query_one(Input).display:
            self.grid.focus()

    def _title(self, how: str) -> None:
        """The job, and how it is sent."""
        self.bar("box-title").show([("RECOVER ", "key"), (self.choice.job, "strong")], [(how, "key")])

    def _key(self, key: str) -> str:
        return keys.shown(key, self.look.glyphs.plain)

    def focus_again(self, kept: Widget) -> None:
        line = self.query_one(Input)
        (line if line.display else self.grid).focus()

    def _foot(self) -> None:
        words = "back; what was sent goes on" if self.sent else "nothing is sent"
        self.bar("box-foot").show([(f"{self._key('enter')} ", "key"), ("choose  ", "dim"),
                                   ("Esc ", "key"), (words, "dim")], [(self.said, "warn")])  # fmt: skip

    def say(self, words: str) -> None:
        """One line at the foot of the box."""
        self.said = words
        self._foot()

    # the preview

    def _failed(self, words: str) -> None:
        self.pane.show_runs([[("no preview: ", "bad"), (words, "plain")], [("nothing was sent", "dim")]])

    def _previewed(self, answer: AnswerLike) -> None:
        if not answer.ok:
            self._failed(answer.error)
            return
        self.preview = answer.data
        self.pane.show_runs(plan.lines(answer.data, self.look))
        refused = refusal(answer.data)
        if refused:
            self._offer([("back", "Back", "nothing can be sent: " + refused)])
        elif self.must_type:
            self._ask_name()
        else:
            self._offer([("back", "Back", "nothing is sent"), ("send", "Send it", str(answer.data.get("words", "")))])
            self._title(f"{self._key('down')} {self._key('enter')} sends it ")

    @property
    def must_type(self) -> bool:
        """True where one Enter is not enough: not declared safe, or it may overlap with what runs."""
        preview = self.preview or {}
        return str(preview.get("safety", Safety.ASK)) != Safety.SAFE or bool(preview.get("overlap"))

    def _ask_name(self) -> None:
        line = self.query_one(Input)
        line.display = True
        line.placeholder = "type the job's name to send it"
        line.focus()
        self._offer([("back", "Back", "nothing is sent")])
        self.say("type the job's name, then Enter")

    # deciding

    def do_choose(self) -> None:
        self._decide(self.grid.key)

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
        if self.wants_why:
            self.why = event.value.strip()
            if self.why:
                self.send()
            return
        wanted = self.choice.job
        if event.value.strip() in (wanted, wanted.partition("/")[2]):
            self.send()
        elif event.value.strip():
            self.say(f"that is not its name: {wanted.partition('/')[2] or wanted}")

    def send(self) -> None:
        """Asks the engine to send what the preview showed, once."""
        if self.sent or self.preview is None or chrome.is_small(self.app.size) or refusal(self.preview):
            return
        self.sent = True
        preview, key, choice, why = self.preview, self.key, self.choice, self.why
        line = self.query_one(Input)
        line.display = False
        self.say("")
        self._title("")
        self._offer([("back", "Back", "what was sent goes on without this box")])
        self.board.ask_engine(
            "rerun", lambda requests: _rerun(requests, choice, preview, key, why), self._sent, self._not_sent
        )

    def _sent(self, _: None) -> None:
        self.fetch()

    def _not_sent(self, error: Exception) -> None:
        if isinstance(error, ReasonNeeded):
            self._ask_why(str(error))
            return
        self.say(str(error) or type(error).__name__)
        self.fetch()

    def _ask_why(self, words: str) -> None:
        """Nothing was sent yet: what a person says here goes into the audit with it."""
        self.sent, self.wants_why = False, True
        line = self.query_one(Input)
        line.display, line.value = True, ""
        line.placeholder = "say why, then Enter sends it"
        line.focus()
        self._offer([("back", "Back", "nothing is sent")])
        self.say(words.removesuffix(" (--why)"))

    # watching

    def fetch(self) -> None:
        """What became of it; called again whenever the store has changed."""
        if self.sent:
            run_id = self.choice.run_id
            self.board.ask_for(
                self, "actions", lambda reads: reads.actions(run_id=run_id), self._watch, self.board.store_failed
            )

    def _watch(self, actions: Sequence[ActionView]) -> None:
        if not self.is_attached:
            return
        self.watched = tuple(actions)
        own = next((action for action in actions if action.key == self.key), None)
        shown = own or max(actions, key=lambda action: action.requested, default=None)
        if self.preview is not None:
            self.pane.show_runs(plan.result(shown, self.preview, self.look, mine=own is not None))

    def tick(self) -> None:
        """A second has passed; the age of each step moves."""
        self.fetch()


def _rerun(requests: RequestsLike, choice: RunChoice, preview: dict[str, Any], key: str, why: str) -> None:
    requests.rerun(choice.run_id, preview, key, why, incident_id=choice.incident_id)
