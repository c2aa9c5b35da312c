"""How long a job takes, and from where we know: its past successes, what its owner declared, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from console.model.decisions import Estimate
from console.model.values import JobFacts

ENOUGH_RUNS = 5
"""Fewer successes than this say nothing about the next one."""


def estimate(job: JobFacts, durations: Sequence[float]) -> Estimate:
    """Median and 90 % quantile of the past successes (`durations`, seconds) as "history"; with fewer than ENOUGH_RUNS
    what the config declares, as "declared", the same for both; else "none" without figures."""
    if len(durations) >= ENOUGH_RUNS:
        return Estimate(job.id, "history", len(durations), _at(durations, 0.5), _at(durations, 0.9))
    if job.expected is not None:
        return Estimate(job.id, "declared", len(durations), job.expected, job.expected)
    return Estimate(job.id, "none", len(durations), None, None)


def whole(known: Estimate, durations: Sequence[float], elapsed: timedelta) -> tuple[timedelta, timedelta] | None:
    """The whole duration (median, 90 %) of a run that has taken `elapsed` so far: from the successes that took longer;
    `elapsed` itself when none did, for it may end at any moment. None without an estimate."""
    if known.p50 is None or known.p90 is None:
        return None
    longer = [each for each in durations if each > elapsed.total_seconds()] if known.source == "history" else []
    if longer:
        return _at(longer, 0.5), _at(longer, 0.9)
    return max(elapsed, known.p50), max(elapsed, known.p90)


def label(estimates: Sequence[Estimate]) -> str:
    """Where a figure along a path comes from, by its weakest part: "history (14 runs)", "declared", "no estimate"."""
    sources = {each.source for each in estimates}
    if "none" in sources or not estimates:
        return "no estimate"
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


def _at(values: Sequence[float], share: float) -> timedelta:
    return timedelta(seconds=quantile(values, share))
