"""Text and Enter that come in one piece act as if they were typed slowly: a fast typist, a paste, a slow line."""

from __future__ import annotations

from textual import events

from tests.tui.driving import Night, on_the_night


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
