"""P(late) as one's own past corrects it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.forecast.by_past import told
from console.control.forecast.recalibrate import PRIOR, Told, learn

LATE = [Told(np.array([0.3, 0.4]), np.array([0.2, 0.8]), was_late=True, night=night) for night in range(60)]
CALM = [Told(np.array([0.6, 0.7]), np.array([0.2, 0.8]), was_late=False, night=night) for night in range(60)]


@pytest.mark.parametrize("past", [LATE, CALM], ids=["always late", "never late"])
@given(own=st.floats(0, 1), ahead_s=st.floats(1, 20 * 3600))
def test_what_is_told_stays_on_the_side_of_even_odds_where_the_expected_finish_is(
    past: list[Told], own: float, ahead_s: float
) -> None:
    """Else a service is called 61 % late and expected in time, or expected after its deadline and called on time."""
    assert (told(own, ahead_s, learn(past)) > 0.5) == (own > 0.5)


def test_the_past_corrects_within_a_side() -> None:
    assert told(0.3, 3600.0, learn(LATE)) > 0.31
    assert told(0.7, 3600.0, learn(CALM)) < 0.69


def test_without_a_past_and_after_the_deadline_it_is_told_as_it_is() -> None:
    assert (told(0.3, 3600.0, PRIOR), told(0.3, -1.0, learn(LATE))) == (0.3, 0.3)
