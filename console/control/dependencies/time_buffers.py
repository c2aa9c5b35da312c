"""Time buffers: pairs of jobs in which one starts by its clock because the other usually ends before.

Ending before another job's clock proves nothing: half of all jobs do. Evidence is what happens when the buffer does
not suffice. The outcomes of the downstream on these nights are compared with its outcomes on the other nights by
Fisher's exact test, and the false discovery rate is controlled over all pairs. Names prove nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from console.control.dependencies.datasets import connected_jobs
from console.domain.dependency import DAILY_RUNS, JobNights, SuggestedDependency

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

FALSE_DISCOVERY_RATE = 0.05
"""The expected share of chance among the pairs that are found."""
ORDINARY_P = 0.05
"""Highest p on ordinary nights alone: a night that delays most jobs, or most of one target, may also harm them."""
FAR_SHORTER = 0.5
"""A run that takes less than this share of the usual time has probably read too little."""
USUAL_SPREADS = 3.0
"""Standard deviations of a job's own time within which a run is usual, however short."""
CLOCK_SECONDS, CLOCK_SHARE, CLOCK_NIGHTS = 300.0, 0.6, 0.25
"""A job starts by its clock if most of its runs start at a time of day, give or take, at which it starts on a quarter
of its nights: a changed schedule has two."""
LATEST_START_SECONDS = 6 * 3_600.0
"""A daily upstream that ends up to this long after the downstream's start is the one of the same night."""
MIN_JOBS = 5
"""Jobs in a night from which it can be called loaded."""
DAY = 86_400.0


def suggest_dependencies(
    jobs: Sequence[JobNights], known: Collection[tuple[int, int]], zone: tzinfo
) -> list[SuggestedDependency]:
    """At most one upstream per job, the most significant pairs first. `known`: (upstream, downstream) by job id; a pair
    that is connected through these is not suggested, and a violation that these explain does not count for another.
    Clocks are those of `zone`."""
    history = _History(jobs, set(known), zone)
    connected = connected_jobs(known)
    pairs = [
        pair for row in history.clock_rows() for pair in history.compare(row, connected.get(jobs[row].id, frozenset()))
    ]
    discoveries = _discoveries(pairs)
    suggestions = [history.suggestion(pair) for pair in _direct(discoveries) if pair.ordinary_p <= ORDINARY_P]
    return sorted(suggestions, key=lambda pair: (pair.p, pair.downstream, pair.upstream))


class _Pair(NamedTuple):
    """Rows of two jobs, and the chances of at least as many harmed nights if the downstream waits for nothing."""

    p: float
    buffer: float
    """Median seconds from the end of the upstream to the start of the downstream: the shorter decides between pairs
    that the same nights speak for."""
    upstream: int
    downstream: int
    least_p: float
    """Of these nights, had the downstream been harmed on as many violated ones as possible."""
    ordinary_p: float


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The runs of one downstream against the runs before it of every job: a row per job, a column per run."""

    upstream_run: Counts
    counts: Flags
    """False without an upstream run, after a later run for the same one, where the upstream failed in time, which says
    nothing about its lateness, and where a known dependency was violated, which explains all."""
    violated: Flags
    """The upstream ended after the downstream's start."""


