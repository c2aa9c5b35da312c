"""The estate that one evaluation sees, from one consistent read of the store; cached between evaluations.

Only runs of the lookback are loaded. The next refresh reads only what changed (`changed_seq`). Values already handed
out never change: a dict is copied before it changes, a job's runs are a tuple that is replaced, so estates share what
stays the same.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from threading import Lock
from weakref import WeakKeyDictionary

from console.domain.estate import (
    DependencyFacts,
    Estate,
    EvaluationSettings,
    IncidentFacts,
    JobFacts,
    RunFacts,
    RunsByJob,
    ServiceFacts,
)
from console.domain.forecast import ForecastTally, PastForecasts, PeakForecast
from console.domain.ids import instant, micros
from console.store import checks, config_documents, findings, notification_state, services
from console.store.db.database import Database
from console.store.db.session import Session
from console.store.forecasts import DAILY_US, PeriodicRead, forecast_tallies, past_forecasts, peak_forecasts
from console.store.snapshot import correlation, facts
from console.store.snapshot.correlation import ContextValues
from console.store.snapshot.history import HistoryCache
from console.store.snapshot.interning import LayeredMap, without_gc
from console.store.snapshot.peer_durations import PeerDurations
from console.store.snapshot.runs import MINUTE_US, EarlierRuns, RecentRuns

_META = (
    "SELECT name, value FROM meta WHERE name IN"
    " ('changed_seq', 'runs_removed', 'config_digest', 'config_seq', 'edges_seq', 'back_tests')"
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
MAX_CHANGES = 1_000
"""Looks of which is known what each found changed."""


@dataclass(slots=True)
class SnapshotCache:
    """What the last look at a store saw."""

    jobs_version: tuple[object, ...] = ()
    jobs: dict[int, JobFacts] = field(default_factory=dict)
    """Every job that is watched, by id, in their order."""
    lookback: RecentRuns = field(default_factory=RecentRuns)
    shape_version: tuple[object, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    dependencies: tuple[DependencyFacts, ...] = ()
    """Between jobs that are watched."""
    members: frozenset[int] | None = None
    """Jobs whose durations matter; None: not known for these jobs, services and dependencies yet."""
    durations: LayeredMap[Sequence[float]] = field(default_factory=LayeredMap)
    """Of members: what estimates look at; empty for a job that never went well."""
    timed_for: frozenset[int] | None = None
    """The members of which all durations are known."""
    correlated: ContextValues[dict[str, str]] = field(default_factory=ContextValues)
    """Of the jobs of services that are promised end to end; made anew with `members`."""
    costs: ContextValues[float] = field(default_factory=ContextValues)
    """Of the jobs with a budget for what a run may cost; made anew with `members`."""
    histories: HistoryCache = field(default_factory=HistoryCache)
    earlier: EarlierRuns = field(default_factory=EarlierRuns)
    peaks: PeriodicRead[Mapping[str, Sequence[PeakForecast]]] = field(
        default_factory=lambda: PeriodicRead(peak_forecasts)
    )
    back_tests: str = ""
    """How often something was back-tested, by the store's count."""
    likes: PeerDurations = field(default_factory=PeerDurations)
    tallies: PeriodicRead[Mapping[str, ForecastTally]] = field(
        default_factory=lambda: PeriodicRead(forecast_tallies, DAILY_US)
    )
    forecasts: PeriodicRead[tuple[PastForecasts, ...]] = field(default_factory=lambda: PeriodicRead(past_forecasts))
    incidents_version: tuple[object, ...] = ()
    incidents: tuple[IncidentFacts, ...] = ()
    """The open ones."""
    closed: tuple[IncidentFacts, ...] = ()
    """Those that closed in the lookback of when they were read."""
    number: int = 0
    """Of the last look that found something changed."""
    journal: deque[tuple[int, frozenset[int]]] = field(default_factory=lambda: deque(maxlen=MAX_CHANGES))
    """(number, jobs with other facts, runs or durations than before), oldest first."""
    lock: Lock = field(default_factory=Lock)

    def changed_since(self, number: int) -> frozenset[int] | None:
        """Jobs with something new since the look of that number; None where that is not known any more."""
        if number == self.number:
            return frozenset()
        if not self.journal or number < self.journal[0][0] - 1:
            return None
        return frozenset().union(*(jobs for at, jobs in reversed(self.journal) if at > number))

    def look(self, session: Session, since_us: int) -> set[int]:
        """Brings jobs, services, dependencies and runs up to date; the jobs whose facts or runs are others now."""
        meta: dict[str, str] = dict(session.rows(_META))
        self.back_tests = meta.get("back_tests", "")
        changed = self._look_at_jobs(session, meta)
        self._look_at_shape(session, meta)
        if self.lookback.begins_anew(since_us):
            self.durations, self.timed_for = LayeredMap(), None
            self.histories.clear()
        return changed | self.lookback.look(session, meta, self.jobs, since_us)

    def found(self, changed: Iterable[int]) -> None:
        """Keeps in mind what this look found."""
        jobs = frozenset(changed)
        if jobs and not self.number:  # nobody has asked before: everything is new to everybody
            self.number = 1
        elif jobs:
            self.number += 1
            self.journal.append((self.number, jobs))

    def forget(self) -> None:
        """All but the lock: the next look reads everything anew, and knows of no job that it is as it was."""
        anew = SnapshotCache(number=self.number + 1, lock=self.lock)
        for one in fields(self):
            setattr(self, one.name, getattr(anew, one.name))

    # jobs
    def _look_at_jobs(self, session: Session, meta: dict[str, str]) -> set[int]:
        config = (meta.get("config_digest"), meta.get("config_seq"))
        version = (*session.rows(_JOBS_VERSION)[0], *config)
        if version == self.jobs_version and self.jobs:
            return set()
        was = self.jobs
        if was and self.jobs_version[4:] == version[4:] and self.jobs_version[0] != version[0]:
            jobs = self._with_changed_jobs(session, self.jobs_version[0])
        else:
            jobs = _by_id(_job_facts(session, facts.SELECT_JOBS))
        self.jobs_version = version
        changed = {job_id for job_id in was.keys() | jobs.keys() if was.get(job_id) != jobs.get(job_id)}
        if changed:
            self.jobs = jobs
            self.shape_version = () if was.keys() != jobs.keys() else self.shape_version
            self.members = None
        return changed

    def _with_changed_jobs(self, session: Session, seq: object) -> dict[int, JobFacts]:
        found = _job_facts(session, f"{facts.SELECT_JOBS} AND j.changed_seq > ?", (seq,))
        gone = {row.id for row in session.rows("SELECT id FROM job WHERE changed_seq > ?", (seq,))} - found.keys()
        jobs = {job_id: job for job_id, job in self.jobs.items() if job_id not in gone} | found
        return _by_id(jobs)

    # services and dependencies
    def _look_at_shape(self, session: Session, meta: dict[str, str]) -> None:
        named = (meta.get("config_digest"), meta.get("config_seq"), meta.get("edges_seq"))
        version = (*session.rows(_SHAPE_VERSION)[0], *named)
        if version == self.shape_version:
            return
        services = facts.load_services(session)
        known = facts.load_dependencies(session, self.jobs)
        self.services = services if services != self.services else self.services
        self.dependencies = known if known != self.dependencies else self.dependencies
        self.shape_version, self.members = version, None

    def look_at_incidents(self, session: Session, since_us: int) -> None:
        """They are read again where one of them, or what it hurts, is another."""
        version = session.rows(_INCIDENTS_VERSION)[0]
        if version != self.incidents_version:
            self.incidents = facts.load_incidents(session)
            self.closed = facts.load_incidents(session, since_us)
            self.incidents_version = version
        since = instant(since_us)
        if any(one.closed_at is not None and one.closed_at < since for one in self.closed):
            self.closed = tuple(one for one in self.closed if one.closed_at is None or one.closed_at >= since)


