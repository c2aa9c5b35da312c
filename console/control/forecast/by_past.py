"""P(late) as one's own earlier forecasts correct it, by what became of them; and the risk that then means the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.control.forecast.logits import logit, share_of
from console.control.forecast.recalibrate import PRIOR, Told, learn, recalibrated
from console.control.forecast.values import Floats
from console.model.chance import PastForecasts

EVEN, LEAST = 0.5, 0.01
"""Even odds, and what is told of those that are hardly worse."""
NIGHT_S = 12 * 3600.0
"""So long before its deadline a night begins, by which the share of it that is over is counted."""


class ByPast:
    """Whoever forecasts again holds it: of the same past it is learned once."""

    def __init__(self) -> None:
        self._of: Sequence[PastForecasts] = ()
        self._slopes = PRIOR

    def slopes(self, forecasts: Sequence[PastForecasts]) -> Floats:
        if forecasts is not self._of:
            nights = [
                Told(np.array(one.late), np.array([share_over(a) for a in one.ahead_s]), one.was_late, one.night)
                for one in forecasts
            ]
            self._of, self._slopes = forecasts, learn(nights)
        return self._slopes


def share_over(ahead_s: float) -> float:
    """Of the time to the deadline."""
    return float(np.clip(1 - ahead_s / NIGHT_S, 0.0, 1.0))


def told(own: float, ahead_s: float, slopes: Floats) -> float:
    """P(late) as it is told, of the simulation's own; as it is without anything learned, and once the deadline is
    over. It stays on its side of even odds, where the expected finish is, which nothing corrects."""
    if slopes is PRIOR or ahead_s <= 0:
        return own
    corrected = recalibrated(own, share_over(ahead_s), slopes)
    return min(corrected, EVEN) if own <= EVEN else max(corrected, EVEN + LEAST)


def own_risk(risk: float, late: float, own: float) -> float:
    """The share of the samples that stands for this risk where `own` was told as `late`: moved by as much in the
    logit."""
    return risk if late == own else float(share_of(logit(risk) - logit(late) + logit(own)))
