"""What the looks at one store remember, so that the next one reads and makes anew only what changed (`changed_seq`).

Everything that an estate was given stays as it was: a dict is copied before it is changed, the runs of a job are one
tuple that is replaced. So the estates of all looks share what is the same, and may be used on any thread.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from threading import Lock

from connectors.contract import OPEN_STATES, State
from console.model.grouped import has_red
from console.model.ids import EPOCH, instant, micros
from console.model.layered import Layered
from console.model.values import DependencyFacts, IncidentFacts, JobFacts, RunFacts, ServiceFacts
from console.store import clocks, facts, incident_facts
from console.store.correlation import Contexts
from console.store.earlier import Earlier
from console.store.histories import Histories
from console.store.wire import Row, Wire

# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
MINUTE_US = 60_000_000
_OPEN = "r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"  # as the index says it
RUNS = (
    f"SELECT {facts.RUN} FROM run r WHERE r.id IN (SELECT r.id FROM run r WHERE r.sort_us >= ?"
    f" UNION SELECT r.id FROM run r WHERE r.ended_us >= ? UNION SELECT r.id FROM run r WHERE {_OPEN})"
)
_WAITING = (State.WAITING.value, State.QUEUED.value)
CHANGED_RUNS = f"SELECT {facts.RUN} FROM run r WHERE r.changed_seq > ?"
_META = (
    "SELECT name, value FROM meta WHERE name IN"
    " ('changed_seq', 'runs_removed', 'config_digest', 'config_seq', 'edges_seq')"
)
_JOBS_VERSION = (
    "SELECT (SELECT MAX(changed_seq) FROM job), (SELECT MAX(id) FROM job), (SELECT MAX(id) FROM schedule),"
    " (SELECT MAX(id) FROM drift), (SELECT count(*) FROM system WHERE NOT removed),"
    " (SELECT count(*) FROM target WHERE NOT removed)"
)
_SHAPE_VERSION = "SELECT (SELECT MAX(id) FROM dependency), (SELECT MAX(id) FROM service)"
_INCIDENTS_VERSION = (
    "SELECT (SELECT MAX(changed_seq) FROM incident), (SELECT value FROM meta WHERE name = 'members_seq')"
)
REMEMBERED = 1_000
"""Looks of which is known what each found changed."""


@dataclass(slots=True)
class Memory:
    """What the last look at a store saw."""

    seq: int = -1
    """changed_seq of that look."""
    removed: str = ""
    since_us: int = 0
    jobs_version: tuple[object, ...] = ()
    jobs: dict[int, JobFacts] = field(default_factory=dict)
    """Every job that is watched, by id, in their order."""
    runs: Layered[tuple[RunFacts, ...]] = field(default_factory=Layered)
    """Job id -> its runs of the lookback, in order."""
    red: frozenset[int] = frozenset()
    """Jobs of which one of these runs is red."""
    leaving: dict[int, set[int]] = field(default_factory=dict)
    """Minute since 1970 -> jobs of which a run may be older than the lookback after it."""
    shape_version: tuple[object, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    dependencies: tuple[DependencyFacts, ...] = ()
    """Between jobs that are watched."""
    members: frozenset[int] | None = None
    """Jobs whose durations matter; None: not known for these jobs, services and dependencies yet."""
    durations: Layered[tuple[float, ...]] = field(default_factory=Layered)
    """Of members: what estimates look at; empty for a job that never went well."""
    timed_for: frozenset[int] | None = None
    """The members of which all durations are known."""
    correlated: Contexts[dict[str, str]] = field(default_factory=Contexts)
    """Of the jobs of services that are promised end to end; made anew with `members`."""
    costs: Contexts[float] = field(default_factory=Contexts)
    """Of the jobs with a budget for what a run may cost; made anew with `members`."""
    histories: Histories = field(default_factory=Histories)
    earlier: Earlier = field(default_factory=Earlier)
    incidents_version: tuple[object, ...] = ()
    incidents: tuple[IncidentFacts, ...] = ()
    """The open ones."""
    closed: tuple[IncidentFacts, ...] = ()
    """Those that closed in the lookback of when they were read."""
    number: int = 0
    """Of the last look that found something changed."""
    journal: deque[tuple[int, frozenset[int]]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """(number, jobs with other facts, runs or durations than before), oldest first."""
    lock: Lock = field(default_factory=Lock)

    def changed_since(self, number: int) -> frozenset[int] | None:
        """Jobs with something new since the look of that number; None where that is not known any more."""
        if number == self.number:
            return frozenset()
        if not self.journal or number < self.journal[0][0] - 1:
            return None
        return frozenset().union(*(jobs for at, jobs in reversed(self.journal) if at > number))

    def look(self, lines: Wire, since_us: int) -> set[int]:
        """Brings jobs, services, dependencies and runs up to date; the jobs whose facts or runs are others now."""
        meta: dict[str, str] = dict(lines.rows(_META))
        changed = self._look_at_jobs(lines, meta)
        self._look_at_shape(lines, meta)
        return changed | self._look_at_runs(lines, meta, since_us)

    def found(self, changed: Iterable[int]) -> None:
        """Keeps in mind what this look found."""
        jobs = frozenset(changed)
        if jobs:
            self.number += 1
            self.journal.append((self.number, jobs))

    def forget(self) -> None:
        """All but the lock: the next look reads everything anew, and knows of no job that it is as it was."""
        anew = Memory(number=self.number + 1, lock=self.lock)
        for one in fields(self):
            setattr(self, one.name, getattr(anew, one.name))

    # jobs
    def _look_at_jobs(self, lines: Wire, meta: dict[str, str]) -> set[int]:
        config = (meta.get("config_digest"), meta.get("config_seq"))
        version = (*lines.rows(_JOBS_VERSION)[0], *config)
        if version == self.jobs_version and self.jobs:
            return set()
        was = self.jobs
        if was and self.jobs_version[4:] == version[4:] and self.jobs_version[0] != version[0]:
            jobs = self._with_changed_jobs(lines, self.jobs_version[0])
        else:
            jobs = dict(sorted(_job_facts(lines, facts.JOBS).items()))
        self.jobs_version = version
        changed = {job_id for job_id in was.keys() | jobs.keys() if was.get(job_id) != jobs.get(job_id)}
        if changed:
            self.jobs = jobs
            self.shape_version = () if was.keys() != jobs.keys() else self.shape_version
            self.members = None
        return changed

    def _with_changed_jobs(self, lines: Wire, seq: object) -> dict[int, JobFacts]:
        found = _job_facts(lines, f"{facts.JOBS} AND j.changed_seq > ?", (seq,))
        gone = {row[0] for row in lines.rows("SELECT id FROM job WHERE changed_seq > ?", (seq,))} - found.keys()
        jobs = {job_id: job for job_id, job in self.jobs.items() if job_id not in gone} | found
        return dict(sorted(jobs.items()))

    # services and dependencies
    def _look_at_shape(self, lines: Wire, meta: dict[str, str]) -> None:
        named = (meta.get("config_digest"), meta.get("config_seq"), meta.get("edges_seq"))
        version = (*lines.rows(_SHAPE_VERSION)[0], *named)
        if version == self.shape_version:
            return
        services = facts.services(lines)
        edges = facts.dependencies(lines)
        known = tuple(one for one in edges if one.upstream_id in self.jobs and one.downstream_id in self.jobs)
        self.services = services if services != self.services else self.services
        self.dependencies = known if known != self.dependencies else self.dependencies
        self.shape_version, self.members = version, None

    def look_at_incidents(self, lines: Wire, since_us: int) -> None:
        """They are read again where one of them, or what it hurts, is another."""
        version = lines.rows(_INCIDENTS_VERSION)[0]
        if version != self.incidents_version:
            self.incidents = incident_facts.incidents(lines)
            self.closed = incident_facts.incidents(lines, since_us)
            self.incidents_version = version
        since = instant(since_us)
        if any(one.closed_at is not None and one.closed_at < since for one in self.closed):
            self.closed = tuple(one for one in self.closed if one.closed_at is None or one.closed_at >= since)

    # runs
    def _look_at_runs(self, lines: Wire, meta: dict[str, str], since_us: int) -> set[int]:
        seq, removed = int(meta.get("changed_seq", 0)), meta.get("runs_removed", "")
        if self.seq < 0 or since_us < self.since_us:
            bound = since_us - _widest_us(lines)
            rows, gone = lines.rows(RUNS, (bound, bound)), set[int]()
            self.runs, self.red, self.leaving, self.durations = Layered(), frozenset(), {}, Layered()
            self.timed_for = None
            self.histories.clear()
        else:
            rows = lines.rows(CHANGED_RUNS, (self.seq,)) if seq != self.seq else []
            gone = self._removed(lines) if removed != self.removed else set()
        self.seq, self.removed, self.since_us = seq, removed, since_us
        changed = self._take(self._read(lines, rows), gone, instant(since_us)) | self._let_go(since_us)
        if changed:
            self.red = self.red - changed | {each for each in changed if has_red(self.runs.get(each, ()))}
        return changed

    def _read(self, lines: Wire, rows: Sequence[Row]) -> dict[int, list[RunFacts]]:
        over = facts.attempts_over(lines, [row[0] for row in rows if row[9] > 1])
        queued = facts.queued(lines, [row[0] for row in rows if row[5] in _WAITING])
        tails = facts.red_tails(lines, rows)
        read = (
            (row[-1], facts.run(row, over.get(row[0], ()), queued.get(row[0]), tails.get(row[0], ""))) for row in rows
        )
        found: dict[int, list[RunFacts]] = {}
        for _, run in clocks.on_our_clock(read, self.jobs, clocks.skews(lines) if rows else {}):
            found.setdefault(run.job_id, []).append(run)
        return found

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
        runs: dict[int, tuple[RunFacts, ...]] = {}
        for job_id, new in fresh.items():
            known = {run.id: run for run in (*self.runs.get(job_id, ()), *new) if run.id not in gone}
            runs[job_id] = tuple(sorted((run for run in known.values() if is_in(run, since)), key=_place))
            self._note_leaving(job_id, new)
        self._put(runs)
        return set(fresh)

    def _put(self, runs: dict[int, tuple[RunFacts, ...]]) -> None:
        """Jobs without runs are not in it."""
        empty = [job_id for job_id, those in runs.items() if not those]
        self.runs = self.runs.changed({job_id: those for job_id, those in runs.items() if those}, empty)

    def _note_leaving(self, job_id: int, new: Iterable[RunFacts]) -> None:
        for run in new:
            last = max(_at(run), run.ended_at or EPOCH)
            self.leaving.setdefault(micros(last) // MINUTE_US, set()).add(job_id)

    def _let_go(self, since_us: int) -> set[int]:
        """Takes out what is older than the lookback now, which begins at a full minute; the jobs that lost a run."""
        over = [minute for minute in self.leaving if minute < since_us // MINUTE_US]
        jobs = {job_id for minute in over for job_id in self.leaving.pop(minute)}
        since = instant(since_us)
        lost = {job_id for job_id in jobs if any(not is_in(run, since) for run in self.runs.get(job_id, ()))}
        if lost:
            self._put({job_id: tuple(run for run in self.runs[job_id] if is_in(run, since)) for job_id in lost})
        return lost


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


def _place(run: RunFacts) -> tuple[datetime, str]:
    return _at(run), run.period_key


def _job_facts(lines: Wire, query: str, values: Sequence[object] = ()) -> dict[int, JobFacts]:
    drift: dict[int, dict[str, tuple[str, int]]] = defaultdict(dict)
    for job_id, what, words, seen_us in lines.rows(facts.DRIFT):
        drift[job_id][what] = words, seen_us
    return {row[0]: facts.job(row, drift.get(row[0], {})) for row in lines.rows(query, values)}
