"""What is sent to the terminal: no more than changes what it shows.

Textual sends each line that was painted anew as a whole, each run of a style with its colours and a reset. Over a slow
line that is what one waits for: a table that moves by one row is 16 kB. Here the terminal's lines are remembered. What
stands there already is left out, lines that moved are moved by the terminal itself (the scrolling region that `less`
and vim use), and a colour is named where it changes. It reaches into an inner part of Textual: `tests.bench.console`
measures it (`bytes_per_scroll`), and a test paints the same frames both ways.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import Console

Line = dict[int, "Piece"]
"""Pieces of a line by the column at which they begin."""
WORTH = 2
"""Whole lines that a scroll must save to be made."""
_NARROW = re.compile("[ -~\u00a1-\u02ff\u2010-\u2bff]*")
"""Letters on whose width all terminals agree, as far as their cells are counted as one."""


class Piece(NamedTuple):
    """What one widget shows in one line."""

    width: int
    segments: tuple[Segment, ...]


class Thin(CompositorUpdate):
    """An update that is sent as what it changes."""

    def __init__(self, update: CompositorUpdate, shown: Shown) -> None:
        self._update, self._shown = update, shown

    def render_segments(self, console: Console) -> str:
        return self._shown.paint(self._update, console)


class Shown:
    """What a terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._width = 0
        self._writer: object = None
        """Who writes to it; another one each time that the console takes the terminal."""

    def thinned(self, update: Any, writer: object) -> Any:
        """The same update as what it changes, where there is a terminal; what is no update as it is."""
        if writer is not self._writer:
            self._writer = writer
            self.forget()
        return Thin(update, self) if writer is not None and isinstance(update, CompositorUpdate) else update

    def forget(self) -> None:
        """Something else may have changed what it shows."""
        self._lines = []

    def paint(self, update: CompositorUpdate, console: Console) -> str:
        """What makes the terminal show the update; it counts as sent."""
        pen = Pen(console)
        if isinstance(update, ChopsUpdate) and self._lines:
            self._change(_wanted(update), pen)
        elif isinstance(update, LayoutUpdate) and not any(update.region.offset):
            self._lines = [_placed(line) for line in update.strips]
            self._width = update.region.width
            for y, line in enumerate(self._lines):
                pen.draw(y, {}, line)
        else:
            self.forget()
            return update.render_segments(console)
        return pen.done()

    def _change(self, wanted: dict[int, Line], pen: Pen) -> None:
        after = {y: _over(self._lines[y], line) for y, line in wanted.items() if y < len(self._lines)}
        for block in _blocks(sorted(after)):
            self._scroll(block, after, pen)
        for y, line in after.items():
            pen.draw(y, self._lines[y], line)
            self._lines[y] = line

    def _scroll(self, block: range, after: dict[int, Line], pen: Pen) -> None:
        """Has the terminal move the lines of the block, where that saves more than it costs."""
        before = [self._lines[y] for y in block]
        then = [after[y] for y in block]
        by, width = _moved(then, before), self._width
        known = all(sum(piece.width for piece in line.values()) == width for line in (*before, *then))
        if not by or not known:  # what nobody knows would move along, and stay so
            return
        gone: list[Line] = [{}] * abs(by)
        moved = [*before[by:], *gone] if by > 0 else [*gone, *before[:by]]
        saved = sum(_same(one, new) - _same(one, old) for one, new, old in zip(then, moved, before, strict=True))
        if saved >= WORTH * width:
            self._lines[block.start : block.stop] = moved
            pen.scroll(block, by)


class Pen:
    """Writes runs of styles to places of the terminal; remembers the colours in force."""

    def __init__(self, console: Console) -> None:
        self._system = console._color_system or ColorSystem.TRUECOLOR
        self._said: list[str] = []
        self._ink = ("", "", "")

    def done(self) -> str:
        """All that was written; the colours are as they were."""
        if self._ink != ("", "", ""):
            self._said.append("\x1b[0m")
        return "".join(self._said)

    def scroll(self, block: range, by: int) -> None:
        """Moves the lines of the block up; down where `by` is negative."""
        place, turn = (block.stop, "\x1bD") if by > 0 else (block.start + 1, "\x1bM")
        self._said.append(f"\x1b[{block.start + 1};{block.stop}r\x1b[{place};1H{turn * abs(by)}\x1b[r")

    def draw(self, y: int, before: Line, after: Line) -> None:
        """What is in `after` and not in `before`, in line `y`."""
        for x, piece in after.items():
            old = before.get(x)
            if old != piece:
                left, run = _changed(old, piece)
                self._said.append(f"\x1b[{y + 1};{x + left + 1}H")
                for segment in run:
                    self._write(segment.text, segment.style)

    def _write(self, text: str, style: Style | None) -> None:
        if style is not None and style.link:
            self._said += ["\x1b[0m", style.render(text, color_system=self._system)]
            self._ink = ("", "", "")
            return
        ink = _ink(style, self._system)
        if ink != self._ink:
            pairs = list(zip(self._ink, ink, strict=True))
            lost = any(was and not now for was, now in pairs) or (self._ink[0] and self._ink[0] != ink[0])
            codes = ["0", *ink] if lost else [now for was, now in pairs if now != was]
            self._said.append(f"\x1b[{';'.join(filter(None, codes))}m")
            self._ink = ink
        self._said.append(text)