def _job_facts(session: Session, query: str, values: Sequence[object] = ()) -> dict[int, JobFacts]:
    drift: dict[int, dict[str, tuple[str, int]]] = defaultdict(dict)
    for job_id, what, words, seen_us in session.rows(facts.SELECT_DRIFT):
        drift[job_id][what] = words, seen_us
    made = (facts.job_facts(row, drift.get(row.id, {})) for row in session.stream(query, values))
    return {job.id: job for job in made}


def _by_id(jobs: dict[int, JobFacts]) -> dict[int, JobFacts]:
    return {job_id: jobs[job_id] for job_id in sorted(jobs)}


MAX_DURATIONS = 60
"""Latest successes of a job that estimates look at."""
HISTORY_BATCH = 500
"""Jobs whose durations are read at a time."""
# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
_LATEST = (
    "SELECT {us} AS us FROM run WHERE job_id = k.a AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {MAX_DURATIONS}"
)
_DURATIONS_SQLITE = (
    f"SELECT k.a, (SELECT group_concat(us) FROM ({_LATEST.format(us='ended_us - started_us')})) FROM {{keys}}"
)
_DURATIONS_POSTGRES = (
    "SELECT k.a, (SELECT string_agg(us::text, ',' ORDER BY sort_us DESC) FROM"
    f" ({_LATEST.format(us='sort_us, ended_us - started_us')}) x) FROM {{keys}}"
)
"""Microseconds of each, newest first, as one text: a row for each of them took twice as long."""

