"""The figures of a month: promises kept, incidents, runs, changes and cost, of a service or a system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from console.domain.service import format_percent, format_probability

TREND_MONTHS = 6
"""Months that are shown of one service or system."""


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """One service, with all jobs that it needs, or one system, in one calendar month of business dates. Times are in
    seconds, None without anything to measure."""

    kind: str
    """ "service" or "system"."""
    name: str
    title: str
    month: str
    """ "2026-11"."""
    in_time: int
    """Days in time of `judged` days; of a system none is judged."""
    judged: int
    slack_s: float | None
    """Median of deadline less delivery; negative where most were late."""
    incidents: int
    """Opened in this month; merged ones are part of others."""
    acknowledge_s: float | None
    """Mean from the opening of an incident to its first acknowledgement."""
    recover_s: float | None
    """Mean from the failure to the close of its incident."""
    runs: int
    """Runs that began and ended; `succeeded`: those of them that succeeded."""
    succeeded: int
    missed: int
    """Expected runs that never began."""
    changes: int
    """Changes of schedules and definitions at the schedulers."""
    tried_changes: int
    """Changes after which a run ended within a week; `failed_changes`: those whose first such run failed."""
    failed_changes: int
    cost: float | None
    """Sum over the stored runs, in the unit of their source; None without any."""

    @property
    def is_watched(self) -> bool:
        """False for a month without anything in the store."""
        return bool(self.judged or self.incidents or self.runs or self.missed or self.changes)

    @property
    def attainment(self) -> float | None:
        return _share(self.in_time, self.judged)

    @property
    def success_rate(self) -> float | None:
        return _share(self.succeeded, self.runs)

    @property
    def change_failure_rate(self) -> float | None:
        return _share(self.failed_changes, self.tried_changes)


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """How much of a pool's slots was in use in one month."""

    pool: str
    month: str
    slots: int
    busy_s: float | None
    """Sum of the durations of its jobs' attempts within the month; None once retention deleted some of its runs."""
    seconds: float
    """Length of the month, up to now."""

    @property
    def utilization(self) -> float | None:
        return None if self.busy_s is None else _share(self.busy_s, self.slots * self.seconds)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def share_text(share: float) -> str:
    """ "98 %"; "100 %" only for all, "0 %" only for none."""
    return format_probability(share) if 0 < share < 1 else format_percent(share)


def months_back(last: date, count: int) -> list[str]:
    """So many months up to that of the date, oldest first: "2026-10", "2026-11"."""
    number = last.year * 12 + last.month - 1
    return [f"{place // 12}-{place % 12 + 1:02}" for place in range(number - count + 1, number + 1)]
