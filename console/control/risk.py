"""From P(late) to AT_RISK and WILL_MISS: the decision apart from the forecast.

A service is at risk from its alarm on, and stays so until P(late) is half of that; it will miss from even odds on, and
stays so until they are clearly better. So a forecast that wavers is told once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from console.model.values import Estate, ServiceFacts
from console.model.words import Timeliness

EVEN = 0.5
BETTER = 0.35
"""From even odds down to here what was told as missed is not told as saved."""
CALM = 0.5
"""Share of the alarm below which a service is not at risk any more."""
DAYS = 30
"""One false alarm in so many days is put up with, and so many days in time are seen before the past counts."""
STEP = 0.01
"""In which P(late) is told."""
AHEAD = timedelta(minutes=5)
"""An act-by that has passed is one that lies ahead again only by more than this."""


def judged(late: float, alarm: float, was: Timeliness | None) -> Timeliness:
    """By the forecast alone. `alarm`: the P(late) from which on it is at risk; `was`: how it was judged last, None:
    in no danger."""
    if late > (BETTER if was is Timeliness.WILL_MISS else EVEN):
        return Timeliness.WILL_MISS
    return Timeliness.AT_RISK if late >= (alarm * CALM if was is not None else alarm) else Timeliness.ON_TIME


def alarm_of(estate: Estate, service: ServiceFacts) -> float:
    """The P(late) from which on it is at risk: the risk that its config names, or more, where that would have been a
    false alarm more often than one day in thirty. At most even odds."""
    calm = sorted((peak for peak, was_late in estate.peaks.get(service.name, ()) if not was_late), reverse=True)
    if len(calm) < DAYS:
        return service.risk
    return min(max(service.risk, calm[len(calm) // DAYS] + STEP), EVEN)


def has_passed(act_by: datetime, now: datetime, was: Timeliness | None) -> bool:
    """True where a restart comes too late."""
    return now > act_by - (AHEAD if was is Timeliness.WILL_MISS else timedelta(0))
