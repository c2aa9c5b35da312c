"""From P(late) to AT_RISK and WILL_MISS: the decision apart from the forecast.

A service is at risk from its alarm on, and stays so until P(late) is half of that; it will miss from even odds on, and
stays so until they are clearly better. So a forecast that wavers is told once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.model.forecasts import Peak, percent
from console.model.values import Stood
from console.model.words import Timeliness

EVEN = 0.5
BETTER = 0.35
"""From even odds down to here what was told as missed is not told as saved."""
CALM = 0.5
"""Share of the alarm below which a service is not at risk any more."""
AT_FIRST = 0.25
"""The alarm while too few days are known: deadlines lie amid the finishes, and services that miss one day in fifteen
reach ten in a hundred on many days."""
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


@dataclass(frozen=True, slots=True)
class Alarm:
    late: float
    """The P(late) from which on a service is at risk."""
    risk: float
    """Its own, by its config."""
    days: int
    """Days in time that are known."""
    budget: int
    """One false alarm in so many days is put up with; before so many are known its past does not count."""
    back_tested: int = 0
    """How many of `days` are known by a back-test, not by what was told of them."""

    @property
    def is_learned(self) -> bool:
        """Whether enough days are known for the alarm to keep its budget: then whoever is at risk is told."""
        return self.days >= self.budget

    @property
    def words(self) -> str:
        """ "at risk from 25 % on: 12 of 30 days in time are known (2 told, 10 back-tested); then by its risk, 10 %, and
        its own past"."""
        risk, first = f"its risk, {percent(self.risk)}", f"at risk from {percent(self.late)} on"
        known = f"{self.days} of {self.budget} days in time are known{self._by(' ({})')}"
        if not self.is_learned:
            return (
                f"{first}, its risk: {known}"
                if self.late == self.risk
                else (f"{first}: {known}; then by {risk}, and its own past")
            )
        known = f"{self.days} days in time are known{self._by(', {}')}"
        if self.late == self.risk:
            return f"{first}, its risk: {known}"
        return f"{first}: one day in {self.budget} in time came near that; {known}; its risk is {percent(self.risk)}"

    def _by(self, shown: str) -> str:
        told = self.days - self.back_tested
        return shown.format(f"{told} told, {self.back_tested} back-tested") if self.days else ""


def alarm_of(risk: float, budget: int, peaks: Iterable[Peak]) -> Alarm:
    """What would have been a false alarm on one day in `budget`; not below the service's own risk, nor above even odds.
    `peaks`: of each of its days the highest P(late) in time."""
    known = [one for one in peaks if not one.was_late]
    calm = sorted((one.late for one in known), reverse=True)
    least = AT_FIRST if len(calm) < budget else max(calm[len(calm) // budget :], default=0.0) + STEP
    return Alarm(min(max(risk, least), EVEN), risk, len(calm), budget, sum(not one.is_told for one in known))


def has_passed(act_by: datetime, now: datetime, was: Stood | None) -> bool:
    """True where a restart comes too late."""
    told = was is not None and was.has_cause and was.timeliness is Timeliness.WILL_MISS
    return now > act_by - (AHEAD if told else timedelta(0))
