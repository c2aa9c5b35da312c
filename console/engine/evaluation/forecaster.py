"""Forecasts for the engine: a failing simulation is reported and never keeps a notification from leaving."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from console.control.snapshot.estate_index import EstateIndex
from console.forecast.finish_times import ServiceForecast
from console.forecast.forecaster import Forecaster
from console.forecast.night_graph import NightPoint
from console.text.cleaning import clean_line
from console.text.lists import listed

log = structlog.get_logger("headway.forecast")

NAMES_SHOWN = 3
"""At most so many services are named."""
FAILURE_EXPIRY_SECONDS = 600.0
"""Real seconds after which a failure that did not recur is dropped: its service is gone."""


class ServiceForecaster:
    """Simulates services. If a simulation fails, its service days are forecast by sums of usual durations."""

    def __init__(self, otherwise: Callable[[NightPoint], NightPoint] = lambda point: point) -> None:
        """`otherwise`: replaces points of the night, for what-if scenarios."""
        self.trouble = ""
        """Services whose simulation fails, as text that is stable while they do; empty if none."""
        self._forecaster = Forecaster(otherwise, self._fails)
        self._failing: dict[str, tuple[str, float]] = {}
        """Service -> (last error, time.monotonic() then)."""
        self._logged: set[str] = set()

    def __call__(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> list[ServiceForecast]:
        for day in days:
            self._failing.pop(day.service.name, None)
        forecasts = self._forecaster(index, days)
        self._set_trouble()
        return forecasts

    def _fails(self, days: Sequence[ServiceForecast], error: Exception) -> None:
        names = sorted({day.service.name for day in days})
        self._failing |= dict.fromkeys(names, (type(error).__name__, time.monotonic()))
        if not self._logged.issuperset(names):
            log.error("simulation failed; forecasts are sums until it succeeds", services=names, exc_info=error)
        self._logged.update(names)

    def _set_trouble(self) -> None:
        since = time.monotonic() - FAILURE_EXPIRY_SECONDS
        self._failing = {name: failed for name, failed in self._failing.items() if failed[1] > since}
        names = sorted(self._failing)
        self._logged.intersection_update(names)
        kinds = ", ".join(sorted({kind for kind, _ in self._failing.values()}))
        shown = listed([clean_line(name) for name in names], NAMES_SHOWN)
        text = f"{kinds}: these services cannot be simulated and are forecast by sums of usual durations: {shown}"
        self.trouble = text if names else ""
