"""Output to the terminal: only changes, at the pace of its line.

Textual sends each painted line as a whole: a table that moves by one row is 16 kB. Here the lines of the terminal are
cached, only differences are sent, and several changes within a moment are painted once.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.screen import Screen
from textual.strip import Strip

TerminalPieces = dict[int, "StyledPiece"]
WORTH = 2
_NARROW = re.compile("[ -~\u00a1-\u02ff\u2010-\u2bff]*")
"""Characters with the same width on all terminals."""


class StyledPiece(NamedTuple):
    width: int
    segments: tuple[Segment, ...]


class DifferenceUpdate(CompositorUpdate):
    def __init__(self, update: CompositorUpdate, shown: TerminalBuffer) -> None:
        self._update, self._shown = update, shown

    def render_segments(self, console: Console) -> str:
        return self._shown.paint(self._update, console)


class TerminalBuffer:
    """The content of a terminal, as far as it is known."""

    def __init__(self) -> None:
        self._lines: list[TerminalPieces] = []
        self._width = 0
        self._writer: object = None
        """The driver's writer thread; another one each time the console takes over the terminal."""

    def thinned(self, update: Any, writer: object) -> Any:
        """The update as a difference if there is a terminal; anything else unchanged."""
        if writer is not self._writer:
            self._writer = writer
            self.forget()
        return DifferenceUpdate(update, self) if writer is not None and isinstance(update, CompositorUpdate) else update

    def forget(self) -> None:
        self._lines = []

    def paint(self, update: CompositorUpdate, console: Console) -> str:
        pen = TerminalPen(console)
        if isinstance(update, ChopsUpdate) and self._lines:
            self._change(_wanted_pieces(update), pen)
        elif isinstance(update, LayoutUpdate) and not any(update.region.offset):
            self._lines = [_pieces_by_column(line) for line in update.strips]
            self._width = update.region.width
            for y, line in enumerate(self._lines):
                pen.draw(y, {}, line)
        else:
            self.forget()
            return update.render_segments(console)
        return pen.done()

    def _change(self, changes: dict[int, TerminalPieces], pen: TerminalPen) -> None:
        after = {y: _over(self._lines[y], line) for y, line in changes.items() if y < len(self._lines)}
        for block in _blocks(sorted(after)):
            self._scroll(block, after, pen)
        for y, line in after.items():
            pen.draw(y, self._lines[y], line)
            self._lines[y] = line

    def _scroll(self, block: range, after: dict[int, TerminalPieces], pen: TerminalPen) -> None:
        """Scrolls the lines of the block if that saves more than it costs."""
        before = [self._lines[y] for y in block]
        then = [after[y] for y in block]
        by, width = _moved(then, before), self._width
        known = all(sum(piece.width for piece in line.values()) == width for line in (*before, *then))
        if not by or not known:  # unknown cells would move along and stay unknown
            return
        blank: list[TerminalPieces] = [{}] * abs(by)
        moved = [*before[by:], *blank] if by > 0 else [*blank, *before[:by]]
        saved = sum(
            _same(target, new) - _same(target, old) for target, new, old in zip(then, moved, before, strict=True)
        )
        if saved >= WORTH * width:
            self._lines[block.start : block.stop] = moved
            pen.scroll(block, by)


class TerminalPen:
    """Writes styled segments to positions of the terminal; keeps track of the active colors."""

    def __init__(self, console: Console) -> None:
        self._system = console._color_system or ColorSystem.TRUECOLOR
        self._said: list[str] = []
        self._ink = ("", "", "")

    def done(self) -> str:
        if self._ink != ("", "", ""):
            self._said.append("\x1b[0m")
        return "".join(self._said)

    def scroll(self, block: range, by: int) -> None:
        position, turn = (block.stop, "\x1bD") if by > 0 else (block.start + 1, "\x1bM")
        self._said.append(f"\x1b[{block.start + 1};{block.stop}r\x1b[{position};1H{turn * abs(by)}\x1b[r")

    def draw(self, y: int, before: TerminalPieces, after: TerminalPieces) -> None:
        """Writes the differences of `after` to `before`, in line `y`."""
        for x, piece in after.items():
            old = before.get(x)
            if old != piece:
                skipped, run = _changed(old, piece)
                self._said.append(f"\x1b[{y + 1};{x + skipped + 1}H")
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
    """SGR codes of attributes, foreground and background. Bounded: a console that runs for weeks meets many themes and
    links."""
    if style is None:
        return "", "", ""
    color = ";".join(style.color.downgrade(system).get_ansi_codes()) if style.color else ""
    background = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False)) if style.bgcolor else ""
    return Strip.render_ansi(style.without_color, system), color, background


def _wanted_pieces(update: ChopsUpdate) -> dict[int, TerminalPieces]:
    lines: dict[int, TerminalPieces] = {}
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < last and end > first:
                lines.setdefault(y, {})[x] = _styled_piece(strip if end <= last else strip.crop(0, last - x))
    return lines


