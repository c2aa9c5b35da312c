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
    fixed: Truths | None = None
    """Samples, like `is_late`, that keep their weights; None: none does."""

    def of(self, weights: Floats) -> Floats:
        """These weights, of the first chunks, that add up to 1, with the late ones together as likely as is told; as
        they are where none is late, or all are."""
        is_late = self.is_late[: len(weights)]
        if self.fixed is not None:
            return self._but_fixed(weights, is_late, self.fixed[: len(weights)])
        own = float(weights[is_late].sum())
        if not 0.0 < own < 1.0 or is_late.all():
            return weights
        return np.asarray(weights * np.where(is_late, self.late / own, (1 - self.late) / (1 - own)))

    def _but_fixed(self, weights: Floats, is_late: Truths, fixed: Truths) -> Floats:
        """The others alone make up for what the fixed ones leave."""
        room, own = float(weights[~fixed].sum()), float(weights[~fixed & is_late].sum())
        late = min(max(self.late - float(weights[fixed & is_late].sum()), 0.0), room)
        if not 0.0 < own < room or (is_late | fixed).all():
            return weights
        return np.asarray(weights * np.where(fixed, 1.0, np.where(is_late, late / own, (room - late) / (room - own))))


def fixing(is_late: Truths, late: float, fixed: Truths, weights: Floats) -> Tilt:
    """As `tilt`, where some samples are told as they are, unless P(late) is less than theirs. `weights`: as drawn."""
    held = float(weights[fixed & is_late].sum())
    if not fixed.any() or late < held:
        return tilt(is_late, late)
    if not (is_late & ~fixed).any():
        return Tilt(is_late, min(late, held + UNSEEN), fixed)
    return Tilt(is_late, late, fixed)


def tilt(is_late: Truths, late: float) -> Tilt:
    """As near to this P(late) as the samples can be."""
    if not is_late.any():
        return Tilt(is_late, min(late, UNSEEN))
    return Tilt(is_late, max(late, 1 - UNSEEN) if is_late.all() else late)
