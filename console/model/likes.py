"""What jobs like one take: a guess at one that hardly ever ran, and told as such.

Source: empirical Bayes (Morris 1983): a new job is one of its group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from console.model.decisions import Spread

ENOUGH_RUNS = 5
"""Fewer successes than this say nothing about the next one."""
ENOUGH_JOBS = 5
"""Fewer jobs than this say nothing about another one."""
Place = int | str
"""A target by its number, or a system by its name."""


class Like(NamedTuple):
    jobs: int
    takes: Spread
    """In half of the jobs, in nine of ten, in nineteen of twenty."""


def like_of(usual: Sequence[float]) -> Like | None:
    """Of what the jobs of one place usually take, s; None for too few of them."""
    if len(usual) < ENOUGH_JOBS:
        return None
    ordered = sorted(usual)
    at = (ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.9, 0.95))
    return Like(len(ordered), Spread(*(timedelta(seconds=each) for each in at)))
