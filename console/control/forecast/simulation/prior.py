"""What a job without history may take, and whose word that is.

Source: empirical Bayes (Morris 1983): a new job is one of its group, whose middle is known and whose spread is wide."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from console.control.forecast.simulation.recency import logs
from console.control.forecast.simulation.values import Floats, Whole

UNKNOWN_TAKES = 300.0
"""Seconds, where no job of the estate ever ran and nobody declared anything."""


class Source(IntEnum):
    """Whose word a job's usual time is."""

    HISTORY = 0
    DECLARED = 1
    LIKE = 2
    """Jobs of its group."""
    ESTATE = 3
    """All jobs, for want of a group that ever ran."""
    NONE = 4
    """Nobody's: NO_ESTIMATE."""


def filled(level: Floats, declared: Floats | None, like: Whole | None) -> tuple[Floats, Whole]:
    """`level`: by job, in logarithms, NaN for one that never ran. The level of each, and its Source."""
    whole, source = level.copy(), np.full(len(level), Source.HISTORY)
    never = np.isnan(level)
    if not never.any():
        return whole, source
    ran = level[~never]
    whole[never] = np.median(ran) if len(ran) else logs(np.array(UNKNOWN_TAKES))
    source[never] = Source.ESTATE if len(ran) else Source.NONE
    for group in np.unique(like[never]) if like is not None else ():
        its = level[(like == group) & ~never]
        if len(its):
            whole[never & (like == group)] = np.median(its)
            source[never & (like == group)] = Source.LIKE
    told = never & np.isfinite(declared) if declared is not None else np.zeros(len(level), bool)
    whole[told] = logs(declared[told]) if declared is not None else whole[told]
    source[told] = Source.DECLARED
    return whole, source
