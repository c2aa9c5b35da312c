"""What is usual for a job tonight, as rules and forecasts ask it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.forecast.simulation import alike, recency
from console.control.usual import HALF_LIFE, OWN_NIGHTS, Usual, kind_of, usual

LAST = date(2026, 11, 29)
"""A Sunday; the night after it is a month end."""
NIGHTS = [LAST - timedelta(days=back) for back in range(59, -1, -1)]
TONIGHT = kind_of(LAST + timedelta(days=1))


def of(times: list[float], tonight: str = "Monday", enough: int = 8) -> Usual:
    found = usual(times, [kind_of(each) for each in NIGHTS[-len(times) :]], tonight, enough)
    assert found is not None
    return found


def test_rules_and_forecasts_weigh_the_past_alike() -> None:
    assert (alike.OWN_NIGHTS, recency.MISSED_HALF_LIFE) == (OWN_NIGHTS, HALF_LIFE)


def test_one_night_of_ten_hours_moves_nothing_wherever_it_lies() -> None:
    for place in (0, 30, 59):
        times = [600.0] * 60
        times[place] = 36_000.0
        assert (600.0, 600.0) == (of(times).most(0.95), of(times).least(0.05))


def test_after_a_level_shift_what_was_before_counts_at_the_new_level() -> None:
    jitter = [0.97, 1.0, 1.03]
    before = [600.0 * jitter[each % 3] for each in range(55)]
    slower, faster = (before + [level * jitter[each % 3] for each in range(5)] for level in (1200.0, 300.0))
    assert (1164.0, 1236.0) == pytest.approx((of(slower).least(0.05), of(slower).most(0.95)))
    assert (291.0, 309.0) == pytest.approx((of(faster).least(0.05), of(faster).most(0.95)))


def test_a_month_end_is_compared_with_month_ends_however_few_there_are() -> None:
    times = [1800.0 if kind_of(each) == "month end" else 600.0 for each in NIGHTS]
    assert times.count(1800.0) == 1
    assert "month end" == TONIGHT
    assert (1800.0, 600.0) == (of(times, TONIGHT).most(0.95), of(times, TONIGHT).least(0.05))
    assert 600.0 == of(times).most(0.95), "an ordinary night is no month end"
    less = [100.0 if each == 1800.0 else each for each in times]
    assert (600.0, 100.0) == (of(less, TONIGHT).most(0.95), of(less, TONIGHT).least(0.05))


def test_enough_nights_of_its_kind_speak_alone() -> None:
    times = [3600.0 if kind_of(each) == "Monday" else 600.0 for each in NIGHTS]
    assert ("Mondays", 3600.0, 3600.0) == (of(times).what, of(times).least(0.05), of(times).most(0.95))
    assert ("runs", 3600.0) == (of(times, enough=9).what, of(times, enough=9).most(0.95))
    assert usual([600.0] * 7, ["Monday"] * 7, "Monday", 8) is None


@given(st.lists(st.floats(0, 1e6), min_size=8, max_size=60), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_quantiles_are_ordered_and_within_what_there_was(times: list[float], one: float, other: float) -> None:
    known = of(times, "none")
    low, high = sorted((one, other))
    assert known.values[0] <= known.least(low) <= known.most(low) <= known.most(high) <= known.values[-1]
