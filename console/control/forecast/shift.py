"""Since when a job takes another time than before: a level shift, to be told, not only followed.

Source: the likelihood-ratio test for one change of a mean (Hinkley 1970), on logarithms, of the last nights only: what
moved long ago is the usual by now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.recency import logs
from console.control.forecast.values import Floats

LATEST, FEWEST, BEFORE = 21, 3, 8
"""Nights ago that a shift may begin at most, and at least; nights before it."""
SURE = 5.0
"""Standard errors apart."""
WORTH = 0.14
"""Of the logarithm: 15 %."""
LEAST_SPREAD = 0.03


@dataclass(frozen=True, slots=True)
class Shift:
    nights: int
    """Since so many."""
    before: float
    """Median, s."""
    since: float


def shift(times: Floats) -> Shift | None:
    """Of one job's times by night, oldest first, s, NaN where it did not run; None: its level is as it was."""
    ran = times[np.isfinite(times)]
    count, past = len(ran), logs(ran)
    splits = np.arange(max(BEFORE, count - LATEST), count - FEWEST + 1)
    if not len(splits):
        return None
    sums, squares = (np.concatenate([[0.0], np.cumsum(each)]) for each in (past, past**2))
    after, total = count - splits, sums[-1]
    apart = (total - sums[splits]) / after - sums[splits] / splits
    within = squares[-1] - sums[splits] ** 2 / splits - (total - sums[splits]) ** 2 / after
    spread = np.maximum(np.sqrt(np.maximum(within, 0.0) / (count - 2)), LEAST_SPREAD)
    errors = np.abs(apart) / (spread * np.sqrt(1 / after + 1 / splits))
    best = int(np.argmax(errors))
    if errors[best] < SURE or abs(apart[best]) < WORTH:
        return None
    at = splits[best]
    return Shift(int(after[best]), float(np.median(ran[:at])), float(np.median(ran[at:])))
