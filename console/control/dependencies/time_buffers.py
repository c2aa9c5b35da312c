"""Time buffers: pairs of jobs in which one starts by its clock because the other usually ends before.

Ending before another job's clock proves nothing: half of all jobs do. Evidence is what happens when the buffer does
not suffice (the downstream fails, or is run again), and work that grows with the upstream's. A slow night, a slow host
and weekdays are taken out first; of several upstreams that would explain the same nights the best one counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from console.control.dependencies.datasets import connected_jobs
from console.domain.dependency import JobNights, SuggestedDependency

Nights = NDArray[np.float64]
"""One value per job and night, or per night; NaN: no run."""

MIN_NIGHTS = 15
"""On which both jobs ran: fewer prove nothing."""
CLOCK_SECONDS = 150.0
"""A job within this time of its usual start started by its clock."""
CLOCK_SHARE = 0.6
"""Least share of such nights; the others are weekends, reruns and clock changes."""
MAX_BUFFER_SECONDS = 6 * 3_600.0
ENDED_BEFORE = 0.6
"""Share of nights on which the upstream has ended before the downstream starts."""
MAX_UPSTREAMS = 4
"""Per downstream."""
MIN_SYSTEM = 5
"""Jobs of a system from which its own slowness is estimated."""

# Log likelihoods and their priors, set on the estates of tests.bench.suggest.
FAILURE_CHANCES = (0.5, 0.9)
"""Chances of a failure after a start that was too early; the likeliest counts."""
CHANCE_COST = 0.7
"""For the choice among these."""
MAX_DOUBT = -2.0
"""Violations without a failure count at most this much against a pair."""
FAILURE_NIGHTS, FAILURE_PRIOR = 20.0, 0.5
"""Nights, and failures in them, added to a job's own for its usual chance of failure."""
LEAK = (0.003, 0.9)
"""Bounds of the chance that a job fails for a reason of its own."""
RISK_RUNS = 5.0
"""Runs of usual risk added to those of a night."""
MAX_COUPLING = 8.0
COMMON_NAME, MAX_RARITY = 1.5, 3.5
"""Rarity (log of jobs per job with that part) from which a shared part of a name is evidence, and what counts most."""
SHORT_BUFFER_SECONDS, BUFFER_GAIN = 3_600.0, (-1.5, 1.0)
"""A buffer of this length is neither for nor against; bounds of what shorter and longer ones count."""
OTHER_CANDIDATES = 8.0
"""Added to the number of candidates: a lone one is not certain."""
MIN_EVIDENCE = 2.0
"""From behavior and name: a short buffer alone suggests nothing."""
MIN_CONFIDENCE = 0.65
"""Probability of a suggested pair, where as many jobs of the estate wait for others as its pairs suggest."""
MAX_SHARE = 0.5
"""Of jobs that wait for another by a time buffer."""
MIN_PHRASE = 0.7
"""From which a kind of evidence is named."""
HARMED, COUPLED, NAMED = (
    "fails or is run again when the upstream is late",
    "takes longer when the upstream did",
    "shares a rare part of the name",
)


def suggest_dependencies(
    jobs: Sequence[JobNights], known: Collection[tuple[int, int]], zone: tzinfo
) -> list[SuggestedDependency]:
    """Pairs that are worth a dependency, the most certain first. `known`: (upstream, downstream) by job id; a pair
    that is connected through these is not suggested. Clocks are those of `zone`."""
    history = NightMatrix.of(jobs, zone)
    if history is None:
        return []
    connected = connected_jobs(known)
    downstreams = list(map(int, np.flatnonzero(history.has_clock)))
    pairs = [
        pair
        for downstream in downstreams
        for pair in _Candidates(history, downstream, connected.get(jobs[downstream].id, frozenset())).accepted()
    ]
    suggestions = [history.suggestion(pair) for pair in _weighed(pairs, len(downstreams))]
    accepted = (suggestion for suggestion in suggestions if suggestion.confidence >= MIN_CONFIDENCE)
    return sorted(accepted, key=lambda pair: (-pair.confidence, pair.downstream, pair.upstream))


def _weighed(pairs: Sequence[_Pair], downstreams: int) -> Iterator[_Pair]:
    """The same pairs, less likely where few of many jobs seem to wait for another: then chance gives more of them."""
    share = min((sum(pair.confidence for pair in pairs) + 1) / (downstreams + 2), MAX_SHARE)
    prior = float(np.log(share / (1 - share)))
    return (replace(pair, log_odds=pair.log_odds + prior) for pair in pairs)


