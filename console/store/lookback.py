"""The runs of the lookback by their jobs, as the looks at one store remember them: what one look found is never
changed; a job whose runs are others gets another tuple.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from connectors.contract import OPEN_STATES, RED_STATES, State
from console.model.ids import EPOCH, instant
from console.model.layered import Layered
from console.model.values import JobFacts, RunFacts
from console.store import clocks, facts
from console.store.wire import Row, Wire

# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
MINUTE_US = 60_000_000
BITE = 5_000
"""Rows that are made into values at a time: a first look finds hundreds of thousands, and a row is larger than its
value."""
_OPEN = "r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"  # as the index says it
RUNS = (
    f"SELECT {facts.RUN} FROM run r WHERE r.id IN (SELECT r.id FROM run r WHERE r.sort_us >= ?"
    f" UNION SELECT r.id FROM run r WHERE r.ended_us >= ? UNION SELECT r.id FROM run r WHERE {_OPEN})"
)
CHANGED_RUNS = f"SELECT {facts.RUN} FROM run r WHERE r.changed_seq > ?"
_WAITING = (State.WAITING.value, State.QUEUED.value)
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Lookback:
    """What the last look saw of them."""

    seq: int = -1
    """changed_seq of that look; -1 before the first."""
    removed: str = ""
    since_us: int = 0
    runs: Layered[tuple[RunFacts, ...]] = field(default_factory=Layered)
    """Job id -> its runs of the lookback, in order; without the jobs that have none."""
    red: frozenset[int] = frozenset()
    """Jobs of which one of these runs is red."""
    leaving: dict[int, array[int]] = field(default_factory=dict)
    """Minute since 1970 -> jobs of which a run may be older than the lookback after it, some of them twice."""

    def begins_anew(self, since_us: int) -> bool:
        """True where a look from there on reads all runs."""
        return self.seq < 0 or since_us < self.since_us

    def look(self, lines: Wire, meta: Mapping[str, str], jobs: Mapping[int, JobFacts], since_us: int) -> set[int]:
        """Brings the runs up to date; the jobs whose runs are others now."""
        seq, removed = int(meta.get("changed_seq", 0)), meta.get("runs_removed", "")
        if self.begins_anew(since_us):
            bound = since_us - _widest_us(lines)
            rows, gone = lines.stream(RUNS, (bound, bound)), set[int]()
            self.runs, self.red, self.leaving = Layered(), frozenset(), {}
        else:
            rows = lines.stream(CHANGED_RUNS, (self.seq,)) if seq != self.seq else iter(())
            gone = self._removed(lines) if removed != self.removed else set()
        self.seq, self.removed, self.since_us = seq, removed, since_us
        changed = self._take(_read(lines, rows, jobs), gone, instant(since_us)) | self._let_go(since_us)
        if changed:
            those = (self.runs.get(each, ()) for each in changed)
            self.red = self.red - changed | {run.job_id for runs in those for run in runs if run.state in RED_STATES}
        return changed

    def _removed(self, lines: Wire) -> set[int]:
        """Ids of runs that nobody started and that are not in the store any more."""
        ids = [run.id for runs in self.runs.values() for run in runs if not run.attempt]
        left = lines.by_keys("SELECT r.id FROM {keys} JOIN run r ON r.id = k.a", "i", ids)
        return set(ids) - {row[0] for row in left}

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
            new.sort(key=_place)
        return tuple([run for run in new if is_in(run, since)])

    def _put(self, runs: Mapping[int, tuple[RunFacts, ...]]) -> None:
        empty = [job_id for job_id, those in runs.items() if not those]
        self.runs = self.runs.changed({job_id: those for job_id, those in runs.items() if those}, empty)

    def _let_go(self, since_us: int) -> set[int]:
        """Takes out what is older than the lookback now, which begins at a full minute; the jobs that lost a run."""
        over = [minute for minute in self.leaving if minute < since_us // MINUTE_US]
        jobs = {job_id for minute in over for job_id in self.leaving.pop(minute)}
        since = instant(since_us)
        lost = {job_id for job_id in jobs if any(not is_in(run, since) for run in self.runs.get(job_id, ()))}
        if lost:
            self._put({job_id: tuple(run for run in self.runs[job_id] if is_in(run, since)) for job_id in lost})
        return lost


def _read(lines: Wire, rows: Iterator[Row], jobs: Mapping[int, JobFacts]) -> dict[int, list[RunFacts]]:
    """Job id -> the runs that these rows tell of, by our clock."""
    found: dict[int, list[RunFacts]] = {}
    skews: Mapping[int, timedelta] | None = None
    while bite := list(islice(rows, BITE)):
        skews = clocks.skews(lines) if skews is None else skews
        for _, run in clocks.on_our_clock(_made(lines, bite, jobs), jobs, skews):
            known = found.get(run.job_id)
            if known is None:
                found[run.job_id] = [run]
            else:
                known.append(run)
    return found


def _made(lines: Wire, rows: Sequence[Row], jobs: Mapping[int, JobFacts]) -> Iterable[tuple[int, RunFacts]]:
    over = facts.attempts_over(lines, [row[0] for row in rows if row[9] > 1])
    queued = facts.queued(lines, [row[0] for row in rows if row[5] in _WAITING])
    tails = facts.red_tails(lines, rows)
    for row in rows:
        job = jobs.get(row[1])
        run = facts.run(
            row, over.get(row[0], ()), queued.get(row[0]), tails.get(row[0], ""), None if job is None else job.id
        )
        yield row[-1], run


def _widest_us(lines: Wire) -> int:
    """By how much a clock is wrong at most: so much earlier a run of the lookback may be kept."""
    return max((abs(skew) // timedelta(microseconds=1) for skew in clocks.skews(lines).values()), default=0)


def is_in(run: RunFacts, since: datetime) -> bool:
    """True for a run whose period, start or end is not before `since`, and for an open one."""
    if _at(run) >= since or (run.state in OPEN_STATES and run.state is not State.PLANNED):
        return True
    return run.ended_at is not None and run.ended_at >= since


def _at(run: RunFacts) -> datetime:
    return run.period_at or run.first_started_at or run.started_at or run.ended_at or run.observed_at or EPOCH


def _last_minute(run: RunFacts) -> int:
    """Since 1970, in which it was last at work; an open one is kept beyond it."""
    return (max(_at(run), run.ended_at or EPOCH) - EPOCH) // _MINUTE


def _place(run: RunFacts) -> tuple[datetime, str]:
    return _at(run), run.period_key
