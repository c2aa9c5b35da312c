"""Back tests: forecasts of past nights of a service, compared with their outcome.

Each night is rebuilt from the histories of the service's jobs at several instants, with the runs as they were then
and only earlier nights as its past, so that no later fact changes a figure. A night with facts that histories do not
contain (a failure without a repair, a job that did not run) is left out. Results are valid for the shape of the service
(its promise and its jobs) they were computed for.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

from connectors.sdk.records import instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.control.snapshot.deadlines import scheduled_starts
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.incremental import EvaluationCache
from console.control.snapshot.pools import pool_of
from console.control.snapshot.runs import BEGINNING, has_no_clock
from console.domain.estate import DependencyFacts, Estate, JobFacts, RunFacts, ServiceFacts, TargetFacts
from console.domain.forecast import PastForecasts, ServiceShape
from console.domain.history import NO_HISTORY, RunHistory
from console.forecast.finish_times import NodeState, SimulateDays, forecast, has_day
from console.forecast.night_graph import instant_of


@dataclass(frozen=True, slots=True)
class PastSuccess:
    """One success of a history; instants."""

    run_id: int
    day: int
    period_at: datetime | None
    queued_at: datetime | None
    began: datetime
    """Its first start."""
    failed_at: datetime | None
    """When the first attempt failed; None: it did not, or the time is unknown."""
    started: datetime
    ended: datetime
    takes: float


def past_successes(history: RunHistory) -> Iterator[PastSuccess]:
    """The successes of a history. The end of a failed first attempt is known only where it was a run of its own."""
    for place, run_id in enumerate(history.run_ids):
        at, ended, takes = history.at[place], history.ended[place], history.takes[place]
        delay, waited, repair = history.delays[place], history.waits[place], history.repairs[place]
        started = ended - takes
        first = at + delay if delay >= 0 else at if history.attempts[place] > 1 or repair >= 0 else started
        began = min(first, started) if history.attempts[place] > 1 or repair >= 0 else started
        yield PastSuccess(
            run_id=run_id,
            day=history.days[place],
            period_at=instant_of(at) if delay >= 0 else None,
            queued_at=instant_of(started - waited) if waited > 0 and began == started else None,
            began=instant_of(began),
            failed_at=instant_of(max(started - repair, began)) if repair >= 0 else None,
            started=instant_of(started),
            ended=instant_of(ended),
            takes=takes,
        )


def run_as_of(job: JobFacts, ran: PastSuccess, at: datetime, usual: float) -> RunFacts | None:
    """The run as it was at that instant; None before it existed. `usual`: its median duration, s; a failed attempt with
    an unknown end is assumed to have failed after half of it."""
    if at < ran.began and (ran.queued_at is None or at < ran.queued_at):
        return None
    run = RunFacts(
        id=ran.run_id,
        job_id=job.id,
        period_key=instant_key(ran.period_at) if ran.period_at is not None else f"run {ran.run_id}",
        period_at=ran.period_at,
        business_date=date.fromordinal(ran.day),
        state=RunState.QUEUED,
        evidence=RunEvidence.NATIVE,
        expected=ran.period_at is not None and not has_no_clock(job),
        observed_at=at,
        queued_at=ran.queued_at,
    )
    if at < ran.began:
        return run
    if at < ran.started:
        red = ran.failed_at or ran.began + timedelta(seconds=usual / 2)
        first = replace(run, attempt=1, first_started_at=ran.began, started_at=ran.began)
        return (
            replace(first, state=RunState.FAILED, ended_at=red) if red <= at else replace(first, state=RunState.RUNNING)
        )
    number = 2 if ran.began < ran.started else 1
    run = replace(run, state=RunState.RUNNING, attempt=number, first_started_at=ran.began, started_at=ran.started)
    if at < ran.ended:
        return run
    return replace(run, state=RunState.SUCCEEDED, ended_at=ran.ended, successes=((ran.started, ran.ended),))


def history_known_by(history: RunHistory, night: int, opens: datetime) -> RunHistory:
    """The part of the history before that night that had ended when the night opened."""
    limit = opens.timestamp()
    pairs = enumerate(zip(history.days, history.ended, strict=True))
    known = [place for place, (day, ended) in pairs if 0 < day < night and ended <= limit]
    columns: dict[str, Any] = {}
    for name in ("run_ids", "days", "at", "ended", "takes", "delays", "waits", "attempts", "repairs", "output"):
        column = getattr(history, name)
        columns[name] = array(column.typecode, [column[place] for place in known]) if len(column) else column
    unrepaired = array(history.unrepaired.typecode, [day for day in history.unrepaired if day < night])
    return RunHistory(**columns, output_unit=history.output_unit, unrepaired=unrepaired, month_ends=history.month_ends)


VERSION = 1
"""Version of the back-test; results of another version are dropped."""


def can_be_tested(service: ServiceFacts) -> bool:
    """False for services measured end to end: histories do not distinguish submissions."""
    return service.instance is None and not service.promise.deadline.key


def past_shape_of(service: ServiceFacts, jobs: Mapping[int, JobFacts]) -> ServiceShape:
    """The shape that results of the service are valid for. `jobs`: its own."""
    rule = service.promise.deadline
    by = [service.deadline, service.zone, service.cutoff, service.calendar, rule.day, rule.after_start, rule.of]
    promise = json.dumps([VERSION, *map(str, by), *sorted(service.terminals)])
    clocks = dict.fromkeys(jobs, "")
    for job_id, job in jobs.items():
        if not has_no_clock(job):
            schedule = job.schedule
            clocks[job_id] = f"{schedule.dialect} {schedule.expression} {schedule.zone} {job.calendar}".strip()
    return ServiceShape(promise, clocks)


MAX_INSTANTS = 12
"""Forecasts per night: before it begins, and right before the ends of the jobs that exceeded their usual duration most.
P(late) is highest there: it rises while a job runs, and falls with its end."""
FEWEST_NIGHTS = 10
"""Minimum number of earlier nights of the delivering jobs; with fewer, forecasts are not representative."""
BEFORE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_NEARBY = 3
"""Runs of so many business dates before and after are included."""


@dataclass(frozen=True, slots=True)
class BackTestedNight:
    """The result of one past night of a service."""

    business_date: date
    peak: float | None
    """The highest P(late) forecast in time; None: the histories do not contain enough about that night."""
    was_late: bool = False


@dataclass(frozen=True, slots=True)
class _TestedNight:
    business_date: date
    deadline: datetime
    finish: datetime
    opens: datetime
    history: Mapping[int, RunHistory]
    """By job: the runs that had ended by `opens`."""
    learned: Sequence[PastForecasts]
    """The service's own forecasts by then."""


