"""What is sent to the terminal shows the same as Textual's own updates would, and less is sent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from console.tui.terminal.output import TerminalBuffer
from tests.properties import examples

WIDTH, HEIGHT, BAR = 24, 9, 2
STYLES = (None, Style(), Style(color="#112233", bgcolor="#000000"), Style(color="red", bold=True),
          Style(bgcolor="#445566", italic=True),
          Style(color="#112233", bgcolor="#000000", bold=True),
          Style(color="#112233", bgcolor="#445566", bold=True))  # fmt: skip
TEXTS = ("job one", "job two ok", "", "● failed · 03:17", "漢字 name", "e\u0301 · x", "long enough to be cut off here")


def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH)


def strip(width: int, runs: Sequence[tuple[str, int]]) -> Strip:
    return Strip([Segment(text, STYLES[style]) for text, style in runs]).adjust_cell_length(width, STYLES[2])


def whole(lines: Sequence[tuple[Strip, Strip]]) -> LayoutUpdate:
    return LayoutUpdate([list(line) for line in lines], Region(0, 0, WIDTH, len(lines)))


def part(lines: Sequence[tuple[Strip, Strip]], spans: Sequence[tuple[int, int, int]], bar: bool) -> ChopsUpdate:
    """An update of these spans of a screen with two widgets: a table, and its scrollbar where `bar` is painted too."""
    chops = [{0: line[0], WIDTH - BAR: line[1] if bar else None} for line in lines]
    ends = [[WIDTH - BAR, WIDTH] for _ in lines]
    return ChopsUpdate(chops, list(spans), ends)


class Screen:
    """A terminal, as pyte understands it."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.Stream(self.screen)
        self.sent = 0

    def take(self, message: str) -> None:
        self.sent += len(message)
        self._stream.feed(message)

    @property
    def cells(self) -> list[list[pyte.screens.Char]]:
        return [[self.screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]


class Both:
    """The same updates as Textual sends them and as we do."""

    def __init__(self) -> None:
        self.textual, self.ours, self._shown = Screen(), Screen(), TerminalBuffer()

    def paint(self, update: CompositorUpdate) -> None:
        self.textual.take(update.render_segments(console()))
        self.ours.take(self._shown.paint(update, console()))
        assert self.textual.cells == self.ours.cells


Runs = list[tuple[str, int]]
Lines = list[tuple[Strip, Strip]]


class Frame(NamedTuple):
    """What is painted next: the rows moved `by` so many, or from `top` on other ones, up to column `last`."""

    kind: str
    by: int
    top: int
    last: int
    bar: bool
    new: list[tuple[Runs, int]]


runs = st.lists(st.tuples(st.sampled_from(TEXTS), st.integers(0, len(STYLES) - 1)), min_size=1, max_size=3)
lines_of = st.lists(st.tuples(runs, st.sampled_from((0, 2, 3))), min_size=HEIGHT, max_size=HEIGHT)
kinds = st.sampled_from(("scroll", "some", "whole", "cut"))
frames = st.lists(st.builds(Frame, kinds, st.integers(-4, 4), st.integers(0, HEIGHT - 1),
                            st.integers(1, WIDTH - BAR), st.booleans(), lines_of), max_size=8)  # fmt: skip


def made(lines: Sequence[tuple[Runs, int]]) -> Lines:
    return [(strip(WIDTH - BAR, runs), strip(BAR, [("▐ ", style)])) for runs, style in lines]


def rows_of(frame: Frame, old: Lines) -> list[Strip]:
    """The table's lines after the frame; the first are its headings."""
    new = [line[0] for line in made(frame.new)]
    if frame.kind == "scroll":
        return [old[0][0], *(old[1 + (y + frame.by) % (HEIGHT - 1)][0] for y in range(HEIGHT - 1))]
    if frame.kind == "cut":  # Textual paints up to there, from where the widget begins
        return [Strip.join([strip.crop(0, frame.last), line[0].crop(frame.last)])
                for strip, line in zip(new, old, strict=True)]  # fmt: skip
    return [strip if y >= frame.top else line[0] for y, (strip, line) in enumerate(zip(new, old, strict=True))]


@examples(60)
@given(lines_of, frames)
def test_the_terminal_shows_what_textual_would_have_shown(first: list[tuple[Runs, int]], more: list[Frame]) -> None:
    both, lines = Both(), made(first)
    both.paint(whole(lines))
    for frame in more:
        if frame.kind == "whole":
            lines = made(frame.new)
            both.paint(whole(lines))
            continue
        bar = frame.bar and frame.kind != "cut"
        bars = [line[1] for line in (made(frame.new) if bar else lines)]
        lines = list(zip(rows_of(frame, lines), bars, strict=True))
        last = frame.last if frame.kind == "cut" else WIDTH
        both.paint(part(lines, [(y, 0, last) for y in range(HEIGHT)], bar))


def table(first: int) -> list[tuple[Strip, Strip]]:
    """Headings and numbered rows, so many that half of them would do to be moved."""
    heading = strip(WIDTH - BAR, [("name", 3), (" state", 2)])
    rows = [strip(WIDTH - BAR, [(f"job {first + y}", 2), (" ok", 3), (" 03:17", 4)]) for y in range(HEIGHT - 1)]
    return [(candidate, strip(BAR, [("▐ ", 4)])) for candidate in (heading, *rows)]


def test_rows_that_move_are_moved_by_the_terminal() -> None:
    """One line is written, and the scrollbar beside them stays where it is."""
    both = Both()
    both.paint(whole(table(0)))
    before, theirs = both.ours.sent, both.textual.sent
    both.paint(part(table(1), [(y, 0, WIDTH) for y in range(HEIGHT)], bar=False))
    assert both.textual.sent - theirs > 4 * (both.ours.sent - before)


def test_what_is_not_known_is_not_moved_along() -> None:
    """A panel beside a moving table, of which a part was painted: the rest of it stays in place."""
    both, cut = Both(), 18
    rows = [strip(cut - 4, [(f"job {y}", 2)]) for y in range(HEIGHT + 1)]
    panel = [strip(WIDTH - cut + 4, [(f"{y} panel", 3)]) for y in range(HEIGHT)]
    both.paint(whole(list(zip(rows[:HEIGHT], panel, strict=True))))
    ends = [[cut - 4, WIDTH] for _ in range(HEIGHT)]
    parts = [{0: None, cut - 4: strip} for strip in panel]
    both.paint(ChopsUpdate(parts, [(y, cut - 4, cut - 2) for y in range(HEIGHT)], ends))
    moved = [{0: strip, cut - 4: None} for strip in rows[1:]]
    both.paint(ChopsUpdate(moved, [(y, 0, cut - 4) for y in range(HEIGHT)], ends))


def test_unchanged_cells_are_not_sent_again() -> None:
    both = Both()
    both.paint(whole(table(0)))
    before = both.ours.sent
    both.paint(part(table(0), [(y, 0, WIDTH) for y in range(HEIGHT)], bar=True))
    assert before == both.ours.sent


def test_of_a_line_only_what_changed_is_sent() -> None:
    """A clock that moves on in a line of names."""
    shown = TerminalBuffer()
    clock = [[(strip(WIDTH - BAR, [("Headway ", 3), (time, 2), (" ok", 4)]), strip(BAR, [("▐ ", 4)]))]
             for time in ("03:17:42", "03:17:43")]  # fmt: skip
    shown.paint(whole(clock[0]), console())
    message = shown.paint(part(clock[1], [(0, 0, WIDTH)], bar=True), console())
    assert "Headway" not in message
    assert "ok" not in message
    assert "03:17:43" in message


def test_where_terminals_may_count_other_cells_the_line_is_sent_whole() -> None:
    shown = TerminalBuffer()
    lines = [[(strip(WIDTH - BAR, [("e\u0301 漢字 ", 3), (time, 2)]), strip(BAR, [("▐ ", 4)]))] for time in ("1", "2")]
    shown.paint(whole(lines[0]), console())
    assert "漢字" in shown.paint(part(lines[1], [(0, 0, WIDTH)], bar=True), console())


def test_a_terminal_whose_lines_are_not_known_gets_the_update_as_it_is() -> None:
    update = part(table(0), [(y, 0, WIDTH) for y in range(HEIGHT)], bar=True)
    assert update.render_segments(console()) == TerminalBuffer().paint(update, console())
