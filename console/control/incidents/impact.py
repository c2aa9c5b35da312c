"""Impact of a root cause: affected service days, and how long its repair may take (act by, green by).

Approximate, by quantiles: at the usual risk of 10 % green-by = deadline − p90 of the path after the job, act-by =
green-by − p90 of the job. A downstream that starts by the clock must find it green, or be rerun after it; a job
that is never rerun must find it green. An unreachable target affects days with work due there or due within `NEAR`, and
the last late one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.sdk.states import RunState
from console.control.incidents.causes import find_causes
from console.control.incidents.causes.cause import AffectedDays
from console.control.incidents.correlation import IncidentMatch, match_incidents
from console.control.incidents.run_effects import is_lost_out_of_reach
from console.control.services.delivery import delivered_at
from console.control.services.status import RepairBudget
from console.control.snapshot.deadlines import clock_start, scheduled_starts, start_before
from console.control.snapshot.downstream import bad_inputs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import covers_period, is_under_way, run_key, run_time
from console.domain.estate import Estate, IncidentFacts, JobFacts, RunFacts
from console.domain.job import Safety
from console.domain.reason import NativeStart, StartEffect
from console.forecast.finish_times import (
    ForecastNode,
    NodeState,
    ServiceForecast,
    indispensable_jobs,
    opens_without,
    read_point_of_node,
)
from console.text.cleaning import clean_line

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Limit:
    """The latest instant at which a job must be good."""

    at: datetime | None
    """None: not needed, or, if `known` is False, unknown."""
    known: bool
    towards: int | None
    """Downstream that sets it."""
    start: NativeStart | None = None


class RepairBudgets:
    """The limits of all jobs of one service day, from the terminals up."""

    def __init__(self, index: EstateIndex, day: ServiceForecast) -> None:
        self._index = index
        self._day = day
        self._limits: dict[int, _Limit] = {}
        for job_id in reversed(day.nodes):
            self._limits[job_id] = self._limit(job_id)

    def of(self, job_id: int) -> RepairBudget:
        """Act-by and green-by of a broken job; empty if it is not needed or an estimate is missing."""
        limit = self._limits[job_id]
        chain = [job_id]
        while (towards := self._limits[chain[-1]].towards) is not None:
            chain.append(towards)
        estimates = tuple(self._index.estimate(member) for member in chain)
        takes = self._index.takes(job_id)
        starts = tuple(dict.fromkeys(start for member in chain if (start := self._limits[member].start)))
        if limit.at is None or takes is None:
            return RepairBudget(job_id, None, None, estimates, starts)
        act_by = limit.at - takes - self._index.job(job_id).start_within
        return RepairBudget(job_id, act_by, limit.at, estimates, starts)

    def _limit(self, job_id: int) -> _Limit:
        limits = [_Limit(self._day.deadline, True, None)] if job_id in self._day.ends else []
        for edge in self._index.graph.out_of(job_id):
            node = self._day.nodes.get(edge.downstream)
            if node is not None and node.how not in (NodeState.DONE, NodeState.OVER) and not self._spared(node, job_id):
                limits.append(self._needed_by(node, edge.native))
        if unknown := [limit for limit in limits if not limit.known]:
            return min(unknown, key=_stale_from)
        timed = [limit for limit in limits if limit.at is not None]
        return min(timed, key=lambda limit: limit.at or _NEVER, default=_Limit(None, True, None))

    def _spared(self, node: ForecastNode, job_id: int) -> bool:
        if self._index.graph.gates(node.job_id) is None:
            return False
        read_point = read_point_of_node(self._index, self._day.business_date, node)
        return opens_without(self._index, node.job_id, job_id, self._day.nodes, read_point)

    def _needed_by(self, node: ForecastNode, native: bool) -> _Limit:
        own = self._limits[node.job_id]
        takes = self._index.takes(node.job_id)
        if own.known and own.at is None:
            return own
        job = self._index.job(node.job_id)
        starts_at = node.starts_at if node.how is NodeState.CLOCK and not native else None
        if own.at is None or takes is None:
            start = self._start(job, starts_at, StartEffect.RERUN_AFTER) if starts_at is not None else own.start
            return _Limit(None, False, node.job_id, start)
        start_by = own.at - takes
        rerun_by = start_by - job.start_within
        if starts_at is None:
            is_rerun = node.how in (NodeState.RERUN, NodeState.RUNNING)
            return _Limit(rerun_by if is_rerun else start_by, True, node.job_id)
        earliest = max(starts_at, self._index.now)
        if job.rerun is not Safety.NEVER and earliest + takes <= rerun_by:
            return _Limit(rerun_by, True, node.job_id, self._start(job, starts_at, StartEffect.RERUN_AFTER))
        return _Limit(min(earliest, start_by), True, node.job_id, self._start(job, starts_at, StartEffect.LAST_IN_TIME))

    def _start(self, job: JobFacts, starts_at: datetime, effect: StartEffect) -> NativeStart:
        reads_stale = effect is StartEffect.RERUN_AFTER
        if job.rerun is Safety.NEVER:
            effect = StartEffect.NEVER_RERUN
        is_last = start_before(self._index, job, starts_at) is not None
        return NativeStart(clean_line(job.native_id), starts_at, effect, is_last, reads_stale)


def reruns_after(estate: Estate, incident: IncidentFacts, now: datetime) -> list[RunFacts]:
    """Runs that the incident's root leaves red or stale and that must be rerun one by one after it, each once,
    upstreams first. Empty if there are none, or the incident has closed."""
    index = EstateIndex(estate, now)
    matches = match_incidents(index, find_causes(index))
    match = next((candidate for candidate in matches if candidate.incident == incident), None)
    if match is None or match.ended:
        return []
    root = match.cause.root
    broken = {run.job_id: run for run in match.broken() if root is None or run.job_id != root.job_id}
    return [broken[job_id] for job_id in index.graph.ordered(broken)]


def closing_runs(index: EstateIndex, match: IncidentMatch, limits: Iterable[datetime]) -> list[RunFacts]:
    """The next starts that close the incident without a repair, upstreams first: of the same business date, of jobs
    that missed one start, or read data that is repaired by then. Empty if another run is broken, if one runs again
    already, if a scheduler is stopped, or if a start is too late. `limits`: the act-by of each affected service day,
    without one its deadline; the start after the next one must come before it, too."""
    if match.ended or match.is_repaired or not match.cause.can_close_itself:
        return []
    unrepaired = _unrepaired(index, match)
    latest = {run.job_id: run for run in unrepaired}
    starts = {job_id: _next_starts(index, latest[job_id]) for job_id in index.graph.ordered(latest)}
    first = [known[0] for known in starts.values() if known]
    if len(first) < len(starts) or first != sorted(first, key=run_time):
        return []
    if not all(_starts_well(index, run, unrepaired) for run in unrepaired):
        return []
    limit = min(limits, default=_NEVER)
    is_in_time = limit == _NEVER or all(len(known) > 1 and run_time(known[1]) < limit for known in starts.values())
    return first if is_in_time else []


def runs_again(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if each of its jobs that is left to repair has begun again."""
    return all(any(map(is_under_way, _later(index, run))) for run in _unrepaired(index, match))