@dataclass(frozen=True, slots=True)
class _Pair:
    upstream: int
    downstream: int
    log_odds: float
    evidence: tuple[str, ...]

    @property
    def confidence(self) -> float:
        return float(1 / (1 + np.exp(-self.log_odds)))


@dataclass(frozen=True, slots=True, eq=False)
class NightMatrix:
    """The nights of all jobs: a row per job, a column per business date."""

    jobs: Sequence[JobNights]
    dates: list[date]
    started: Nights
    """Seconds by the wall clock since midnight of the business date."""
    done: Nights
    """When it was good; infinity if it never was."""
    is_bad: NDArray[np.bool_]
    """Failed, or needed more than one attempt."""
    has_clock: NDArray[np.bool_]
    size: Nights
    """z-scores of durations, without weekday, trend, and what the jobs of a night or a system have in common."""
    risk: Nights
    """How much likelier than usual a failure is on a night, in its system: one row per job."""
    name_parts: list[frozenset[str]]
    rarity: Mapping[str, float]

    @classmethod
    def of(cls, jobs: Sequence[JobNights], zone: tzinfo) -> NightMatrix | None:
        """None without enough nights."""
        dates = sorted({run.business_date for job in jobs for run in job.runs})
        if len(dates) < MIN_NIGHTS:
            return None
        column = {day: number for number, day in enumerate(dates)}
        started, done, seconds = (np.full((len(jobs), len(dates)), np.nan) for _ in range(3))
        is_bad = np.zeros(started.shape, bool)
        for row, job in enumerate(jobs):
            for run in job.runs:
                night = column[run.business_date]
                began = run.started.astimezone(zone).replace(tzinfo=None)
                started[row, night] = (began.date() - run.business_date).days * 86_400 + (
                    began.hour * 3_600 + began.minute * 60 + began.second
                )
                lasted = np.nan if run.ended is None else (run.ended - run.started).total_seconds()
                done[row, night] = started[row, night] + lasted if run.is_good and run.ended else np.inf
                is_bad[row, night] = not run.is_good or run.attempts > 1
                seconds[row, night] = np.nan if is_bad[row, night] else lasted
        is_weekend = np.array([day.weekday() >= 5 for day in dates])
        systems = np.unique([job.system for job in jobs], return_inverse=True)[1]
        name_parts = [_name_parts(job.name) for job in jobs]
        counts = Counter(part for parts in name_parts for part in parts)
        rarity = {part: float(np.log(len(jobs) / count)) for part, count in counts.items()}
        return cls(
            jobs, dates, started, done, is_bad, _starts_by_clock(started),
            _unusual_size(np.log(np.maximum(seconds, 1.0)), is_weekend, systems),
            _night_risk(np.where(np.isnan(started), np.nan, is_bad), systems), name_parts, rarity,
        )  # fmt: skip

    def suggestion(self, pair: _Pair) -> SuggestedDependency:
        above, below = pair.upstream, pair.downstream
        both = ~np.isnan(self.started[above]) & ~np.isnan(self.started[below])
        wait = self.done[above] - self.started[below]
        violated = both & (wait > 0)
        waits = wait[violated & np.isfinite(wait)]
        return SuggestedDependency(
            upstream=self.jobs[above].name,
            downstream=self.jobs[below].name,
            confidence=round(pair.confidence, 3),
            nights=int(both.sum()),
            buffer=timedelta(seconds=round(float(np.median(-wait[both & np.isfinite(wait)])))),
            violated=tuple(self.dates[night] for night in np.flatnonzero(violated)),
            harmed=int((violated & self.is_bad[below]).sum()),
            delay=timedelta(seconds=round(float(np.median(waits))) if len(waits) else 0),
            evidence=pair.evidence,
        )


def _name_parts(name: str) -> frozenset[str]:
    job = name.rpartition("/")[2].lower()
    return frozenset(part for part in re.findall(r"[a-z]{3,}", job))


def _starts_by_clock(started: Nights) -> NDArray[np.bool_]:
    usual = _row_medians(started)
    runs = np.sum(~np.isnan(started), axis=1)
    at_clock = np.sum(np.abs(started - usual) <= CLOCK_SECONDS, axis=1)
    has_clock: NDArray[np.bool_] = (runs >= MIN_NIGHTS) & (at_clock >= CLOCK_SHARE * runs)
    return has_clock


