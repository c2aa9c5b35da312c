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
