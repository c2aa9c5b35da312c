"""Every ink is read on every ground, by people with any colour vision: computed, not looked at.

Contrast as WCAG 2 has it; colour-blindness by Machado, Oliveira and Fernandes (2009, severity 1.0); distance in
OKLab (Ottosson 2020), where 0.02 is about the least that is seen side by side.
"""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from rich.color import Color
from textual.app import App
from textual.theme import Theme

from console.cli.console import THEME
from console.cli.console import THEMES as NAMES
from console.tui.theme import THEMES, VARIABLE, chosen
from console.tui.widgets.paint import INKS, Palette

CONTRAST = 4.5
APART = 0.05
GROUNDS = ("", "panel", "cursor")
ON_THEIR_OWN = ("mark", "alarm", "here")
STATES = ("ok", "warn", "bad", "run")
BLIND = {
    "nobody": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
Three = tuple[float, float, float]


def made(theme: Theme) -> Palette:
    app: App[None] = App()
    app.register_theme(theme)
    app.theme = theme.name
    return Palette(app.get_css_variables())


def linear(color: Color | None) -> Three:
    """Light, 0 to 1, of red, green and blue."""
    assert color is not None
    red, green, blue = (
        each / 255 / 12.92 if each / 255 <= 0.04045 else ((each / 255 + 0.055) / 1.055) ** 2.4
        for each in color.get_truecolor()
    )
    return red, green, blue


def contrast(one: Color | None, other: Color | None) -> float:
    light, dark = sorted(sum(map(float.__mul__, (0.2126, 0.7152, 0.0722), linear(each))) for each in (one, other))[::-1]
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


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", INKS)
@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_every_ink_is_read_on_every_ground(theme: Theme, name: str, ground: str) -> None:
    style = made(theme).style(name, "" if name in ON_THEIR_OWN else ground)
    assert contrast(style.color, style.bgcolor) >= CONTRAST


@pytest.mark.parametrize("by", BLIND)
@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_no_two_states_look_alike_to_anybody(theme: Theme, by: str) -> None:
    palette = made(theme)
    places = {name: seen(palette.style(name).color, by) for name in STATES}
    near = {pair: math.dist(places[pair[0]], places[pair[1]]) for pair in combinations(STATES, 2)}
    assert {} == {pair: round(apart, 3) for pair, apart in near.items() if apart < APART}


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_the_row_under_the_cursor_is_seen(theme: Theme) -> None:
    palette = made(theme)
    assert contrast(palette.style("plain").bgcolor, palette.style("plain", "cursor").bgcolor) >= 1.3


def test_a_theme_is_chosen_by_name_and_another_word_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (THEME, set(NAMES)) == (VARIABLE, set(THEMES))
    for name, theme in THEMES.items():
        monkeypatch.setenv(VARIABLE, name)
        assert theme is chosen()
    monkeypatch.setenv(VARIABLE, "pink")
    assert THEMES["dark"] is chosen()
