"""From P(late) to AT_RISK and WILL_MISS: the decision apart from the forecast.

A service is at risk from its alarm on, and stays so until P(late) is half of that; it will miss from even odds on, and
stays so until they are clearly better. So a forecast that wavers is told once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from console.model.values import Estate, ServiceFacts, Stood
from console.model.words import Timeliness

EVEN = 0.5
BETTER = 0.35
"""From even odds down to here what was told as missed is not told as saved."""
CALM = 0.5
"""Share of the alarm below which a service is not at risk any more."""
AT_FIRST = 0.25
"""The alarm while too few days are known: deadlines lie amid the finishes, and services that miss one day in fifteen
reach ten in a hundred on many days."""
DAYS = 30
"""One false alarm in so many days is put up with, and so many days in time are seen before the past counts."""
STEP = 0.01
"""In which P(late) is told."""
AHEAD = timedelta(minutes=5)
"""An act-by that has passed is one that lies ahead again only by more than this."""


def judged(late: float, alarm: float, was: Stood | None) -> Timeliness:
    """By the forecast alone. `alarm`: the P(late) from which on it is at risk; `was`: how it was judged last, None:
    in no danger. What was in danger for a cause, and has none any more, is judged as if it never was."""
    before = was.timeliness if was is not None and not was.has_cause else None
    if late > (BETTER if before is Timeliness.WILL_MISS else EVEN):
        return Timeliness.WILL_MISS
    return Timeliness.AT_RISK if late >= (alarm * CALM if before is not None else alarm) else Timeliness.ON_TIME


def alarm_of(estate: Estate, service: ServiceFacts) -> float:
    """The P(late) from which on it is at risk: what would have been a false alarm on one day in thirty, by its own
    past; not below the risk that its config names, nor above even odds."""
    calm = sorted((peak for peak, was_late in estate.peaks.get(service.name, ()) if not was_late), reverse=True)
    if len(calm) < DAYS:
        return min(max(service.risk, AT_FIRST), EVEN)
    return min(max(service.risk, calm[len(calm) // DAYS] + STEP), EVEN)


def has_passed(act_by: datetime, now: datetime, was: Stood | None) -> bool:
    """True where a restart comes too late."""
    told = was is not None and was.has_cause and was.timeliness is Timeliness.WILL_MISS
    return now > act_by - (AHEAD if told else timedelta(0))
