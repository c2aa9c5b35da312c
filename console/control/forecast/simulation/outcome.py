"""What the columns of a view say of one service: P(late), quantiles, mean and spread of its finish."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from console.control.forecast.simulation.values import Floats, within

HAIR = 0.003
"""Share of the time left by which a finish near the deadline counts as partly late. More would smear the deadline,
which lies amid the finishes."""


@dataclass(frozen=True)
class Outcome:
    finish: Floats
    """By column."""
    weights: Floats
    """By column; they add up to 1."""

    def late(self, deadline: float, now: float) -> float:
        hair = max(HAIR * (deadline - now), 1.0)
        return float(self.weights @ (1 / (1 + np.exp(-within((self.finish - deadline) / hair, -30, 30)))))

    @cached_property
    def mean(self) -> float:
        return float(self.weights @ self.finish)

    @cached_property
    def spread(self) -> float:
        """Standard deviation and a second."""
        return float(np.sqrt(self.weights @ (self.finish - self.mean) ** 2)) + 1.0


def quantiles(finish: Floats, weights: Floats, shares: Floats) -> Floats:
    """Of weighted values, between neighbours by a straight line."""
    order = finish.argsort(kind="stable")
    its = weights[order]
    place = its.cumsum() - its / 2
    return np.interp(shares, place / weights.sum(), finish[order])
