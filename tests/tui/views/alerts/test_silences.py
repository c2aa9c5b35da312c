"""The palette beside keys and places: the colors, and silences."""

from __future__ import annotations

from typing import Any, cast

import pytest

from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import add_silence
from console.tui.widgets.themes import DARK, LIGHT
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT


def background_colors(night: Night) -> set[str]:
    """The colours that lie below the letters on the screen."""
    segments = [segment for strip in night.app.screen._compositor.render_strips() for segment in strip]
    colors = (segment.style.bgcolor for segment in segments if segment.style is not None)
    return {color.get_truecolor().hex.upper() for color in colors if color is not None}


@on_the_night()
async def test_the_palette_changes_the_colours_of_all_that_is_open(night: Night) -> None:
    await night.see("Supply plan")
    assert DARK.background in background_colors(night)
    await night.press("ctrl+p")
    await night.type("theme light")
    await night.see("light", "colors, kept for you")
    await night.press("enter")
    await night.until(lambda: LIGHT.background in background_colors(night), "the light theme")
    await night.press("3")
    await night.see("JOBS")
    assert DARK.background not in background_colors(night)
    path = night.app.personal.path
    await night.until(lambda: path.exists() and 'theme = "light"' in path.read_text(), "the choice in the user's file")


@on_the_night()
async def test_theme_alone_opens_the_choices_and_changes_nothing(night: Night) -> None:
    await night.see("Supply plan")
    path = night.app.personal.path
    before = path.read_text() if path.exists() else ""
    await night.press(":")
    await night.typing()
    await night.type("theme")
    await night.see("all themes", "opens the list")
    await night.press("enter")
    await night.see("current dark", "catppuccin-macchiato", "solarized-light")
    assert DARK.background in background_colors(night)
    assert before == (path.read_text() if path.exists() else "")
    await night.typing()
    await night.type("light")
    await night.press("enter")
    await night.until(lambda: LIGHT.background in background_colors(night), "the light theme")


@pytest.mark.deep
@on_the_night()
async def test_who_types_silence_mutes_a_service_a_system_or_the_job_of_an_incident(night: Night) -> None:
    await night.see("Supply plan")
    await night.press(":")
    await night.typing()
    await night.type("silence supply")
    await night.see("service supply-plan", "no notifications about")
    await night.press("enter")
    await night.see("SILENCE service supply-plan", "for how long?")
    await night.press("enter")
    await night.see("SILENCE service supply-plan for 2h")
    await night.typing()
    await night.type("the disk is exchanged")
    await night.press("enter")
    await night.see("silenced for 2h (headway silence lists and expires it): service supply-plan")
    assert [("silence", ({"service": "supply-plan"}, 7200.0, "the disk is exchanged"))] == night.requests.calls[-1:]


@on_the_night()
async def test_an_expired_request_is_named_without_a_claim(night: Night) -> None:
    """Whoever leaves while the store is busy read: service supply-plan is muted for 2h: it was NOT sent."""
    orders: list[str] = []
    ask = night.app.ask_engine

    def spy(key: str, question: Any, then: Any, failed: Any, order: str = "") -> None:
        orders.append(order)
        ask(key, question, then, failed, order)

    night.app.ask_engine = spy  # type: ignore[method-assign]
    await night.see("Supply plan")
    add_silence(cast(HeadwayScreen, night.app.screen), "job", EXTRACT)
    await night.see("SILENCE job")
    await night.press("enter")
    await night.see("for 2h")
    await night.typing()
    await night.type("the disk is exchanged")
    await night.press("enter")
    await night.see("silenced for 2h (headway silence lists and expires it): job etl-hosts")
    assert f"silence job {EXTRACT}" in orders
    night.app.navigation.open_incident(412)
    await night.see("INC-0412")
    await night.act("ack")
    await night.see("ACKNOWLEDGE INC-0412")
    await night.press("enter")
    await night.see("ACKNOWLEDGE INC-0412 for 1h")
    await night.press("enter")
    await night.see("INC-0412: acknowledged for 1h")
    assert "acknowledge INC-0412 for 1h" in orders


@on_the_night()
async def test_a_name_that_is_a_pattern_mutes_nothing_else(night: Night) -> None:
    await night.see("Supply plan")
    add_silence(cast(HeadwayScreen, night.app.screen), "job", "etl-hosts/db07:load *")
    await night.see("SILENCE job")
    await night.press("enter")
    await night.see("for 2h")
    await night.typing()
    await night.type("the disk is exchanged")
    await night.press("enter")
    await night.see("silenced for 2h")
    [(_, arguments)] = [call for call in night.requests.calls if call[0] == "silence"]
    assert {"job": "etl-hosts/db07:load [*]"} in arguments
