"""Counterfactuals: the same night, of which one job goes otherwise, or a pool has more slots, or a plan is carried out.
All else draws as it does without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from console.control.forecast.points import UNKNOWN, Point
from console.control.forecast.simulation.start_rules import Rerun
from console.control.forecast.simulation.values import Stand


class Otherwise(StrEnum):
    RESTARTED = "restart"
    SKIPPED = "skip"
    FASTER = "faster"
    SLOTS = "slots"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What goes otherwise."""

    job_id: int
    """0 where a pool has more slots."""
    how: Otherwise
    at: datetime
    """Of a restart: when."""
    factor: float = 1.0
    """Of one that is faster: the share of its time that it takes. Of a pool: so many times as many slots."""
    pool: str = ""

    def __call__(self, point: Point) -> Point:
        if self.how is Otherwise.SLOTS:
            has = point.pool is not None and point.pool.name == self.pool
            return replace(point, slots=round(self.factor * point.pool.slots)) if has and point.pool else point
        if point.job_id != self.job_id or not point.takes:
            return point
        if self.how is Otherwise.FASTER:
            return replace(point, factor=self.factor)
        if point.stand is Stand.DONE:
            return point
        point = replace(point, failed=point.failed or point.stand is Stand.FAILED)
        at = self.at.timestamp()
        if self.how is Otherwise.SKIPPED:
            return _done(point, at)
        return replace(point, stand=Stand.WAITS, upstreams=(), rule=None, earliest=at, start=UNKNOWN)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan is carried out from now on: what is red is restarted at once, and what is held waits for what it reads and
    not for a start of its clock in between."""

    now: datetime
    runs: frozenset[int]
    """Jobs that it runs again."""
    held: frozenset[int]
    """Jobs that it keeps from starting by their clock, and starts."""
    done: frozenset[int]
    """Jobs that it skips or marks."""

    def __call__(self, point: Point) -> Point:
        at = self.now.timestamp()
        if not point.takes or point.stand is Stand.DONE:
            return point
        if point.job_id in self.done:
            return replace(_done(point, at), failed=point.stand is Stand.FAILED)
        if point.job_id in self.held and isinstance(point.rule, Rerun):
            above = tuple(each for each in point.upstreams if each != point.rule.first)
            return replace(point, rule=None, upstreams=above, earliest=point.due)
        if point.job_id in self.runs and point.stand is Stand.FAILED:
            return replace(point, stand=Stand.WAITS, earliest=at, start=UNKNOWN, end=UNKNOWN, failed=True)
        return point


def _done(point: Point, at: float) -> Point:
    return replace(point, stand=Stand.DONE, upstreams=(), rule=None, start=at, end=at, says=False)
