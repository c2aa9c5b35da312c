"""Boxes over a screen: as high as what they show, and a foot of which nothing is cut in the middle of a word."""

from __future__ import annotations

import dataclasses

import pytest
from textual import events

from console.tui.dialogs.overlay import TextScreen
from console.tui.widgets.bar import KeyHint, fitting, hint_lines
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import draft, plan_of

HINTS = (KeyHint("PgDn", "more below"), KeyHint("Enter", "choose", 1), KeyHint("Esc", "nothing is sent"))
LARGE = (200, 50)


def shown(width: int, message: str = "") -> list[str]:
    lines = hint_lines(HINTS, (message, "warn"), width)
    return ["  ".join("".join(text for text, _ in side) for side in line[:2] if side) for line in lines]


def test_the_message_is_beside_the_keys_where_there_is_room_and_whole_above_them_where_not() -> None:
    keys = "PgDn more below  Enter choose  Esc nothing is sent"
    assert [f"{keys}  type its name"] == shown(80, "type its name")
    assert ["a long reason that takes the whole line of this box here", keys] == shown(
        58, "a long reason that takes the whole line of this box here"
    )


def test_hints_go_whole_the_least_needed_first() -> None:
    assert HINTS == tuple(fitting(HINTS, 50))
    assert (HINTS[0], HINTS[2]) == tuple(fitting(HINTS, 49))
    assert (HINTS[0],) == tuple(fitting(HINTS, 20))


def height_of(night: Night) -> int:
    return night.widget("#box").outer_size.height


@pytest.mark.parametrize("size", [(80, 24), (120, 36), LARGE])
def test_a_box_is_as_high_as_what_it_shows(size: tuple[int, int]) -> None:
    @on_the_night(size=size)
    async def opens(night: Night) -> None:
        await night.see("Supply plan")
        await night.press("o")
        await night.see("https://wiki.internal/supply-plan", "Esc back")
        pane = night.widget("#text")
        await night.until(lambda: pane.size.height == pane.virtual_size.height, "a box of its height")
        assert pane.size.height + 4 == height_of(night)

    opens()


@on_the_night(size=LARGE)
async def test_a_dialog_grows_with_its_content_and_keeps_its_lines_while_typing(night: Night) -> None:
    await night.see("Supply plan")
    await night.press(":")
    await night.typing()
    await night.see("INC-0412", "nothing to fold")
    high = height_of(night)
    assert 30 < high <= 40
    await night.type("zzzz")
    await night.see("no match")
    assert high == height_of(night)


@on_the_night(size=LARGE)
async def test_a_preview_says_that_there_is_more_only_where_there_is(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    await night.press("R")
    await night.see("Send", "failed after it", "nothing is sent")
    await night.wait_until_hidden("more below")
    assert height_of(night) < 25


def _with_a_why(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7, why="the disk was full and is empty again, said the host's owner")]


@on_the_night(prepare=_with_a_why)
async def test_a_plan_with_a_reason_still_says_whole_that_it_goes_on(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("why: the disk was full", "it continues without this screen")
    plan = dataclasses.replace(night.reads.plans_[0], why="")
    night.reads.plans_ = [plan]
    night.reads.changed()
    await night.wait_until_hidden("why:")
    await night.see("it continues without this screen")


@on_the_night(prepare=_with_a_why)
async def test_a_running_plan_waits_for_an_engine_where_none_runs(night: Night) -> None:
    night.reads.head = night.reads.head._replace(engine=night.reads.head.engine._replace(alive=False))
    night.reads.changed()
    night.app.navigation.open_plan(7)
    await night.see("it continues once an engine runs")
    assert "done about" not in night.text


@on_the_night()
async def test_a_dialog_that_opened_while_the_terminal_was_in_the_background_takes_keys(night: Night) -> None:
    await night.app._post_message(events.AppBlur())
    await night.until(lambda: not night.app.app_focus, "the blur")
    dialog = TextScreen("a text", "\n".join(map(str, range(99))), "")
    night.app.push_screen(dialog)
    await night.see("a text", "17")
    await night.app._post_message(events.AppFocus())
    await night.until(lambda: night.app.app_focus, "the focus")
    await night.press("down")
    await night.until(lambda: dialog.pane.scroll_offset.y == 1, "the next line")


@on_the_night()
async def test_the_help_shows_its_texts_whole_and_q_in_its_empty_filter_closes_it(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("?")
    await night.see("show the recovery plan; nothing is sent yet", "2        incidents")
    assert "…" not in night.text
    await night.press("r", "q")
    await night.until(lambda: "rq" in str(night.widget("#narrow").value), "the filter rq")  # type: ignore[attr-defined]
    await night.press("backspace", "backspace", "q")
    await night.wait_until_hidden("keys of Services")


@on_the_night()
async def test_on_a_small_screen_the_jump_list_says_whole_what_each_screen_is(night: Night) -> None:
    await night.see("Supply plan")
    await night.press(":")
    await night.see("screen    services", "held jobs, and until when")
    assert not [line for line in night.text.splitlines() if "screen " in line and "…" in line]
