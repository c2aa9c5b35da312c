"""A box over a screen; Escape closes it and nothing has happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.widget import Widget

from console.tui import chrome, guide, keys
from console.tui.cells import Look
from console.tui.pace import Paced
from console.tui.widgets.bar import Bar
from console.tui.widgets.hints import Hint, Hints
from console.tui.widgets.pane import Pane

if TYPE_CHECKING:
    from console.tui.app import HeadwayApp

Chosen = TypeVar("Chosen")


class Overlay(Paced, ModalScreen[Chosen], inherit_bindings=False):
    """`WHERE` names its keys in the table, as on a screen."""

    WHERE: ClassVar[str] = "text"
    DEFAULT_CSS = """
    Overlay { align: center middle; background: $background 60%; }
    Overlay #box { width: 90%; max-width: 110; max-height: 80%; padding: 0 1; }
    Overlay #box { background: $background; border: solid $primary; }
    Overlay.-tight #box { width: 100%; max-height: 100%; }
    """

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = keys.bindings(cls.WHERE)
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self._focus_kept: Widget | None = None

    @property
    def board(self) -> HeadwayApp:
        return cast("HeadwayApp", self.app)

    @property
    def look(self) -> Look:
        return self.board.look

    def key_for(self, act: str) -> str:
        """The key of an act here, as this person has it."""
        return self.look.key(self.WHERE, act)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.styles.height = self.lines_at_first
            yield Bar(id="box-alarm")
            yield Bar(id="box-title")
            yield from self.content()
            yield from guide.bar(self.board, self.WHERE)
            yield Hints(id="box-foot")

    def on_mount(self) -> None:
        self.hold_back()  # it is painted once it is as high as it shall be
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
            self._let_go()
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
        if chrome.is_small(self.app.size):
            self._say_small(said)

    def alarm(self) -> str:
        """What must be known in the box; empty when all is well."""
        board = self.board
        return chrome.alarm(board.header, board.store_error, self.look, board.read_at, board.beginning.starting)

    def tick(self) -> None:
        """A second has passed: an age grows."""
        self.paint_frame()

    def content(self) -> ComposeResult:
        """The widgets inside the box."""
        yield from ()

    def bar(self, name: str) -> Bar:
        return self.query_one(f"#{name}", Bar)

    def foot(self, *hints: Hint, said: str = "", style: str = "warn") -> None:
        """The keys at the foot of the box, and what is said with them."""
        self.query_one("#box-foot", Hints).tell(hints, (said, style))

    def on_resize(self, event: events.Resize) -> None:
        guide.paint(self, self.WHERE)
        self.set_class(event.size.width < 100 or event.size.height < 30, "-tight")
        small = chrome.is_small(event.size)
        if small and not self.query("#small"):
            self.mount(Pane(id="small"))
        if small and self.query_one("#box").display:
            self._focus_kept = self.focused
        self.query_one("#box").display = not small
        for pane in self.query("#small").results(Pane):
            pane.display = small
        if small:
            self.call_after_refresh(self.paint_frame)
        elif self._focus_kept is not None:
            self.call_after_refresh(self.focus_again, self._focus_kept)
            self._focus_kept = None

    def focus_again(self, kept: Widget) -> None:
        """Gives the focus back once the box can be seen again."""
        kept.focus()

    def _say_small(self, warning: str) -> None:
        for pane in self.query("#small").results(Pane):
            pane.show_runs(chrome.small(self.app.size, self.board.header, self.board.services, self.look, warning))

    def action_act(self, name: str) -> None:
        if chrome.is_small(self.app.size) and name != "leave":
            return
        getattr(self, f"do_{name}")()

    def do_back(self) -> None:
        self.dismiss(None)

    def do_leave(self) -> None:
        self.board.exit(0)
