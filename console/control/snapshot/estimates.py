"""Duration estimates: from a job's past successes, else from its owner's declaration, else from peer jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from console.domain.estate import JobFacts
from console.domain.history import (
    MIN_RUNS,
    NO_ESTIMATE,
    DurationEstimate,
    DurationPrior,
    DurationQuantiles,
    EstimateBasis,
    EstimateKind,
    PeerGroup,
)

__all__ = ["MIN_RUNS", "estimate_duration", "quantile", "total_duration", "weakest_basis"]

NO_PEERS: Mapping[PeerGroup, DurationPrior] = {}
_BY_STRENGTH = tuple(EstimateKind)


def estimate_duration(
    job: JobFacts, durations: Sequence[float], priors: Mapping[PeerGroup, DurationPrior] = NO_PEERS
) -> DurationEstimate:
    """Median, 90 % and 95 % quantile of the past successes (`durations`, seconds). With fewer than MIN_RUNS: the
    declared duration, the same for all quantiles; else the durations of the jobs of its target, or of its system."""
    runs = len(durations)
    if runs >= MIN_RUNS:
        return DurationEstimate(job.id, EstimateKind.HISTORY, runs, _spread(durations))
    if job.expected is not None:
        return DurationEstimate(job.id, EstimateKind.DECLARED, runs, DurationQuantiles(*(job.expected,) * 3))
    prior = priors.get(job.target_id) or priors.get(job.system)
    if prior is not None and job.parent_id is None:
        return DurationEstimate(job.id, EstimateKind.PEERS, runs, prior.takes, prior.jobs)
    return DurationEstimate(job.id, EstimateKind.NONE, runs, None)


def total_duration(known: DurationEstimate, durations: Sequence[float], elapsed: timedelta) -> DurationQuantiles | None:
    """The whole duration of a run that has taken `elapsed` so far: from the successes that took longer;
    `elapsed` itself when none did, for it may end at any moment. None without an estimate."""
    if known.takes is None:
        return None
    longer = [duration for duration in durations if duration > elapsed.total_seconds()]
    if longer and known.source is EstimateKind.HISTORY:
        return _spread(longer)
    return known.takes.at_least(elapsed)


def weakest_basis(estimates: Iterable[DurationEstimate]) -> EstimateBasis:
    """The basis of a figure along a path: that of its weakest part."""
    bases = [estimate.basis for estimate in estimates]
    return max(bases, key=lambda basis: (_BY_STRENGTH.index(basis.kind), -basis.count), default=NO_ESTIMATE)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, linear between neighbors. Needs a value."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _spread(values: Sequence[float]) -> DurationQuantiles:
    return DurationQuantiles(*(timedelta(seconds=quantile(values, share)) for share in (0.5, 0.9, 0.95)))
