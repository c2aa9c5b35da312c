"""P(late) as one's own earlier forecasts correct it, by what became of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.control.forecast.calibration.recalibrate import PRIOR, ServiceNight, learn, recalibrated
from console.control.forecast.simulation.values import Floats
from console.model.forecasts import PastForecasts


class OwnPast:
    """Whoever forecasts again holds it: of the same past it is learned once."""

    def __init__(self) -> None:
        self._of: Sequence[PastForecasts] = ()
        self._slopes = PRIOR

    def slopes(self, forecasts: Sequence[PastForecasts]) -> Floats:
        if forecasts is not self._of:
            past = [ServiceNight(np.array(each.late), each.was_late, each.night) for each in forecasts]
            self._of, self._slopes = forecasts, learn(past)
        return self._slopes


def corrected(own: float, slopes: Floats) -> float:
    """Of the simulation's own P(late); as it is without anything learned."""
    return own if slopes is PRIOR else recalibrated(own, slopes)
