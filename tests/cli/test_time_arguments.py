"""A time of day that is typed is the one that the wall shows, also in the night in which the clocks change."""

from __future__ import annotations

import argparse
import re
import time as clock
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from console.cli import clock_format, forecast, incidents, services
from console.cli.arguments import instant_with_zone
from console.cli.exits import CommandError
from console.domain.service import ServiceView
from console.domain.timeline import TimelineView
from console.timing.durations import time_of_day
from console.tui.dialogs import what_if
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from tests.rows import each_row

BERLIN = "Europe/Berlin"
EVENING, MORNING = datetime(2026, 3, 28, 22, 30, tzinfo=UTC), datetime(2026, 3, 29, 4, 30, tzinfo=UTC)
"""23:30 and 06:30 around the jump from 02:00 to 03:00."""
NIGHT = TimelineView("2026-03-28", MORNING, (), {}, {}, ())


@pytest.fixture(params=[True, False], ids=["of-the-services", "of-this-machine"], autouse=True)
def on_the_wall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", BERLIN)
    clock.tzset()
    with clock_format.command_zone(in_utc=False):
        clock_format.share_service_zone({BERLIN} if request.param else set())
        yield
    monkeypatch.undo()
    clock.tzset()


def in_the_console(typed: str, now: datetime) -> datetime | None:
    shown = ZonedClock()
    shown.home = BERLIN if clock_format.display_zone() is not None else ""
    return what_if.next_time(typed, RenderContext(now, shown, GlyphSet()))


@each_row("read", [forecast.next_clock_reading, in_the_console])
def test_the_next_such_time_is_on_the_clock_of_its_own_date(read: Callable[[str, datetime], datetime]) -> None:
    assert datetime(2026, 3, 29, 1, 58, tzinfo=UTC) == read("03:58", EVENING)
    assert datetime(2026, 3, 28, 22, 45, tzinfo=UTC) == read("23:45", EVENING)


def test_a_moment_before_the_jump_is_on_the_clock_of_before() -> None:
    assert datetime(2026, 3, 28, 22, 0, tzinfo=UTC) == forecast.moment_in_night("23:00", NIGHT)
    assert datetime(2026, 3, 29, 1, 15, tzinfo=UTC) == forecast.moment_in_night("03:15", NIGHT)


def test_more_time_until_a_time_that_never_is_ends_with_the_jump() -> None:
    """As a deadline of config does, and a calendar's window."""
    due = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert datetime(2026, 3, 29, 1, 0, tzinfo=UTC) == services.next_clock_time(due, time(2, 30), ZoneInfo(BERLIN))


@pytest.mark.parametrize("read", [forecast.next_clock_reading, in_the_console])
@pytest.mark.parametrize(
    "now, hour",
    [
        (datetime(2026, 10, 25, 0, 10, tzinfo=UTC), 0),
        (datetime(2026, 10, 25, 0, 40, tzinfo=UTC), 1),
        (datetime(2026, 10, 25, 1, 10, tzinfo=UTC), 1),
    ],
    ids=["before both", "between them", "in the second hour"],
)
def test_a_time_that_is_shown_twice_is_the_next_one_ahead(
    read: Callable[[str, datetime], datetime], now: datetime, hour: int
) -> None:
    """Of the repeated hour when clocks go back."""
    assert datetime(2026, 10, 25, hour, 30, tzinfo=UTC) == read("02:30", now).astimezone(UTC)
    assert datetime(2026, 10, 26, 1, 30, tzinfo=UTC) == read("02:30", datetime(2026, 10, 25, 1, 31, tzinfo=UTC))


def test_an_ambiguous_time_is_reported_with_its_interpretation(capsys: pytest.CaptureFixture[str]) -> None:
    forecast.next_clock_reading("02:30", datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
    assert "02:30 occurs twice tonight; using the next one, 02:30 CET" in capsys.readouterr().err
    forecast.next_clock_reading("03:30", datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    "typed, now, hour",
    [
        ("02:30", datetime(2026, 10, 24, 23, 0, tzinfo=UTC), 0),
        ("02:30", datetime(2026, 10, 25, 0, 40, tzinfo=UTC), 1),
        ("2026-10-25 02:30", datetime(2026, 10, 24, 23, 0, tzinfo=UTC), 0),
        ("2026-10-25 02:30", datetime(2026, 10, 25, 1, 10, tzinfo=UTC), 1),
    ],
)
def test_more_time_until_a_time_that_comes_twice_ends_with_the_next_one(
    typed: str, now: datetime, hour: int, capsys: pytest.CaptureFixture[str]
) -> None:
    due = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    supply = cast(ServiceView, SimpleNamespace(name="supply", promised=due, deadline=due, zone=BERLIN))
    assert datetime(2026, 10, 25, hour, 30, tzinfo=UTC) == services.extended_deadline(typed, supply, now)
    assert f"occurs twice that night; the deadline is 02:30 {('CEST', 'CET')[hour]}" in capsys.readouterr().err
    between = cast(ServiceView, SimpleNamespace(**{**vars(supply), "promised": due.replace(minute=30)}))
    assert datetime(2026, 10, 25, 1, 30, tzinfo=UTC) == services.extended_deadline("02:30", between, due), (
        "the first is its deadline"
    )


def test_a_time_of_another_clock_than_the_walls_is_refused() -> None:
    """03:58Z was taken for 03:58 on the wall, an hour earlier."""
    with pytest.raises(CommandError, match="not a time of day; write 03:58"):
        forecast.next_clock_reading("03:58Z", EVENING)
    with pytest.raises(CommandError, match="not a time of day; write 03:20"):
        forecast.moment_in_night("03:20+05:00", NIGHT)
    with pytest.raises(CommandError, match="is not a time"):
        incidents.shift_start("22:00Z", EVENING)
    with pytest.raises(ValueError, match="a zone of its own"):
        time_of_day("0800Z")
    assert in_the_console("03:58Z", EVENING) is None
    assert time(3, 58) == time_of_day("3:58")


@each_row("text, zone", [("2026-12-01", "2026-12-01T00:00"), ("20261201T0230", "2026-12-01T02:30")])
def test_a_time_without_a_zone_is_refused_with_one_that_is_accepted(text: str, zone: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"write {zone}Z or {zone}[+]01:00") as refused:
        instant_with_zone(text)
    for advised in re.findall(r"\S+(?:Z|:00)\b", str(refused.value).partition("write")[2]):
        assert instant_with_zone(advised).tzinfo is not None
