"""Colours that people with any colour vision tell apart; shapes and words carry the state anyway.

`tests.tui.test_palette` holds them to it: contrast on every ground, and distance as people with the three kinds of
colour-blindness see them.
"""

from __future__ import annotations

import os

from textual.theme import Theme

VARIABLE = "HEADWAY_THEME"

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
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}


def chosen() -> Theme:
    """The theme that HEADWAY_THEME names; the dark one where it names none of ours."""
    return THEMES.get(os.environ.get(VARIABLE, ""), DARK)
