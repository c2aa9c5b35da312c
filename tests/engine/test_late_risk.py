"""The learned figures that are shipped: readable, and of one mind with the columns where these are sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.forecast.calibration.recalibrate import PRIOR, ServiceNight, learn
from console.control.forecast.calibration.tell import tell
from console.control.forecast.simulation.look import answer, look, night
from console.control.forecast.simulation.values import Graph, Past, Promise, Stand, Tonight
from console.engine.late_risk import shipped
from tests.control.test_late_risk import PROMISE, seen_at


@pytest.fixture
def chain() -> Past:
    takes = 600.0 * np.exp(0.1 * np.random.default_rng(1).standard_normal((60, 2)))
    return Past(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))


def test_the_shipped_figures_call_a_lost_deadline_lost_and_an_easy_one_easy(chain: Past) -> None:
    ready = np.array([0.0, np.nan])
    tonight = Tonight(np.array([Stand.RUNS, Stand.WAITS]), ready, ready, np.full(2, np.nan))
    seen = look(tonight, 500.0, night(chain, Graph([[], [0]], np.zeros(2)), [1]))
    promises = [Promise("payments", np.array([1]), each) for each in (900.0, 1200.0, 1600.0)]
    lost, even, easy = (tell(seen, each, shipped(), PRIOR).own for each in promises)
    assert easy < 0.05 < even < 0.85 < lost


@given(
    seed=st.integers(0, 40),
    now=st.floats(1.0, 1100.0),
    deadlines=st.lists(st.floats(5.0, 4000.0), min_size=2, max_size=6),
    lost=st.booleans(),
)
def test_a_deadline_that_is_extended_never_raises_what_is_told(
    seed: int, now: float, deadlines: list[float], lost: bool
) -> None:
    """Whatever was learned elsewhere, and by one's own past."""
    slopes = learn([ServiceNight(np.array([0.3, 0.6]), lost, night) for night in range(30)])
    seen = seen_at(now, seed, factor=1.0 + seed / 40)
    promises = [replace(PROMISE, deadline=now + each) for each in sorted(deadlines)]
    told = [answer(tell(seen, each, shipped(), slopes).look, each).late for each in promises]
    assert told == sorted(told, reverse=True)