def _unusual_size(log_seconds: Nights, is_weekend: NDArray[np.bool_], systems: NDArray[np.int_]) -> Nights:
    size = log_seconds.copy()
    for kind in (False, True):
        of_kind = size[:, is_weekend == kind]
        if of_kind.shape[1]:
            size[:, is_weekend == kind] = of_kind - _row_medians(of_kind)
    size = _without_trend(size)
    size = _without_common(size, np.zeros(len(size), int))
    size = _without_common(size, systems)
    spread = 1.4826 * _row_medians(np.abs(size)) + 1e-3
    return np.clip(size / spread, -3.0, 3.0)


def _row_medians(values: Nights) -> Nights:
    """Of a row without a value: 0."""
    known = np.where(np.isnan(values).all(axis=1, keepdims=True), 0.0, values)
    return np.nanmedian(known, axis=1, keepdims=True)


def _without_trend(size: Nights) -> Nights:
    """Data grows everywhere: growth in common joins no jobs."""
    night = np.where(~np.isnan(size), np.arange(size.shape[1], dtype=float), np.nan)
    night = np.nan_to_num(night - _row_medians(night))
    slope = np.sum(np.nan_to_num(size) * night, axis=1) / (np.sum(night**2, axis=1) + 1e-9)
    trend: Nights = size - slope[:, None] * night
    return trend


def _without_common(size: Nights, groups: NDArray[np.int_]) -> Nights:
    """Without what the jobs of a group have in common each night, by each job's own sensitivity."""
    size = size.copy()
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        if len(rows) < MIN_SYSTEM:
            continue
        members = size[rows]
        common = _row_medians(members.T)[:, 0]
        power = np.sum(~np.isnan(members) * common**2, axis=1) + 1e-9
        slope = np.sum(np.nan_to_num(members) * common, axis=1) / power
        size[rows] = members - slope[:, None] * common
    return size


def _night_risk(bad: Nights, systems: NDArray[np.int_]) -> Nights:
    usual = float(np.nanmean(bad)) + 1e-3
    of_system = np.ones(bad.shape)
    for system in np.unique(systems):
        rows = np.flatnonzero(systems == system)
        of_system[rows] = _risk_by_others(bad[rows], usual)
    risk: Nights = np.sqrt(of_system * _risk_by_others(bad, usual))
    return risk


def _risk_by_others(bad: Nights, usual: float) -> Nights:
    """For each job by the other jobs of the night: its own failure makes no night risky."""
    failed, ran = np.nan_to_num(bad), 1.0 - np.isnan(bad)
    failed_others, ran_others = failed.sum(axis=0) - failed, ran.sum(axis=0) - ran
    risk: Nights = (failed_others + RISK_RUNS * usual) / (ran_others + RISK_RUNS) / usual
    return risk


