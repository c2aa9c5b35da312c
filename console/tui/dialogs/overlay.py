"""The base of dialogs over a screen, closed with Escape; and text to read: a record as JSON, or addresses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.widget import Widget

from console.tui.frame import header_footer
from console.tui.frame.console_app import ConsoleScreen
from console.tui.frame.intent import ScreenCommand
from console.tui.widgets.bar import Bar, KeyHint, KeyHints
from console.tui.widgets.pane import Pane

DialogResult = TypeVar("DialogResult")


def is_tight(size: Size) -> bool:
    return size.width < 100 or size.height < 30


def text_width(size: Size) -> int:
    """Cells of a line in a dialog: its width without border, padding and scrollbar."""
    return min(size.width if is_tight(size) else size.width * 9 // 10, 110) - 5


class Overlay(ConsoleScreen[DialogResult], ModalScreen[DialogResult], inherit_bindings=False):
    """`WHERE` of each dialog names its keys in the table, as on a screen."""

    DEFAULT_CSS = """
    Overlay { align: center middle; background: $background 60%; }
    Overlay #box { width: 90%; max-width: 110; max-height: 80%; padding: 0 1; }
    Overlay #box { background: $background; border: solid $primary; }
    Overlay.-tight #box { width: 100%; max-height: 100%; }
    """

    @property
    def stops_demo(self) -> bool:
        return True

    @property
    def zone(self) -> str:
        """That of the screen below."""
        screens = self.board.screen_stack
        below = screens[screens.index(self) - 1] if self in screens else None
        return below.zone if isinstance(below, ConsoleScreen) else ""

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.styles.height = self.lines_at_first
            yield Bar(id="box-alarm")
            yield Bar(id="box-title")
            yield from self.content()
            yield from header_footer.tour_bar(self.board, self.WHERE)
            yield KeyHints(id="box-foot")

    def on_mount(self) -> None:
        self._tighten(self.app.size)  # before the first layout: the box never shrinks
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._fit())
        self.paint_frame()

    def _fit(self) -> None:
        """Grows the box to its content; it never shrinks, so that nothing jumps while the user types."""
        box = self.query_one("#box")
        growing = self.growing
        needs = [child.virtual_size.height if child in growing else child.outer_size.height + child.styles.margin.height
                 for child in box.children if child.display]  # fmt: skip
        height, set_height = box.styles.gutter.height + sum(needs), box.styles.height
        is_higher = set_height is not None and height > set_height.value
        if growing and is_higher and not self.is_small:
            box.styles.height = height
        self.fitted()

    def fitted(self) -> None: ...

    @property
    def lines_at_first(self) -> int:
        return 6

    @property
    def growing(self) -> Sequence[Widget]:
        """The widgets that fill the remaining height, once they know their width, which breaks their lines."""
        children = [child for child in self.query_one("#box").children if isinstance(child, ScrollView)]
        return [child for child in children if child.virtual_size.width == child.scrollable_content_region.width
                and child.styles.height is not None and child.styles.height.is_fraction]  # fmt: skip

    def paint_frame(self) -> None:
        boxes = self.query("#box").results(Vertical)  # none before the dialog is composed
        for box, bar in zip(boxes, self.query("#box-alarm").results(Bar), strict=False):
            width = box.content_size.width  # none before the first layout
            lines = header_footer.banner_lines(self.alarm(), width) if width else []
            bar.display = bool(lines)
            bar.show_lines(lines or [((), (), "")])
        header_footer.paint_small(self)

    def alarm(self) -> str:
        return header_footer.alarm_of(self.board)

    @property
    def typed_first(self) -> str:
        return ""

    def content(self) -> ComposeResult:
        yield from ()

    def foot(self, *hints: KeyHint, message: str = "", style: str = "warn") -> None:
        self.query_one("#box-foot", KeyHints).show_hints(hints, (message, style))

    def on_resize(self, event: events.Resize) -> None:
        header_footer.paint_tour(self, self.WHERE, must_type=self.typed_first)
        self._tighten(event.size)
        header_footer.cover_if_small(self, event.size)
        self.call_after_refresh(self.paint_frame)

    def _tighten(self, size: Size) -> None:
        self.set_class(is_tight(size), "-tight")

    def commands(self) -> Sequence[ScreenCommand]:
        return [ScreenCommand("back", lambda: self.dismiss(None)), ScreenCommand("leave", lambda: self.board.exit(0))]


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

    def commands(self) -> Sequence[ScreenCommand]:
        return [*super().commands(), ScreenCommand("copy", self.copy)]

    def copy(self) -> None:
        from console.text.cleaning import clean

        self.board.copy_to_clipboard(clean(self.copied))
        self.foot(message=self.notice_copied, style="ok")


def record_screen(name: str, record: Any) -> TextScreen:
    from console.engine.api.documents import json_default

    text = json.dumps(record, indent=2, default=json_default, ensure_ascii=False)
    return TextScreen(f"record of {name}", text, text)


def links_screen(name: str, links: Sequence[tuple[str, str]]) -> TextScreen:
    text = "\n".join(f"{label}:\n  {address}\n" for label, address in links) or "nothing is known"
    first = next((address for _, address in links if "://" in address), links[0][1] if links else "")
    return TextScreen(name, text, first)
