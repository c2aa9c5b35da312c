"""What is usual for a job tonight, as rules and forecasts ask it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.snapshot.estate_index import EstateIndex
from console.domain.history import SuccessfulRun, build_history
from console.forecast import past_nights
from console.forecast.simulation import past_views
from console.forecast.usual import HALF_LIFE, OWN_NIGHTS, UsualStarts, UsualValues, night_kind, usual_values
from tests.factories import NIGHT, at, estate, job

LAST = date(2026, 11, 29)
"""A Sunday; the night after it is a month end."""
NIGHTS = [LAST - timedelta(days=back) for back in range(59, -1, -1)]
TONIGHT = night_kind(LAST + timedelta(days=1))


def of(times: list[float], tonight: str = "Monday", enough: int = 8) -> UsualValues:
    results = usual_values(times, [night_kind(day) for day in NIGHTS[-len(times) :]], tonight, enough)
    assert results is not None
    return results


def test_rules_and_forecasts_weigh_the_past_equally() -> None:
    assert (past_nights.OWN_NIGHTS, past_views.MISSED_HALF_LIFE) == (OWN_NIGHTS, HALF_LIFE)


def test_one_night_of_ten_hours_moves_nothing_wherever_it_lies() -> None:
    for place in (0, 30, 59):
        times = [600.0] * 60
        times[place] = 36_000.0
        assert (600.0, 600.0) == (of(times).most(0.95), of(times).least(0.05))


def test_after_a_level_shift_what_was_before_counts_at_the_new_level() -> None:
    jitter = [0.97, 1.0, 1.03]
    before = [600.0 * jitter[number % 3] for number in range(55)]
    slower, faster = (before + [level * jitter[number % 3] for number in range(5)] for level in (1200.0, 300.0))
    assert (1164.0, 1236.0) == pytest.approx((of(slower).least(0.05), of(slower).most(0.95)))
    assert (291.0, 309.0) == pytest.approx((of(faster).least(0.05), of(faster).most(0.95)))


def test_a_month_end_is_compared_with_month_ends_however_few_there_are() -> None:
    times = [1800.0 if night_kind(day) == "month end" else 600.0 for day in NIGHTS]
    assert times.count(1800.0) == 1
    assert "month end" == TONIGHT
    assert (1800.0, 600.0) == (of(times, TONIGHT).most(0.95), of(times, TONIGHT).least(0.05))
    assert 600.0 == of(times).most(0.95), "an ordinary night is no month end"
    less = [100.0 if time == 1800.0 else time for time in times]
    assert (600.0, 100.0) == (of(less, TONIGHT).most(0.95), of(less, TONIGHT).least(0.05))


def test_enough_nights_of_its_kind_speak_alone() -> None:
    times = [3600.0 if night_kind(day) == "Monday" else 600.0 for day in NIGHTS]
    assert ("Mondays", 3600.0, 3600.0) == (of(times).what, of(times).least(0.05), of(times).most(0.95))
    assert ("runs", 3600.0) == (of(times, enough=9).what, of(times, enough=9).most(0.95))
    assert usual_values([600.0] * 7, ["Monday"] * 7, "Monday", 8) is None


@given(st.lists(st.floats(0, 1e6), min_size=8, max_size=60), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_quantiles_are_ordered_and_within_what_there_was(times: list[float], one: float, other: float) -> None:
    known = of(times, "none")
    low, high = sorted((one, other))
    assert known.values[0] <= known.least(low) <= known.most(low) <= known.most(high) <= known.values[-1]


MART = job(3, "dwh/mart", zone="Europe/Berlin")


def usual_start(*minutes_late: float, first: datetime | None = None) -> datetime | None:
    """After nights, newest first, that began so many minutes after 05:00 UTC."""
    begun = [(first or at("05:00")) - timedelta(days=back) + timedelta(minutes=late)
             for back, late in enumerate(minutes_late, 1)]  # fmt: skip
    runs = [SuccessfulRun(n, int(instant.timestamp()), int(instant.timestamp()) + 60, 60.0, -1.0, -1.0, 1, -1.0, "")
            for n, instant in enumerate(begun)]  # fmt: skip
    seen = replace(estate(MART), history={3: build_history(runs)})
    return UsualStarts().start(EstateIndex(seen, at("02:00")), 3, NIGHT)


def test_nights_that_begin_at_one_time_of_day_reveal_a_schedule() -> None:
    assert at("05:00") == usual_start(*[0.0] * 6)
    assert at("05:00:12") == usual_start(0.2, 0.3, 0.4, 0.5, 90.0, 0.5, 0.6, 0.7, 0.8, 0.9)


def test_nights_that_begin_when_something_else_is_done_do_not() -> None:
    assert usual_start(0.0, 4.0, 9.0, 2.0, 7.0, 12.0, 1.0) is None
    assert usual_start(*[0.0] * 4) is None
    assert usual_start() is None


def test_around_midnight_it_is_one_time_of_day_too() -> None:
    assert at("23:59:48") == usual_start(-0.2, 0.2, 0.1, -0.1, 0.0, first=at("00:00") + timedelta(days=1))
