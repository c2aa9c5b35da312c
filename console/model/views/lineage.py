"""How jobs of all systems hang together around one of them, as commands show it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from console.model.frozen import dataclass


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
    """Of its latest run, also where the next one is shown."""
    before: str = ""
    """State of the latest run, where another is expected soon and that is what is shown: a green dot of last night
    says nothing of tonight."""
    before_at: datetime | None = None
    waits_for: str = ""
    """The root of an open incident without which it does not start."""
    stale_since: datetime | None = None
    """Since when nobody sees its target; None while it is seen."""


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
    period_key: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    """(job, period key) of the runs that it read, as far as its source told; empty where it tells nothing."""


class Read(NamedTuple):
    """What one run read of one upstream."""

    reader: LineageRun
    read: LineageRun | None
    """None: no run of it was there, or the one that is told is not among the latest."""
    is_told: bool = False
    """By its source; else it is derived from when runs started and ended."""
