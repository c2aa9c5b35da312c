"""The foot of a box: its keys, and what is said beside them, or above them where there is no room for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from console.tui.widgets.bar import Bar, Line
from console.tui.widgets.breaks import breaks
from console.tui.widgets.paint import Run, length_of, one_line

APART = 2


class Hint(NamedTuple):
    """A key and what it does. Where not all fit, the one with the highest `rank` goes first, whole."""

    key: str
    word: str
    rank: int = 0
    style: str = "dim"

    @property
    def runs(self) -> tuple[Run, Run, Run]:
        return (f"{self.key} ", "key"), (self.word, self.style), (" " * APART, "plain")


class Hints(Bar):
    """`tell` may come before the box has its width: it is laid out again once it has."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: tuple[Hint, ...] = ()
        self._said: Run = ("", "plain")

    def tell(self, hints: Sequence[Hint], said: Run = ("", "plain")) -> None:
        """The keys, and what is said with them."""
        self._hints, self._said = tuple(hints), said
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        if self.size.width:
            self.show_lines(foot_lines(self._hints, self._said, self.size.width))


def foot_lines(hints: Sequence[Hint], said: Run, width: int) -> list[Line]:
    """What is said at the right edge of the keys, or whole in lines of its own above them."""
    kept = fitting(hints, width)
    runs = [run for hint in kept for run in hint.runs][:-1]
    text, style = one_line(said[0]), said[1]
    if not text or not runs:
        return [(((text, style),) if text else (), (), "")] if not runs else [(tuple(runs), (), "")]
    if length_of(runs) + APART + length_of([(text, style)]) <= width:
        return [(tuple(runs), ((text, style),), "")]
    parts = [text[at:end].strip() for at, end in breaks(text, width)]
    return [*((((part, style),), (), "") for part in parts), (tuple(runs), (), "")]


def fitting(hints: Sequence[Hint], width: int) -> list[Hint]:
    """The hints for which there is room; of one rank the last goes first."""
    kept = list(hints)
    while len(kept) > 1 and length_of([run for hint in kept for run in hint.runs]) - APART > width:
        kept.remove(max(reversed(kept), key=lambda hint: hint.rank))
    return kept