class _History:
    """The ended runs of all jobs, ordered by job and start."""

    def __init__(self, jobs: Sequence[JobNights], known: set[tuple[int, int]], zone: tzinfo) -> None:
        self.jobs, self.known = jobs, known
        ended = [
            (row, run, run.ended)
            for row, job in enumerate(jobs)
            for run in sorted(job.runs, key=lambda run: run.started)
            if run.ended is not None
        ]
        self.job = np.array([row for row, _, _ in ended], np.int64)
        self.parts = [slice(*ends) for ends in pairwise(np.searchsorted(self.job, np.arange(len(jobs) + 1)).tolist())]
        self.dates = [run.business_date for _, run, _ in ended]
        self.started = np.array([run.started.timestamp() for _, run, _ in ended])
        self.ended = np.array([end.timestamp() for _, _, end in ended])
        self.is_good = np.array([run.is_good for _, run, _ in ended], bool)
        self.is_bad = ~self.is_good | np.array([run.attempts > 1 for _, run, _ in ended], bool)
        self.usual_seconds = np.array([self._mark_short_runs(part) for part in self.parts])
        nights = [len(set(self.dates[part])) for part in self.parts]
        self.is_daily = np.array([part.stop - part.start <= DAILY_RUNS * count for part, count in zip(
            self.parts, nights, strict=True)], bool)  # fmt: skip
        clocks = np.array([run.started.astimezone(zone).replace(tzinfo=UTC).timestamp() % DAY for _, run, _ in ended])
        self.has_clock = [_has_clock(clocks[part], count) for part, count in zip(self.parts, nights, strict=True)]
        wall_ends = [end.astimezone(zone).replace(tzinfo=UTC).timestamp() for _, _, end in ended]
        self.loaded = self._loaded_nights(np.array(wall_ends))
        self.due = self.started + self.usual_seconds[self.job]
        self.log_factorials = np.cumsum(np.log(np.maximum(np.arange(len(ended) + 2), 1)))

    def clock_rows(self) -> Iterator[int]:
        return (row for row, has_clock in enumerate(self.has_clock) if has_clock)

    def _mark_short_runs(self, part: slice) -> float:
        """The usual seconds of a job. Its runs that are far shorter are marked as bad."""
        seconds = np.log(np.maximum(self.ended[part] - self.started[part], 1.0))
        usual, spread = _usual(seconds[~self.is_bad[part]])
        self.is_bad[part] |= seconds < usual - max(-np.log(FAR_SHORTER), USUAL_SPREADS * spread)
        return float(np.exp(usual))

    def _loaded_nights(self, wall_ends: Numbers) -> set[tuple[int | None, date]]:
        """Nights on which most daily jobs of a target, or of all (None), ended later than usual by more than one
        standard deviation."""
        lateness = defaultdict[tuple[int | None, date], list[float]](list)
        for row in map(int, np.flatnonzero(self.is_daily)):
            dates = self.dates[self.parts[row]]
            ends = wall_ends[self.parts[row]] - DAY * np.array([day.toordinal() for day in dates])
            usual, spread = _usual(ends)
            for day, end in zip(dates, ends, strict=True):
                for target in (None, self.jobs[row].target_id):
                    lateness[target, day].append((end - usual) / (spread + 1.0))
        return {night for night, values in lateness.items() if len(values) >= MIN_JOBS and np.median(values) > 1}

    def compare(self, row: int, connected: frozenset[int]) -> Iterator[_Pair]:
        """One pair for each job that usually ends before this one starts."""
        bad, comparison = self.is_bad[self.parts[row]], self._comparison(row)
        counts = comparison.counts
        is_usual = 2 * (counts & comparison.violated).sum(axis=1) <= counts.sum(axis=1)
        rows = np.array([
            number for number in map(int, np.flatnonzero(is_usual & counts.any(axis=1)))
            if number != row and self.jobs[number].id not in connected
        ], np.int64)  # fmt: skip
        counts, violated = counts[rows], comparison.violated[rows]
        p, least_p = self._p(counts, violated, bad)
        target = self.jobs[row].target_id
        is_ordinary = np.array([not {(None, day), (target, day)} & self.loaded for day in self.dates[self.parts[row]]])
        ordinary_p, _ = self._p(counts & is_ordinary, violated, bad)
        for number in np.flatnonzero(least_p <= FALSE_DISCOVERY_RATE):
            gaps = (self.started[self.parts[row]] - self.ended[comparison.upstream_run[rows[number]]])[counts[number]]
            yield _Pair(
                float(p[number]), float(np.median(gaps)), int(rows[number]), row, float(least_p[number]),
                float(ordinary_p[number]),
            )  # fmt: skip

    def _comparison(self, row: int) -> _Comparison:
        """Pairs each run with the last run of every job that should have ended before its start."""
        start = self.started[self.parts[row]]
        ahead = LATEST_START_SECONDS * (self.is_daily & self.is_daily[row])
        latest = start[None] + ahead[:, None]
        span = self.due.max() - self.started.min() + 2 * DAY
        rows = np.arange(len(self.jobs))
        first = self.started.min() - DAY
        run = np.searchsorted(self.job * span + self.due - first, rows[:, None] * span + latest - first, "right") - 1
        run = np.maximum(run, 0)
        counts = (self.job[run] == rows[:, None]) & (self.due[run] > latest - DAY)
        counts[:, 1:] &= run[:, 1:] != run[:, :-1]
        violated = self.ended[run] > start
        counts &= violated | self.is_good[run]
        own = self.jobs[row].id
        known = [number for number, job in enumerate(self.jobs) if (job.id, own) in self.known]
        return _Comparison(run, counts & ~(counts & violated)[known].any(axis=0), violated)

    def _p(self, counts: Flags, violated: Flags, bad: Flags) -> tuple[Numbers, Numbers]:
        """Fisher's exact test per row, one-sided: the chance of at least as many bad runs among the violated ones, and
        the least chance that any outcome with as many bad runs could have."""
        runs, broken = counts.sum(axis=1), (counts & violated).sum(axis=1)
        harmed, all_bad = (counts & violated & bad).sum(axis=1), (counts & bad).sum(axis=1)
        most = np.minimum(broken, all_bad)
        everything = self._log_choose(runs, all_bad)
        p = np.zeros(len(runs))
        for excess in range(int((most - harmed).max(initial=-1)) + 1):
            count = np.minimum(harmed + excess, most)
            chance = self._log_choose(broken, count) + self._log_choose(runs - broken, all_bad - count) - everything
            p += np.where(harmed + excess <= most, np.exp(chance), 0.0)
        least = self._log_choose(broken, most) + self._log_choose(runs - broken, all_bad - most) - everything
        return np.minimum(p, 1.0), np.exp(least)

    def _log_choose(self, total: Counts, count: Counts) -> Numbers:
        table = self.log_factorials
        possible = np.clip(count, 0, total)
        chosen: Numbers = table[total] - table[possible] - table[total - possible]
        return np.where(possible == count, chosen, -np.inf)

    def suggestion(self, pair: _Pair) -> SuggestedDependency:
        part, comparison = self.parts[pair.downstream], self._comparison(pair.downstream)
        counts, run = comparison.counts[pair.upstream], comparison.upstream_run[pair.upstream]
        violated = counts & comparison.violated[pair.upstream]
        waits = (self.ended[run] - self.started[part])[violated]
        return SuggestedDependency(
            upstream=self.jobs[pair.upstream].name,
            downstream=self.jobs[pair.downstream].name,
            nights=int(counts.sum()),
            violated=tuple(self.dates[part.start + int(night)] for night in np.flatnonzero(violated)),
            harmed=int((violated & self.is_bad[part]).sum()),
            harmed_otherwise=int((counts & ~violated & self.is_bad[part]).sum()),
            p=pair.p,
            buffer=timedelta(seconds=round(pair.buffer)),
            delay=timedelta(seconds=round(float(np.median(waits)))),
        )


