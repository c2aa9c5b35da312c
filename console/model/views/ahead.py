"""What the forecast of a service day leaves to one job below it that runs or waits."""

from __future__ import annotations

from datetime import datetime

from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class JobAheadView:
    """One job within one service day, from the same simulation as the service's own figures."""

    service: str
    """Title of the service day; of a service that is promised end to end with its instance."""
    name: str
    """The service's own name."""
    bd: str
    zone: str
    deadline: datetime
    job: str
    p_late: float
    """The probability that its own part makes the service late."""
    decides: float
    """The probability that it is on the path that decides the service's finish."""
    p50: datetime
    p80: datetime
    p95: datetime
    slack_s: float | None
    """Seconds by which its finish may move, in the median; None: it moves nothing."""
    act_by: datetime | None
    """The latest start at which P(late) stays within the service's risk; None: no start does."""
    green_by: datetime | None
    source: str
    """Whose word its usual time is: "history (14 runs)", "declared, varies like 8 jobs", "like 12 jobs"."""
