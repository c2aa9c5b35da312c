"""Counterfactuals: the same night, of which one job goes otherwise. All else draws as it does without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from console.control.forecast.laid import Point
from console.control.forecast.values import Stand


class Otherwise(StrEnum):
    RESTARTED = "restart"
    SKIPPED = "skip"
    FASTER = "faster"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What goes otherwise."""

    job_id: int
    how: Otherwise
    at: datetime
    """Of a restart: when."""
    factor: float = 1.0
    """Of one that is faster: the share of its time that it takes."""

    def __call__(self, point: Point) -> Point:
        if point.job_id != self.job_id or not point.takes:
            return point
        if self.how is Otherwise.FASTER:
            return replace(point, factor=self.factor)
        if point.stand is Stand.DONE:
            return point
        at = self.at.timestamp()
        if self.how is Otherwise.SKIPPED:
            return replace(point, stand=Stand.DONE, upstreams=(), rule=None, start=at, end=at, says=False)
        return replace(point, stand=Stand.WAITS, upstreams=(), rule=None, earliest=at, start=float("nan"))