class BackTest:
    """Back test of one service. `simulate`: the forecast of the engine."""

    def __init__(self, estate: Estate, cache: EvaluationCache, service: ServiceFacts, simulate: SimulateDays) -> None:
        self._simulate = simulate
        part = cache.shape.components_with(service.terminals)
        beside = [facts for facts in estate.services if facts.name != service.name and facts.instance is None]
        own_jobs = cache.graph.members(terminal for terminal in service.terminals if terminal in estate.jobs)
        if any(pool_of(estate.declared, estate.jobs[job_id]) is not None for job_id in own_jobs):
            beside = [facts for facts in beside if not part.isdisjoint(cache.shape.components_with(facts.terminals))]
        else:
            beside = []  # a service that shares no pool with it does not change its figures
        services = [_of_units(cache.graph, facts) for facts in (service, *beside)]
        members = [cache.graph.members(facts.terminals) for facts in services]
        jobs = set[int]().union(*members)
        self._services = services
        self._estate = Estate(
            jobs={job: _as_accepted(estate.jobs[job]) for job in sorted(jobs)},
            runs=(),
            durations={},
            dependencies=tuple(_between_units(cache.graph, cache.shape.edges_in(part), jobs)),
            services=tuple(services),
            targets={},
            forecasts=estate.forecasts,
            declared=estate.declared,
            settings=estate.settings,
        )
        self._targets = [
            estate.targets[target] for target in sorted({job.target_id for job in self._estate.jobs.values()})
        ]
        self.is_read = all(job_id in estate.history for job_id in members[0])
        """False while the history of one of its jobs is not loaded."""
        self._history = {job: estate.history.get(job, NO_HISTORY) for job in jobs}
        self._ran = {job_id: list(past_successes(history)) for job_id, history in self._history.items()}
        self._members = [tuple(sorted(job_ids)) for job_ids in members]
        self._graph = DependencyGraph(self._estate.jobs, self._estate.dependencies)
        self._ends = services[0].terminals

    @property
    def jobs(self) -> Mapping[int, JobFacts]:
        return {job: self._estate.jobs[job] for job in self._members[0]}

    def dates(self) -> list[date]:
        """Business dates on which all delivering jobs ran, latest first, without the oldest FEWEST_NIGHTS."""
        known = [{ran.day for ran in self._ran[job] if ran.day > 0} for job in self._ends]
        days = sorted(set.intersection(*known)) if known else []
        return [date.fromordinal(day) for day in reversed(days[FEWEST_NIGHTS:])]

    def steps(self, business_date: date) -> Iterator[BackTestedNight | None]:
        """Tests one night in steps: yields None after each forecast, and the result last."""
        night = self._night(business_date)
        peak: float | None = None
        for at in self._instants(night) if night is not None else ():
            late = self._late(night, at) if night is not None else None
            peak = late if peak is None or (late is not None and late > peak) else peak
            yield None
        yield BackTestedNight(business_date, peak, night is not None and night.finish > night.deadline)

    def late(self, business_date: date, at: datetime) -> float | None:
        """P(late) as it would have been forecast at that instant; None where there was no forecast."""
        night = self._night(business_date)
        return None if night is None else self._late(night, at)

    def states(self, business_date: date, at: datetime) -> Mapping[int, RunState]:
        """Job -> state of its last run of that date at that instant; jobs without a run are left out."""
        index = self._snapshot(self._history, (), business_date, at)
        return {job: runs[-1].state for job in self._members[0] if (runs := index.of_day(job, business_date))}

    def _late(self, night: _TestedNight, at: datetime) -> float | None:
        business_date = night.business_date
        index = self._snapshot(night.history, night.learned, business_date, at)
        days = [
            forecast(index, service, members, business_date)
            for service, members in zip(self._services, self._members, strict=True)
            if has_day(index, service, members, business_date)
        ]
        if not days or days[0].service.name != self._services[0].name or days[0].finish is None:
            return None
        odds = self._simulate(index, days)[0].odds
        return None if odds is None else round(odds.late, 2)

    def _night(self, business_date: date) -> _TestedNight | None:
        """The night, if its histories contain what a forecast needs; else None."""
        service, members, night = self._services[0], self._members[0], business_date.toordinal()
        runs_by_job = {member: [ran for ran in self._ran[member] if ran.day == night] for member in members}
        ran = [run for of_job in runs_by_job.values() for run in of_job]
        if not ran or any(not self._is_complete(member, night) for member in members):
            return None
        after = max(run.ended for run in ran) + _SECOND
        index = self._snapshot(self._history, (), business_date, after)
        if not has_day(index, service, members, business_date):
            return None
        day = forecast(index, service, members, business_date)
        if day.finish is None or any(node.how is not NodeState.DONE for node in day.nodes.values()):
            return None
        starts = {member: scheduled_starts(index, index.job(member), business_date) for member in members}
        if any(not self._is_by_its_clock(job_id, of_job, starts[job_id]) for job_id, of_job in runs_by_job.items()):
            return None
        opens = min([*(run.began for run in ran), *(due for of_job in starts.values() for due in of_job[:1])]) - BEFORE
        past = {job_id: history_known_by(history, night, opens) for job_id, history in self._history.items()}
        if min((len(set(past[job_id].days)) for job_id in self._ends), default=0) < FEWEST_NIGHTS:
            return None
        learned = [learned_night for learned_night in self._estate.forecasts if learned_night.night < night - _NEARBY]
        return _TestedNight(business_date, day.deadline, day.finish.p50, opens, past, learned)

    def _instants(self, night: _TestedNight) -> list[datetime]:
        """The instants to forecast at, in order; at most MAX_INSTANTS."""
        until, at = min(night.finish, night.deadline), night.business_date.toordinal()
        runs = [(job_id, run) for job_id in self._members[0] for run in self._ran[job_id] if run.day == at]
        runs.sort(key=lambda entry: (_middle(night.history[entry[0]]) - entry[1].takes, entry[1].ended, entry[0]))
        before = [run.ended - _SECOND for _, run in runs]
        chosen = list(dict.fromkeys(moment for moment in before if night.opens < moment < until))[: MAX_INSTANTS - 1]
        return sorted([night.opens, *chosen]) if night.opens < until else []

    def _is_complete(self, job_id: int, night: int) -> bool:
        """True if the history reaches back beyond that night, and the job was repaired if it failed."""
        history = self._history[job_id]
        return night not in history.unrepaired and any(0 < day < night for day in history.days)

    def _is_by_its_clock(self, job_id: int, ran: Sequence[PastSuccess], starts: Sequence[datetime]) -> bool:
        """False if it started at other times than its present schedule."""
        if has_no_clock(self._estate.jobs[job_id]):
            return True
        return all(run.period_at in starts for run in ran if run.period_at is not None)

    def _snapshot(
        self, history: Mapping[int, RunHistory], learned: Sequence[PastForecasts], business_date: date, at: datetime
    ) -> EstateIndex:
        """The snapshot of that instant, with the history known by then."""
        night, lookback = business_date.toordinal(), self._estate.settings.lookback
        runs: list[RunFacts] = []
        for job_id, ran in self._ran.items():
            near = (success for success in ran if abs(success.day - night) <= _NEARBY and success.ended > at - lookback)
            job, usual = self._estate.jobs[job_id], _middle(history[job_id])
            runs += [run for success in near if (run := run_as_of(job, success, at, usual)) is not None]
        runs.sort(key=lambda run: (run.job_id, run.period_at or run.first_started_at or at))
        seen = replace(
            self._estate,
            runs=tuple(runs),
            durations={job_id: of.takes for job_id, of in history.items()},
            targets={target.id: _reachable(target, at) for target in self._targets},
            history=history,
            forecasts=learned,
        )
        return EstateIndex(seen, at, graph=self._graph)


