"""What a service is, as far as forecasts of its earlier nights hold for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_OTHER = 0.2
"""Share of the jobs that may be others, or start by another clock, before its past says nothing of it any more."""


@dataclass(frozen=True, slots=True)
class PastShape:
    """The promise, and the jobs that it waits for."""

    promise: str
    """Its deadline, calendar and the jobs that deliver it, in words."""
    jobs: Mapping[int, str]
    """Job -> its schedule in words."""

    def is_another(self, before: PastShape) -> bool:
        """True where the promise is another, or too many of the jobs are."""
        if self.promise != before.promise:
            return True
        both = self.jobs.keys() | before.jobs.keys()
        other = sum(self.jobs.get(each) != before.jobs.get(each) for each in both)
        return other > MOST_OTHER * len(both)
