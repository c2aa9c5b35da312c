"""Text and Enter that come in one piece act as if they were typed slowly: a fast typist, a paste, a slow line."""

from __future__ import annotations

import asyncio

from textual import events

from console.tui.dialogs.palette import PickScreen
from console.tui.widgets.entry import Entry
from tests.tui.driving import Night, on_the_night

BUSY_SECONDS = 1.5
"""What a list may need for its first rows on a machine with a load of ten."""


def burst(night: Night, text: str) -> None:
    """All keys at once, as a terminal sends what was typed while the console was busy."""
    for name in text:
        key = {"\r": "enter", ":": "colon", " ": "space", "-": "minus", "/": "slash"}.get(name, name)
        night.app.post_message(events.Key(key, "\r" if name == "\r" else name))


@on_the_night()
async def test_a_name_and_enter_typed_at_once_after_the_colon_open_it(night: Night) -> None:
    await night.see("SERVICES")
    burst(night, ":INC-0412\r")
    await night.see("failed since 03:12")


@on_the_night()
async def test_a_job_typed_at_once_is_opened(night: Night) -> None:
    await night.see("SERVICES")
    burst(night, ":close-b\r")
    await night.see("JOB cloud/close-books")


@on_the_night()
async def test_text_waits_for_the_dialog_of_a_busy_screen(night: Night) -> None:
    """Else its first letter is a key of that screen."""
    await night.see("SERVICES")
    assert night.app.focused is not None
    night.app.focused.call_later(asyncio.sleep, BUSY_SECONDS)
    burst(night, ":rotate")
    await night.until(lambda: isinstance(night.app.screen, PickScreen), "the dialog")
    await night.answered()
    assert "rotate" == night.app.screen.query_one(Entry).value
