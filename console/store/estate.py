"""Everything that one evaluation sees, as frozen values, from one consistent look at the store.

Only what matters is loaded: jobs that something is expected of or depends on, and the runs of the lookback. What was
loaded is kept beside the store, and the next look reads only what changed since (`changed_seq`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from weakref import WeakKeyDictionary

from connectors.contract import OPEN_STATES, State
from console.model.ids import instant, micros
from console.model.values import (
    DependencyFacts,
    Estate,
    HoldFacts,
    IncidentFacts,
    JobFacts,
    RunFacts,
    ServiceFacts,
    Settings,
)
from console.store import checks, clocks, declared, facts, findings, hold_facts, incident_facts, telling
from console.store.histories import Histories
from console.store.open import Store
from console.store.wire import Wire, wire

DURATIONS = 60
"""Latest successes of a job that estimates look at."""
# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
_OPEN = "r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"  # as the index says it
_WAITING = (State.WAITING.value, State.QUEUED.value)
_RUNS = (
    f"SELECT {facts.RUN} FROM run r WHERE r.sort_us >= ? UNION SELECT {facts.RUN} FROM run r WHERE r.ended_us >= ?"
    f" UNION SELECT {facts.RUN} FROM run r WHERE {_OPEN}"
)
_CHANGED_RUNS = f"SELECT {facts.RUN} FROM run r WHERE r.changed_seq > ?"
_SECONDS = (
    "SELECT started_us, ended_us FROM run WHERE job_id = {job} AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {DURATIONS}"
)
_DURATIONS_SQLITE = (
    "SELECT r.job_id, r.started_us, r.ended_us, r.sort_us FROM {keys} CROSS JOIN run r ON r.id IN ("
    + _SECONDS.replace("started_us, ended_us", "id", 1).replace("{job}", "k.a")
    + ")"
)
_DURATIONS_POSTGRES = (
    "SELECT k.a, r.started_us, r.ended_us, r.sort_us FROM {keys} CROSS JOIN LATERAL ("
    + _SECONDS.replace("ended_us FROM", "ended_us, sort_us FROM", 1).replace("{job}", "k.a")
    + ") r"
)


@dataclass(slots=True)
class _Memory:
    """What the last look at a store saw."""

    seq: int = -1
    """changed_seq of that look."""
    removed: str = ""
    since_us: int = 0
    jobs_version: tuple[object, ...] = ()
    jobs: dict[int, JobFacts] = field(default_factory=dict)
    runs: dict[int, tuple[int, RunFacts]] = field(default_factory=dict)
    """Run id -> (sort_us, run)."""
    durations: dict[int, tuple[float, ...]] = field(default_factory=dict)
    histories: Histories = field(default_factory=Histories)
    lock: Lock = field(default_factory=Lock)


_memories: WeakKeyDictionary[Store, _Memory] = WeakKeyDictionary()


def load(store: Store, now: datetime, settings: Settings) -> Estate:
    """What an evaluation at `now` sees."""
    memory = _memories.setdefault(store, _Memory())
    with memory.lock:
        return _load(store, memory, now, settings)


def _load(store: Store, memory: _Memory, now: datetime, settings: Settings) -> Estate:
    since_us = micros(now - settings.lookback)
    with store.read() as connection:
        lines = wire(connection)
        changed = _look(lines, memory, since_us)
        services = facts.services(lines)
        dependencies = facts.dependencies(lines)
        targets = facts.targets(lines)
        incidents = incident_facts.incidents(lines)
        closed = incident_facts.incidents(lines, since_us)
        holds = hold_facts.holds(lines, since_us)
        cancels = hold_facts.cancels(lines, since_us)
        extensions = facts.extensions(lines, since_us)
        modes = facts.modes(lines)
        said = declared.read(lines)
        open_findings = findings.open_findings(lines)
        looked = checks.facts(lines, instant(since_us))
        told = telling.telling(lines, micros(now), since_us)
        jobs = _that_matter(memory, services, dependencies, incidents, holds)
        members = _members(jobs, services, dependencies)
        _durations(lines, store.is_sqlite, memory, members, changed)
        first = members | {one.finding.job_id for one in open_findings}
        memory.histories.follow(lines, store.is_sqlite, jobs, first, changed)
    runs = sorted(
        (one for one in memory.runs.values() if one[1].job_id in jobs),
        key=lambda one: (one[1].job_id, one[0], one[1].period_key),
    )
    return Estate(
        jobs=jobs,
        runs=tuple(run for _, run in runs),
        durations={job_id: found for job_id, found in memory.durations.items() if found and job_id in jobs},
        dependencies=tuple(one for one in dependencies if one.upstream_id in jobs and one.downstream_id in jobs),
        services=services,
        targets=targets,
        incidents=incidents,
        closed=closed,
        holds=tuple(one for one in holds if one.job_id in jobs),
        cancels=cancels,
        extensions=extensions,
        history=memory.histories.of(jobs),
        findings=open_findings,
        checks=looked,
        modes=modes,
        declared=said,
        telling=told,
        settings=settings,
    )


def _look(lines: Wire, memory: _Memory, since_us: int) -> set[int]:
    """Brings the memory's jobs and runs up to date; the jobs whose runs changed."""
    meta: dict[str, str] = dict(
        lines.rows("SELECT name, value FROM meta WHERE name IN ('changed_seq', 'runs_removed')")
    )
    seq, removed = int(meta.get("changed_seq", 0)), meta.get("runs_removed", "")
    _load_jobs(lines, memory)
    if memory.seq < 0 or removed != memory.removed or since_us < memory.since_us:
        rows = lines.rows(_RUNS, (since_us, since_us))
        memory.runs.clear()
        memory.durations.clear()
        memory.histories.clear()
    else:
        rows = lines.rows(_CHANGED_RUNS, (memory.seq,)) if seq != memory.seq else []
    over = facts.attempts_over(lines, [row[0] for row in rows if row[9] > 1])
    queued = facts.queued(lines, [row[0] for row in rows if row[5] in _WAITING])
    tails = facts.red_tails(lines, rows)
    read = ((row[-1], facts.run(row, over.get(row[0], ()), queued.get(row[0]), tails.get(row[0], ""))) for row in rows)
    for sort_us, run in clocks.on_our_clock(read, memory.jobs, clocks.skews(lines) if rows else {}):
        memory.runs[run.id] = (sort_us, run)
    memory.runs = {run_id: one for run_id, one in memory.runs.items() if _is_in(one, since_us)}
    memory.seq, memory.removed, memory.since_us = seq, removed, since_us
    return {row[1] for row in rows}


