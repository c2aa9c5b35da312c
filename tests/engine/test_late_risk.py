"""The learned figures that are shipped: readable, and of one mind with the columns where these are sure."""

from __future__ import annotations

import numpy as np
import pytest

from console.control.forecast.look import look, night
from console.control.forecast.tell import tell
from console.control.forecast.values import Graph, Past, Promise, Stand, Tonight
from console.engine.late_risk import shipped


@pytest.fixture
def chain() -> Past:
    takes = 600.0 * np.exp(0.1 * np.random.default_rng(1).standard_normal((60, 2)))
    return Past(takes, np.zeros_like(takes), np.full(takes.shape, np.nan))


def test_the_shipped_figures_call_a_lost_deadline_lost_and_an_easy_one_easy(chain: Past) -> None:
    ready = np.array([0.0, np.nan])
    tonight = Tonight(np.array([Stand.RUNS, Stand.WAITS]), ready, ready, np.full(2, np.nan))
    seen = look(tonight, 500.0, night(chain, Graph([[], [0]], np.zeros(2)), [1]))
    past = chain.takes.sum(axis=1)
    promises = [Promise("payments", np.array([1]), each, past, np.full(60, 1500.0)) for each in (900.0, 1200.0, 1600.0)]
    lost, even, easy = (each.late for each in tell(seen, promises, shipped()))
    assert easy < 0.05 < even < 0.85 < lost
