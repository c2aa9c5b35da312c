"""The Tonight screen: the night over time, scrolled, zoomed, and past nights."""

from __future__ import annotations

from console.tui.views.runs.screen import RunScreen
from console.tui.views.tonight import TonightScreen
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, at

WIDE = (120, 36)
CALM = "weekly-finance"
"""A service without an incident."""


def screen(night: Night) -> TonightScreen:
    assert isinstance(night.app.screen, TonightScreen)
    return night.app.screen


async def open_tonight(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("tonight")
    await night.see("TONIGHT business date 2026-11-19", "extract_orders")


def line_of(night: Night, text: str) -> str:
    return next(line for line in night.text.splitlines() if text in line)


@on_the_night(size=WIDE)
async def test_services_stand_above_the_jobs_of_their_paths_with_deadline_and_forecast(night: Night) -> None:
    await open_tonight(night)
    await night.see("5 services, 4 critical jobs")
    assert "▏06:30" in line_of(night, "! Supply plan")
    assert "✖" in line_of(night, "db07:extract_orders")
    assert "─" in line_of(night, "supply-mart")
    assert "░" in line_of(night, "supply-mart")
    assert "┊" in line_of(night, "Weekly finance")


@on_the_night(size=WIDE)
async def test_a_job_that_an_incident_prevents_from_starting_waits_for_its_root(night: Night) -> None:
    await open_tonight(night)
    assert line_of(night, "supply-mart").startswith("  ◌ supply-mart")
    while screen(night).selected_name() != "cloud/supply-mart":
        await night.press("down")
    await night.see(f"waits for {EXTRACT}  expected")


@on_the_night()
async def test_time_scrolls_no_further_than_the_night_goes(night: Night) -> None:
    await open_tonight(night)
    await night.until(lambda: screen(night).scale is not None, "the scale")
    await night.press(*["right"] * 12)
    await night.see("this is the end of the night")
    shown = screen(night)
    assert shown.scale is not None
    assert shown.drawn is not None
    assert shown.scale.start < shown.drawn.last
    await night.press(*["left"] * 24)
    await night.see("this is the start of the night")
    assert shown.scale.end > shown.drawn.first


@on_the_night()
async def test_enter_opens_the_service_and_the_job(night: Night) -> None:
    await open_tonight(night)
    await night.until(lambda: screen(night).selected is not None, "a lane")
    while screen(night).selected_name() != EXTRACT:
        await night.press("down")
    await night.act("open")
    await night.see("JOB " + EXTRACT)
    await night.press("escape")
    await night.see("TONIGHT")
    await night.press("up")
    await night.act("open")
    await night.see("INC-0412")


async def restore_cursor(night: Night, name: str) -> None:
    await night.until(lambda: screen(night).selected is not None, "a lane")
    for _ in range(20):
        if screen(night).selected_name() == name:
            return
        await night.press("down")
    raise AssertionError(f"no lane {name}:\n{night.text}")


@on_the_night()
async def test_escape_on_the_jobs_of_a_service_leads_back_to_the_night(night: Night) -> None:
    await open_tonight(night)
    await restore_cursor(night, CALM)
    await night.act("open")
    await night.see("JOBS", f"service:{CALM}")
    await night.press("escape")
    await night.see("TONIGHT business date 2026-11-19")


@on_the_night()
async def test_escape_clears_a_filter_of_ones_own_first(night: Night) -> None:
    await open_tonight(night)
    await restore_cursor(night, CALM)
    await night.act("open")
    await night.see("JOBS", f"service:{CALM}")
    await night.press("/")
    await night.type("x")
    await night.press("enter", "escape")
    await night.see("JOBS")
    assert "filter" not in night.text
    await night.press("escape")
    await night.see("TONIGHT business date 2026-11-19")


@on_the_night()
async def test_enter_in_a_past_night_opens_what_ran_then_or_says_that_it_is_of_now(
    night: Night,
) -> None:
    await open_tonight(night)
    await night.act("night_before")
    await night.see("NIGHT business date 2026-11-18")
    lane = next(lane for lane in screen(night).drawn.lanes if lane.run_id is not None)  # type: ignore[union-attr]
    await restore_cursor(night, lane.name)
    await night.act("open")
    await night.see("LOG attempt")
    assert isinstance(shown := night.app.screen, RunScreen)
    assert lane.run_id == shown.run_id
    await night.press("escape")
    await night.see("NIGHT business date 2026-11-18")
    await night.press("home")
    await restore_cursor(night, CALM)
    await night.act("open")
    await night.see("this is as of now; Esc leads back to the night of 2026-11-18")
    await night.press("escape")
    await night.see("NIGHT business date 2026-11-18", "past night")


@on_the_night()
async def test_zoom_and_scroll_move_the_ruler_and_0_shows_the_whole_night_again(night: Night) -> None:
    await open_tonight(night)
    before = screen(night).scale
    assert before is not None
    await night.act("zoom_in")
    await night.until(lambda: screen(night).scale.minutes < before.minutes, "a finer scale")  # type: ignore[union-attr]
    await night.act("later", "later")
    await night.until(lambda: screen(night).scale.start > before.start, "a later start")  # type: ignore[union-attr]
    await night.act("zoom_out", "earlier", "whole")
    await night.until(lambda: screen(night).scale == before, "the whole night")


@on_the_night()
async def test_the_axis_turns_with_the_zone_of_the_header(night: Night) -> None:
    await open_tonight(night)
    await night.see("▏06:30", "03:17:42 CET")
    await night.press("Z")
    await night.see("▏05:30", "02:17:42 UTC")
    assert "▏05:30" in line_of(night, "! Supply plan")


@on_the_night(size=WIDE)
async def test_a_moment_of_a_past_night_is_shown_and_escape_leads_back_to_the_present(night: Night) -> None:
    await open_tonight(night)
    await night.act("night_before")
    await night.see("NIGHT business date 2026-11-18", "past night")
    await night.act("night_before")
    await night.see("no earlier night is recorded")
    await night.act("moment_before")
    await night.see("as of")
    await night.press("escape")
    await night.see("past night")
    await night.press("escape")
    await night.see("TONIGHT business date 2026-11-19")
    await night.press("escape")
    await night.see("SERVICES 5")


@on_the_night(size=WIDE)
async def test_moments_are_stepped_through_and_the_last_is_the_present(night: Night) -> None:
    await open_tonight(night)
    await night.act("moment_before", "moment_before")
    await night.see("as of")
    assert screen(night).at is not None
    await night.until(lambda: screen(night).drawn.at == screen(night).at, "that moment")  # type: ignore[union-attr]
    await night.act("moment_after", "moment_after")
    await night.wait_until_hidden("as of")


@on_the_night(size=WIDE)
async def test_before_it_failed_nothing_was_red(night: Night) -> None:
    await open_tonight(night)
    await night.until(lambda: screen(night).drawn is not None, "the night")
    screen(night).at = at("03:11")
    screen(night).again()
    await night.see("as of 03:11")
    assert "✖" not in line_of(night, "db07:extract_orders")
    assert "!" not in line_of(night, "Supply plan")


@on_the_night()
async def test_lineage_and_log_are_those_of_the_job_under_the_cursor(night: Night) -> None:
    await open_tonight(night)
    while screen(night).selected_name() != EXTRACT:
        await night.press("down")
    await night.act("log")
    await night.see("RUN " + EXTRACT)
    await night.press("escape")
    await night.see("TONIGHT")
    await night.act("lineage")
    await night.see("LINEAGE " + EXTRACT)


def _none(night: Night) -> None:
    night.reads.services_ = []


@on_the_night(prepare=_none)
async def test_without_a_service_it_says_what_makes_one(night: Night) -> None:
    await night.press("4")
    await night.see("no service is configured yet")


@on_the_night(ascii=True, size=WIDE)
async def test_in_plain_letters_nothing_else_is_drawn(night: Night) -> None:
    await open_tonight(night)
    await night.see("|06:30")
    assert night.text.isascii()


@on_the_night()
async def test_down_to_forty_by_ten_and_back_it_is_whole_again(night: Night) -> None:
    await open_tonight(night)
    await night.pilot.resize_terminal(40, 10)
    await night.see("terminal too small")
    await night.pilot.resize_terminal(80, 24)
    await night.see("TONIGHT", "extract_orders")
    await night.until(lambda: night.app.focused is screen(night).grid, "the focus")


@on_the_night()
async def test_the_text_of_a_lane_is_complete_on_80_columns(night: Night) -> None:
    """The line with the position in the night is dropped first."""
    await open_tonight(night)
    await night.press("down")
    await night.see("due 06:30  usual repair: 05:50, p95 05:50", "── 11:00")
