"""P(late) as one's own past corrects it."""

from __future__ import annotations

import numpy as np

from console.control.forecast.calibration.own_past import corrected
from console.control.forecast.calibration.recalibrate import PRIOR, ServiceNight, learn

LATE = [ServiceNight(np.array([0.3, 0.4]), was_late=True, night=night) for night in range(60)]
CALM = [ServiceNight(np.array([0.6, 0.7]), was_late=False, night=night) for night in range(60)]


def test_the_past_corrects_both_ways() -> None:
    assert corrected(0.3, learn(LATE)) > 0.31
    assert corrected(0.7, learn(CALM)) < 0.69


def test_without_a_past_it_is_told_as_it_is() -> None:
    assert (0.0, 0.3, 1.0) == tuple(corrected(each, PRIOR) for each in (0.0, 0.3, 1.0))
