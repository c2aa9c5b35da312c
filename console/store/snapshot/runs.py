"""Runs of the lookback by job, their costs, and earlier runs that a dependency on another period reads.

Results never change; a job whose runs changed gets another tuple. Of a job without a schedule that nothing else reads,
old successes that decide nothing are not cached: one that reports a run each second has 172,800 in the lookback.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, pairwise

from connectors.sdk.states import OPEN_STATES, RED_STATES, PeriodKind, RunState
from console.domain.dependency import UpstreamPeriod
from console.domain.estate import DependencyFacts, JobFacts, RunFacts
from console.domain.ids import EPOCH, instant
from console.store.db.session import Row, Session
from console.store.snapshot import clock_skew, facts
from console.store.snapshot.interning import LayeredMap

# ruff: noqa: S608  (only our own names; every value is bound)
MINUTE_US = 60_000_000
RUN_BATCH = 5_000
"""Rows converted at a time: the first refresh reads hundreds of thousands, and a row is larger than its value."""
BEGUN_SQL = "r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"
"""The text of the index run_open."""
SELECT_RUNS = (
    f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.id IN (SELECT r.id FROM run r WHERE r.sort_us >= ?"
    f" UNION SELECT r.id FROM run r WHERE r.ended_us >= ? UNION SELECT r.id FROM run r WHERE {BEGUN_SQL})"
)
SELECT_CHANGED_RUNS = f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.changed_seq > ?"
MAX_ISOLATED_SUCCESSES = 100
"""Latest successes of an isolated job. Older ones are cached only after a retry or a red run; runs in any other state
are all cached."""
_WAITING = (RunState.WAITING.value, RunState.QUEUED.value)
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class RecentRuns:
    """Cached runs of the lookback."""

    seq: int = -1
    """changed_seq of the last refresh; -1 before the first."""
    removed: str = ""
    since_us: int = 0
    runs: LayeredMap[tuple[RunFacts, ...]] = field(default_factory=LayeredMap)
    """Job id -> its runs of the lookback, in order; without jobs that have none."""
    red: frozenset[int] = frozenset()
    """Jobs with a failed run among these."""
    isolated: frozenset[int] = frozenset()
    """Jobs whose old successes are not all cached."""
    leaving: dict[int, array[int]] = field(default_factory=dict)
    """Minute since 1970 -> jobs of which a run may leave the lookback after it, possibly repeated."""

    def is_full_refresh(self, since_us: int) -> bool:
        """True if a refresh from then on reads all runs."""
        return self.seq < 0 or since_us < self.since_us

    def refresh(
        self, session: Session, meta: Mapping[str, str], jobs: Mapping[int, JobFacts], since_us: int
    ) -> set[int]:
        """Updates the runs; the jobs whose runs changed."""
        seq, removed = int(meta.get("changed_seq", 0)), meta.get("runs_removed", "")
        removed_ids: set[int] = set()
        if self.is_full_refresh(since_us):
            skews = clock_skew.target_skews(session, None).values()  # a wrong clock may put a run that much earlier
            bound = since_us - max((abs(skew) // _US for skew in skews), default=0)
            rows = session.stream(SELECT_RUNS, (bound, bound))
            self.runs, self.red, self.leaving = LayeredMap(), frozenset(), {}
        else:
            rows = session.stream(SELECT_CHANGED_RUNS, (self.seq,)) if seq != self.seq else iter(())
            if removed != self.removed:  # only runs without an attempt are removed
                ids = [run.id for runs in self.runs.values() for run in runs if not run.attempt]
                stored = session.by_keys("SELECT r.id FROM {keys} JOIN run r ON r.id = k.a", ids)
                removed_ids = set(ids) - {row.id for row in stored}
        later, self.seq, self.removed, self.since_us = since_us != self.since_us, seq, removed, since_us
        changed = self._merge(_read_runs(session, rows, jobs), removed_ids, instant(since_us))
        changed |= self._expire(since_us) if later else set()
        runs = (run for job_id in changed for run in self.runs.get(job_id, ()))
        red = {run.job_id for run in runs if run.state in RED_STATES}
        if red != {job_id for job_id in changed if job_id in self.red}:
            self.red = self.red - changed | red
        return changed

    def isolate(self, jobs: frozenset[int]) -> None:
        """Sets the jobs without a schedule that nothing else reads. If one that was trimmed is read from now on, the
        next refresh reads all runs."""
        if any(len(self.runs.get(job_id, ())) >= MAX_ISOLATED_SUCCESSES for job_id in self.isolated - jobs):
            self.seq = -1
        self.isolated = jobs

    def _merge(self, fresh: dict[int, list[RunFacts]], removed_ids: set[int], since: datetime) -> set[int]:
        for job_id, before in self.runs.items() if removed_ids else ():
            if any(run.id in removed_ids for run in before):
                fresh.setdefault(job_id, [])
        if fresh:
            self._put({job_id: self._joined(job_id, new, removed_ids, since) for job_id, new in fresh.items()})
        return set(fresh)

    def _joined(self, job_id: int, new: list[RunFacts], removed_ids: set[int], since: datetime) -> tuple[RunFacts, ...]:
        known = {run.id: run for run in self.runs.get(job_id, ())}
        first_minute = (since - EPOCH) // _MINUTE
        for run in new:
            was, minute = known.get(run.id), _last_minute(run)
            if minute >= first_minute and (was is None or _last_minute(was) != minute):
                if minute not in self.leaving:
                    self.leaving[minute] = array("q")
                self.leaving[minute].append(job_id)
        if known:
            known |= {run.id: run for run in new}
            new = [run for run in known.values() if run.id not in removed_ids]
        if len(new) > 1:
            new.sort(key=lambda run: (_last_instant(run), run.period_key))
        recent = [run for run in new if is_in_lookback(run, since)]
        return tuple(_without_old_successes(recent) if job_id in self.isolated else recent)

    def _put(self, runs: Mapping[int, tuple[RunFacts, ...]]) -> None:
        empty = [job_id for job_id, of_job in runs.items() if not of_job]
        self.runs = self.runs.changed({job_id: of_job for job_id, of_job in runs.items() if of_job}, empty)

    def _expire(self, since_us: int) -> set[int]:
        """Removes runs older than the lookback, which begins at a full minute; the jobs that lost a run."""
        minutes = [minute for minute in self.leaving if minute < since_us // MINUTE_US]
        jobs = {job_id for minute in minutes for job_id in self.leaving.pop(minute)}
        since = instant(since_us)
        changed: dict[int, tuple[RunFacts, ...]] = {}
        for job_id in jobs:
            before = self.runs.get(job_id, ())
            remaining = tuple(run for run in before if is_in_lookback(run, since))
            if len(remaining) < len(before):
                changed[job_id] = remaining
        if changed:
            self._put(changed)
        return set(changed)


def _read_runs(session: Session, rows: Iterator[Row], jobs: Mapping[int, JobFacts]) -> dict[int, list[RunFacts]]:
    """Job id -> the runs of these rows, by our clock."""
    runs: dict[int, list[RunFacts]] = {}
    skews: Mapping[int, timedelta] | None = None
    while batch := list(islice(rows, RUN_BATCH)):
        if skews is None:
            targets = {jobs[row.job_id].target_id for row in batch if row.job_id in jobs}
            skews = clock_skew.target_skews(session, targets if len(batch) < RUN_BATCH else None)
        for _, run in clock_skew.correct_runs(_build_runs(session, batch, jobs), jobs, skews):
            known = runs.get(run.job_id)
            if known is None:
                runs[run.job_id] = [run]
            else:
                known.append(run)
    return runs


def _build_runs(session: Session, rows: Sequence[Row], jobs: Mapping[int, JobFacts]) -> Iterable[tuple[int, RunFacts]]:
    ended = facts.ended_attempts(session, [row.id for row in rows if row.attempts > 1])
    queued = facts.queued_since(session, [row.id for row in rows if row.state in _WAITING])
    tails = facts.failed_log_tails(session, rows)
    for row in rows:
        job = jobs.get(row.job_id)
        run = facts.run_facts(
            row, ended.get(row.id, ()), queued.get(row.id), tails.get(row.id, ""), None if job is None else job.id
        )
        yield row.sort_us, run


def _without_old_successes(runs: list[RunFacts]) -> list[RunFacts]:
    """Without the successes before the latest, but with those that show a failure: retried ones, those of all periods,
    and the success after each red run, which repairs it."""
    successes = [run for run in runs if run.state is RunState.SUCCEEDED]
    plain = (run for run in successes[:-MAX_ISOLATED_SUCCESSES] if run.attempt <= 1)
    old = {run.id for run in plain if run.period_kind is not PeriodKind.ALL}
    if old:
        settled = (run for run in runs if run.state is RunState.SUCCEEDED or run.state in RED_STATES)
        old -= {after.id for before, after in pairwise(settled) if before.state in RED_STATES}
    return [run for run in runs if run.id not in old] if old else runs


def is_in_lookback(run: RunFacts, since: datetime) -> bool:
    """True for a run whose period, start or end is not before `since`, and for an open one."""
    if _last_instant(run) >= since or (run.state in OPEN_STATES and run.state is not RunState.PLANNED):
        return True
    return run.ended_at is not None and run.ended_at >= since


def _last_instant(run: RunFacts) -> datetime:
    return run.period_at or run.first_started_at or run.started_at or run.ended_at or run.observed_at or EPOCH


def _last_minute(run: RunFacts) -> int:
    """Minute since 1970 of its last activity; an open run stays beyond it."""
    return (max(_last_instant(run), run.ended_at or EPOCH) - EPOCH) // _MINUTE


BUSINESS_DAYS_BACK = timedelta(days=21)
"""Longer than any closure of a business."""
MONTH_BACK = timedelta(days=63)
"""From the second-to-last day of a month back to the last day of the month before."""
REREAD_US = 3_600_000_000
"""For this long after a read, what leaves the lookback is known (µs)."""
_LAST = (
    f"SELECT {facts.RUN_COLUMNS} FROM {{keys}} JOIN run r ON r.id = (SELECT x.id FROM run x WHERE x.job_id = k.a"
    " AND x.sort_us < ? ORDER BY x.sort_us DESC LIMIT 1)"
)
_SINCE = (
    f"SELECT {facts.RUN_COLUMNS} FROM {{keys}} JOIN run r ON r.job_id = k.a WHERE r.sort_us >= k.b AND r.sort_us < ?"
)
_US = timedelta(microseconds=1)
RequiredPeriod = tuple[UpstreamPeriod, timedelta | None]
"""Required period of an upstream, and maximum age."""


@dataclass(slots=True)
class EarlierRuns:
    """Cached earlier runs: read each hour, and when a dependency or one of these jobs changes."""

    since_us: int = 0
    dependencies: Sequence[DependencyFacts] = ()
    required: Mapping[int, Sequence[RequiredPeriod]] = field(default_factory=dict)
    """By upstream."""
    by_job: dict[int, tuple[RunFacts, ...]] = field(default_factory=dict)
    runs: tuple[RunFacts, ...] = ()

    def refresh(
        self,
        session: Session,
        jobs: Mapping[int, JobFacts],
        dependencies: Sequence[DependencyFacts],
        changed: Set[int],
        since_us: int,
    ) -> tuple[RunFacts, ...]:
        """The runs, by job and period. `changed`: jobs with changed runs."""
        is_known = abs(since_us - self.since_us) < REREAD_US
        if dependencies is not self.dependencies:
            across_periods = (edge for edge in dependencies if edge.wants.period is not UpstreamPeriod.SAME)
            required: dict[int, list[RequiredPeriod]] = {}
            for edge in across_periods:
                required.setdefault(edge.upstream_id, []).append((edge.wants.period, edge.wants.within))
            self.dependencies, self.required, is_known = dependencies, required, False
        if not is_known:
            self.by_job, self.since_us = {}, since_us
        upstreams = self.required.keys() & changed if is_known else self.required.keys()
        read = [job_id for job_id in upstreams if job_id in jobs]
        if read or not is_known:
            runs = _read_earlier(session, jobs, {job_id: self.required[job_id] for job_id in read}, since_us)
            self.by_job |= {**dict.fromkeys(read, ()), **runs}
            self.runs = tuple(run for job_id in sorted(self.by_job) for run in self.by_job[job_id])
        return self.runs


def _read_earlier(
    session: Session, jobs: Mapping[int, JobFacts], required: Mapping[int, Sequence[RequiredPeriod]], since_us: int
) -> dict[int, tuple[RunFacts, ...]]:
    first_us = {job_id: since_us - max(map(_reach, periods)) // _US for job_id, periods in required.items()}
    rows = {row.id: row for row in session.by_keys(_LAST, sorted(first_us), (since_us,))}
    rows |= {row.id: row for row in session.by_keys(_SINCE, sorted(first_us.items()), (since_us + REREAD_US,))}
    ended = facts.ended_attempts(session, [row.id for row in rows.values() if row.attempts > 1])
    read = ((row.sort_us, facts.run_facts(row, ended.get(row.id, ()))) for row in rows.values())
    runs = clock_skew.correct_runs(
        read, jobs, clock_skew.target_skews(session, {jobs[job_id].target_id for job_id in required})
    )
    by_job: dict[int, tuple[RunFacts, ...]] = {}
    for _, run in sorted(runs, key=lambda pair: (pair[0], pair[1].period_key)):
        by_job[run.job_id] = (*by_job.get(run.job_id, ()), run)
    return by_job


def _reach(required: RequiredPeriod) -> timedelta:
    period, within = required
    if period is UpstreamPeriod.BUSINESS_DAY:
        return BUSINESS_DAYS_BACK
    return MONTH_BACK if period is UpstreamPeriod.MONTH_END else within or timedelta(0)


_CONTEXTS = (
    "SELECT t.run_id, t.context FROM {keys} JOIN attempt t ON t.run_id = k.a"
    " WHERE t.context <> '{}' ORDER BY t.run_id, t.number"
)


class RunCosts:
    """Costs of some jobs' cached runs; read again only for jobs with changes."""

    def __init__(self, jobs: Set[int] = frozenset()) -> None:
        self.by_run: LayeredMap[float] = LayeredMap()
        self._by_job: dict[int, dict[int, float]] = {}
        self._jobs = jobs

    def refresh(self, session: Session, runs: Mapping[int, Iterable[RunFacts]], changed: Set[int]) -> None:
        """`runs`: by job; `changed`: jobs whose runs changed since the last refresh."""
        jobs = self._jobs & changed if self._by_job else self._jobs
        if not jobs:
            return
        job_of = {run.id: job_id for job_id in jobs for run in runs.get(job_id, ())}
        costs: dict[int, dict[int, float]] = {job_id: {} for job_id in jobs}
        for run_id, cost in run_costs(session.by_keys(_CONTEXTS, sorted(job_of))).items():
            costs[job_of[run_id]][run_id] = cost
        ended = [run_id for job_id in jobs for run_id in self._by_job.get(job_id, ())]
        self._by_job |= costs
        new = {run_id: cost for by_run in costs.values() for run_id, cost in by_run.items()}
        self.by_run = self.by_run.changed(new, [run_id for run_id in ended if run_id not in new])


def run_costs(contexts: Iterable[Row]) -> dict[int, float]:
    """Run id -> total cost of its attempts, if its source reports it. Raises no error for outside text."""
    costs: dict[int, float] = {}
    for row in contexts:
        cost = _cost(row.context)
        if cost is not None:
            costs[row.run_id] = costs.get(row.run_id, 0.0) + cost
    return costs


def _cost(context: str) -> float | None:
    try:
        table = json.loads(context)
    except (ValueError, RecursionError):  # outside text
        return None
    cost = table.get("cost") if isinstance(table, dict) else None
    is_number = isinstance(cost, int | float) and not isinstance(cost, bool) and abs(cost) <= sys.float_info.max
    return cost if is_number else None
