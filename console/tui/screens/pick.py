"""A list to choose from as one types: help, palette and jump are the same thing with other lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Input

from connectors.words import Evidence
from console.tui import keys, where
from console.tui.screens.overlay import Overlay
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.hints import Hint
from console.tui.widgets.table import Column, Row, Rows

if TYPE_CHECKING:
    from console.tui.screens.base import BaseScreen
    from console.tui.screens.frame import FrameScreen

ANSWERS = (Column("", 1, 1), Column("", 20, 1), Column("", 20, 1, flex=1))
"""A question with few answers."""
PLACES = (Column("", 9, 1), Column("", 36, 1, flex=2, most=60), Column("", 16, 2, flex=3))
KEYS = (Column("", 8, 1), Column("", 16, 1), Column("", 20, 1, flex=1))

LEGEND = (
    (Evidence.INFERRED, "inferred", "mark: nobody wrote its end down; it was concluded from what is known"),
    (Evidence.CONFLICT, "conflict", "mark: sources disagree, or it read its upstream too early"),
    (Evidence.STALE, "out of reach", "mark: its system does not answer; this is what was seen last"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A line: what it is, its name, what it does, and what is given back when it is chosen."""

    tag: str
    name: str
    says: str
    value: Any
    dead: bool = False


class PickScreen(Overlay[Any]):
    WHERE = "pick"

    def __init__(self, title: str, choices: Sequence[Choice], placeholder: str = "type to narrow",
                 columns: Sequence[Column] = KEYS) -> None:  # fmt: skip
        super().__init__()
        self.title_text, self.choices, self.placeholder = title, tuple(choices), placeholder
        self.shown: tuple[Choice, ...] = self.choices
        self.grid = Grid(columns, "nothing by that name", id="choices-grid")

    @property
    def lines_at_first(self) -> int:
        return super().lines_at_first + len(self.choices)

    def content(self) -> ComposeResult:
        yield Entry(placeholder=self.placeholder, id="narrow")
        yield self.grid

    def on_mount(self) -> None:
        self.bar("box-title").show([(self.title_text, "strong")])
        self.foot(Hint(self.key_for("choose"), "choose", 1), Hint(self.key_for("back"), "back"))
        self.narrow("")
        self.query_one(Input).focus()

    def narrow(self, text: str) -> None:
        words = text.lower().split()
        self.shown = tuple(choice for choice in self.choices if _matches(choice, words))
        self.show_choices()

    def show_choices(self) -> None:
        self.grid.show(Rows([_row(number, choice) for number, choice in enumerate(self.shown)]), keep=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.narrow(event.value)

    def on_input_submitted(self) -> None:
        self.entered()

    def entered(self) -> None:
        """Enter was pressed in the line where one types."""
        self.choose()

    def on_key(self, event: events.Key) -> None:
        moves = {"up": "up", "down": "down", "pageup": "page_up", "pagedown": "page_down"}
        if event.key in moves:
            event.stop()
            self.grid.action_move(moves[event.key])

    def do_choose(self) -> None:
        self.choose()

    @on(Grid.Picked)
    def choose(self) -> None:
        key = self.grid.key
        if isinstance(key, int) and key < len(self.shown):
            self.dismiss(self.shown[key].value)


def _matches(choice: Choice, words: Sequence[str]) -> bool:
    text = f"{choice.tag} {choice.name} {choice.says}".lower()
    return all(word in text for word in words)


def _row(number: int, choice: Choice) -> Row:
    style = "dim" if choice.dead else "plain"
    return Row(number, ((choice.tag, "dim" if choice.dead else "key"), (choice.name, style), (choice.says, "dim")))


def act_choices(screen: BaseScreen, skip: Sequence[str] = ()) -> list[Choice]:
    """What can be done on a screen; what cannot be done now says why."""
    plain = screen.look.glyphs.plain
    found = []
    for act in keys.acts(screen.WHERE, screen.board.own.remap):
        if act.name in skip:
            continue
        reason = screen.why_not(act.name)
        tag = " ".join(keys.shown(key, plain) for key in act.keys) or ":"
        found.append(
            Choice(
                tag,
                act.word,
                reason or keys.says(act, screen.WHERE, screen.board.own.remap, plain),
                act.name,
                dead=bool(reason),
            )
        )
    return found


def help_screen(screen: BaseScreen) -> PickScreen:
    """The keys of a screen; Enter on one runs it."""
    widget = keys.widget_of(screen.WHERE)
    moved = keys.acts(widget, screen.board.own.remap)
    moves = [Choice(" ".join(keys.shown(key) for key in act.keys), act.word, act.says, None) for act in moved]
    legend = _legend(screen) if screen.WHERE in ("jobs", "job", "run") else []
    title = f"keys of {where.SCREENS[screen.WHERE]}"
    return PickScreen(title, [*act_choices(screen, skip=("help",)), *moves, *legend])


def confirm(screen: FrameScreen, title: str, name: str, says: str, then: Callable[[], object]) -> None:
    """Asks once more, the cursor on "Back"; `then` is called where a person chose the other line."""
    choices = [Choice("", "Back", "nothing happens", None), Choice("", name, says, "yes")]

    def answered(value: object) -> None:
        if value == "yes":
            then()

    screen.board.push_screen(PickScreen(title, choices, columns=ANSWERS), answered)


def _legend(screen: BaseScreen) -> list[Choice]:
    """What the marks beside a state say."""
    marks = [(screen.look.glyphs.mark("evidence", evidence)[0], word, says) for evidence, word, says in LEGEND]
    return [Choice(*mark, None) for mark in marks]
