"""One night: the services of a business date, and the jobs on their critical paths with all that ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from console.domain.forecast import PublishedForecast
from console.domain.service import ServiceView


@dataclass(frozen=True, slots=True)
class TimelineAttempt:
    """One attempt that began."""

    started: datetime
    ended: datetime | None
    state: str


@dataclass(frozen=True, slots=True)
class TimelineRun:
    """One run of a job on the business date."""

    id: int
    at: datetime
    """Its place among the runs of the job: the period's instant, else its first start."""
    due: datetime | None
    """The instant of its period, before which its clock does not start it; None where it has none."""
    state: str
    tries: tuple[TimelineAttempt, ...]
    """By start."""


@dataclass(frozen=True, slots=True)
class TimelineJob:
    """A job on the critical path of a service."""

    id: int
    name: str
    usual_s: float | None
    """p50 of what it takes; None where nobody knows."""
    late_s: float | None
    """p95 of it; p90 of a night that was judged before that was known."""
    source: str
    """Where both come from: "history", "declared", "none"."""
    runs: tuple[TimelineRun, ...]
    """In order."""
    waits_for: str = ""
    """The root of an open incident without which it does not start; of the present night."""


@dataclass(frozen=True, slots=True)
class TimelineView:
    """What there was, is and will be of one business date."""

    business_date: str
    now: datetime
    services: tuple[ServiceView, ...]
    """By tier and name."""
    paths: dict[int, tuple[int, ...]]
    """Place among the services -> job ids along its critical path, first to last."""
    jobs: dict[int, TimelineJob]
    dates: tuple[str, ...]
    """Business dates that can be looked at, oldest first."""
    foreseen: Mapping[int, Mapping[int, tuple[datetime, datetime]]] = field(default_factory=dict)
    """Of the present night: place among the services -> job id -> its finish in half of all cases and in nineteen of
    twenty, from the simulation that the service's own finish is from."""
    told: Mapping[int, tuple[PublishedForecast, ...]] = field(default_factory=dict)
    """Place among the services -> what was forecast of it, oldest first: at an earlier moment that is how it looked."""


@dataclass(frozen=True, slots=True)
class PathAttemptView:
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
    tries: tuple[PathAttemptView, ...]
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
class PathJobBaseline:
    """What is usual for one of these jobs by its past nights."""

    takes: float | None = None
    """Seconds at its present level, where that moved; None: as all of its past says."""
    waits: float = 0.0
    """Seconds from when it could start to when it does."""
    moved: str = ""
    """Since when it takes another time, in words; empty where it does not."""
