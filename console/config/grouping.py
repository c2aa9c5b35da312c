"""`[incidents]`: when many failures are one incident, and when one comes back."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from console.config.models import Duration, Pause, Strict
from console.model.grouping import Grouping


class IncidentSettings(Strict):
    reopen_within: Duration = timedelta(hours=2)
    """The same root red again this soon after its incident closed reopens it; 0s: each time is a new one."""
    steady_for: Duration = timedelta(minutes=30)
    """What was reopened twice is told again once it has been red or green for so long; 0s: each time."""
    shared_jobs: int = Field(3, ge=2, le=1000)
    """So many jobs that fail with the same host, database or credential in their words are one incident."""
    shared_within: Pause = timedelta(minutes=15)
    """How close together they turn red."""

    def declared(self) -> Grouping:
        steady_for = min(self.steady_for, self.reopen_within)
        return Grouping(self.reopen_within, self.shared_jobs, self.shared_within, steady_for)