def _unrepaired(index: EstateIndex, match: IncidentMatch) -> list[RunFacts]:
    return [run for run in match.broken() if index.is_red_now(run) or index.is_stale(run)]


def _later(index: EstateIndex, run: RunFacts) -> list[RunFacts]:
    """The later runs of its job on its business date that cover its period."""
    return [known for known in index.of_day(run.job_id, run.business_date) if _repeats(known, run)]


def _repeats(later: RunFacts, run: RunFacts) -> bool:
    is_same = (later.job_id, later.business_date) == (run.job_id, run.business_date)
    return is_same and run_time(later) > run_time(run) and covers_period(later, run)


def _next_starts(index: EstateIndex, run: RunFacts) -> list[RunFacts]:
    """The next starts of its job on its business date, by the clock, from the one that may still come in its grace
    period; none while a later run has begun or its scheduler is stopped."""
    later, due_after = _later(index, run), index.now - index.job(run.job_id).grace
    target = index.estate.targets.get(index.job(run.job_id).target_id)
    if any(map(is_under_way, later)) or (target is not None and target.is_stopped):
        return []
    return [known for known in later if known.state is RunState.PLANNED and run_time(known) > due_after]


def _starts_well(index: EstateIndex, run: RunFacts, unrepaired: Sequence[RunFacts]) -> bool:
    """True if nothing suggests that its job's next start is bad, too."""
    same = [known for known in index.of_day(run.job_id, run.business_date) if run_key(known) != run_key(run)]
    is_alone = not any(index.is_red_now(known) and not is_lost_out_of_reach(index, known) for known in same)
    if run.state is RunState.MISSED:
        return is_alone or is_lost_out_of_reach(index, run)
    if run.state.is_red or not is_alone:
        return False
    inputs, are_good = bad_inputs(index, run)
    return are_good or {known.job_id for known in unrepaired}.issuperset(inputs)


