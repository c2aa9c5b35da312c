"""The picture of the README has the words and the layout that the console has today on the demo's night."""

from __future__ import annotations

import re

from tests.tui.screenshot import SCREENSHOT, lines, picture


def test_the_picture_is_the_present_screen() -> None:
    """After a change on purpose: `make picture`. Bars and figures are those of the forecast at the moment of the polls:
    a poll that comes later moves them by a minute."""
    assert shape(SCREENSHOT.read_text(encoding="utf-8")) == shape(picture())


def shape(svg: str) -> list[str]:
    """The lines without bars, each figure as 0."""
    return [re.sub(r"\d+", "0", re.sub(r"[━─░├┊╌▏✖ ]+", " ", line)).strip() for line in lines(svg)]
