"""Inks and grounds of a terminal with sixteen colours (TERM=xterm, screen, linux): chosen, not approximated.

The nearest of sixteen to a fine blue ground is the background itself, or a grey on which red is not read. Terminals
have other shades for the numbers; pairs here are far apart in all usual palettes. Numbers are those of ECMA-48: 0 to 7
dark, 8 to 15 bright.
"""

from __future__ import annotations

from rich.color import Color
from rich.palette import Palette
from rich.style import Style
from rich.terminal_theme import TerminalTheme

_SHADES: Palette = TerminalTheme(
    (0, 0, 0), (255, 255, 255),
    [(0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170)],
    [(85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255),
     (255, 255, 255)],
).ansi_colors  # fmt: skip
"""What is brought down to a terminal's sixteen comes to these exactly."""
GROUNDS = {
    True: {"": 0, "panel": 0, "cursor": 4, "alarm": 1, "lit": 8},
    False: {"": 15, "panel": 15, "cursor": 7, "alarm": 1, "lit": 11},
}
"""For a dark theme and for a light one."""
INKS = {
    True: {"plain": 7, "ok": 10, "bad": 9, "warn": 11, "run": 14, "dim": 7, "strong": 15, "head": 7, "key": 14},
    False: {"plain": 0, "ok": 0, "bad": 1, "warn": 5, "run": 4, "dim": 8, "strong": 0, "head": 8, "key": 4},
}
ON_CURSOR = {True: {"bad": 15, "plain": 15, "ok": 15, "run": 15, "key": 15}, False: {"dim": 0, "head": 0, "warn": 0}}
ON_ALARM = 15
ON_LIT = {True: 15, False: 0}
"""Of what has just changed; its state is read by glyph and word for that moment."""
THEIR_OWN = {"here": (15, 4), "mark": (0, 11), "alarm": (15, 1)}
"""Ink and ground of what brings its own ground."""
GREYS = {
    True: {"": (7, 0), "panel": (7, 0), "cursor": (0, 7), "alarm": (0, 15), "lit": (15, 8)},
    False: {"": (0, 15), "panel": (0, 15), "cursor": (0, 7), "alarm": (15, 0), "lit": (15, 8)},
}
"""Ink and ground by ground where there is no colour (NO_COLOR): a red that is brought down to grey is the dimmest."""
BRIGHT = frozenset({"ok", "bad", "warn", "run", "strong", "key"})
"""What is as bright as the terminal can, where there is no colour."""


def pair(name: str, ground: str, dark: bool, grey: bool = False) -> tuple[int, int]:
    """The numbers of ink and ground; with `grey` none of them is a colour."""
    if grey:
        ink, below = GREYS[dark]["alarm" if name in THEIR_OWN else ground]
        return (15 if (ink, name in BRIGHT) == (7, True) else ink), below
    if name in THEIR_OWN:
        return THEIR_OWN[name]
    below = GROUNDS[dark][ground]
    if ground in ("alarm", "lit"):
        return ON_ALARM if ground == "alarm" else ON_LIT[dark], below
    own = ON_CURSOR[dark].get(name) if ground == "cursor" else None
    return INKS[dark].get(name, INKS[dark]["plain"]) if own is None else own, below


def style(name: str, ground: str, dark: bool, bold: bool | None, grey: bool = False) -> Style:
    ink, below = (Color.from_rgb(*_SHADES[number]) for number in pair(name, ground, dark, grey))
    return Style(color=ink, bgcolor=below, bold=bold)
