"""How jobs of all systems hang together around one of them, as commands show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LineageJob:
    """A job that a scheduler starts, with its latest run, or that of one business date."""

    id: int
    name: str
    system: str
    state: str
    """ "unknown" for what is out of sight; empty where it has not run."""
    is_red: bool
    period_key: str
    at: datetime | None
    """When that run ended, or started, or was due."""
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class LineageView:
    """Everything upstream and downstream of one job. A task counts as its DAG."""

    job_id: int
    """Of what the scheduler starts: the DAG, where a task was asked for."""
    bd: str
    """Of the run that was asked for; empty: the latest runs."""
    jobs: dict[int, LineageJob]
    edges: tuple[tuple[int, int], ...]
    """(upstream, downstream), each once."""
    services: dict[str, tuple[int, ...]]
    """Name of each service that ends among these jobs -> its terminals among them."""


@dataclass(frozen=True, slots=True)
class LineageRun:
    """One of the latest runs of a job, as far as it tells what read it."""

    id: int
    job_id: int
    bd: str
    state: str
    started: datetime | None
    ended: datetime | None
    stale_read: bool
