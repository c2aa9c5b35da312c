"""A dialog over a screen: Escape closes it and nothing has happened. Also text to read: a record as JSON, or
addresses.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.widget import Widget

from console.config import key_table
from console.tui.frame import header_footer
from console.tui.frame.cells import RenderContext
from console.tui.frame.context import ConsoleApp
from console.tui.frame.intent import ScreenCommand
from console.tui.terminal.output import PaintPacer
from console.tui.widgets.bar import Bar, KeyHint, KeyHints
from console.tui.widgets.pane import Pane

DialogResult = TypeVar("DialogResult")


class Overlay(ModalScreen[DialogResult], inherit_bindings=False):
    """`WHERE` names its keys in the table, as on a screen."""

    WHERE: ClassVar[str] = "text"
    DEFAULT_CSS = """
    Overlay { align: center middle; background: $background 60%; }
    Overlay #box { width: 90%; max-width: 110; max-height: 80%; padding: 0 1; }
    Overlay #box { background: $background; border: solid $primary; }
    Overlay.-tight #box { width: 100%; max-height: 100%; }
    """

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = key_table.bindings(cls.WHERE)
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self.pacer = PaintPacer(self)
        self._focus_before_small: Widget | None = None

    @property
    def board(self) -> ConsoleApp:
        return cast(ConsoleApp, self.app)

    @property
    def look(self) -> RenderContext:
        return self.board.look

    def key_for(self, command: str) -> str:
        """The first key of a command here, as this person has it."""
        return self.look.key(self.WHERE, command)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.styles.height = self.lines_at_first
            yield Bar(id="box-alarm")
            yield Bar(id="box-title")
            yield from self.content()
            yield from header_footer.tour_bar(self.board, self.WHERE)
            yield KeyHints(id="box-foot")

    def on_mount(self) -> None:
        self.pacer.hold()  # it is painted once it is as high as it shall be
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._fit())
        self.paint_frame()

    def _fit(self) -> None:
        """As many lines as there is to show; never fewer than before, so that nothing jumps while one types."""
        box = self.query_one("#box")
        growing = self.growing
        needs = [one.virtual_size.height if one in growing else one.outer_size.height + one.styles.margin.height
                 for one in box.children if one.display]  # fmt: skip
        height = box.styles.gutter.height + sum(needs)
        if growing and box.display and box.styles.height is not None and height > box.styles.height.value:
            box.styles.height = height
        else:
            self.pacer.end_hold()
        self.fitted()

    def fitted(self) -> None:
        """It has been laid out anew."""

    @property
    def lines_at_first(self) -> int:
        """How high the box is before it is known how much there is to show."""
        return 6

    @property
    def growing(self) -> Sequence[Widget]:
        """What takes the lines of the box that nothing else needs; once it has its width, by which texts are broken."""
        children = [one for one in self.query_one("#box").children if isinstance(one, ScrollView)]
        return [one for one in children if one.virtual_size.width == one.scrollable_content_region.width
                and one.styles.height is not None and one.styles.height.is_fraction]  # fmt: skip

    def paint_frame(self) -> None:
        """What stands below the box and around it is old: said in the box, which covers the banner."""
        said = self.alarm()
        for bar in self.query("#box-alarm").results(Bar):
            bar.display = bool(said)
            bar.show_lines([(((said, "alarm"),), (), "alarm")])
        if header_footer.is_small(self.app.size):
            for pane in self.query("#small").results(Pane):
                header_footer.paint_small(self.board, pane)

    def alarm(self) -> str:
        """What must be known in the box; empty when all is well."""
        return header_footer.alarm_of(self.board)

    @property
    def typed_first(self) -> str:
        """What a person must type before anything is sent; empty for nothing."""
        return ""

    def fetch(self) -> None:
        """The store has changed."""

    def tick(self) -> None:
        """A second has passed: an age grows."""
        self.paint_frame()

    def content(self) -> ComposeResult:
        """The widgets inside the box."""
        yield from ()

    def bar(self, name: str) -> Bar:
        return self.query_one(f"#{name}", Bar)

    def foot(self, *hints: KeyHint, said: str = "", style: str = "warn") -> None:
        """The keys at the foot of the box, and what is said with them."""
        self.query_one("#box-foot", KeyHints).tell(hints, (said, style))

    def on_resize(self, event: events.Resize) -> None:
        header_footer.paint_tour(self, self.WHERE, asks=self.typed_first)
        self.set_class(event.size.width < 100 or event.size.height < 30, "-tight")
        small = header_footer.is_small(event.size)
        if small and not self.query("#small"):
            self.mount(Pane(id="small"))
        if small and self.query_one("#box").display:
            self._focus_before_small = self.focused
        self.query_one("#box").display = not small
        for pane in self.query("#small").results(Pane):
            pane.display = small
        if small:
            self.call_after_refresh(self.paint_frame)
        elif self._focus_before_small is not None:
            self.call_after_refresh(self.focus_again, self._focus_before_small)
            self._focus_before_small = None

    def focus_again(self, widget: Widget) -> None:
        """Gives the focus back once the box can be seen again."""
        widget.focus()

    def _compositor_refresh(self) -> None:
        if self.pacer.may_paint():
            super()._compositor_refresh()

    def commands(self) -> Sequence[ScreenCommand]:
        """Every command of the dialog. Of two with one name the later one counts."""
        return [ScreenCommand("back", lambda: self.dismiss(None)), ScreenCommand("leave", lambda: self.board.exit(0))]

    @cached_property
    def command_table(self) -> dict[str, ScreenCommand]:
        """The commands by the name of their action in the key table."""
        return {command.name: command for command in self.commands()}

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """False in a terminal that is too small, but for the key that leaves."""
        is_small = header_footer.is_small(self.app.size) and parameters != ("leave",)
        return super().check_action(action, parameters) and not (action == "command" and is_small)

    def action_command(self, name: str) -> None:
        self.command_table[name].run()


class TextScreen(Overlay[None]):
    WHERE = "text"

    def __init__(self, title: str, text: str, copied: str, notice_copied: str = "copied") -> None:
        super().__init__()
        self.title_text, self.copied, self.notice_copied = title, copied, notice_copied
        self.pane = Pane(id="text")
        self.pane.wrapped, self.pane.finds_errors = True, False
        self.text = text

    def content(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.bar("box-title").show([(self.title_text, "strong")])
        self.foot(KeyHint(self.key_for("back"), "back"), KeyHint(self.key_for("copy"), "copy", 1))
        self.pane.show(self.text)
        self.pane.focus()

    def commands(self) -> Sequence[ScreenCommand]:
        return [*super().commands(), ScreenCommand("copy", self.copy)]

    def copy(self) -> None:
        from console.text.cleaning import clean

        self.board.copy_to_clipboard(clean(self.copied))
        self.foot(said=self.notice_copied, style="ok")


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
