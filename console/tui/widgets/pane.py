"""Lines of text to read: a log or a record. Cleaned, cut or wrapped by cells, searched, followed; never markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rich.cells import cell_len, chop_cells
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.clean import clean
from console.tui import keys
from console.tui.widgets.paint import COMPONENTS, Palette, Run, fit

ERROR = re.compile(
    r"\b(error|fatal|critical|panic|exception|traceback|fail(ed|ure)?|denied|refused|abort(ed)?|killed)\b|no space",
    re.I,
)
"""What looks like an error line; `e` and `E` stop there."""
WIDEST = 10_000


class Pane(ScrollView, can_focus=True, inherit_bindings=False):
    """A text with a marked line. While `following`, the end stays in view as the text grows."""

    COMPONENT_CLASSES = COMPONENTS
    BINDINGS = keys.bindings("pane")

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._palette = Palette(self)
        self._text: tuple[str, ...] = ()
        self._lines: list[tuple[int, str]] = []
        self._runs: dict[int, list[Run]] = {}
        self._wrapped_at = 0
        self.wrapped = False
        self.following = False
        self.marked: int | None = None

    def show(self, text: str) -> None:
        """Replaces the text; the place is kept, or the end where it follows."""
        self._runs = {}
        self._text = tuple(line[:WIDEST] for line in clean(text).split("\n"))
        self._lay_out()

    def show_runs(self, lines: Sequence[Sequence[Run]]) -> None:
        """Replaces the text by lines of our own runs; outside text in them is cleaned when painted."""
        self._runs = {number: list(line) for number, line in enumerate(lines)}
        self._text = tuple("".join(text for text, _ in line) for line in lines)
        self._lay_out()

    @property
    def text(self) -> str:
        return "\n".join(self._text)

    def _lay_out(self) -> None:
        width = max(1, self.size.width)
        self._lines = []
        for number, line in enumerate(self._text):
            parts = chop_cells(line, width) if self.wrapped and line else [line]
            self._lines += [(number, part) for part in parts or [""]]
        self._wrapped_at = width
        self.virtual_size = Size(width, len(self._lines))
        if self.following:
            self.call_after_refresh(self._to_end)
        self.refresh()

    def _to_end(self) -> None:
        self.scroll_to(y=max(0, len(self._lines) - self.size.height), animate=False, force=True)

    def on_resize(self) -> None:
        self._lay_out()

    def notify_style_update(self) -> None:
        self._palette.forget()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        index = self.scroll_offset.y + y
        width = self.size.width
        if index >= len(self._lines):
            return self._palette.strip((), width)
        number, part = self._lines[index]
        runs = self._runs.get(number)
        if runs is None or self.wrapped:
            part = part if self.wrapped or cell_len(part) <= width else fit(part, width)
            runs = [(part, "bad" if ERROR.search(self._text[number]) and not self._runs else "plain")]
        return self._palette.strip(runs, width, lit=number == self.marked)

    def toggle_wrap(self) -> None:
        self.wrapped = not self.wrapped
        self._lay_out()

    def follow(self, on: bool) -> None:
        self.following = on
        if on:
            self.marked = None
            self._lay_out()

    def seek(self, wanted: Callable[[str], bool], step: int) -> bool:
        """Marks the next line (`step` 1) or the one before (-1) that is wanted, round the end; False without any."""
        count = len(self._text)
        if self.marked is not None:
            start = self.marked
        else:
            start = -1 if step > 0 else count
        for turn in range(1, count + 1):
            number = (start + step * turn) % count
            if wanted(self._text[number]):
                self._mark(number)
                return True
        return False

    def _mark(self, number: int) -> None:
        self.following, self.marked = False, number
        place = next(index for index, (line, _) in enumerate(self._lines) if line == number)
        top, height = self.scroll_offset.y, self.size.height
        if not top <= place < top + height:
            self.scroll_to(y=max(0, place - height // 2), animate=False)
        self.refresh()

    def action_move(self, way: str) -> None:
        """up, down, page_up, page_down, top, bottom."""
        page, top = max(1, self.size.height - 1), self.scroll_offset.y
        end = max(0, len(self._lines) - self.size.height)
        targets = {
            "up": top - 1,
            "down": top + 1,
            "page_up": top - page,
            "page_down": top + page,
            "top": 0,
            "bottom": end,
        }
        self.following = self.following and way == "bottom"
        self.scroll_to(y=min(end, max(0, targets[way])), animate=False)
