"""The mouse works on every widget of ours, and is never needed: each thing that it does is a key as well."""

from __future__ import annotations

from typing import Any

from textual import events

from console.tui.views.jobs.list import JobsScreen
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.pane import Pane
from tests.tui.driving import Night, on_the_night


async def wheel(night: Night, widget: Any, down: bool = True) -> None:
    kind = events.MouseScrollDown if down else events.MouseScrollUp
    await night.pilot._post_mouse_events([kind], widget, offset=(5, 5))


def grid_of(night: Night) -> Grid:
    return night.app.screen.query_one("#grid", Grid)


def place_of(night: Night, text: str, widget: Any) -> tuple[int, int]:
    """The position of a text on a widget."""
    for y, line in enumerate(night.text.splitlines()):
        if text in line and widget.region.contains(line.index(text), y):
            return line.index(text) - widget.region.x, y - widget.region.y
    raise AssertionError(f"{text} does not stand there:\n{night.text}")


@on_the_night()
async def test_a_click_selects_and_a_second_one_opens(night: Night) -> None:
    grid = grid_of(night)
    await night.see("Daily revenue")
    place = place_of(night, "Daily revenue", grid)
    await night.pilot.click(grid, offset=place)
    await night.until(lambda: grid.cursor == place[1] - 1, "the cursor on the row")
    await night.pilot.click(grid, offset=place, times=2)
    await night.see("AFFECTED SERVICES")


@on_the_night(size=(80, 15))
async def test_the_wheel_scrolls_three_rows_and_the_view_stays_there(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS")
    grid = grid_of(night)
    await night.until(lambda: grid.max_scroll_y >= 3, "more jobs than fit")
    await wheel(night, grid)
    await night.until(lambda: grid.scroll_offset.y == 3, "three rows")
    assert (0, True) == (grid.cursor, grid.touched)
    grid.show(grid.source)
    await night.pilot.pause()
    assert 3 == grid.scroll_offset.y
    await wheel(night, grid, down=False)
    await night.until(lambda: grid.scroll_offset.y == 0, "back")
    await wheel(night, grid)
    await night.press("j")
    await night.until(lambda: grid.scroll_offset.y == 1, "the cursor's row in view again")


@on_the_night(size=(120, 36))
async def test_a_click_on_a_heading_sorts_and_again_reverses(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS", "started")
    screen = night.app.screen
    assert isinstance(screen, JobsScreen)
    for heading, sort in (("started", "age"), ("job", "name")):
        for expected in (sort, f"-{sort}"):
            await night.pilot.click(screen.grid, offset=place_of(night, heading, screen.grid))
            await night.until(lambda requested=expected: screen.list.sort == requested, expected)  # type: ignore[misc]
    await night.pilot.click(screen.grid, offset=place_of(night, "took", screen.grid))
    await night.see("not sorted by took")
    assert "-name" == screen.list.sort


@on_the_night(size=(120, 36))
async def test_each_key_of_the_footer_is_a_button(night: Night) -> None:
    await night.see("Daily revenue", "? keys")
    foot = night.app.screen.query_one("#foot", Bar)
    await night.pilot.click(foot, offset=place_of(night, "keys", foot))
    await night.see("keys of Services")
    await night.press("escape")
    await night.wait_until_hidden("keys of Services")
    await night.pilot.click(foot, offset=place_of(night, "filter", foot))
    await night.typing()
    await night.press("escape")
    await night.pilot.click(foot, offset=place_of(night, "open", foot))
    await night.see("AFFECTED SERVICES")


@on_the_night()
async def test_a_click_takes_a_notice_away_and_beside_the_keys_it_does_nothing(night: Night) -> None:
    await night.see("Daily revenue", "? keys")
    screen: Any = night.app.screen
    foot = screen.query_one("#foot", Bar)
    screen.notice("something was said")
    await night.see("something was said")
    await night.pilot.click(foot, offset=(3, 0))
    await night.wait_until_hidden("something was said")
    await night.pilot.click(foot, offset=(3, 0))
    await night.pilot.click(screen.query_one("#top", Bar), offset=(3, 0))
    assert screen is night.app.screen


@on_the_night(size=(120, 36))
async def test_a_line_of_the_help_is_chosen_by_a_double_click(night: Night) -> None:
    await night.press("?")
    await night.see("keys of Services")
    grid = night.app.screen.query_one("#choices-grid", Grid)
    await night.pilot.click(grid, offset=place_of(night, "Systems: polling status", grid), times=2)
    await night.see("SYSTEMS")


@on_the_night(size=(120, 24), prepare=lambda night: setattr(night.requests, "log_text", "line\n" * 200))
async def test_the_wheel_stops_a_log_from_following(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    await night.press("enter")
    await night.see("LOG attempt")
    pane = next(pane for pane in night.app.screen.query(Pane) if pane.region.height > 5)
    await night.until(lambda: pane.max_scroll_y > 20, "a long log")
    pane.follow(True)
    await night.until(lambda: pane.scroll_offset.y == pane.max_scroll_y, "its end")
    await wheel(night, pane, down=False)
    await night.until(lambda: pane.scroll_offset.y == pane.max_scroll_y - 3, "three lines back")
    pane.add("more\n" * 20)
    await night.pilot.pause()
    assert (False, True) == (pane.following, pane.scroll_offset.y < pane.max_scroll_y - 3)
