"""How long a job takes, and from where we know: its past successes, what its owner declared, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from console.model.decisions import Estimate, Spread
from console.model.likes import ENOUGH_RUNS, Like, Place
from console.model.values import JobFacts

__all__ = ["ENOUGH_RUNS", "estimate", "label", "quantile", "whole"]

NOBODY: Mapping[Place, Like] = {}


def estimate(job: JobFacts, durations: Sequence[float], likes: Mapping[Place, Like] = NOBODY) -> Estimate:
    """Median, 90 % and 95 % quantile of the past successes (`durations`, seconds) as "history"; with fewer than
    ENOUGH_RUNS what the config declares, as "declared", the same for all; else what jobs of its target, or of its
    system, take, as "like"; else "none" without figures."""
    if len(durations) >= ENOUGH_RUNS:
        return Estimate(job.id, "history", len(durations), _spread(durations))
    if job.expected is not None:
        return Estimate(job.id, "declared", len(durations), Spread(*(job.expected,) * 3))
    like = likes.get(job.target_id) or likes.get(job.system)
    if like is not None and job.parent_id is None:
        return Estimate(job.id, "like", len(durations), like.takes, like.jobs)
    return Estimate(job.id, "none", len(durations), None)


def whole(known: Estimate, durations: Sequence[float], elapsed: timedelta) -> Spread | None:
    """The whole duration of a run that has taken `elapsed` so far: from the successes that took longer;
    `elapsed` itself when none did, for it may end at any moment. None without an estimate."""
    if known.takes is None:
        return None
    longer = [each for each in durations if each > elapsed.total_seconds()] if known.source == "history" else []
    if longer:
        return _spread(longer)
    return known.takes.at_least(elapsed)


def label(estimates: Sequence[Estimate]) -> str:
    """Where a figure along a path comes from, by its weakest part: "history (14 runs)", "declared", "like 12 jobs",
    "no estimate"."""
    sources = {each.source for each in estimates}
    if "none" in sources or not estimates:
        return "no estimate"
    if "like" in sources:
        return f"like {min(each.like for each in estimates if each.source == 'like')} jobs"
    if "declared" in sources:
        return "declared"
    runs = min(each.runs for each in estimates)
    return f"history ({runs} run{'s' * (runs != 1)})"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, between neighbours by a straight line. Not for no values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _spread(values: Sequence[float]) -> Spread:
    return Spread(*(timedelta(seconds=quantile(values, share)) for share in (0.5, 0.9, 0.95)))