class _Candidates:
    """Possible upstreams of one downstream that starts by a clock: a row each in every array."""

    def __init__(self, history: NightMatrix, downstream: int, connected: Collection[int]) -> None:
        self.history, self.downstream = history, downstream
        start, done = history.started[downstream], history.done
        both = ~np.isnan(history.started) & ~np.isnan(start)
        nights = both.sum(axis=1)
        before = both & (done <= start)
        gap = _row_medians(np.where(before, start - np.where(before, done, 0.0), np.nan))[:, 0]
        fits = (nights >= MIN_NIGHTS) & (before.sum(axis=1) >= ENDED_BEFORE * nights) & (gap <= MAX_BUFFER_SECONDS)
        fits[downstream] = False
        self.rows = [row for row in map(int, np.flatnonzero(fits)) if history.jobs[row].id not in connected]
        self.violated = both[self.rows] & (done[self.rows] > start)
        self.size = np.where(self.violated, np.nan, history.size[self.rows])
        self.is_bad = history.is_bad[downstream]
        self.ran = ~np.isnan(start)
        self.tight = np.clip(1.0 - gap[self.rows] / SHORT_BUFFER_SECONDS, *BUFFER_GAIN)
        self.named = np.array([self._name_gain(row) for row in self.rows])

    def accepted(self) -> Iterator[_Pair]:
        """The best upstream, then the best that still explains something without it, and so on: pairs with even odds if
        every other job waits for one."""
        safe = np.ones(len(self.is_bad))
        """Chance of each night that no upstream taken before spoils it."""
        size = self.history.size[self.downstream]
        is_open = np.ones(len(self.rows), bool)
        for _ in range(MAX_UPSTREAMS if self.rows else 0):
            spoiled, chances = self._outcome_gains(safe)
            coupled = _coupling_gains(size, self.size)
            log_odds = spoiled + coupled + self.named + self.tight - np.log(len(self.rows) + OTHER_CANDIDATES)
            has_evidence = is_open & (spoiled + coupled + self.named >= MIN_EVIDENCE)
            log_odds = np.where(has_evidence, log_odds, -np.inf)
            best = int(np.argmax(log_odds))
            if log_odds[best] < 0:
                return
            row = self.rows[best]
            gains = ((spoiled[best], HARMED), (coupled[best], COUPLED), (self.named[best], NAMED))
            evidence = tuple(text for gain, text in sorted(gains, reverse=True) if gain >= MIN_PHRASE)
            yield _Pair(row, self.downstream, float(log_odds[best]), evidence)
            is_open[best] = False
            safe = safe * np.where(self.violated[best], 1 - chances[best], 1.0)
            size = _residual(size, self.history.size[row])

    def _outcome_gains(self, safe: Nights) -> tuple[Nights, Nights]:
        """Log likelihood gained if the nights that an upstream violated explain bad ones, and the chance of harm."""
        alone = self._likelihood(safe[None], self._leak(safe[None]))
        leak = self._leak(safe * ~self.violated)
        gains = np.array([
            self._likelihood(safe * np.where(self.violated, 1 - chance, 1.0), leak) - alone
            for chance in FAILURE_CHANCES
        ])  # fmt: skip
        best = gains.argmax(axis=0)
        gain = np.take_along_axis(gains, best[None], axis=0)[0]
        chances = np.where(gain > 0, np.array(FAILURE_CHANCES)[best], 0.0)
        return np.where(self.violated.any(axis=1), np.maximum(gain - CHANCE_COST, MAX_DOUBT), 0.0), chances

    def _leak(self, weights: Nights) -> Nights:
        """Chance of a failure of its own on each night, from the nights of these weights: no other upstream's."""
        weights = weights * self.ran
        usual = (weights @ self.is_bad + FAILURE_PRIOR) / (weights.sum(axis=1) + FAILURE_NIGHTS)
        leak: Nights = np.clip(usual[:, None] * self.history.risk[self.downstream], *LEAK)
        return leak

    def _likelihood(self, safe: Nights, leak: Nights) -> Nights:
        """Log likelihood of the bad nights and the others."""
        fine = (1 - leak) * safe
        likelihood: Nights = np.where(self.is_bad, np.log(1 - fine + 1e-9), np.log(fine)) @ self.ran
        return likelihood

    def _name_gain(self, row: int) -> float:
        shared = self.history.name_parts[row] & self.history.name_parts[self.downstream]
        rarest = max((self.history.rarity[part] for part in shared), default=0.0)
        return float(np.clip(rarest, COMMON_NAME, MAX_RARITY)) - COMMON_NAME


def _coupling_gains(downstream: Nights, upstreams: Nights) -> Nights:
    """Log likelihood gained if the downstream's size follows an upstream's."""
    both = ~np.isnan(downstream) & ~np.isnan(upstreams)
    count = np.maximum(both.sum(axis=1, keepdims=True), 1)
    first, second = np.where(both, downstream, 0.0), np.where(both, upstreams, 0.0)
    first = np.where(both, first - first.sum(axis=1, keepdims=True) / count, 0.0)
    second = np.where(both, second - second.sum(axis=1, keepdims=True) / count, 0.0)
    power = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1)) + 1e-9
    correlation = np.clip((first * second).sum(axis=1) / power, 0.0, 0.99)
    nights = count[:, 0]
    gain = -nights / 2 * np.log(1 - correlation**2) - np.log(nights) / 2
    coupled: Nights = np.where(nights >= MIN_NIGHTS, np.clip(gain, 0.0, MAX_COUPLING), 0.0)
    return coupled


def _residual(size: Nights, upstream: Nights) -> Nights:
    """The size without the part that follows the upstream's."""
    both = ~np.isnan(size) & ~np.isnan(upstream)
    slope = max(float((size[both] * upstream[both]).sum()) / (float((upstream[both] ** 2).sum()) + 1e-9), 0.0)
    return np.where(np.isnan(upstream), size, size - slope * upstream)
