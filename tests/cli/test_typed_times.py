"""A time of day that is typed is the one that the wall shows, also in the night in which the clocks change."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from console.cli import extend, handover, tonight, wall, what_if
from console.cli.common import Stop
from console.durations import time_of_day
from console.model.views import ServiceView
from console.model.views.night import NightView
from console.tui import otherwise
from console.tui.cells import Look
from console.tui.glyphs import Glyphs
from console.tui.when import Clock

BERLIN = "Europe/Berlin"
EVENING, MORNING = datetime(2026, 3, 28, 22, 30, tzinfo=UTC), datetime(2026, 3, 29, 4, 30, tzinfo=UTC)
"""23:30 and 06:30 around the jump from 02:00 to 03:00."""
NIGHT = NightView("2026-03-28", MORNING, (), {}, {}, ())


@pytest.fixture(params=[True, False], ids=["of-the-services", "of-this-machine"], autouse=True)
def on_the_wall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", BERLIN)
    clock.tzset()
    with wall.of_command(in_utc=False):
        wall.hang({BERLIN} if request.param else set())
        yield
    monkeypatch.undo()
    clock.tzset()


def in_the_console(typed: str, now: datetime) -> datetime | None:
    shown = Clock()
    shown.home = BERLIN if wall.zone_for() is not None else ""
    return otherwise.next_time(typed, Look(now, shown, Glyphs()))


@pytest.mark.parametrize("read", [what_if.next_time, in_the_console])
def test_the_next_such_time_is_on_the_clock_of_its_own_date(read: Callable[[str, datetime], datetime]) -> None:
    assert datetime(2026, 3, 29, 1, 58, tzinfo=UTC) == read("03:58", EVENING)
    assert datetime(2026, 3, 28, 22, 45, tzinfo=UTC) == read("23:45", EVENING)


def test_a_moment_before_the_jump_is_on_the_clock_of_before() -> None:
    assert datetime(2026, 3, 28, 22, 0, tzinfo=UTC) == tonight.moment_of("23:00", NIGHT)
    assert datetime(2026, 3, 29, 1, 15, tzinfo=UTC) == tonight.moment_of("03:15", NIGHT)


def test_more_time_until_a_time_that_never_is_ends_with_the_jump() -> None:
    """As a deadline of config does, and a calendar's window."""
    due = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert datetime(2026, 3, 29, 1, 0, tzinfo=UTC) == extend.first_after(due, time(2, 30), ZoneInfo(BERLIN))


@pytest.mark.parametrize("read", [what_if.next_time, in_the_console])
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
    """Of two hours that are alike."""
    assert datetime(2026, 10, 25, hour, 30, tzinfo=UTC) == read("02:30", now).astimezone(UTC)
    assert datetime(2026, 10, 26, 1, 30, tzinfo=UTC) == read("02:30", datetime(2026, 10, 25, 1, 31, tzinfo=UTC))


def test_which_of_two_is_meant_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    what_if.next_time("02:30", datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
    assert "02:30 comes twice tonight: the next one counts, 02:30 CET" in capsys.readouterr().err
    what_if.next_time("03:30", datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
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
    supply = cast(ServiceView, SimpleNamespace(name="supply", instance="", promised=due, deadline=due, zone=BERLIN))
    assert datetime(2026, 10, 25, hour, 30, tzinfo=UTC) == extend.until_of(typed, supply, now)
    assert f"comes twice that night: it ends with 02:30 {('CEST', 'CET')[hour]}" in capsys.readouterr().err
    between = cast(ServiceView, SimpleNamespace(**{**vars(supply), "promised": due.replace(minute=30)}))
    assert datetime(2026, 10, 25, 1, 30, tzinfo=UTC) == extend.until_of("02:30", between, due), (
        "the first is its deadline"
    )


def test_a_time_of_another_clock_than_the_walls_is_refused() -> None:
    """03:58Z was taken for 03:58 on the wall, an hour earlier."""
    with pytest.raises(Stop, match="on this clock; write 03:58"):
        what_if.next_time("03:58Z", EVENING)
    with pytest.raises(Stop, match="on this clock; write 03:20"):
        tonight.moment_of("03:20+05:00", NIGHT)
    with pytest.raises(Stop, match="is no time"):
        handover.since_of("22:00Z", EVENING)
    with pytest.raises(ValueError, match="a zone of its own"):
        time_of_day("0800Z")
    assert in_the_console("03:58Z", EVENING) is None
    assert time(3, 58) == time_of_day("3:58")
