"""The simulation as the engine asks it: what breaks in it is logged and never keeps anybody from being told."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from console.control.forecast import Forecast
from console.control.forecast.foresee import Foresight
from console.control.picture import Picture

log = structlog.get_logger("headway.forecast")


class Foreseeing:
    """As `control.forecast.odds.Foresee`. Where the simulation fails, the days keep their sums."""

    def __init__(self) -> None:
        self._foresight = Foresight()
        self._trouble = ""

    def __call__(self, picture: Picture, days: Sequence[Forecast]) -> list[Forecast]:
        try:
            found = self._foresight(picture, days)
        except Exception as error:
            if self._trouble != repr(error):
                self._trouble = repr(error)
                log.error("the simulation failed; forecasts are sums of quantiles until it is well", exc_info=error)
            return list(days)
        self._trouble = ""
        return found
