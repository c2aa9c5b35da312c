"""What is told of services beyond tonight."""

from __future__ import annotations

from datetime import datetime

from console.model.attainment import Attainment
from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class AttainmentView:
    """How often one service kept its promise."""

    service: str
    title: str
    tier: int
    attainment: Attainment
    counted: str = "days"
    """What is counted: "days", of a service that is promised end to end "submissions"."""


@dataclass(frozen=True, slots=True)
class TryView:
    """One attempt, as its source told it."""

    started: datetime
    ended: datetime | None
    state: str
    asked: bool
    """By an action of ours."""


@dataclass(frozen=True, slots=True)
class PathRunView:
    """One run of a job on the service's business date."""

    at: datetime
    """Its place among the runs of the job: the period's instant, else its first start."""
    due: datetime | None
    """The instant at which it had to start; None where no schedule demanded it."""
    tries: tuple[TryView, ...]
    """By start."""


@dataclass(frozen=True, slots=True)
class PathJobView:
    """One job of a service's critical path, with its runs of the business date, in order."""

    job: str
    usual_s: float | None
    source: str
    """Where that figure comes from: "history", "declared", "none"."""
    runs: tuple[PathRunView, ...]
    job_id: int = 0
    expected: datetime | None = None
    """When its forecast says that it will be done; None: it is not told."""


@dataclass(frozen=True, slots=True)
class PathUsual:
    """What is usual for one of these jobs by its past nights."""

    takes: float | None = None
    """Seconds at its present level, where that moved; None: as all of its past says."""
    waits: float = 0.0
    """Seconds from when it could start to when it does."""
    moved: str = ""
    """Since when it takes another time, in words; empty where it does not."""
