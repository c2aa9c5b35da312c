"""Since when a job takes another time than before: a level shift, as forecasts and alerts tell it.

Source: the likelihood-ratio test for one change of a mean (Hinkley 1970), on logarithms, of the last nights only: what
moved long ago is the usual by now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from statistics import median

from console.durations import duration_words

LATEST, FEWEST, BEFORE = 21, 3, 8
"""Nights ago that a shift may begin at most, and at least; nights before it."""
SURE = 5.0
"""Standard errors apart."""
WORTH = 0.14
"""Of the logarithm: 15 %."""
LEAST_SPREAD = 0.03
OFFSET = 5.0
"""Seconds added before the logarithm, as where a night is simulated: a job of one second may well take three."""


WEEK = timedelta(days=6)
"""Up to which a night is told by its weekday."""


@dataclass(frozen=True, slots=True)
class LevelShift:
    nights: int
    """Since so many."""
    before: float
    """Median, s."""
    since: float


def level_shift(times: Iterable[float]) -> LevelShift | None:
    """Of one job's times by night, oldest first, s, NaN where it did not run; None: its level is as it was."""
    ran = [each for each in times if math.isfinite(each)]
    logs = [math.log(max(each, 0.0) + OFFSET) for each in ran]
    sums = list(accumulate(logs, initial=0.0))
    squares = sum(each * each for each in logs)
    splits = range(max(BEFORE, len(ran) - LATEST), len(ran) - FEWEST + 1)
    errors, apart, at = max((_apart(sums, squares, at) for at in splits), default=(0.0, 0.0, 0))
    if errors < SURE or apart < WORTH:
        return None
    return LevelShift(len(ran) - at, median(ran[:at]), median(ran[at:]))


def shift_words(name: str, moved: LevelShift, days: Sequence[int], today: date) -> str:
    """ "etl/load is slower since Tuesday: 24m instead of 15m". `name`: cleaned; `days`: the business dates of its runs
    (`date.toordinal`), newest first; empty where they belong to no night."""
    how = "slower" if moved.since > moved.before else "faster"
    now, before = duration_words(moved.since), duration_words(moved.before)
    return f"{name} is {how} since {_since(days[: moved.nights], moved.nights, today)}: {now} instead of {before}"


def _since(days: Sequence[int], runs: int, today: date) -> str:
    """ "Tuesday", "12 Nov", or "20 runs" where its runs belong to no night: since when, so many runs ago."""
    if len(days) < runs or min(days) <= 0 or len(set(days)) < runs:
        return f"{runs} runs"
    began = date.fromordinal(days[-1])
    return began.strftime("%A" if today - began <= WEEK else "%-d %b")


def _apart(sums: list[float], squares: float, at: int) -> tuple[float, float, int]:
    """How far the nights from `at` on lie from those before it: in standard errors, and of the logarithm; and `at`."""
    before, after = at, len(sums) - 1 - at
    head, tail = sums[at], sums[-1] - sums[at]
    apart = abs(tail / after - head / before)
    within = max(squares - head * head / before - tail * tail / after, 0.0)
    spread = max(math.sqrt(within / (before + after - 2)), LEAST_SPREAD)
    return apart / (spread * math.sqrt(1 / after + 1 / before)), apart, at
