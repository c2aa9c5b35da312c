"""Colors: themes that users with any color vision can distinguish."""

from __future__ import annotations

import os

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


def ansi_theme(theme: Theme) -> Theme:
    """Textual's theme for a terminal with sixteen colors, as dark or light as the given one."""
    return BUILTIN_THEMES["ansi-dark" if theme.dark else "ansi-light"]