@lru_cache(maxsize=1024)
def _ink(style: Style | None, system: ColorSystem) -> tuple[str, str, str]:
    """Attributes, colour and ground of a style, as the terminal is told them. Those that were asked for lately are
    kept: a console that runs for weeks meets many themes, blends and links."""
    if style is None:
        return "", "", ""
    color = ";".join(style.color.downgrade(system).get_ansi_codes()) if style.color else ""
    ground = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False)) if style.bgcolor else ""
    return Strip.render_ansi(style.without_color, system), color, ground


def _wanted(update: ChopsUpdate) -> dict[int, Line]:
    """The pieces that an update paints, by line."""
    found: dict[int, Line] = {}
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < last and end > first:
                found.setdefault(y, {})[x] = _piece(strip if end <= last else strip.crop(0, last - x))
    return found


def _placed(strips: Iterable[Strip]) -> Line:
    """The pieces of a whole line."""
    found: Line = {}
    x = 0
    for strip in strips:
        found[x] = _piece(strip)
        x += found[x].width
    return found


def _piece(strip: Strip) -> Piece:
    segments = tuple(strip)
    return Piece(strip.cell_length, segments)


def _over(before: Line, new: Line) -> Line:
    """A line with new pieces; what they cover in part is no longer known."""
    spans = [(x, x + piece.width) for x, piece in new.items()]
    kept = {x: piece for x, piece in before.items()
            if not any(first < x + piece.width and x < last for first, last in spans)}  # fmt: skip
    return kept | new


def _blocks(lines: Sequence[int]) -> Iterator[range]:
    """Neighbouring lines, so many that a scroll may be worth it."""
    start = 0
    for place in range(1, len(lines) + 1):
        if place == len(lines) or lines[place] != lines[place - 1] + 1:
            if place - start > WORTH + 1:
                yield range(lines[start], lines[place - 1] + 1)
            start = place


def _moved(after: Sequence[Line], before: Sequence[Line]) -> int:
    """By how many lines most of what is shown has moved up; 0 for none."""
    places: dict[Piece, list[int]] = {}
    for y, line in enumerate(before):
        places.setdefault(_widest(line), []).append(y)
    by = Counter(old - y for y, line in enumerate(after) for old in places.get(_widest(line), ()) if len(places) > 1)
    return by.most_common(1)[0][0] if by else 0


def _widest(line: Line) -> Piece:
    return max(line.values(), key=lambda piece: piece.width, default=Piece(0, ()))


def _same(one: Line, other: Line) -> int:
    """Cells that two lines have in common."""
    return sum(piece.width for x, piece in one.items() if other.get(x) == piece)


def _changed(old: Piece | None, new: Piece) -> tuple[int, Sequence[Segment]]:
    """The part that differs, and how many cells stand before it. All of it, where terminals may count other cells."""
    if old is None or old.width != new.width or not all(map(_is_narrow, (*old.segments, *new.segments))):
        return 0, new.segments
    pairs = list(zip(old.segments, new.segments, strict=False))
    left = sum(1 for _ in takewhile(_is_equal, pairs))
    ends = list(zip(old.segments[left:][::-1], new.segments[left:][::-1], strict=False))
    right = sum(1 for _ in takewhile(_is_equal, ends))
    cells = sum(segment.cell_length for segment in new.segments[:left])
    return cells, new.segments[left : len(new.segments) - right]


def _is_equal(pair: tuple[Segment, Segment]) -> bool:
    return pair[0] == pair[1]


def _is_narrow(segment: Segment) -> bool:
    text = segment.text
    return text.isascii() or _is_one_cell_each(text)


@lru_cache(maxsize=4096)
def _is_one_cell_each(text: str) -> bool:
    return _NARROW.fullmatch(text) is not None and cell_len(text) == len(text)
