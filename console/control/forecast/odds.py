"""What the simulation says of one service day, as the verdict, the screens and the alerts use it: plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from console.model.forecasts import JobAhead

if TYPE_CHECKING:
    from console.control.forecast.sums import Forecast
    from console.control.picture import Picture


@dataclass(frozen=True, slots=True)
class Clocks:
    """Of what is broken on a service day, all of it restarted at once."""

    act_by: datetime
    """The latest restart at which P(late) stays within the service's risk. It may have passed."""
    green_by: datetime
    """The same for its end."""


@dataclass(frozen=True, slots=True)
class Odds:
    """One service day, from the same columns as all others that it shares a job with."""

    late: float
    """P(late), as it is told."""
    own: float
    """Before it was recalibrated by what became of earlier ones."""
    p80: datetime
    by: datetime
    """By then it is done but for the service's risk."""
    critical: Mapping[int, float]
    """Job -> the probability that the finish is decided by it; without those that never decide."""
    nights: int
    """How many earlier runs it rests on: those of the job of its critical path that has fewest, 0 where one is
    declared."""
    why: str
    """What makes it late, in words with figures; where it hardly will be, what is slower since some night."""
    jobs: tuple[JobAhead, ...]
    """Those below it that run or wait and matter most, of these the upstreams first."""
    clocks: Callable[[Iterable[int]], Clocks | None] = field(compare=False)
    """Of these jobs, broken now; None where no restart helps, or nobody waits for any of them."""
    lost_by: int | None = None
    """The job that costs most of what makes it late, which `why` tells first; None where nothing stands out."""


Foresee = Callable[["Picture", "Sequence[Forecast]"], "list[Forecast]"]
"""The same service days with their figures from the simulation, where it has any."""
