"""What a part of the estate that cannot be judged costs the others: nothing. It is left out, told, and tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from console.control.kept import kept_of
from console.control.touched import part_with, parts_of
from console.model.values import Estate

log = structlog.get_logger("headway.evaluate")

AGAIN_SECONDS = 30.0
NAMED = 3
"""More jobs than these are counted."""


class Quarantine:
    """Jobs whose facts break the evaluation, with all that hangs together with them."""

    def __init__(self) -> None:
        self.words = ""
        """For status, header and the alert about Headway itself; empty while everything can be judged."""
        self._jobs: frozenset[int] = frozenset()
        self._again_at = 0.0

    def without(self, estate: Estate) -> Estate:
        """The estate without them; with them where it is time to try again."""
        if not self._jobs:
            return estate
        if time.monotonic() >= self._again_at:
            self._jobs = frozenset()
            return estate
        return part_with(estate, estate.jobs.keys() - self._jobs)

    def find(self, estate: Estate, judge: Callable[[Estate], object], error: Exception) -> None:
        """Which parts of an estate that could not be judged are the reason. Raises the error where none of them is."""

        kept = kept_of(estate)

        def breaks(jobs: set[int]) -> bool:
            try:
                judge(part_with(estate, jobs, kept))
            except Exception:  # noqa: BLE001 - whatever it is, this is the part that it comes from
                return True
            return False

        found = _broken(parts_of(estate, kept), breaks)
        if not found or breaks(set()):
            raise error
        self._jobs |= found
        self._again_at = time.monotonic() + AGAIN_SECONDS
        self._tell(estate, found, error)

    def well(self) -> None:
        """All that is not left out was judged."""
        if not self._jobs:
            self.words = ""

    def _tell(self, estate: Estate, found: set[int], error: Exception) -> None:
        names = sorted(estate.jobs[job_id].name for job_id in found)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        left_out = f"{', '.join(names[:NAMED])}{more}"
        words = f"{type(error).__name__}: these jobs cannot be judged and are left out: {left_out}"
        if words != self.words:
            log.error("jobs are left out of the evaluation", jobs=names[:NAMED], count=len(names), exc_info=error)
        self.words = words


def _broken(parts: Sequence[set[int]], breaks: Callable[[set[int]], bool]) -> set[int]:
    """The jobs of the parts that break it; by halves, because nearly all of them are well."""
    jobs = set[int]().union(*parts)
    if not parts or not breaks(jobs):
        return set()
    if len(parts) == 1:
        return jobs
    half = len(parts) // 2
    return _broken(parts[:half], breaks) | _broken(parts[half:], breaks)
