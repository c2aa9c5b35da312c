"""From a failure to the restart: someone has to look first.

Source: the logarithm of repair times is about normal (Kline 1984, on corrective maintenance); the estate's own repairs
against a prior of 25 minutes that is worth three of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.residual import beyond
from console.control.forecast.simulation.values import Floats

PRIOR, PRIOR_SPREAD, PRIOR_REPAIRS = 1500.0, 0.8, 3.0
"""Seconds; in logarithms; how many repairs the prior is worth."""
SHORTEST = 10.0


@dataclass(frozen=True, slots=True)
class Repair:
    """In logarithms of seconds."""

    center: float
    spread: float

    def taking(self, share: Floats) -> Floats:
        """Seconds, by the share of repairs that are quicker (a logistic curve in the normal's place)."""
        within = share * 0.98 + 0.01
        return np.asarray(np.exp(self.center + self.spread * np.log(within / (1 - within)) / 1.7))


def repair(repairs: Floats) -> Repair:
    """Of all the estate's repairs, s, not finite where none was."""
    seen = np.log(np.maximum(repairs[np.isfinite(repairs)], SHORTEST))
    center = (PRIOR_REPAIRS * np.log(PRIOR) + seen.sum()) / (PRIOR_REPAIRS + len(seen))
    squares = PRIOR_REPAIRS * PRIOR_SPREAD**2 + ((seen - center) ** 2).sum()
    return Repair(float(center), float(np.sqrt(squares / (PRIOR_REPAIRS + len(seen)))))


def restarts(of: Repair, weights: Floats, elapsed: Floats) -> Floats:
    """Seconds from the failure to the restart, failures x columns, once `elapsed` (by failure) is over without one."""
    times = of.taking((np.arange(len(weights)) * 0.618034 + 0.5) % 1)
    every = np.repeat(times[None, :], len(elapsed), axis=0)
    return beyond(every, weights, elapsed, np.full(len(elapsed), np.exp(of.center)))