def tightest_budget(budgets: Iterable[RepairBudget]) -> RepairBudget | None:
    """The budget with the earliest act-by; one without figures only if all are. None for no budgets."""
    known: Sequence[RepairBudget] = list(budgets)
    timed = [budget for budget in known if budget.act_by is not None]
    if not timed:
        return next(iter(known), None)
    return min(timed, key=lambda budget: (budget.act_by or budget.green_by, budget.job_id))


def last_starts(
    index: EstateIndex, day: ServiceForecast, budgets: RepairBudgets, job_ids: Iterable[int], tightest: RepairBudget
) -> list[datetime]:
    """The last start in time of each of these jobs that is ahead: a scheduler that starts nothing does not make up for
    it, so that its restoration saves the day until then. Later a person must start the job."""
    starts = []
    for job_id in job_ids:
        job, budget = index.job(job_id), tightest if job_id == tightest.job_id else budgets.of(job_id)
        clock = (clock_start(job, start) for start in scheduled_starts(index, job, day.business_date))
        in_time = [start for start in clock if budget.act_by is not None and index.now < start <= budget.act_by]
        starts += in_time[-1:]
    return starts


def _stale_from(limit: _Limit) -> datetime:
    return limit.start.at if limit.start is not None and limit.start.reads_stale else _NEVER


def affected_days(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> AffectedDays:
    """Service days affected by a cause, each with its broken jobs."""
    if match.ended:
        return {}
    if match.awaits:
        return {day.key: (day, []) for day in days if day.key in match.awaits}
    affected = match.cause.affected_days(index, days)
    if match.cause.awaits:
        return affected
    broken, unrepaired_runs = {run_key(run) for run in match.broken()}, _unrepaired(index, match)
    jobs = {job_id for job_id, _ in broken}

    def is_affected(run: RunFacts) -> bool:
        """True for a run that is broken or repeats one: its start proves nothing."""
        return run_key(run) in broken or any(_repeats(run, known) for known in unrepaired_runs)

    for day in days:
        if day.nodes.keys().isdisjoint(jobs):
            continue
        nodes = [day.nodes[job] for job in index.graph.ordered(jobs & day.nodes.keys())]
        pending = [node for node in nodes if node.how not in (NodeState.DONE, NodeState.OVER)]
        unrepaired = [node for node in pending if node.run is not None and is_affected(node.run)]
        needed = indispensable_jobs(index, day) if unrepaired else set()
        unrepaired = [node for node in unrepaired if node.job_id in needed]
        if unrepaired and (done := delivered_at(index, day)) is not None:  # a later attempt does not undo it
            starts = ((node, node.run.started_at or run_time(node.run)) for node in unrepaired if node.run is not None)
            unrepaired = [node for node, began in starts if began < done]
        if unrepaired:
            _, known = affected.get(day.key, (day, []))
            affected[day.key] = (day, known + unrepaired)
    return affected
