"""Duration estimates: from a job's past successes, else from its owner's declaration, else from peer jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from console.domain.estate import JobFacts
from console.domain.history import MIN_RUNS, DurationEstimate, DurationPrior, DurationQuantiles, PeerGroup

__all__ = ["MIN_RUNS", "estimate_duration", "quantile", "source_label", "total_duration"]

NO_PEERS: Mapping[PeerGroup, DurationPrior] = {}


def estimate_duration(
    job: JobFacts, durations: Sequence[float], likes: Mapping[PeerGroup, DurationPrior] = NO_PEERS
) -> DurationEstimate:
    """Median, 90 % and 95 % quantile of the past successes (`durations`, seconds) as "history"; with fewer than
    ENOUGH_RUNS what the config declares, as "declared", the same for all; else what jobs of its target, or of its
    system, take, as "like"; else "none" without figures."""
    if len(durations) >= MIN_RUNS:
        return DurationEstimate(job.id, "history", len(durations), _spread(durations))
    if job.expected is not None:
        return DurationEstimate(job.id, "declared", len(durations), DurationQuantiles(*(job.expected,) * 3))
    like = likes.get(job.target_id) or likes.get(job.system)
    if like is not None and job.parent_id is None:
        return DurationEstimate(job.id, "like", len(durations), like.takes, like.jobs)
    return DurationEstimate(job.id, "none", len(durations), None)


def total_duration(known: DurationEstimate, durations: Sequence[float], elapsed: timedelta) -> DurationQuantiles | None:
    """The whole duration of a run that has taken `elapsed` so far: from the successes that took longer;
    `elapsed` itself when none did, for it may end at any moment. None without an estimate."""
    if known.takes is None:
        return None
    longer = (
        [duration for duration in durations if duration > elapsed.total_seconds()] if known.source == "history" else []
    )
    if longer:
        return _spread(longer)
    return known.takes.at_least(elapsed)


def source_label(estimates: Sequence[DurationEstimate]) -> str:
    """Where a figure along a path comes from, by its weakest part: "history (14 runs)", "declared", "like 12 jobs",
    "no estimate"."""
    sources = {estimate.source for estimate in estimates}
    if "none" in sources or not estimates:
        return "no estimate"
    if "like" in sources:
        return f"like {min(estimate.like for estimate in estimates if estimate.source == 'like')} jobs"
    if "declared" in sources:
        return "declared"
    runs = min(estimate.runs for estimate in estimates)
    return f"history ({runs} run{'s' * (runs != 1)})"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, between neighbours by a straight line. Not for no values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _spread(values: Sequence[float]) -> DurationQuantiles:
    return DurationQuantiles(*(timedelta(seconds=quantile(values, share)) for share in (0.5, 0.9, 0.95)))