_caches: WeakKeyDictionary[Database, SnapshotCache] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LoadedEstate:
    """One consistent look at a store."""

    number: int
    """Greater than that of every look before that saw something else."""
    estate: Estate
    changed: frozenset[int] | None
    """Jobs whose facts, runs, durations or history may be others than at the look that was asked for; None: any."""


def load_estate(store: Database, now: datetime, settings: EvaluationSettings) -> Estate:
    """What an evaluation at `now` sees."""
    return refresh_estate(store, now, settings).estate


def refresh_estate(
    store: Database, now: datetime, settings: EvaluationSettings, since: int | None = None
) -> LoadedEstate:
    """What an evaluation at `now` sees, and what changed since the look with the number `since`."""
    memory = _caches.setdefault(store, SnapshotCache())
    with memory.lock, without_gc() if memory.lookback.seq < 0 else nullcontext(), store.read() as session:
        try:
            estate = _load(session, store.is_sqlite, memory, now, settings)
        except BaseException:
            memory.forget()  # it may have taken in half of what changed
            raise
        return LoadedEstate(memory.number, estate, None if since is None else memory.changed_since(since))


def _load(
    session: Session, is_sqlite: bool, memory: SnapshotCache, now: datetime, settings: EvaluationSettings
) -> Estate:
    since_us = micros(now - settings.lookback) // MINUTE_US * MINUTE_US
    open_findings = findings.open_findings(session)
    earlier = _update_cache(session, is_sqlite, memory, since_us, {one.finding.job_id for one in open_findings})
    return Estate(
        jobs=memory.jobs,
        runs=RunsByJob(memory.lookback.runs, memory.lookback.red),
        durations=memory.durations,
        dependencies=memory.dependencies,
        services=memory.services,
        targets=facts.load_targets(session),
        incidents=memory.incidents,
        closed=memory.closed,
        holds=tuple(one for one in facts.load_holds(session, since_us) if one.job_id in memory.jobs),
        cancels=facts.load_cancels(session, since_us),
        earlier=earlier,
        extensions=facts.load_extensions(session, since_us),
        stood=services.last_verdicts(session, since_us),
        peaks=memory.peaks.follow(session, since_us, memory.back_tests),
        likes=memory.likes.follow(memory.jobs, memory.durations, since_us),
        tallies=memory.tallies.follow(session, since_us),
        forecasts=memory.forecasts.follow(session, since_us),
        correlated=memory.correlated.by_run,
        costs=memory.costs.by_run,
        history=memory.histories.known,
        findings=open_findings,
        checks=checks.check_histories(session, instant(since_us)),
        modes=facts.load_modes(session),
        declared=config_documents.load_declared(session),
        telling=notification_state.load_notification_state(session, micros(now), since_us),
        settings=settings,
    )


