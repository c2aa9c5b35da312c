"""When a service was delivered on earlier nights, as if their deadline had been tonight's: lateness comes in spells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time
from functools import lru_cache

import numpy as np

from console.control.forecast.past_nights import JobPast
from console.control.forecast.simulation.values import Floats, Truths, Whole
from console.control.forecast.sums import Forecast
from console.control.zones import time_in_window, zone_of

MOST = 60
"""Nights that are looked at."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Oldest first."""

    at: Floats = field(default_factory=lambda: np.empty(0))
    """Since 1970, on tonight's date: as far from tonight's deadline as it was from its own."""
    was_late: Truths = field(default_factory=lambda: np.empty(0, bool))


NONE = Deliveries()


def deliveries(day: Forecast, ends: Sequence[JobPast]) -> Deliveries:
    """`ends`: of the jobs that deliver it. NONE where its deadline counts from a start, or a job's runs belong to no
    night; the nights on which all of them succeeded."""
    if day.service.promise.deadline.after_start is not None or day.service.instance is not None or not ends:
        return NONE
    nights: Whole = ends[0].days
    for each in ends[1:]:
        nights = np.intersect1d(nights, each.days)
    nights = np.unique(nights[nights < day.bd.toordinal()])[-MOST:]
    if not len(nights):
        return NONE
    ended = np.max([_ended(each, nights) for each in ends], axis=0)
    service = day.service
    of = (service.promise.deadline.day, service.deadline, service.zone, service.cutoff)
    late_by = ended - np.array([_deadline(int(night), *of) for night in nights])
    return Deliveries((day.promised or day.deadline).timestamp() + late_by, late_by > 0)


def _ended(past: JobPast, nights: Whole) -> Floats:
    """The last of each night."""
    order = np.argsort(past.days, kind="stable")
    return past.ended[order[np.searchsorted(past.days[order], nights, side="right") - 1]]


@lru_cache(maxsize=65536)
def _deadline(night: int, later: int, clock: time, zone: str, cutoff: time) -> float:
    """Since 1970, by the clock of its zone."""
    return time_in_window(date.fromordinal(night + later), clock, zone_of(zone), cutoff).timestamp()
