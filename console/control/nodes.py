"""The jobs of one service day, as a forecast sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from console.model.values import RunFacts


class How(StrEnum):
    """What a job of the day still needs."""

    DONE = "done"
    OVER = "over"
    """Ended without being proved good or bad."""
    RUNNING = "running"
    RERUN = "rerun"
    """Red or stale: it must run again."""
    CLOCK = "clock"
    """Starts by the clock, whatever its upstreams do."""
    WAITS = "waits"
    """Starts when its upstreams are done."""
    UNKNOWN = "unknown"
    """Nothing says when it starts."""


@dataclass(frozen=True, slots=True)
class Finish:
    p50: datetime
    p90: datetime


@dataclass(frozen=True, slots=True)
class Node:
    """One job of a service on one business date."""

    job_id: int
    run: RunFacts | None
    how: How
    due: datetime | None
    """The clock start that is still ahead or unfulfilled."""
    stale: bool
    finish: Finish | None
    """None: no estimate, here or upstream."""
    after: int | None
    """The upstream that it waits for longest."""