def _discoveries(pairs: Sequence[_Pair]) -> list[_Pair]:
    """Pairs at a controlled false discovery rate, by Benjamini and Hochberg over the pairs that could be significant at
    all (Tarone 1990, Gilbert 2005): counts of few nights cannot be, and would only hide the others."""
    least, share = np.sort([pair.least_p for pair in pairs]), 1
    while np.searchsorted(least, FALSE_DISCOVERY_RATE / share, "right") > share:
        share += 1
    testable = sorted(pair for pair in pairs if pair.least_p <= FALSE_DISCOVERY_RATE / share)
    limits = FALSE_DISCOVERY_RATE * np.arange(1, len(testable) + 1) / max(len(testable), 1)
    passed = np.flatnonzero(np.array([pair.p for pair in testable]) <= limits)
    return testable[: passed.max(initial=-1) + 1]


def _direct(pairs: Sequence[_Pair]) -> Iterable[_Pair]:
    """The best upstream per downstream. An upstream that acts through another one has the weaker evidence, as a
    failure between them does not count for it."""
    best: dict[int, _Pair] = {}
    for pair in pairs:  # the most significant first
        best.setdefault(pair.downstream, pair)
    return best.values()


def _usual(values: Numbers) -> tuple[float, float]:
    """The median, and a standard deviation by the median deviation from it."""
    if not len(values):
        return 0.0, 0.0
    usual = np.median(values)
    return float(usual), float(1.4826 * np.median(np.abs(values - usual)))


def _has_clock(clocks: Numbers, nights: int) -> bool:
    gap = np.abs(clocks[:, None] - clocks[None])
    near = (np.minimum(gap, DAY - gap) <= CLOCK_SECONDS).sum(axis=1)
    return len(clocks) > 0 and float(np.mean(near >= CLOCK_NIGHTS * nights)) >= CLOCK_SHARE
