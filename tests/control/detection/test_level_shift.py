"""A level shift is reported with its nights and figures; a wild night or a negligible drift is not."""

from __future__ import annotations

import numpy as np
import pytest

from console.forecast.usual import level_shift
from tests.rows import each_row


def nights(seed: int, count: int = 60, spread: float = 0.08) -> list[float]:
    return list(480.0 * np.exp(spread * np.random.default_rng(seed).standard_normal(count)))


@each_row("factor", [1.5, 0.6])
@each_row("since", [3, 5, 14])
def test_a_level_that_moved_is_found_to_the_night(factor: float, since: int) -> None:
    times = nights(since)
    times[-since:] = [factor * time for time in times[-since:]]
    times[10] = np.nan
    shift = level_shift(times)
    assert shift is not None
    assert shift.nights == pytest.approx(since, abs=1)
    assert (shift.before, shift.since) == pytest.approx((480.0, 480.0 * factor), rel=0.1)


def test_jobs_that_only_vary_are_left_alone() -> None:
    seeds = [seed for seed in range(300) if level_shift(nights(seed, spread=0.25)) is not None]
    assert len(seeds) <= 6, "one in fifty at most"


def test_one_wild_night_few_nights_and_what_moved_long_ago_are_none() -> None:
    wild, long_ago = nights(1), nights(2)
    wild[-1] *= 4
    long_ago[-40:] = [1.5 * value for value in long_ago[-40:]]
    little = nights(4, spread=0.01)
    little[-10:] = [1.1 * value for value in little[-10:]]
    assert level_shift(wild) is None
    assert level_shift(little) is None
    assert level_shift(long_ago) is None
    assert level_shift(nights(3, count=6)) is None
    assert level_shift(np.full(20, np.nan)) is None