def _pieces_by_column(strips: Iterable[Strip]) -> TerminalPieces:
    pieces: TerminalPieces = {}
    x = 0
    for strip in strips:
        pieces[x] = _styled_piece(strip)
        x += pieces[x].width
    return pieces


def _styled_piece(strip: Strip) -> StyledPiece:
    segments = tuple(strip)
    return StyledPiece(strip.cell_length, segments)


def _over(before: TerminalPieces, new: TerminalPieces) -> TerminalPieces:
    """A line with new pieces; partly covered ones are unknown."""
    spans = [(x, x + piece.width) for x, piece in new.items()]
    intact = {x: piece for x, piece in before.items()
            if not any(first < x + piece.width and x < last for first, last in spans)}  # fmt: skip
    return intact | new


def _blocks(lines: Sequence[int]) -> Iterator[range]:
    start = 0
    for position in range(1, len(lines) + 1):
        if position == len(lines) or lines[position] != lines[position - 1] + 1:
            if position - start > WORTH + 1:
                yield range(lines[start], lines[position - 1] + 1)
            start = position


def _moved(after: Sequence[TerminalPieces], before: Sequence[TerminalPieces]) -> int:
    positions: dict[StyledPiece, list[int]] = {}
    for y, line in enumerate(before):
        positions.setdefault(_widest(line), []).append(y)
    by = Counter(
        old - y for y, line in enumerate(after) for old in positions.get(_widest(line), ()) if len(positions) > 1
    )
    return by.most_common(1)[0][0] if by else 0


def _widest(line: TerminalPieces) -> StyledPiece:
    return max(line.values(), key=lambda piece: piece.width, default=StyledPiece(0, ()))


def _same(line: TerminalPieces, second: TerminalPieces) -> int:
    return sum(piece.width for x, piece in line.items() if second.get(x) == piece)


def _changed(old: StyledPiece | None, new: StyledPiece) -> tuple[int, Sequence[Segment]]:
    if old is None or old.width != new.width or not all(map(_is_narrow, (*old.segments, *new.segments))):
        return 0, new.segments
    pairs = list(zip(old.segments, new.segments, strict=False))
    same = sum(1 for _ in takewhile(_is_equal, pairs))
    ends = list(zip(old.segments[same:][::-1], new.segments[same:][::-1], strict=False))
    right = sum(1 for _ in takewhile(_is_equal, ends))
    cells = sum(segment.cell_length for segment in new.segments[:same])
    return cells, new.segments[same : len(new.segments) - right]


def _is_equal(pair: tuple[Segment, Segment]) -> bool:
    return pair[0] == pair[1]


def _is_narrow(segment: Segment) -> bool:
    text = segment.text
    return text.isascii() or _is_one_cell_each(text)


@lru_cache(maxsize=4096)
def _is_one_cell_each(text: str) -> bool:
    return _NARROW.fullmatch(text) is not None and cell_len(text) == len(text)


RECHECK_SECONDS = 0.02
FLOOD_SECONDS = 0.1
AFTER_TOUCH_SECONDS = 1.0
"""Changes soon after a key are painted at once."""
LONGEST_HOLD_SECONDS = 0.1


class PaintPacer:
    """Decides when a screen may paint: not while its line has not accepted the last output, and not before it is laid
    out.

    Its screen calls it in `_compositor_refresh`, an internal of Textual: `tests.bench.console` measures the gain
    (`held_key_stops`).
    """

    def __init__(self, screen: Screen[Any]) -> None:
        self._screen = screen
        self._waits = self._held = False
        self._painted_at = 0.0

    def hold(self) -> None:
        """Delays painting until `release`, for a short time at most."""
        self._held = True
        self._screen.set_timer(LONGEST_HOLD_SECONDS, self.end_hold)

    def release(self) -> None:
        self._held = False

    def end_hold(self) -> None:
        if self._held:
            self._held = False
            self._screen.refresh()

    def may_paint(self) -> bool:
        """True if the screen may paint now; else a timer retries."""
        if self._held:
            return False
        wait = RECHECK_SECONDS if getattr(self._screen.app._driver, "is_behind", False) else self._too_early()
        if wait <= 0:
            self._painted_at = time.monotonic()
            return True
        if not self._waits:
            self._waits = True
            self._screen.set_timer(wait, self._retry)
        return False

    def _too_early(self) -> float:
        """Seconds until a flood of changes may be painted again; 0 just after a key press."""
        now = time.monotonic()
        if now - getattr(self._screen.app, "touched_at", now) < AFTER_TOUCH_SECONDS:
            return 0.0
        return self._painted_at + FLOOD_SECONDS - now

    def _retry(self) -> None:
        self._waits = False
        screen = self._screen
        if screen.is_attached:
            screen._compositor.update_widgets(screen._dirty_widgets)  # the refresh marks them as painted
            screen._compositor_refresh()
