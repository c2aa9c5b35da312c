"""How long jobs of one place take, for those among them that hardly ever ran: read again after a minute, then after
twice as long each time, at last every six hours. An engine that begins with an empty store learns of a past within
minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.model.likes import ENOUGH_RUNS, Like, Place, like_of
from console.model.values import JobFacts

FIRST_US, AGAIN_US = 60_000_000, 6 * 3_600_000_000


@dataclass(slots=True)
class Likes:
    """What the jobs of a target, and of a system, usually take."""

    read_us: int = 0
    again_us: int = 0
    """After which it is read again."""
    known: Mapping[Place, Like] = field(default_factory=dict)

    def follow(
        self, jobs: Mapping[int, JobFacts], durations: Mapping[int, Sequence[float]], now_us: int
    ) -> Mapping[Place, Like]:
        """By target's number, and by name of a system; of those with enough jobs that ran often enough."""
        if abs(now_us - self.read_us) >= self.again_us:
            self.read_us, self.known = now_us, _likes(jobs, durations)
            self.again_us = min(max(2 * self.again_us, FIRST_US), AGAIN_US)
        return self.known


def _likes(jobs: Mapping[int, JobFacts], durations: Mapping[int, Sequence[float]]) -> dict[Place, Like]:
    found: dict[Place, list[float]] = {}
    for job_id, latest in durations.items():
        job = jobs.get(job_id)
        if job is not None and job.parent_id is None and len(latest) >= ENOUGH_RUNS:
            usual = sorted(latest)[len(latest) // 2]
            for place in (job.target_id, job.system):
                found.setdefault(place, []).append(usual)
    return {place: like for place, usual in found.items() if (like := like_of(usual)) is not None}
