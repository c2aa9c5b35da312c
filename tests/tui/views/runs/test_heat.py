"""Runs by hour: every hour at its place on the wall clock, and failures shown by more than a color."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from console.domain.run import HourlyRunCount
from console.store.errors import StoreUnusable
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock, ZoneMode
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.runs import run_list
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import FakeReads

NOW = datetime(2026, 11, 20, 2, 17, tzinfo=UTC)


def drawn(*hours: HourlyRunCount, plain: bool = False) -> list[str]:
    clock = ZonedClock(ZoneInfo("Europe/Berlin"))
    clock.mode = ZoneMode.MINE
    return [
        "".join(text for text, _ in line)
        for line in run_list.heat_lines(hours, RenderContext(NOW, clock, GlyphSet(plain)))
    ]


def test_an_hour_has_its_place_on_the_wall_clock() -> None:
    at = datetime(2026, 11, 19, 23, tzinfo=UTC)  # midnight of the 20th in Berlin
    lines = drawn(HourlyRunCount(at, 8, 0), HourlyRunCount(at + timedelta(hours=1), 4, 1))
    assert lines[7] == f"Fri 20 Nov █ ▄▪{' ' * 44}    12     1"
    assert lines[1].startswith("Sat 14 Nov ")
    assert "the busiest hour had 8 runs" in lines[-1]


def test_what_lies_before_the_week_is_no_eighth_day() -> None:
    lines = drawn(HourlyRunCount(NOW - timedelta(days=7), 8, 0))
    assert ["Sat 14 Nov", "Fri 20 Nov"] == [lines[1][:10], lines[7][:10]]
    assert lines[8].strip() == ""


def test_letters_show_the_same_where_shapes_would_not_be_drawn() -> None:
    lines = drawn(HourlyRunCount(datetime(2026, 11, 19, 23, tzinfo=UTC), 8, 2), plain=True)
    assert lines[7].startswith("Fri 20 Nov 9!")
    assert all(line.isascii() for line in lines)


def test_a_week_without_runs_is_a_week_of_empty_lines() -> None:
    assert [0] * 7 == [int(line.split()[-1]) for line in drawn()[1:8]]


@on_the_night()
async def test_a_person_sees_the_hours_of_what_the_filter_leaves(night: Night) -> None:
    await night.press("7")
    await night.see("RUNS  row 1 of")
    await night.press("H")
    await night.see("runs by hour, 7 days", "the busiest hour had 39 runs")
    await night.press("escape")
    await night.see("RUNS  row 1 of")


@on_the_night()
async def test_an_hour_chart_that_could_not_be_read_is_read_again(night: Night) -> None:
    def refuse(*_: object) -> object:
        raise StoreUnusable("the store's volume is gone")

    await night.press("7")
    await night.see("RUNS  row 1 of")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeReads, "run_hours", refuse)
        patch.setattr(run_list, "AGAIN_SECONDS", 0.1)
        await night.press("H")
        await night.see("the store's volume is gone")
    await night.see("the busiest hour had 39 runs")  # after `AGAIN_SECONDS`
    assert "the store's volume is gone" not in night.text
