"""Quarantine: a component of the estate whose evaluation fails is left out, reported, and retried; the others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from console.control.snapshot.incremental import build_cache, components_of, part_with
from console.domain.estate import Estate
from console.text.lists import listed

log = structlog.get_logger("headway.evaluate")

RETRY_SECONDS = 30.0
NAMES_SHOWN = 3
"""At most so many jobs are named."""


class Quarantine:
    """Jobs whose facts make the evaluation fail, with their connected component."""

    def __init__(self) -> None:
        self.trouble = ""
        """For status, the header and the alert about Headway itself; empty if nothing is left out."""
        self._jobs: frozenset[int] = frozenset()
        self._again_at = 0.0

    def without(self, estate: Estate) -> Estate:
        """The estate without quarantined jobs; with them when it is time to retry."""
        if not self._jobs:
            return estate
        if time.monotonic() >= self._again_at:
            self._jobs = frozenset()
            return estate
        return part_with(estate, estate.jobs.keys() - self._jobs)

    def find(self, estate: Estate, judge: Callable[[Estate], object], error: Exception) -> None:
        """Quarantines the components that make the evaluation fail. Raises the error if none of them does."""

        cache = build_cache(estate)

        def breaks(jobs: set[int]) -> bool:
            try:
                judge(part_with(estate, jobs, cache))
            except Exception:  # noqa: BLE001 - whatever it is, this is the part that it comes from
                return True
            return False

        failing = _failing_jobs(components_of(estate, cache), breaks)
        if not failing or breaks(set()):
            raise error
        self._jobs |= failing
        self._again_at = time.monotonic() + RETRY_SECONDS
        self._report(estate, failing, error)

    def clear_if_empty(self) -> None:
        """Clears the trouble after a successful evaluation that left no job out."""
        if not self._jobs:
            self.trouble = ""

    def _report(self, estate: Estate, failing: set[int], error: Exception) -> None:
        names = sorted(estate.jobs[job_id].name for job_id in failing)
        left_out = listed(names, NAMES_SHOWN)
        trouble = f"{type(error).__name__}: these jobs fail evaluation and are left out: {left_out}"
        if trouble != self.trouble:
            log.error("jobs are left out of the evaluation", jobs=names[:NAMES_SHOWN], count=len(names), exc_info=error)
        self.trouble = trouble


def _failing_jobs(parts: Sequence[set[int]], breaks: Callable[[set[int]], bool]) -> set[int]:
    """The jobs of the failing components, found by bisection as nearly all of them are fine."""
    jobs = set[int]().union(*parts)
    if not parts or not breaks(jobs):
        return set()
    if len(parts) == 1:
        return jobs
    half = len(parts) // 2
    return _failing_jobs(parts[:half], breaks) | _failing_jobs(parts[half:], breaks)
