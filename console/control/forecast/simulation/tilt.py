"""Samples weighted so that they say of one service what is told of it: quantiles, critical path and act-by follow the
one P(late), whatever corrected it.

Source: post-stratification (Holt & Smith 1979): two strata, late and in time, get the share that is known from
elsewhere; within each of them all keep their ratios."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.values import Floats, Truths

UNSEEN = 0.05
"""The most that is told of what no sample shows: the quantiles that are told would contradict more."""


@dataclass(frozen=True, slots=True)
class Tilt:
    is_late: Truths
    """Chunks x CHUNK."""
    late: float
    """P(late), as it is told."""

    def of(self, weights: Floats) -> Floats:
        """These weights, of the first chunks, that add up to 1, with the late ones together as likely as is told; as
        they are where none is late, or all are."""
        is_late = self.is_late[: len(weights)]
        own = float(weights[is_late].sum())
        if not 0.0 < own < 1.0 or is_late.all():
            return weights
        return np.asarray(weights * np.where(is_late, self.late / own, (1 - self.late) / (1 - own)))


def tilt(is_late: Truths, late: float) -> Tilt:
    """As near to this P(late) as the samples can be."""
    if not is_late.any():
        return Tilt(is_late, min(late, UNSEEN))
    return Tilt(is_late, max(late, 1 - UNSEEN) if is_late.all() else late)
