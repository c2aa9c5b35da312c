"""Impact of a root cause: affected service days, and how long its repair may take (act by, green by).

Approximate, by quantiles: at the usual risk of 10 % green-by = deadline − p90 of the path after the job, act-by =
green-by − p90 of the job. A downstream that starts by the clock must find it green, or be rerun after it; a job
that is never rerun must find it green. An unreachable target affects days with work due there or due within `NEAR`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from console.control.incidents.correlation import IncidentMatch, ServiceDayKey, causes_from_findings, match_incidents
from console.control.incidents.root_cause import root_causes
from console.control.services.delivery import pending_checks
from console.control.services.status import RepairBudget
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import run_key, run_time
from console.domain.estate import Estate, IncidentFacts, RunFacts
from console.domain.job import Safety
from console.forecast.finish_times import (
    ForecastNode,
    NodeState,
    ServiceForecast,
    indispensable_jobs,
    opens_without,
    read_point_of_node,
)
from console.text.cleaning import clean_line
from console.timing.formats import zoned_time

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Limit:
    """The latest instant at which a job must be good."""

    at: datetime | None
    """None: nobody waits for it, or, where `known` is False, nobody knows."""
    known: bool
    towards: int | None
    """The downstream that sets it."""
    start: str = ""


class RepairBudgets:
    """The limits of all jobs of one service day, from the terminals up."""

    def __init__(self, index: EstateIndex, day: ServiceForecast) -> None:
        self._picture = index
        self._day = day
        self._limits: dict[int, _Limit] = {}
        for job_id in reversed(day.nodes):
            self._limits[job_id] = self._limit(job_id)

    def of(self, job_id: int) -> RepairBudget:
        """The clocks of a job that is broken now; without figures where nobody waits or an estimate is missing."""
        limit = self._limits[job_id]
        chain = self._chain(job_id)
        estimates = tuple(self._picture.estimate(each) for each in chain)
        takes = self._takes(job_id)
        starts = tuple(start for each in chain if (start := self._limits[each].start))
        if limit.at is None or takes is None:
            return RepairBudget(job_id, None, None, estimates, starts)
        return RepairBudget(job_id, limit.at - takes, limit.at, estimates, starts)

    def _takes(self, job_id: int) -> timedelta | None:
        return self._picture.takes(job_id, self._day.service.risk)

    def _chain(self, job_id: int) -> list[int]:
        chain = [job_id]
        while (towards := self._limits[chain[-1]].towards) is not None:
            chain.append(towards)
        return chain

    def _limit(self, job_id: int) -> _Limit:
        found = [_Limit(self._day.deadline, True, None)] if job_id in self._day.ends else []
        for edge in self._picture.graph.out_of(job_id):
            node = self._day.nodes.get(edge.downstream)
            if node is not None and node.how not in (NodeState.DONE, NodeState.OVER) and not self._spared(node, job_id):
                found.append(self._needed_by(node, edge.native))
        unknown = next((each for each in found if not each.known), None)
        if unknown is not None:
            return unknown
        timed = [each for each in found if each.at is not None]
        return min(timed, key=_at, default=_Limit(None, True, None))

    def _spared(self, node: ForecastNode, job_id: int) -> bool:
        """True where the gates of this downstream open without the job."""
        if self._picture.graph.gates(node.job_id) is None:
            return False
        look = read_point_of_node(self._picture, self._day.business_date, node)
        return opens_without(self._picture, node.job_id, job_id, self._day.nodes, look)

    def _needed_by(self, node: ForecastNode, native: bool) -> _Limit:
        """When this downstream needs its upstream good."""
        own = self._limits[node.job_id]
        takes = self._takes(node.job_id)
        if own.known and own.at is None:
            return own
        if own.at is None or takes is None:
            return _Limit(None, False, node.job_id)
        rerun_at = own.at - takes
        if node.how is not NodeState.CLOCK or native or node.starts_at is None:
            return _Limit(rerun_at, True, node.job_id)
        start = max(node.starts_at, self._picture.now)
        job = self._picture.job(node.job_id)
        name = clean_line(job.native_id).replace("; ", ", ")  # the start is one clause of a reason
        start_text = f"{zoned_time(node.starts_at, job.zone, self._picture.now)} {name} starts"
        if job.rerun is not Safety.NEVER and max(rerun_at, start + takes) + takes <= own.at:
            return _Limit(rerun_at, True, node.job_id, f"{start_text}: stale unless fixed, then rerun")
        consequence = "must read fixed data, never rerun" if job.rerun is Safety.NEVER else "last safe start"
        return _Limit(min(start, rerun_at), True, node.job_id, f"{start_text}: {consequence}")


def reruns_after(estate: Estate, incident: IncidentFacts, now: datetime) -> list[RunFacts]:
    """What the incident's root leaves red or stale and must be rerun one by one after it: every run once, upstreams
    before their downstreams. Empty when nothing is, or the incident is over."""
    index = EstateIndex(estate, now)
    told = match_incidents(index, causes_from_findings(index, root_causes(index)))
    match = next((each for each in told if each.incident == incident), None)
    if match is None or match.close_reason:
        return []
    root = match.group.root
    broken = {run.job_id: run for run in match.broken() if root is None or run.job_id != root.job_id}
    return [broken[job_id] for job_id in index.graph.ordered(broken)]


def tightest_budget(budgets: Iterable[RepairBudget]) -> RepairBudget | None:
    """The one that must be acted on first; one without figures only where all are so. None for no budgets."""
    found: Sequence[RepairBudget] = list(budgets)
    timed = [each for each in found if each.act_by is not None]
    return (
        min(timed, key=lambda each: (each.act_by or each.green_by, each.job_id)) if timed else next(iter(found), None)
    )


def _at(limit: _Limit) -> datetime:
    return limit.at or _NEVER


NEAR = timedelta(hours=1)
"""How far ahead work or a deadline endangers a service while a target does not answer."""


def affected_days(
    index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]
) -> dict[ServiceDayKey, tuple[ServiceForecast, list[ForecastNode]]]:
    """The service days that a cause hurts, each with the jobs that are broken in it."""
    if match.close_reason:
        return {}
    found: dict[ServiceDayKey, tuple[ServiceForecast, list[ForecastNode]]] = {}
    if match.group.target is not None:
        found = _hit_by_target(index, match.group.target.id, days)
    if match.group.check:
        return {(day.service.name, day.business_date): (day, []) for day in days if _is_hit_by_check(index, match, day)}
    if awaited := match.group.awaits or match.awaits:
        lost = ((day.service.name, day.business_date) for day in days)
        return {name: (day, []) for name, day in zip(lost, days, strict=True) if name in awaited}
    broken = {run_key(run) for run in match.broken()}
    jobs = {job_id for job_id, _ in broken}
    for day in days:
        if day.nodes.keys().isdisjoint(jobs):
            continue
        nodes = [day.nodes[each] for each in jobs if each in day.nodes]
        read = [node for node in nodes if node.run is not None and run_key(node.run) in broken]
        unrepaired = [node for node in read if node.how not in (NodeState.DONE, NodeState.OVER)]
        unrepaired = _awaited(index, day, unrepaired)
        if unrepaired:
            _, known = found.get((day.service.name, day.business_date), (day, []))
            found[day.service.name, day.business_date] = (day, known + unrepaired)
    return found


def _awaited(index: EstateIndex, day: ServiceForecast, nodes: list[ForecastNode]) -> list[ForecastNode]:
    """Those that the service day cannot do without."""
    if not nodes:
        return nodes
    needed = indispensable_jobs(index, day)
    return [node for node in nodes if node.job_id in needed]


def _hit_by_target(
    index: EstateIndex, target_id: int, days: Sequence[ServiceForecast]
) -> dict[ServiceDayKey, tuple[ServiceForecast, list[ForecastNode]]]:
    """Of each service the first day not over that needs a job on the target now or soon."""
    found: dict[ServiceDayKey, tuple[ServiceForecast, list[ForecastNode]]] = {}
    seen: set[str] = set()
    for day in days:
        if day.service.name in seen or day.deadline < index.now:
            continue
        nodes = [node for node in day.unfinished() if index.job(node.job_id).target_id == target_id]
        if nodes and _is_near(day, nodes, index.now):
            seen.add(day.service.name)
            found[day.service.name, day.business_date] = (day, nodes)
    return found


def _is_hit_by_check(index: EstateIndex, match: IncidentMatch, day: ServiceForecast) -> bool:
    return day.business_date == match.group.business_date and any(
        one.check == match.group.check for one in pending_checks(index, day)
    )


def next_effects(days: Sequence[ServiceForecast]) -> Iterator[datetime]:
    """Instants from which a target that does not answer may hurt a day that it does not hurt yet."""
    for day in days:
        yield day.deadline - NEAR
        yield from (at - NEAR for node in day.unfinished() if (at := _due(node)) is not None)


def _is_near(day: ServiceForecast, nodes: Sequence[ForecastNode], now: datetime) -> bool:
    """Work that follows other work is due once the day has begun: nothing else says when it starts."""
    if day.deadline - NEAR <= now:
        return True
    follows = any(_due(node) is None for node in nodes)
    known = [at for node in (day.nodes.values() if follows else nodes) if (at := _due(node)) is not None]
    return min(known, default=day.deadline) - NEAR <= now


def _due(node: ForecastNode) -> datetime | None:
    """When its run was or is to start; None where only other work decides."""
    return run_time(node.run) if node.run is not None else node.due
