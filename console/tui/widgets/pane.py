"""Text to read: a log or a record. Cleaned, cut or wrapped by cells, searched, followed; never markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.config import key_table
from console.text.cleaning import clean
from console.tui.widgets.paint import Segment, line_breaks, one_line, palette
from console.tui.widgets.table import moved_index

ERROR = re.compile(
    r"(error|exception|fatal|critical|panic|traceback|fail(ed|ure)?|denied|refused|abort(ed)?|killed)\b"
    r"|no space|\bexit (status )?[1-9]",
    re.I,
)
"""Matches error lines; `e` and `E` stop there."""
WIDEST = 10_000


def clipped_line(runs: Sequence[Segment], start: int, end: int) -> list[Segment]:
    segments: list[Segment] = []
    for text, style in runs:
        part = text[max(0, start) : max(0, end)]
        if part:
            segments.append((part, style))
        start, end = start - len(text), end - len(text)
    return segments


class Pane(ScrollView, can_focus=True, inherit_bindings=False):
    """A text with a marked line. While `following`, the end stays in view as the text grows."""

    DEFAULT_CSS = "Pane { height: 1fr; overflow-y: scroll; scrollbar-size: 0 1; scrollbar-background: $background; }"
    BINDINGS = key_table.bindings("pane")

    class Resized(Message): ...

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text: list[str] = []
        self._lines: list[tuple[int, int, int]] = []
        """(number of the text line, first and last character) of each line on the screen."""
        self._runs: dict[int, list[Segment]] = {}
        self.wrapped = False
        self.following = False
        self.finds_errors = True
        self.hang = 0
        self.marked: int | None = None

    def show(self, text: str) -> None:
        self._runs = {}
        self._text = [line[:WIDEST] for line in clean(text).split("\n")]
        self._lay_out()

    def add(self, text: str) -> None:
        """Appends to the last line; only new text is laid out."""
        last = len(self._text) - 1
        lines = clean(text).split("\n")
        lines[0] = self._text[last] + lines[0] if self._text else lines[0]
        first = last if self._text else 0
        self._text[first:] = [line[:WIDEST] for line in lines]
        while self._lines and self._lines[-1][0] >= first:
            self._lines.pop()
        self._lay_out(first)

    def show_runs(self, lines: Sequence[Sequence[Segment]]) -> None:
        """Replaces the text by lines of segments; outside text in them is cleaned."""
        self._runs = {number: [(one_line(text), style) for text, style in line] for number, line in enumerate(lines)}
        self._text = ["".join(text for text, _ in line) for line in self._runs.values()]
        self._lay_out()

    @property
    def page(self) -> int:
        return int(self.size.height)

    @property
    def row_count(self) -> int:
        return len(self._lines)

    @property
    def text(self) -> str:
        return "\n".join(self._text)

    def _lay_out(self, first: int = 0) -> None:
        width = max(1, self.scrollable_content_region.width)
        self._lines = self._lines if first else []
        for number, line in enumerate(self._text[first:], first):
            parts = line_breaks(line, width - self.hang, self.hang) if self.wrapped else [(0, len(line))]
            self._lines += [(number, *part) for part in parts]
        self.virtual_size = Size(width, len(self._lines))
        if self.following:
            self.call_after_refresh(self._to_end)
        self.refresh()

    def _to_end(self) -> None:
        if self.following:  # the user may have scrolled since this call was scheduled
            self.scroll_to(y=max(0, len(self._lines) - self.size.height), animate=False, force=True)

    def on_resize(self) -> None:
        self._lay_out()
        self.post_message(self.Resized())

    def render_line(self, y: int) -> Strip:
        index = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if index >= len(self._lines):
            return palette(self).strip((), width)
        number, start, end = self._lines[index]
        runs = self._runs.get(number)
        if runs is None:
            runs = [(self._text[number], "bad" if self.finds_errors and ERROR.search(self._text[number]) else "plain")]
        hang: list[Segment] = [(" " * self.hang, "plain")] if start else []
        return palette(self).strip(
            [*hang, *clipped_line(runs, start, end)], width, "cursor" if number == self.marked else ""
        )

    def on_mouse_scroll_up(self) -> None:
        self.following = False

    def toggle_wrap(self) -> None:
        self.wrapped = not self.wrapped
        self._lay_out()

    def follow(self, on: bool) -> None:
        self.following = on
        if on:
            self.marked = None
            self._lay_out()

    def seek(self, matches: Callable[[str], bool], step: int) -> bool:
        """Marks the next line (`step` 1) or the previous one (-1) that matches, wrapping around; False without any."""
        count = len(self._text)
        if self.marked is not None:
            start = self.marked
        else:
            start = -1 if step > 0 else count
        for turn in range(1, count + 1):
            number = (start + step * turn) % count
            if matches(self._text[number]):
                self.following, self.marked = False, number
                line_number = next(index for index, (line, _, _) in enumerate(self._lines) if line == number)
                top, height = self.scroll_offset.y, self.size.height
                if not top <= line_number < top + height:
                    self.scroll_to(y=max(0, line_number - height // 2), animate=False)
                self.refresh()
                return True
        return False

    def action_move(self, way: str) -> None:
        page, top = max(1, self.size.height - 1), self.scroll_offset.y
        end = max(0, len(self._lines) - self.size.height)
        self.following = self.following and way == "bottom"
        self.scroll_to(y=min(end, max(0, moved_index(way, top, page, end))), animate=False)
