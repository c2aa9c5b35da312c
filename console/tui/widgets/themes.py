"""Colors: themes that users with any color vision can distinguish, and their counterparts on a 16-color terminal."""

from __future__ import annotations

import os

from rich.color import Color
from rich.palette import Palette
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.theme import BUILTIN_THEMES, Theme

from console.config.preferences import THEMES

THEME_VARIABLE = "HEADWAY_THEME"

DARK = Theme(
    name="dark",
    primary="#56B4E9",
    secondary="#0072B2",
    warning="#F0B400",
    error="#FF7A45",
    success="#8FD694",
    accent="#56B4E9",
    foreground="#D8DEE4",
    background="#0E1419",
    surface="#0E1419",
    panel="#1C2630",
    dark=True,
)
LIGHT = Theme(
    name="light",
    primary="#2F3FD0",
    secondary="#6FB7E9",
    warning="#7A4F00",
    error="#8F1030",
    success="#006B5B",
    accent="#2F3FD0",
    foreground="#161B21",
    background="#FFFFFF",
    surface="#FFFFFF",
    panel="#F0F2F6",
    dark=False,
)
OWN_THEMES = {theme.name: theme for theme in (DARK, LIGHT)}


def theme_named(name: str) -> Theme:
    """One of `console.config.preferences.THEMES`; the default for any other name."""
    return OWN_THEMES.get(name) or (BUILTIN_THEMES.get(name, DARK) if name in THEMES else DARK)


def selected_theme(preferred: str) -> Theme:
    """The theme of the environment, else the one that the user prefers, else the default."""
    chosen = os.environ.get(THEME_VARIABLE, "")
    return theme_named(chosen if chosen in THEMES else preferred)


_SHADES: Palette = TerminalTheme(
    (0, 0, 0), (255, 255, 255),
    [(0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170)],
    [(85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255),
     (255, 255, 255)],
).ansi_colors  # fmt: skip
"""Exact colors that a terminal's sixteen are mapped to."""
ANSI_BACKGROUNDS = {
    True: {"": 0, "panel": 0, "cursor": 4, "alarm": 1, "lit": 8},
    False: {"": 15, "panel": 15, "cursor": 7, "alarm": 1, "lit": 11},
}
ANSI_INKS = {
    True: {"plain": 7, "ok": 10, "bad": 9, "warn": 11, "run": 14, "dim": 7, "strong": 15, "head": 7, "key": 14},
    False: {"plain": 0, "ok": 0, "bad": 1, "warn": 5, "run": 4, "dim": 8, "strong": 0, "head": 8, "key": 4},
}
ON_CURSOR = {True: {"bad": 15, "plain": 15, "ok": 15, "run": 15, "key": 15}, False: {"dim": 0, "head": 0, "warn": 0}}
ON_ALARM = 15
ON_LIT = {True: 15, False: 0}
"""On a highlighted row the state is read by glyph and word."""
THEIR_OWN = {"here": (15, 4), "mark": (0, 11), "alarm": (15, 1)}
GREYS = {
    True: {"": (7, 0), "panel": (7, 0), "cursor": (0, 7), "alarm": (0, 15), "lit": (15, 8)},
    False: {"": (0, 15), "panel": (0, 15), "cursor": (0, 7), "alarm": (15, 0), "lit": (15, 8)},
}
"""Ink and background without colors (NO_COLOR): a red reduced to grey would be the dimmest."""
BRIGHT = frozenset({"ok", "bad", "warn", "run", "strong", "key"})


def color_pair(name: str, background: str, dark: bool, grey: bool = False) -> tuple[int, int]:
    """Color numbers of ink and background."""
    if grey:
        ink, below = GREYS[dark]["alarm" if name in THEIR_OWN else background]
        return (15 if (ink, name in BRIGHT) == (7, True) else ink), below
    if name in THEIR_OWN:
        return THEIR_OWN[name]
    below = ANSI_BACKGROUNDS[dark][background]
    if background in ("alarm", "lit"):
        return ON_ALARM if background == "alarm" else ON_LIT[dark], below
    own = ON_CURSOR[dark].get(name) if background == "cursor" else None
    return ANSI_INKS[dark].get(name, ANSI_INKS[dark]["plain"]) if own is None else own, below


def ansi_style(name: str, background: str, dark: bool, bold: bool | None, grey: bool = False) -> Style:
    ink, below = (Color.from_rgb(*_SHADES[number]) for number in color_pair(name, background, dark, grey))
    return Style(color=ink, bgcolor=below, bold=bold)
