"""Runs of the lookback by job, and earlier runs that a dependency on another period reads.

A read result never changes; a job whose runs changed gets another tuple.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from connectors.sdk.states import OPEN_STATES, RED_STATES, RunState
from console.domain.dependency import UpstreamPeriod
from console.domain.estate import DependencyFacts, JobFacts, RunFacts
from console.domain.ids import EPOCH, instant
from console.store.db.session import Row, Session
from console.store.snapshot import clock_skew, facts
from console.store.snapshot.interning import LayeredMap

# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
MINUTE_US = 60_000_000
RUN_BATCH = 5_000
"""Rows that are made into values at a time: a first look finds hundreds of thousands, and a row is larger than its
value."""
_OPEN = "r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"  # as the index says it
SELECT_RUNS = (
    f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.id IN (SELECT r.id FROM run r WHERE r.sort_us >= ?"
    f" UNION SELECT r.id FROM run r WHERE r.ended_us >= ? UNION SELECT r.id FROM run r WHERE {_OPEN})"
)
SELECT_CHANGED_RUNS = f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.changed_seq > ?"
_WAITING = (RunState.WAITING.value, RunState.QUEUED.value)
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class RecentRuns:
    """What the last look saw of them."""

    seq: int = -1
    """changed_seq of that look; -1 before the first."""
    removed: str = ""
    since_us: int = 0
    runs: LayeredMap[tuple[RunFacts, ...]] = field(default_factory=LayeredMap)
    """Job id -> its runs of the lookback, in order; without the jobs that have none."""
    red: frozenset[int] = frozenset()
    """Jobs of which one of these runs is red."""
    leaving: dict[int, array[int]] = field(default_factory=dict)
    """Minute since 1970 -> jobs of which a run may be older than the lookback after it, some of them twice."""

    def begins_anew(self, since_us: int) -> bool:
        """True where a look from there on reads all runs."""
        return self.seq < 0 or since_us < self.since_us

    def look(self, session: Session, meta: Mapping[str, str], jobs: Mapping[int, JobFacts], since_us: int) -> set[int]:
        """Brings the runs up to date; the jobs whose runs are others now."""
        seq, removed = int(meta.get("changed_seq", 0)), meta.get("runs_removed", "")
        if self.begins_anew(since_us):
            bound = since_us - _widest_us(session)
            rows, gone = session.stream(SELECT_RUNS, (bound, bound)), set[int]()
            self.runs, self.red, self.leaving = LayeredMap(), frozenset(), {}
        else:
            rows = session.stream(SELECT_CHANGED_RUNS, (self.seq,)) if seq != self.seq else iter(())
            gone = self._removed(session) if removed != self.removed else set()
        self.seq, self.removed, self.since_us = seq, removed, since_us
        changed = self._take(_read_runs(session, rows, jobs), gone, instant(since_us)) | self._let_go(since_us)
        if changed:
            those = (self.runs.get(each, ()) for each in changed)
            self.red = self.red - changed | {run.job_id for runs in those for run in runs if run.state in RED_STATES}
        return changed

    def _removed(self, session: Session) -> set[int]:
        ids = [run.id for runs in self.runs.values() for run in runs if not run.attempt]
        left = session.by_keys("SELECT r.id FROM {keys} JOIN run r ON r.id = k.a", ids)
        return set(ids) - {row.id for row in left}

    def _take(self, fresh: dict[int, list[RunFacts]], gone: set[int], since: datetime) -> set[int]:
        for job_id, before in self.runs.items() if gone else ():
            if any(run.id in gone for run in before):
                fresh.setdefault(job_id, [])
        if not fresh:
            return set()
        self._put({job_id: self._joined(job_id, new, gone, since) for job_id, new in fresh.items()})
        return set(fresh)

    def _joined(self, job_id: int, new: list[RunFacts], gone: set[int], since: datetime) -> tuple[RunFacts, ...]:
        known = {run.id: run for run in self.runs.get(job_id, ())}
        for run in new:
            was, minute = known.get(run.id), _last_minute(run)
            if was is None or _last_minute(was) != minute:
                if minute not in self.leaving:
                    self.leaving[minute] = array("q")
                self.leaving[minute].append(job_id)
        if known:
            known |= {run.id: run for run in new}
            new = [run for run in known.values() if run.id not in gone]
        if len(new) > 1:
            new.sort(key=_sort_key)
        return tuple([run for run in new if is_in_lookback(run, since)])

    def _put(self, runs: Mapping[int, tuple[RunFacts, ...]]) -> None:
        empty = [job_id for job_id, those in runs.items() if not those]
        self.runs = self.runs.changed({job_id: those for job_id, those in runs.items() if those}, empty)

    def _let_go(self, since_us: int) -> set[int]:
        over = [minute for minute in self.leaving if minute < since_us // MINUTE_US]
        jobs = {job_id for minute in over for job_id in self.leaving.pop(minute)}
        since = instant(since_us)
        lost = {job_id for job_id in jobs if any(not is_in_lookback(run, since) for run in self.runs.get(job_id, ()))}
        if lost:
            self._put(
                {job_id: tuple(run for run in self.runs[job_id] if is_in_lookback(run, since)) for job_id in lost}
            )
        return lost


def _read_runs(session: Session, rows: Iterator[Row], jobs: Mapping[int, JobFacts]) -> dict[int, list[RunFacts]]:
    found: dict[int, list[RunFacts]] = {}
    skews: Mapping[int, timedelta] | None = None
    while bite := list(islice(rows, RUN_BATCH)):
        skews = clock_skew.target_skews(session) if skews is None else skews
        for _, run in clock_skew.correct_runs(_build_runs(session, bite, jobs), jobs, skews):
            known = found.get(run.job_id)
            if known is None:
                found[run.job_id] = [run]
            else:
                known.append(run)
    return found


def _build_runs(session: Session, rows: Sequence[Row], jobs: Mapping[int, JobFacts]) -> Iterable[tuple[int, RunFacts]]:
    over = facts.ended_attempts(session, [row.id for row in rows if row.attempts > 1])
    queued = facts.queued_since(session, [row.id for row in rows if row.state in _WAITING])
    tails = facts.failed_log_tails(session, rows)
    for row in rows:
        job = jobs.get(row.job_id)
        run = facts.run_facts(
            row, over.get(row.id, ()), queued.get(row.id), tails.get(row.id, ""), None if job is None else job.id
        )
        yield row.sort_us, run


def _widest_us(session: Session) -> int:
    return max(
        (abs(skew) // timedelta(microseconds=1) for skew in clock_skew.target_skews(session).values()), default=0
    )


def is_in_lookback(run: RunFacts, since: datetime) -> bool:
    """True for a run whose period, start or end is not before `since`, and for an open one."""
    if _last_instant(run) >= since or (run.state in OPEN_STATES and run.state is not RunState.PLANNED):
        return True
    return run.ended_at is not None and run.ended_at >= since


def _last_instant(run: RunFacts) -> datetime:
    return run.period_at or run.first_started_at or run.started_at or run.ended_at or run.observed_at or EPOCH


def _last_minute(run: RunFacts) -> int:
    return (max(_last_instant(run), run.ended_at or EPOCH) - EPOCH) // _MINUTE


def _sort_key(run: RunFacts) -> tuple[datetime, str]:
    return _last_instant(run), run.period_key


# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
BUSINESS_DAYS_BACK = timedelta(days=21)
"""No business is closed for longer."""
MONTH_BACK = timedelta(days=63)
"""The last day of a month, from the last of the next one but a day."""
REREAD_US = 3_600_000_000
"""What leaves the lookback is known to it for so long, µs."""
_LAST = (
    f"SELECT {facts.RUN_COLUMNS} FROM {{keys}} JOIN run r ON r.id = (SELECT x.id FROM run x WHERE x.job_id = k.a"
    " AND x.sort_us < ? ORDER BY x.sort_us DESC LIMIT 1)"
)
_SINCE = (
    f"SELECT {facts.RUN_COLUMNS} FROM {{keys}} JOIN run r ON r.job_id = k.a WHERE r.sort_us >= k.b AND r.sort_us < ?"
)
_US = timedelta(microseconds=1)
RequiredPeriod = tuple[int, UpstreamPeriod, timedelta | None]
"""Upstream, which of its runs, and within which time."""


@dataclass(slots=True)
class EarlierRuns:
    """What was read of them: again once in an hour, when a dependency changed, and when one of these jobs did."""

    since_us: int = 0
    dependencies: Sequence[DependencyFacts] = ()
    wanted: Sequence[RequiredPeriod] = ()
    runs: tuple[RunFacts, ...] = ()

    def follow(
        self,
        session: Session,
        jobs: Mapping[int, JobFacts],
        dependencies: Sequence[DependencyFacts],
        changed: Set[int],
        since_us: int,
    ) -> tuple[RunFacts, ...]:
        """The runs, by job and period. `changed`: jobs with a run that is new or otherwise than before."""
        is_known = abs(since_us - self.since_us) < REREAD_US
        if dependencies is not self.dependencies:
            self.dependencies, self.wanted, is_known = dependencies, _required_periods(dependencies), False
        if not is_known or not changed.isdisjoint(job_id for job_id, _, _ in self.wanted):
            self.runs, self.since_us = _read_earlier(session, jobs, self.wanted, since_us), since_us
        return self.runs


def _required_periods(dependencies: Iterable[DependencyFacts]) -> Sequence[RequiredPeriod]:
    other = (one for one in dependencies if one.wants.period is not UpstreamPeriod.SAME)
    return list(dict.fromkeys((one.upstream_id, one.wants.period, one.wants.within) for one in other))


def _read_earlier(
    session: Session, jobs: Mapping[int, JobFacts], wanted: Sequence[RequiredPeriod], since_us: int
) -> tuple[RunFacts, ...]:
    wanted = [one for one in wanted if one[0] in jobs]
    if not wanted:
        return ()
    until = since_us + REREAD_US
    rows: dict[int, Row] = {}
    back: dict[int, int] = {}
    for job_id, period, within in wanted:
        start = since_us - (_reach(period, within) // _US)
        back[job_id] = min(back.get(job_id, start), start)
    for row in session.by_keys(_LAST, sorted(back), (since_us,)):
        rows[row.id] = row
    for row in session.by_keys(_SINCE, sorted(back.items()), (until,)):
        rows[row.id] = row
    over = facts.ended_attempts(session, [row.id for row in rows.values() if row.attempts > 1])
    read = ((row.sort_us, facts.run_facts(row, over.get(row.id, ()))) for row in rows.values())
    found = clock_skew.correct_runs(read, jobs, clock_skew.target_skews(session))
    return tuple(run for _, run in sorted(found, key=lambda one: (one[1].job_id, one[0], one[1].period_key)))


def _reach(period: UpstreamPeriod, within: timedelta | None) -> timedelta:
    if period is UpstreamPeriod.BUSINESS_DAY:
        return BUSINESS_DAYS_BACK
    return MONTH_BACK if period is UpstreamPeriod.MONTH_END else within or timedelta(0)
