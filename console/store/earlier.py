"""Runs of before the lookback that a dependency of another period may read: each job's last one, and the last ones of
the days or weeks that such a period reaches back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta

from console.model.values import DependencyFacts, JobFacts, RunFacts
from console.model.wants import Period
from console.store import clocks, facts
from console.store.wire import Row, Wire

# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
BUSINESS_DAYS_BACK = timedelta(days=21)
"""No business is closed for longer."""
MONTH_BACK = timedelta(days=63)
"""The last day of a month, from the last of the next one but a day."""
AGAIN_US = 3_600_000_000
"""What leaves the lookback is known to it for so long, µs."""
_LAST = (
    f"SELECT {facts.RUN} FROM {{keys}} JOIN run r ON r.id = (SELECT x.id FROM run x WHERE x.job_id = k.a"
    " AND x.sort_us < ? ORDER BY x.sort_us DESC LIMIT 1)"
)
_SINCE = f"SELECT {facts.RUN} FROM {{keys}} JOIN run r ON r.job_id = k.a WHERE r.sort_us >= k.b AND r.sort_us < ?"
_US = timedelta(microseconds=1)
Wanted = tuple[int, Period, timedelta | None]
"""Upstream, which of its runs, and within which time."""


@dataclass(slots=True)
class Earlier:
    """What was read of them: again once in an hour, when a dependency changed, and when one of these jobs did."""

    since_us: int = 0
    dependencies: Sequence[DependencyFacts] = ()
    wanted: Sequence[Wanted] = ()
    runs: tuple[RunFacts, ...] = ()

    def follow(
        self,
        lines: Wire,
        jobs: Mapping[int, JobFacts],
        dependencies: Sequence[DependencyFacts],
        changed: Set[int],
        since_us: int,
    ) -> tuple[RunFacts, ...]:
        """The runs, by job and period. `changed`: jobs with a run that is new or otherwise than before."""
        is_known = abs(since_us - self.since_us) < AGAIN_US
        if dependencies is not self.dependencies:
            self.dependencies, self.wanted, is_known = dependencies, _wanted(dependencies), False
        if not is_known or not changed.isdisjoint(job_id for job_id, _, _ in self.wanted):
            self.runs, self.since_us = _read(lines, jobs, self.wanted, since_us), since_us
        return self.runs


def _wanted(dependencies: Iterable[DependencyFacts]) -> Sequence[Wanted]:
    other = (one for one in dependencies if one.wants.period is not Period.SAME)
    return list(dict.fromkeys((one.upstream_id, one.wants.period, one.wants.within) for one in other))


def _read(lines: Wire, jobs: Mapping[int, JobFacts], wanted: Sequence[Wanted], since_us: int) -> tuple[RunFacts, ...]:
    wanted = [one for one in wanted if one[0] in jobs]
    if not wanted:
        return ()
    until = since_us + AGAIN_US
    rows: dict[int, Row] = {}
    back: dict[int, int] = {}
    for job_id, period, within in wanted:
        start = since_us - (_reach(period, within) // _US)
        back[job_id] = min(back.get(job_id, start), start)
    for row in lines.by_keys(_LAST, "i", sorted(back), (since_us,)):
        rows[row[0]] = row
    for row in lines.by_keys(_SINCE, "ii", sorted(back.items()), (until,)):
        rows[row[0]] = row
    over = facts.attempts_over(lines, [row[0] for row in rows.values() if row[9] > 1])
    read = ((row[-1], facts.run(row, over.get(row[0], ()))) for row in rows.values())
    found = clocks.on_our_clock(read, jobs, clocks.skews(lines))
    return tuple(run for _, run in sorted(found, key=lambda one: (one[1].job_id, one[0], one[1].period_key)))


def _reach(period: Period, within: timedelta | None) -> timedelta:
    if period is Period.BUSINESS_DAY:
        return BUSINESS_DAYS_BACK
    return MONTH_BACK if period is Period.MONTH_END else within or timedelta(0)
