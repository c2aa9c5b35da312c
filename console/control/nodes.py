"""The jobs of one service day, as a forecast sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from console.control.held import KeptBack
from console.model.decisions import Spread
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


class Finish(NamedTuple):
    """When something is done: in half, in nine of ten, in nineteen of twenty of all cases."""

    p50: datetime
    p90: datetime
    p95: datetime

    @classmethod
    def at(cls, moment: datetime) -> Finish:
        """No doubt about it."""
        return cls(moment, moment, moment)

    def no_earlier(self, than: Finish) -> Finish:
        """The later of both, case by case."""
        return Finish(max(self.p50, than.p50), max(self.p90, than.p90), max(self.p95, than.p95))

    def after(self, takes: Spread) -> Finish:
        """What begins then and takes so long."""
        return Finish(self.p50 + takes.p50, self.p90 + takes.p90, self.p95 + takes.p95)


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
    kept: KeptBack | None = None
    """What keeps its start back, whatever its upstreams do."""

    @property
    def starts_at(self) -> datetime | None:
        """Not before then: its clock's instant, or the end of what keeps that back; None where neither is known."""
        until = self.kept.until if self.kept is not None else None
        return max(filter(None, (self.due, until)), default=None)