def _is_in(one: tuple[int, RunFacts], since_us: int) -> bool:
    sort_us, run = one
    if sort_us >= since_us or (run.state in OPEN_STATES and run.state is not State.PLANNED):
        return True
    return run.ended_at is not None and micros(run.ended_at) >= since_us


def _load_jobs(lines: Wire, memory: _Memory) -> None:
    [version] = lines.rows(
        "SELECT (SELECT MAX(changed_seq) FROM job), (SELECT MAX(id) FROM job), (SELECT MAX(id) FROM schedule),"
        " (SELECT MAX(id) FROM drift), (SELECT value FROM meta WHERE name = 'config_digest'),"
        " (SELECT count(*) FROM system WHERE NOT removed), (SELECT count(*) FROM target WHERE NOT removed)"
    )
    if version != memory.jobs_version or not memory.jobs:
        drift: dict[int, dict[str, tuple[str, int]]] = defaultdict(dict)
        for job_id, what, words, seen_us in lines.rows(facts.DRIFT):
            drift[job_id][what] = words, seen_us
        memory.jobs = {row[0]: facts.job(row, drift.get(row[0], {})) for row in lines.rows(facts.JOBS)}
        memory.jobs_version = tuple(version)


def _that_matter(
    memory: _Memory,
    services: Iterable[ServiceFacts],
    dependencies: Iterable[DependencyFacts],
    incidents: Iterable[IncidentFacts],
    holds: Iterable[HoldFacts],
) -> dict[int, JobFacts]:
    """Jobs that something is expected of, that ran lately, or that others hang on; with their DAGs."""
    named = {one.job_id for _, one in memory.runs.values()}
    for service in services:
        named.update(service.terminals)
    for edge in dependencies:
        named.update((edge.upstream_id, edge.downstream_id))
    named.update(one.root_job_id for one in incidents if one.root_job_id is not None)
    named.update(one.job_id for one in holds if not one.state.is_over)
    named.update(job.id for job in memory.jobs.values() if job.schedule.dialect != "none")
    found: dict[int, JobFacts] = {}
    while named:
        job = memory.jobs.get(named.pop())
        if job is not None and job.id not in found:
            found[job.id] = job
            if job.parent_id is not None:
                named.add(job.parent_id)
    return dict(sorted(found.items()))


def _members(
    jobs: dict[int, JobFacts], services: Iterable[ServiceFacts], dependencies: Iterable[DependencyFacts]
) -> set[int]:
    """Jobs upstream of a service, with the tasks of their DAGs: those whose durations an estimate may ask for."""
    above: dict[int, set[int]] = defaultdict(set)
    for edge in dependencies:
        above[edge.downstream_id].add(edge.upstream_id)
    tasks: dict[int, set[int]] = defaultdict(set)
    for job in jobs.values():
        if job.parent_id is not None:
            tasks[job.parent_id].add(job.id)
    found: set[int] = set()
    ahead = {job_id for service in services for job_id in service.terminals if job_id in jobs}
    while ahead:
        job_id = ahead.pop()
        if job_id in found or job_id not in jobs:
            continue
        found.add(job_id)
        parent = jobs[job_id].parent_id
        ahead |= above[job_id] | tasks[job_id] | ({parent} if parent is not None else set())
    return found


def _durations(lines: Wire, is_sqlite: bool, memory: _Memory, members: set[int], changed: set[int]) -> None:
    """Fills in what is missing or changed, by one query."""
    ask = sorted(job_id for job_id in members if job_id not in memory.durations or job_id in changed)
    if not ask:
        return
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    query = _DURATIONS_SQLITE if is_sqlite else _DURATIONS_POSTGRES
    for job_id, started, ended, sort_us in lines.by_keys(query, "i", ask):
        found[job_id].append((sort_us, (ended - started) / 1_000_000))
    for job_id in ask:
        memory.durations[job_id] = tuple(seconds for _, seconds in sorted(found[job_id], reverse=True))
