"""Everything that one evaluation sees, as frozen values, from one consistent look at the store.

Of the runs only those of the lookback are loaded. What was loaded is kept beside the store (`store.memory`), and the
next look reads only what changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Set
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from weakref import WeakKeyDictionary

from console.model.grouped import Runs
from console.model.ids import instant, micros
from console.model.values import (
    DependencyFacts,
    Estate,
    JobFacts,
    RunFacts,
    ServiceFacts,
    Settings,
)
from console.store import checks, correlation, declared, facts, findings, hold_facts, service_days, telling
from console.store.alike import uncollected
from console.store.lookback import MINUTE_US
from console.store.memory import Memory
from console.store.open import Store
from console.store.wire import Wire, wire

DURATIONS = 60
"""Latest successes of a job that estimates look at."""
BITE = 500
"""Jobs whose durations are read at a time."""
# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)
_LATEST = (
    "SELECT {us} AS us FROM run WHERE job_id = k.a AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {DURATIONS}"
)
_DURATIONS_SQLITE = (
    f"SELECT k.a, (SELECT group_concat(us) FROM ({_LATEST.format(us='ended_us - started_us')})) FROM {{keys}}"
)
_DURATIONS_POSTGRES = (
    "SELECT k.a, (SELECT string_agg(us::text, ',' ORDER BY sort_us DESC) FROM"
    f" ({_LATEST.format(us='sort_us, ended_us - started_us')}) x) FROM {{keys}}"
)
"""Microseconds of each, newest first, as one text: a row for each of them took twice as long."""


_memories: WeakKeyDictionary[Store, Memory] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Look:
    """One consistent look at a store."""

    number: int
    """Greater than that of every look before that saw something else."""
    estate: Estate
    changed: frozenset[int] | None
    """Jobs whose facts, runs, durations or history may be others than at the look that was asked for; None: any."""


def load(store: Store, now: datetime, settings: Settings) -> Estate:
    """What an evaluation at `now` sees."""
    return look(store, now, settings).estate


def look(store: Store, now: datetime, settings: Settings, since: int | None = None) -> Look:
    """What an evaluation at `now` sees, and what changed since the look with the number `since`."""
    memory = _memories.setdefault(store, Memory())
    with memory.lock, uncollected() if memory.lookback.seq < 0 else nullcontext(), store.read() as connection:
        try:
            estate = _look(wire(connection), store.is_sqlite, memory, now, settings)
        except BaseException:
            memory.forget()  # it may have taken in half of what changed
            raise
        return Look(memory.number, estate, None if since is None else memory.changed_since(since))


def _look(lines: Wire, is_sqlite: bool, memory: Memory, now: datetime, settings: Settings) -> Estate:
    since_us = micros(now - settings.lookback) // MINUTE_US * MINUTE_US
    open_findings = findings.open_findings(lines)
    earlier = _remember(lines, is_sqlite, memory, since_us, {one.finding.job_id for one in open_findings})
    return Estate(
        jobs=memory.jobs,
        runs=Runs(memory.lookback.runs, memory.lookback.red),
        durations=memory.durations,
        dependencies=memory.dependencies,
        services=memory.services,
        targets=facts.targets(lines),
        incidents=memory.incidents,
        closed=memory.closed,
        holds=tuple(one for one in hold_facts.holds(lines, since_us) if one.job_id in memory.jobs),
        cancels=hold_facts.cancels(lines, since_us),
        earlier=earlier,
        extensions=facts.extensions(lines, since_us),
        stood=service_days.stood(lines, since_us),
        peaks=memory.peaks.follow(lines.rows, since_us, memory.back_tests),
        likes=memory.likes.follow(memory.jobs, memory.durations, since_us),
        tallies=memory.tallies.follow(lines.rows, since_us),
        forecasts=memory.forecasts.follow(lines.rows, since_us),
        correlated=memory.correlated.by_run,
        costs=memory.costs.by_run,
        history=memory.histories.known,
        findings=open_findings,
        checks=checks.facts(lines, instant(since_us)),
        modes=facts.modes(lines),
        declared=declared.read(lines),
        telling=telling.telling(lines, micros(now), since_us),
        settings=settings,
    )


def _remember(lines: Wire, is_sqlite: bool, memory: Memory, since_us: int, first: Set[int]) -> tuple[RunFacts, ...]:
    """Brings the memory up to date, the pasts of the jobs `first` with it; the runs of before the lookback that a
    dependency may read."""
    changed = memory.look(lines, since_us)
    memory.look_at_incidents(lines, since_us)
    if memory.members is None:
        memory.members = frozenset(_members(memory.jobs, memory.services, memory.dependencies))
        memory.correlated, memory.costs = _correlated(memory), _costs(memory)
    memory.correlated.follow(lines, memory.lookback.runs, changed)
    memory.costs.follow(lines, memory.lookback.runs, changed)
    earlier = memory.earlier.follow(lines, memory.jobs, memory.dependencies, changed, since_us)
    _durations(lines, is_sqlite, memory, changed)
    changed |= memory.histories.follow(lines, is_sqlite, memory.jobs, first, memory.members, changed)
    memory.found(changed)
    return earlier


def _correlated(memory: Memory) -> correlation.Contexts[dict[str, str]]:
    """Only where a service is promised end to end: of what lies upstream of it, and of its submissions."""
    keyed = [one for one in memory.services if one.promise.deadline.key]
    if not keyed:
        return correlation.Contexts()
    jobs = _members(memory.jobs, keyed, memory.dependencies)
    jobs |= {one.promise.deadline.of_id for one in keyed if one.promise.deadline.of_id is not None}
    return correlation.Contexts(jobs, partial(correlation.correlated, correlation.keys_of(keyed)))


def _costs(memory: Memory) -> correlation.Contexts[float]:
    jobs = {job.id for job in memory.jobs.values() if job.budget_cost is not None}
    return correlation.Contexts(jobs, correlation.costs)


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


def _durations(lines: Wire, is_sqlite: bool, memory: Memory, changed: Set[int]) -> None:
    """Fills in what is missing or changed, by one query."""
    members = memory.members or frozenset()
    new = members - memory.durations.keys() if memory.timed_for is not members else set()
    memory.timed_for = members
    ask = sorted(new | (changed & members))
    if not ask:
        return
    query = _DURATIONS_SQLITE if is_sqlite else _DURATIONS_POSTGRES
    rows = (row for at in range(0, len(ask), BITE) for row in lines.by_keys(query, "i", ask[at : at + BITE]))
    took = {job_id: array("d", [int(us) / 1e6 for us in text.split(",")] if text else ()) for job_id, text in rows}
    memory.durations = memory.durations.changed(took)
