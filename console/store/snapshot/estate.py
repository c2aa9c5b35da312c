"""The estate that one evaluation sees, from one consistent read, and the last notifications of the evaluated
incidents; cached between evaluations.

Only runs of the lookback are loaded; the next refresh reads only changes (`changed_seq`). Returned values never
change: a dict is copied before it changes, a job's runs are a tuple that is replaced, so that estates share what
stays the same.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from itertools import takewhile
from threading import Lock
from weakref import WeakKeyDictionary

from console.domain.estate import (
    DependencyFacts,
    Estate,
    EstateChanges,
    EvaluationSettings,
    IncidentFacts,
    JobFacts,
    RunFacts,
    RunsByJob,
    ServiceFacts,
)
from console.domain.forecast import ForecastTally, PastForecasts
from console.domain.history import MIN_RUNS, DurationPrior, PeerGroup, duration_prior
from console.domain.ids import instant, micros
from console.domain.settings import DeclaredPool
from console.store import checks, config_documents, notification_state, switches
from console.store.db.database import Database
from console.store.db.session import Row, Session
from console.store.findings import CHANGED as FINDINGS_CHANGED
from console.store.findings import OpenFindings
from console.store.forecasts import DAILY_US, PeriodicRead, forecast_tallies, past_forecasts
from console.store.plan_steps import is_outdated_plan, open_plan_steps
from console.store.policies import load_policy_repairs
from console.store.services import LastVerdicts
from console.store.snapshot import facts
from console.store.snapshot.history import HistoryCache
from console.store.snapshot.interning import LayeredMap, without_gc
from console.store.snapshot.runs import MINUTE_US, EarlierRuns, RecentRuns, RunCosts
from console.timing.maintenance import matches_any

_META = (
    "SELECT name, value FROM meta WHERE name IN ('changed_seq', 'runs_removed', 'config_digest', 'config_seq',"
    f" 'edges_seq', '{FINDINGS_CHANGED}')"
)
_RECENT_INCIDENTS = (
    "SELECT id, changed_seq FROM incident WHERE closed_us IS NULL"
    " UNION ALL SELECT id, changed_seq FROM incident WHERE closed_us >= ? AND merged_into IS NULL"
)
_CHANGED_INCIDENTS = "SELECT id, changed_seq FROM incident WHERE changed_seq > ?"
FIRST_REFRESH_US, MAX_INTERVAL_US = 60_000_000, 6 * 3_600_000_000
"""Peer durations are computed a minute after the engine starts, then at doubling intervals: an empty store gets usable
priors within minutes, and a settled one pays almost nothing."""


@dataclass(slots=True)
class PeerDurations:
    """Cached priors for jobs with too little history of their own."""

    read_us: int = 0
    interval_us: int = 0
    priors: Mapping[PeerGroup, DurationPrior] = field(default_factory=dict)

    def refresh(
        self, jobs: Mapping[int, JobFacts], durations: Mapping[int, Sequence[float]], now_us: int
    ) -> Mapping[PeerGroup, DurationPrior]:
        """Prior per target (by id) and system (by name) with enough jobs that ran often enough."""
        if abs(now_us - self.read_us) < self.interval_us:
            return self.priors
        medians: dict[PeerGroup, list[float]] = defaultdict(list)
        for job_id, latest in durations.items():
            job = jobs.get(job_id)
            if job is not None and job.parent_id is None and len(latest) >= MIN_RUNS:
                for group in (job.target_id, job.system):
                    medians[group].append(sorted(latest)[len(latest) // 2])
        priors = {group: duration_prior(seconds) for group, seconds in medians.items()}
        self.priors = {group: prior for group, prior in priors.items() if prior is not None}
        self.read_us, self.interval_us = now_us, min(max(2 * self.interval_us, FIRST_REFRESH_US), MAX_INTERVAL_US)
        return self.priors


_JOBS_VERSION = (
    "SELECT (SELECT MAX(changed_seq) FROM job) AS seq, (SELECT MAX(id) FROM job), (SELECT MAX(id) FROM schedule),"
    " (SELECT MAX(id) FROM drift)"
)
_SHAPE_VERSION = "SELECT (SELECT MAX(id) FROM dependency), (SELECT MAX(id) FROM service)"
MAX_CHANGES = 1_000
"""Refreshes with known changes."""


@dataclass(slots=True)
class SnapshotCache:
    """The last refresh of a store."""

    jobs_version: Row | None = None
    jobs_scope: tuple[object, ...] = ()
    """Config that the jobs were loaded for, systems and targets included; with another one all are loaded again."""
    jobs: dict[int, JobFacts] = field(default_factory=dict)
    """Every watched job, by id, in their order."""
    lookback: RecentRuns = field(default_factory=RecentRuns)
    shape_version: tuple[object, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    dependencies: tuple[DependencyFacts, ...] = ()
    """Between watched jobs."""
    members: frozenset[int] | None = None
    """Jobs whose durations matter; None: not known for these jobs, services and dependencies yet."""
    durations: LayeredMap[Sequence[float]] = field(default_factory=LayeredMap)
    """Of members; empty for a job that never succeeded."""
    timed_for: frozenset[int] | None = None
    """The members of which all durations are known."""
    costs: RunCosts = field(default_factory=RunCosts)
    """Of jobs with a cost budget; new with `members`."""
    histories: HistoryCache = field(default_factory=HistoryCache)
    earlier: EarlierRuns = field(default_factory=EarlierRuns)
    peers: PeerDurations = field(default_factory=PeerDurations)
    tallies: PeriodicRead[Mapping[str, ForecastTally]] = field(
        default_factory=lambda: PeriodicRead(forecast_tallies, DAILY_US)
    )
    forecasts: PeriodicRead[tuple[PastForecasts, ...]] = field(default_factory=lambda: PeriodicRead(past_forecasts))
    findings: OpenFindings = field(default_factory=OpenFindings)
    verdicts: LastVerdicts = field(default_factory=LastVerdicts)
    targets: facts.Targets = field(default_factory=facts.Targets)
    incidents_seq: int = -1
    """Greatest `changed_seq` of an incident that was read; `incidents_since_us`: beginning of the lookback then."""
    incidents_since_us: int = 0
    incidents: tuple[IncidentFacts, ...] = ()
    """The open ones; `closed`: those that closed in the lookback."""
    closed: tuple[IncidentFacts, ...] = ()
    number: int = 0
    """Of the last refresh with changes."""
    journal: deque[tuple[int, frozenset[int]]] = field(default_factory=lambda: deque(maxlen=MAX_CHANGES))
    """(number, jobs with changed facts, runs or durations) of each refresh with changes, oldest first."""
    changed_targets: dict[int, int] = field(default_factory=dict)
    """Target -> number of the last refresh that changed it, in the order of these numbers."""
    lock: Lock = field(default_factory=Lock)

    def changed_since(self, number: int) -> EstateChanges | None:
        """Changes since the refresh with that number; None if not known any more."""
        if number != self.number and (not self.journal or number < self.journal[0][0] - 1):
            return None
        newest = takewhile(lambda entry: entry[0] > number, reversed(self.journal))
        targets = takewhile(lambda entry: entry[1] > number, reversed(self.changed_targets.items()))
        jobs = frozenset[int]().union(*(jobs for _, jobs in newest))
        return EstateChanges(jobs, frozenset(target_id for target_id, _ in targets))

    def refresh(self, session: Session, since_us: int) -> set[int]:
        """Updates jobs, services, dependencies, runs and incidents; the jobs whose facts or runs changed."""
        meta: dict[str, str] = dict(session.rows(_META))
        changed = self._refresh_jobs(session, meta)
        self._refresh_shape(session, meta)
        if self.members is None:
            self.members = frozenset(_members(self.jobs, self.services, self.dependencies))
            self.lookback.isolate(self._isolated(config_documents.load_declared(session).pools))
            with_budget = {job.id for job in self.jobs.values() if job.budget_cost is not None}
            self.costs = RunCosts(with_budget)
        if self.lookback.is_full_refresh(since_us):
            self.durations, self.timed_for = LayeredMap(), None
            self.histories.clear()
        changed |= self.lookback.refresh(session, meta, self.jobs, since_us)
        incidents = self._refresh_incidents(session, since_us)
        config = meta.get("config_digest"), meta.get("config_seq")
        self.verdicts.refresh(session, self.lookback.seq, config, since_us, incidents)
        self.findings.refresh(session, meta.get(FINDINGS_CHANGED, ""))
        return changed

    def record_changes(self, jobs: frozenset[int], targets: Set[int]) -> None:
        if not jobs and not targets:
            return
        if self.number:  # else nothing was returned before: everything is new
            self.journal.append((self.number + 1, jobs))
        self.number += 1
        for target_id in targets:
            self.changed_targets.pop(target_id, None)
            self.changed_targets[target_id] = self.number

    def clear(self) -> None:
        """Keeps only the lock: the next refresh reads everything, and knows no job as unchanged."""
        empty = SnapshotCache(number=self.number + 1, lock=self.lock)
        for cached in fields(self):
            setattr(self, cached.name, getattr(empty, cached.name))

    def _refresh_jobs(self, session: Session, meta: dict[str, str]) -> set[int]:
        [version] = session.rows(_JOBS_VERSION)
        scope = (meta.get("config_digest"), meta.get("config_seq"))
        last, before = self.jobs_version, self.jobs
        if (version, scope) == (last, self.jobs_scope) and before:
            return set()
        if before and last is not None and scope == self.jobs_scope and last.seq != version.seq:
            jobs = _job_facts(session, f"{facts.SELECT_JOBS} AND j.changed_seq > ?", (last.seq,))
            rows = session.rows("SELECT id FROM job WHERE changed_seq > ?", (last.seq,))
            removed = {row.id for row in rows} - jobs.keys()
            jobs = {job_id: job for job_id, job in before.items() if job_id not in removed} | jobs
        else:
            jobs = _job_facts(session, facts.SELECT_JOBS)
        self.jobs_version, self.jobs_scope = version, scope
        changed = {job_id for job_id in before.keys() | jobs.keys() if before.get(job_id) != jobs.get(job_id)}
        if changed:
            self.jobs = {job_id: jobs[job_id] for job_id in sorted(jobs)}
            self.shape_version = () if before.keys() != jobs.keys() else self.shape_version
            self.members = None
        return changed

    def _refresh_shape(self, session: Session, meta: dict[str, str]) -> None:
        config = (meta.get("config_digest"), meta.get("config_seq"), meta.get("edges_seq"))
        version = (session.rows(_SHAPE_VERSION)[0], *config)
        if version == self.shape_version:
            return
        services, dependencies = facts.load_services(session), facts.load_dependencies(session, self.jobs)
        self.services = services if services != self.services else self.services
        self.dependencies = dependencies if dependencies != self.dependencies else self.dependencies
        self.shape_version, self.members = version, None

    def _isolated(self, pools: Sequence[DeclaredPool]) -> frozenset[int]:
        """Jobs without a schedule, a pool, a budget or tasks, which no service, dependency or other job reads."""
        read = {job.parent_id for job in self.jobs.values()} | (self.members or frozenset())
        read |= {job_id for edge in self.dependencies for job_id in (edge.upstream_id, edge.downstream_id)}
        read |= {service.promise.deadline.of_id for service in self.services}
        alone = (job for job in self.jobs.values() if job.id not in read and job.parent_id is None)
        free = (job for job in alone if job.schedule.dialect == "none" and job.budget_cost is None and not job.pool)
        return frozenset(job.id for job in free if not any(matches_any(pool.jobs, job.name) for pool in pools))

    def _refresh_incidents(self, session: Session, since_us: int) -> set[int]:
        """The incidents that were read: all of the lookback at first, then those that changed."""
        is_first = self.incidents_seq < 0 or since_us < self.incidents_since_us
        rows = session.rows(
            *((_RECENT_INCIDENTS, (since_us,)) if is_first else (_CHANGED_INCIDENTS, (self.incidents_seq,)))
        )
        read = {row.id for row in rows}
        if not read and since_us == self.incidents_since_us:
            return read
        known = {} if is_first else {incident.id: incident for incident in (*self.incidents, *self.closed)}
        new = facts.load_incidents(session, sorted(read))
        known = {number: incident for number, incident in known.items() if number not in read or number in new}
        known |= {number: incident for number, incident in new.items() if known.get(number) != incident}
        since, incidents = instant(since_us), [known[number] for number in sorted(known)]
        self.incidents = tuple(incident for incident in incidents if incident.closed_at is None)
        self.closed = tuple(
            incident for incident in incidents if incident.closed_at is not None and incident.closed_at >= since
        )
        self.incidents_seq = max([self.incidents_seq, 0, *(row.changed_seq for row in rows)])
        self.incidents_since_us = since_us
        return read


def _job_facts(session: Session, query: str, values: Sequence[object] = ()) -> dict[int, JobFacts]:
    drift: dict[int, dict[str, Row]] = defaultdict(dict)
    for row in session.rows(facts.SELECT_DRIFT):
        drift[row.job_id][row.what] = row
    return {row.id: facts.job_facts(row, drift.get(row.id, {})) for row in session.stream(query, values)}


MAX_DURATIONS = 60
"""Latest successes of a job used by estimates."""
HISTORY_BATCH = 500
"""Jobs whose durations are read at a time."""
# ruff: noqa: S608  (only our own names; every value is bound)
_LATEST = (
    "SELECT {us} AS us FROM run WHERE job_id = k.a AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {MAX_DURATIONS}"
)
_DURATIONS_SQLITE = (
    f"SELECT k.a AS job_id, (SELECT group_concat(us) FROM ({_LATEST.format(us='ended_us - started_us')}))"
    " AS durations_us FROM {keys}"
)
_DURATIONS_POSTGRES = (
    "SELECT k.a AS job_id, (SELECT string_agg(us::text, ',' ORDER BY sort_us DESC) FROM"
    f" ({_LATEST.format(us='sort_us, ended_us - started_us')}) x) AS durations_us FROM {{keys}}"
)
"""Microseconds, newest first, as one text per job: a row for each took twice as long."""

_caches: WeakKeyDictionary[Database, SnapshotCache] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LoadedEstate:
    """One consistent refresh."""

    number: int
    """Greater than that of every earlier refresh with other results."""
    estate: Estate
    changed: EstateChanges | None
    """Since the given refresh; None: anything may have changed."""


def load_estate(store: Database, now: datetime, settings: EvaluationSettings) -> Estate:
    """Input of an evaluation at `now`."""
    return with_notifications(store, refresh_estate(store, now, settings).estate)


def with_notifications(store: Database, part: Estate) -> Estate:
    """The part of a refreshed estate with the last notifications of its incidents."""
    incidents = [incident.id for incident in (*part.incidents, *part.closed)]
    if not incidents:
        return part
    with store.read() as session:
        notified = notification_state.last_notifications(session, incidents)
    return replace(part, notifications=replace(part.notifications, notified=notified))


def refresh_estate(
    store: Database, now: datetime, settings: EvaluationSettings, since: int | None = None
) -> LoadedEstate:
    """Input of an evaluation at `now`, but `with_notifications`, and changes since the refresh with the number
    `since`."""
    cache = _caches.get(store) or _caches.setdefault(store, SnapshotCache())
    with cache.lock, without_gc() if cache.lookback.seq < 0 else nullcontext(), store.read() as session:
        try:
            estate = _load(session, store.is_sqlite, cache, now, settings)
        except BaseException:
            cache.clear()  # it may hold half of the changes
            raise
        return LoadedEstate(cache.number, estate, None if since is None else cache.changed_since(since))


def _load(
    session: Session, is_sqlite: bool, cache: SnapshotCache, now: datetime, settings: EvaluationSettings
) -> Estate:
    since_us = micros(now - settings.lookback) // MINUTE_US * MINUTE_US
    earlier = _update_cache(session, is_sqlite, cache, since_us)
    plan_steps = open_plan_steps(session)
    outdated = {number for number, steps in plan_steps.items() if is_outdated_plan(steps)}
    return Estate(
        jobs=cache.jobs,
        runs=RunsByJob(cache.lookback.runs, cache.lookback.red),
        durations=cache.durations,
        dependencies=cache.dependencies,
        services=cache.services,
        targets=cache.targets.by_id,
        incidents=cache.incidents,
        closed=cache.closed,
        holds=tuple(hold for hold in facts.load_holds(session, since_us) if hold.job_id in cache.jobs),
        cancels=facts.load_cancels(session, since_us),
        repairs=facts.load_repairs(session, since_us),
        approvals=facts.load_approvals(session, since_us),
        open_actions=facts.load_open_actions(session),
        policy_repairs=load_policy_repairs(session, since_us, now, cache.incidents),
        plans_by_run=facts.load_plans_by_run(plan_steps, outdated),
        plans_by_incident=facts.load_plans_by_incident(session, outdated),
        planned_restarts=facts.load_planned_restarts(plan_steps),
        planned_repairs=facts.load_planned_repairs(plan_steps),
        earlier=earlier,
        extensions=facts.load_extensions(session, since_us),
        last_verdicts=cache.verdicts.by_day,
        peer_priors=cache.peers.refresh(cache.jobs, cache.durations, since_us),
        tallies=cache.tallies.refresh(session, since_us),
        forecasts=cache.forecasts.refresh(session, since_us),
        costs=cache.costs.by_run,
        history=cache.histories.known,
        findings=cache.findings.all,
        checks=checks.check_histories(session, instant(since_us)),
        modes=switches.load_modes(session),
        declared=config_documents.load_declared(session),
        notifications=notification_state.load_notification_state(session, micros(now)),
        settings=settings,
    )


def _update_cache(session: Session, is_sqlite: bool, cache: SnapshotCache, since_us: int) -> tuple[RunFacts, ...]:
    """Updates the cache, the histories of jobs with open findings first; earlier runs that a dependency may read."""
    changed = cache.refresh(session, since_us)
    cache.costs.refresh(session, cache.lookback.runs, changed)
    earlier = cache.earlier.refresh(session, cache.jobs, cache.dependencies, changed, since_us)
    _refresh_durations(session, is_sqlite, cache, changed)
    members = cache.members or frozenset()
    changed |= cache.histories.refresh(session, is_sqlite, cache.jobs, cache.findings.jobs, members, changed)
    cache.record_changes(frozenset(changed), cache.targets.refresh(session, cache.jobs_scope))
    return earlier


def _members(
    jobs: dict[int, JobFacts], services: Iterable[ServiceFacts], dependencies: Iterable[DependencyFacts]
) -> set[int]:
    """Jobs upstream of a service, with the tasks of their DAGs: those whose durations an estimate may need."""
    above: dict[int, list[int]] = {}
    for edge in dependencies:
        above.setdefault(edge.downstream_id, []).append(edge.upstream_id)
    for job in jobs.values():
        if job.parent_id is not None:
            above.setdefault(job.parent_id, []).append(job.id)
    members: set[int] = set()
    frontier = {job_id for service in services for job_id in service.terminals if job_id in jobs}
    while frontier:
        job_id = frontier.pop()
        if job_id in members or job_id not in jobs:
            continue
        members.add(job_id)
        parent = jobs[job_id].parent_id
        frontier.update(above.get(job_id, ()), () if parent is None else (parent,))
    return members


def _refresh_durations(session: Session, is_sqlite: bool, cache: SnapshotCache, changed: Set[int]) -> None:
    members = cache.members or frozenset()
    new = members - cache.durations.keys() if cache.timed_for is not members else set()
    cache.timed_for = members
    job_ids = sorted(new | (changed & members))
    query = _DURATIONS_SQLITE if is_sqlite else _DURATIONS_POSTGRES
    durations: dict[int, Sequence[float]] = {}
    for at in range(0, len(job_ids), HISTORY_BATCH):
        for row in session.by_keys(query, job_ids[at : at + HISTORY_BATCH]):
            durations[row.job_id] = array(
                "d", [int(us) / 1e6 for us in row.durations_us.split(",")] if row.durations_us else ()
            )
    if durations:
        cache.durations = cache.durations.changed(durations)
