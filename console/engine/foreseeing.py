"""The simulation as the engine asks it: what breaks in it is told and never keeps anybody from being told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from console.clean import clean_line
from console.control.forecast import Forecast
from console.control.forecast.foresee import Foresight
from console.control.forecast.points import Point
from console.control.picture import Picture
from console.engine.late_risk import shipped

log = structlog.get_logger("headway.forecast")

NAMED = 3
"""More services than these are counted."""
FORGOTTEN_SECONDS = 600.0
"""Real seconds after which a failure counts no more that nothing has repeated: its service is gone."""


class Foreseeing:
    """As `control.forecast.odds.Foresee`. Where the simulation fails, the days keep their sums."""

    def __init__(self, otherwise: Callable[[Point], Point] = lambda point: point) -> None:
        """`otherwise`: what each point is instead; for counterfactuals."""
        self.trouble = ""
        """Which services cannot be simulated, in words that stay the same while that is so; empty while all can."""
        self._foresight = Foresight(otherwise, self._fails, shipped())
        self._failing: dict[str, tuple[str, float]] = {}
        """Service -> what its simulation raised last, and time.monotonic() then."""
        self._logged: set[str] = set()

    def __call__(self, picture: Picture, days: Sequence[Forecast]) -> list[Forecast]:
        for day in days:
            self._failing.pop(day.service.name, None)
        found = self._foresight(picture, days)
        self._tell()
        return found

    def _fails(self, days: Sequence[Forecast], error: Exception) -> None:
        names = sorted({day.service.name for day in days})
        self._failing |= dict.fromkeys(names, (type(error).__name__, time.monotonic()))
        if not self._logged.issuperset(names):
            log.error("the simulation failed; forecasts are sums until it is well", services=names, exc_info=error)
        self._logged.update(names)

    def _tell(self) -> None:
        since = time.monotonic() - FORGOTTEN_SECONDS
        self._failing = {name: failed for name, failed in self._failing.items() if failed[1] > since}
        names = sorted(self._failing)
        self._logged.intersection_update(names)
        kinds = ", ".join(sorted({kind for kind, _ in self._failing.values()}))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        told = f"{', '.join(map(clean_line, names[:NAMED]))}{more}"
        self.trouble = f"{kinds}: these services cannot be simulated, their forecasts are sums: {told}" if names else ""