def _middle(history: RunHistory) -> float:
    return median(history.takes) if len(history.takes) else 0.0


def _reachable(target: TargetFacts, at: datetime) -> TargetFacts:
    """The target as reachable at that instant, because its history is complete by now."""
    return replace(
        target, last_ok_at=at, seen_until=at, first_ok_at=BEGINNING, failing_since=None, error="", error_kind="",
        lost=None, pause=None,
    )  # fmt: skip


def _as_accepted(job: JobFacts) -> JobFacts:
    """The job with its present schedule as if always accepted, and without a present pause."""
    accepted = None if job.accepted_at is None else BEGINNING
    schedule = replace(job.schedule, next_at=None)
    return replace(job, schedule=schedule, accepted_at=accepted, paused_since=None, gone_since=None)


def _of_units(graph: DependencyGraph, service: ServiceFacts) -> ServiceFacts:
    return replace(service, terminals=tuple(dict.fromkeys(graph.unit(terminal) for terminal in service.terminals)))


def _between_units(
    graph: DependencyGraph, edges: Sequence[DependencyFacts], jobs: set[int]
) -> Iterator[DependencyFacts]:
    """Dependencies between units: histories contain no tasks, so a dependency on a task becomes one on its DAG."""
    for edge in edges:
        upstream, downstream = graph.unit(edge.upstream_id), graph.unit(edge.downstream_id)
        if upstream in jobs and downstream in jobs and upstream != downstream:
            yield replace(edge, upstream_id=upstream, downstream_id=downstream)
