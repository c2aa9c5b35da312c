"""Typical durations of peer jobs: the prior for a job with too little history of its own.

Recomputed one minute after the engine starts, then at doubling intervals up to six hours, so that an empty store gets
usable priors within minutes and a settled one pays almost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.domain.estate import JobFacts
from console.domain.history import MIN_RUNS, DurationPrior, PeerGroup, duration_prior

FIRST_REFRESH_US, MAX_INTERVAL_US = 60_000_000, 6 * 3_600_000_000


@dataclass(slots=True)
class PeerDurations:
    """What the jobs of a target, and of a system, usually take."""

    read_us: int = 0
    again_us: int = 0
    """After which it is read again."""
    known: Mapping[PeerGroup, DurationPrior] = field(default_factory=dict)

    def follow(
        self, jobs: Mapping[int, JobFacts], durations: Mapping[int, Sequence[float]], now_us: int
    ) -> Mapping[PeerGroup, DurationPrior]:
        """By target's number, and by name of a system; of those with enough jobs that ran often enough."""
        if abs(now_us - self.read_us) >= self.again_us:
            self.read_us, self.known = now_us, _priors(jobs, durations)
            self.again_us = min(max(2 * self.again_us, FIRST_REFRESH_US), MAX_INTERVAL_US)
        return self.known


def _priors(jobs: Mapping[int, JobFacts], durations: Mapping[int, Sequence[float]]) -> dict[PeerGroup, DurationPrior]:
    found: dict[PeerGroup, list[float]] = {}
    for job_id, latest in durations.items():
        job = jobs.get(job_id)
        if job is not None and job.parent_id is None and len(latest) >= MIN_RUNS:
            usual = sorted(latest)[len(latest) // 2]
            for place in (job.target_id, job.system):
                found.setdefault(place, []).append(usual)
    return {place: like for place, usual in found.items() if (like := duration_prior(usual)) is not None}
