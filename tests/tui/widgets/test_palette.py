"""Every ink is readable on every background, with any color vision: computed.

Contrast by WCAG 2; color-blindness by Machado, Oliveira and Fernandes (2009, severity 1.0); distance in
OKLab (Ottosson 2020), where 0.02 is about the smallest difference that is seen side by side."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from rich.color import Color
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual.theme import BUILTIN_THEMES, Theme

from console.cli.console import THEME_ENV
from console.config.preferences import THEMES as NAMES
from console.tui.app.navigation import HeadwayApp
from console.tui.widgets import themes
from console.tui.widgets.paint import INKS, Palette
from console.tui.widgets.themes import DARK, OWN_THEMES, THEME_VARIABLE, selected_theme, theme_named
from tests.rows import each_row
from tests.tui.driving import Night

CONTRAST = 4.5
APART = 0.05
BACKGROUNDS = ("", "panel", "cursor", "lit")
ON_THEIR_OWN = ("mark", "alarm", "here")
STATES = ("ok", "warn", "bad", "run")
BLIND = {
    "nobody": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
Three = tuple[float, float, float]


THEMES = OWN_THEMES
ALL_THEMES = [theme_named(name) for name in NAMES]


def made(theme: Theme, grey: bool = False, dark: bool = True) -> Palette:
    app: App[None] = App()
    app.register_theme(theme)
    app.theme = theme.name
    return Palette(app.get_css_variables(), grey=grey, dark=dark)


def linear(color: Color | None) -> Three:
    """Light, 0 to 1, of red, green and blue."""
    assert color is not None
    red, green, blue = (
        number / 255 / 12.92 if number / 255 <= 0.04045 else ((number / 255 + 0.055) / 1.055) ** 2.4
        for number in color.get_truecolor()
    )
    return red, green, blue


def contrast(color: Color | None, other: Color | None) -> float:
    light, dark = sorted(
        sum(map(float.__mul__, (0.2126, 0.7152, 0.0722), linear(candidate))) for candidate in (color, other)
    )[::-1]
    return (light + 0.05) / (dark + 0.05)


def seen(color: Color | None, by: str) -> Three:
    """Where a colour lies in OKLab for people with that vision."""
    light = linear(color)
    red, green, blue = (min(1.0, max(0.0, sum(map(float.__mul__, row, light)))) for row in BLIND[by])
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@each_row("theme", ALL_THEMES, ids=lambda theme: theme.name)
def test_every_ink_is_read_on_every_ground(theme: Theme) -> None:
    palette = made(theme)
    styles = {
        (name, ground): palette.style(name, "" if name in ON_THEIR_OWN else ground)
        for name in INKS
        for ground in BACKGROUNDS
    }
    contrasts = {pair: contrast(style.color, style.bgcolor) for pair, style in styles.items()}
    assert {} == {pair: round(found, 2) for pair, found in contrasts.items() if found < CONTRAST}


@each_row("by", BLIND)
@each_row("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_no_two_states_are_similar_to_anybody(theme: Theme, by: str) -> None:
    palette = made(theme)
    places = {name: seen(palette.style(name).color, by) for name in STATES}
    near = {pair: math.dist(places[pair[0]], places[pair[1]]) for pair in combinations(STATES, 2)}
    assert {} == {pair: round(apart, 3) for pair, apart in near.items() if apart < APART}


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_the_row_under_the_cursor_is_seen(theme: Theme) -> None:
    palette = made(theme)
    assert contrast(palette.style("plain").bgcolor, palette.style("plain", "cursor").bgcolor) >= 1.3


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_a_row_that_is_lit_is_seen_and_is_not_the_one_under_the_cursor(theme: Theme) -> None:
    palette = made(theme)
    lit = palette.style("plain", "lit").bgcolor
    assert contrast(palette.style("plain").bgcolor, lit) >= 1.2
    assert lit != palette.style("plain", "cursor").bgcolor


def test_a_theme_is_chosen_by_name_and_another_text_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert THEME_ENV == THEME_VARIABLE
    for theme in ALL_THEMES:
        monkeypatch.setenv(THEME_VARIABLE, theme.name)
        assert theme is selected_theme("")
        assert theme is selected_theme("nord")
    monkeypatch.setenv(THEME_VARIABLE, "pink")
    assert DARK is selected_theme("")
    assert "nord" == selected_theme("nord").name
    assert DARK is selected_theme("ansi-dark")


def test_every_theme_of_textual_with_colors_of_its_own_can_be_chosen() -> None:
    own = {name for name, theme in BUILTIN_THEMES.items() if not theme.primary.startswith("ansi")}
    assert {*OWN_THEMES, *own} == set(NAMES)


# -- sixteen colours --------------------------------------------------------------------------------------------------
SHADES = {  # what terminals make of the numbers
    "Linux console": "000 a00 0a0 a50 00a a0a 0aa aaa 555 f55 5f5 ff5 55f f5f 5ff fff",
    "xterm": "000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 7f7f7f f00 0f0 ff0 5c5cff f0f 0ff fff",
    "VS Code": "000 cd3131 0dbc79 e5e510 2472c8 bc3fbc 11a8cd e5e5e5 666 f14c4c 23d18b f5f543 3b8eea d670d6 29b8db fff",
}
READ_AT_LEAST = {True: 3.0, False: 2.1}
"""WCAG 2 for large or bold text; on white the green of xterm and VS Code does not reach it."""


@each_row("terminal", SHADES)
@each_row("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_with_sixteen_colours_every_ink_is_read_on_every_ground(terminal: str, theme: Theme) -> None:
    shades = [
        Color.parse("#" + (name if len(name) == 6 else "".join(text * 2 for text in name)))
        for name in SHADES[terminal].split()
    ]
    ink, ground = (shades[7], shades[0]) if theme.dark else (shades[0], shades[15])
    palette = made(themes.ansi_theme(theme), dark=theme.dark)
    for below in BACKGROUNDS:
        for name in INKS:
            style = palette.style(name, below)
            assert style.bgcolor is None, "the terminal's own"
            assert style.color is not None
            color = ink if style.color.is_default else shades[style.color.number or 0]
            assert contrast(color, ground) >= READ_AT_LEAST[theme.dark], (name, below, style)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_with_sixteen_colours_the_cursor_and_an_alarm_are_seen(theme: Theme) -> None:
    """Also without any color: they swap ink and ground."""
    palette = made(themes.ansi_theme(theme), dark=theme.dark)
    reverse = {name for name in INKS if palette.style(name).reverse}
    assert set(ON_THEIR_OWN) == reverse
    assert all(palette.style(name, ground).reverse for name in INKS for ground in ("cursor", "alarm"))
    assert palette.style("plain", "cursor").color != palette.style("plain", "alarm").color
    assert "x   *" == palette.strip([("x", "plain")], 5, "lit").text


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_terminal_with_sixteen_colours_gets_textuals_theme_for_it(
    theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.setenv(THEME_VARIABLE, theme)
    night = Night()
    app = HeadwayApp(lambda: night.reads, night.open_requests, driver_class=HeadlessDriver)
    assert (f"ansi-{theme}", True) == (app.theme, app.native_ansi_color)
    app.use_theme("nord")
    assert "ansi-dark" == app.theme
    app.query_thread.close()


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_without_colour_what_is_bad_is_the_brightest_and_all_is_read_under_the_cursor(theme: Theme) -> None:
    app: App[None] = App()
    app.register_theme(theme)
    app.theme = theme.name
    grey = Palette(app.get_css_variables(), grey=True)
    for ground in ("", "panel", "cursor"):
        plain = contrast(grey.style("plain", ground).color, grey.style("plain", ground).bgcolor)
        for name in ("bad", "warn", "key"):
            style = grey.style(name, ground)
            assert (True, plain) == (style.bold, contrast(style.color, style.bgcolor))
        assert contrast(grey.style("dim", ground).color, grey.style("dim", ground).bgcolor) >= 4.5
    assert grey.style("plain", "cursor").bgcolor != grey.style("plain", "panel").bgcolor
