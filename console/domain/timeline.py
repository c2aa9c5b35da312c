"""One night: the services of a business date, and the jobs on their critical paths with their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from console.domain.forecast import PublishedForecast
from console.domain.service import ServiceView


@dataclass(frozen=True, slots=True)
class TimelineAttempt:
    started: datetime
    ended: datetime | None
    state: str
    requested: bool = False
    """By an action of Headway."""


@dataclass(frozen=True, slots=True)
class TimelineRun:
    """One run of a job on the business date."""

    id: int
    at: datetime
    """Its place among the runs of the job: the period's instant, else its first start."""
    due: datetime | None
    """Its period, before which the schedule does not start it; of a service's path None unless a schedule demanded it.
    """
    state: str
    tries: tuple[TimelineAttempt, ...]
    """By start."""
    period_name: str = ""
    """Its period as its source names it, which no other run covers; empty without one."""


@dataclass(frozen=True, slots=True)
class TimelineJob:
    """A job on the critical path of a service."""

    id: int
    name: str
    usual_s: float | None
    """p50; None if unknown."""
    late_s: float | None
    """p95; p90 if judged before p95 was stored."""
    source: str
    """ "history", "declared", "none"."""
    runs: tuple[TimelineRun, ...]
    waits_for: str = ""
    """Of the present night: the open incident's root without which it does not start."""
    expected: datetime | None = None
    """Forecast of its end."""
    next_start: datetime | None = None
    """Of the present night: its next start, as tables of jobs have it."""
    due: datetime | None = None
    """Forecast: when its clock starts the run that the service reads; None once that has begun."""


@dataclass(frozen=True, slots=True)
class TimelineView:
    """One business date."""

    business_date: str
    now: datetime
    services: tuple[ServiceView, ...]
    """By tier and name."""
    paths: dict[int, tuple[int, ...]]
    """Index of the service -> job ids along its critical path, first to last."""
    jobs: dict[int, TimelineJob]
    dates: tuple[str, ...]
    """Selectable business dates, oldest first."""
    foreseen: Mapping[int, Mapping[int, tuple[datetime, datetime]]] = field(default_factory=dict)
    """Of the present night: index of the service -> job id -> p50 and p95 of its end, from the service's own
    simulation."""
    published: Mapping[int, tuple[PublishedForecast, ...]] = field(default_factory=dict)
    """Index of the service -> its published forecasts, oldest first."""


@dataclass(frozen=True, slots=True)
class PathJobBaseline:
    """Usual times of a job of the path, from its past nights."""

    takes: float | None = None
    """Seconds at its present level, if that shifted; None: as its whole history says."""
    waits: float = 0.0
    """Seconds between the earliest possible start and the start."""
    moved: str = ""
    """The shift in duration as text; empty if none."""
