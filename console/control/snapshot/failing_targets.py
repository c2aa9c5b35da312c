"""Targets on which nearly everything may fail, by the ends of their jobs' runs alone.

They are candidates for a root cause, which `control.incidents` decides over all their jobs. A candidate connects the
components of these jobs, so a busy target with a few failures must not be one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import inf

from console.domain.estate import Estate, RunFacts, runs_by_job

BURST_JOBS = 5
"""Least jobs of a target that fail together for the target to be the cause."""
SHARED_WITHIN = timedelta(minutes=15)
"""How close together jobs turn red that have one shared root."""
MOST = 0.8
"""Share of the runs that ended on the target in that time that must be red."""
ROUNDING = 1e-6


class TargetEnds:
    """Ends of the runs on each target, tasks left out. Passed from one snapshot to the next; an update reads changed
    jobs only."""

    def __init__(self, estate: Estate) -> None:
        self._good: dict[int, list[datetime]] = {}
        """Target -> ends of its runs that are not red, in order."""
        self._red: dict[int, dict[int, tuple[datetime, ...]]] = {}
        """Target -> job -> ends of its red runs."""
        self._runs = runs_by_job(estate.runs)
        """Those of the last update."""
        for job_id, runs in self._runs.items():
            if (target_id := _target_of(estate, job_id)) is not None:
                self._good.setdefault(target_id, []).extend(_good_ends(runs))
                self._set_red(target_id, job_id, runs)
        for ends in self._good.values():
            ends.sort()

    def update(self, estate: Estate, job_ids: Iterable[int]) -> set[int]:
        """The targets of those jobs that have other runs. They have the targets of the last update."""
        old_runs, self._runs, targets = self._runs, runs_by_job(estate.runs), set[int]()
        for job_id in job_ids:
            old, new, target_id = old_runs.get(job_id, ()), self._runs.get(job_id, ()), _target_of(estate, job_id)
            if target_id is None or old is new:
                continue
            targets.add(target_id)
            ends = self._good.setdefault(target_id, [])
            for end in _good_ends(old):
                del ends[bisect_left(ends, end)]
            for end in _good_ends(new):
                insort(ends, end)
            self._set_red(target_id, job_id, new)
        return targets

    def failing(self, targets: Iterable[int] | None = None) -> frozenset[int]:
        """Those of these targets, or of all, on which enough jobs failed close together and few runs ended well."""
        return frozenset(number for number in (self._red if targets is None else targets) if self._fails(number))

    def _set_red(self, target_id: int, job_id: int, runs: Iterable[RunFacts]) -> None:
        red = tuple(run.ended_at for run in runs if run.ended_at is not None and run.state.is_red)
        if red:
            self._red.setdefault(target_id, {})[job_id] = red
        elif target_id in self._red:
            self._red[target_id].pop(job_id, None)

    def _fails(self, target_id: int) -> bool:
        """True if most runs that end are red in any span, no longer than a burst, from one failure to another: which of
        them are symptoms of others, and so no part of the burst, is not known here."""
        red_jobs, good = self._red.get(target_id, {}), self._good.get(target_id, ())
        if len(red_jobs) < BURST_JOBS:
            return False
        red = sorted(end for ends in red_jobs.values() for end in ends)
        # From failure i to j: red - MOST * (red + good) = upto[j] - before[i].
        before = [place * (1 - MOST) - MOST * bisect_left(good, end) for place, end in enumerate(red)]
        upto = [place * (1 - MOST) - MOST * bisect_right(good, end) for place, end in enumerate(red, start=1)]
        start = 0
        for last in range(BURST_JOBS - 1, len(red)):
            while red[last] - red[start] > SHARED_WITHIN:
                start += 1
            if upto[last] + ROUNDING >= min(before[start : last - BURST_JOBS + 2], default=inf):
                return True
        return False


def _target_of(estate: Estate, job_id: int) -> int | None:
    """The target of a job that its scheduler starts; None for a task."""
    job = estate.jobs.get(job_id)
    return job.target_id if job is not None and job.parent_id not in estate.jobs else None


def _good_ends(runs: Iterable[RunFacts]) -> list[datetime]:
    return [run.ended_at for run in runs if run.ended_at is not None and not run.state.is_open and not run.state.is_red]