def _update_cache(
    session: Session, is_sqlite: bool, memory: SnapshotCache, since_us: int, first: Set[int]
) -> tuple[RunFacts, ...]:
    """Brings the memory up to date, the pasts of the jobs `first` with it; the runs of before the lookback that a
    dependency may read."""
    changed = memory.look(session, since_us)
    memory.look_at_incidents(session, since_us)
    if memory.members is None:
        memory.members = frozenset(_members(memory.jobs, memory.services, memory.dependencies))
        memory.correlated, memory.costs = _correlated(memory), _costs(memory)
    memory.correlated.follow(session, memory.lookback.runs, changed)
    memory.costs.follow(session, memory.lookback.runs, changed)
    earlier = memory.earlier.follow(session, memory.jobs, memory.dependencies, changed, since_us)
    _durations(session, is_sqlite, memory, changed)
    changed |= memory.histories.follow(session, is_sqlite, memory.jobs, first, memory.members, changed)
    memory.found(changed)
    return earlier


def _correlated(memory: SnapshotCache) -> correlation.ContextValues[dict[str, str]]:
    keyed = [one for one in memory.services if one.promise.deadline.key]
    if not keyed:
        return correlation.ContextValues()
    jobs = _members(memory.jobs, keyed, memory.dependencies)
    jobs |= {one.promise.deadline.of_id for one in keyed if one.promise.deadline.of_id is not None}
    return correlation.ContextValues(jobs, partial(correlation.correlation_values, correlation.correlation_keys(keyed)))


def _costs(memory: SnapshotCache) -> correlation.ContextValues[float]:
    jobs = {job.id for job in memory.jobs.values() if job.budget_cost is not None}
    return correlation.ContextValues(jobs, correlation.run_costs)


def _members(
    jobs: dict[int, JobFacts], services: Iterable[ServiceFacts], dependencies: Iterable[DependencyFacts]
) -> set[int]:
    """Jobs upstream of a service, with the tasks of their DAGs: those whose durations an estimate may ask for."""
    above: dict[int, list[int]] = {}
    for edge in dependencies:
        above.setdefault(edge.downstream_id, []).append(edge.upstream_id)
    for job in jobs.values():
        if job.parent_id is not None:
            above.setdefault(job.parent_id, []).append(job.id)
    found: set[int] = set()
    ahead = {job_id for service in services for job_id in service.terminals if job_id in jobs}
    while ahead:
        job_id = ahead.pop()
        if job_id in found or job_id not in jobs:
            continue
        found.add(job_id)
        parent = jobs[job_id].parent_id
        ahead.update(above.get(job_id, ()), () if parent is None else (parent,))
    return found


def _durations(session: Session, is_sqlite: bool, memory: SnapshotCache, changed: Set[int]) -> None:
    """Fills in what is missing or changed, by one query."""
    members = memory.members or frozenset()
    new = members - memory.durations.keys() if memory.timed_for is not members else set()
    memory.timed_for = members
    ask = sorted(new | (changed & members))
    if not ask:
        return
    query = _DURATIONS_SQLITE if is_sqlite else _DURATIONS_POSTGRES
    rows = (
        row for at in range(0, len(ask), HISTORY_BATCH) for row in session.by_keys(query, ask[at : at + HISTORY_BATCH])
    )
    took = {job_id: array("d", [int(us) / 1e6 for us in text.split(",")] if text else ()) for job_id, text in rows}
    memory.durations = memory.durations.changed(took)
