"""Counterfactuals: the same night with one job changed, a pool resized, or a plan carried out.

All other random draws stay the same, so the difference between two answers is the change alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from console.forecast.night_graph import UNKNOWN, NightPoint
from console.forecast.simulation.values import JobPhase, RerunRule


class Counterfactual(StrEnum):
    RESTARTED = "restart"
    SKIPPED = "skip"
    FASTER = "faster"
    SLOTS = "slots"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One change of the night; replaces its points."""

    job_id: int
    """0 for a pool."""
    how: Counterfactual
    at: datetime
    """Time of a restart; one before its upstreams are done would read old data, and counts once they are."""
    factor: float = 1.0
    """Share of the job's duration, or multiple of the pool's slots."""
    pool: str = ""

    def __call__(self, point: NightPoint) -> NightPoint:
        if self.how is Counterfactual.SLOTS:
            has = point.pool is not None and point.pool.name == self.pool
            return replace(point, slots=round(self.factor * point.pool.slots)) if has and point.pool else point
        if point.job_id != self.job_id or not point.takes:
            return point
        if self.how is Counterfactual.FASTER:
            return replace(point, factor=self.factor)
        if point.phase is JobPhase.DONE:
            return point
        point = replace(point, failed=point.failed or point.phase is JobPhase.FAILED)
        at = self.at.timestamp()
        if self.how is Counterfactual.SKIPPED:
            return _done(point, at)
        own = point.rule.first if isinstance(point.rule, RerunRule) else None  # its start by the clock
        upstreams = tuple(upstream for upstream in point.upstreams if upstream != own)
        return replace(point, phase=JobPhase.WAITS, upstreams=upstreams, rule=None, earliest=at, start=UNKNOWN)


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """A plan executed from now on: red jobs restart at once, held jobs wait for their upstreams instead of starting by
    their schedule."""

    now: datetime
    runs: frozenset[int]
    """Jobs that the plan runs again."""
    held: frozenset[int]
    """Jobs that the plan holds, and starts."""

    def __call__(self, point: NightPoint) -> NightPoint:
        at = self.now.timestamp()
        if not point.takes or point.phase is JobPhase.DONE:
            return point
        if point.job_id in self.held and isinstance(point.rule, RerunRule):
            upstreams = tuple(upstream for upstream in point.upstreams if upstream != point.rule.first)
            return replace(point, rule=None, upstreams=upstreams, earliest=point.due)
        if point.job_id in self.runs and point.phase is JobPhase.FAILED:
            return replace(point, phase=JobPhase.WAITS, earliest=at, start=UNKNOWN, end=UNKNOWN, failed=True)
        return point


def _done(point: NightPoint, at: float) -> NightPoint:
    return replace(point, phase=JobPhase.DONE, upstreams=(), rule=None, start=at, end=at, says=False)
