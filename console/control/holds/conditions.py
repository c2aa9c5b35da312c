"""Conditions that holds and triggers wait for: when an upstream is good enough for a downstream to start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from connectors.sdk.states import RunState
from console.control.holds.gate import GateStatus, status_without_run
from console.control.snapshot.checks import readiness
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.freshness import ReadPoint, run_to_read
from console.control.snapshot.runs import completed_at, has_no_clock, red_since
from console.domain.dependency import (
    DependencyMode,
    EngineDown,
    Requirement,
    ScheduleView,
    UpstreamCondition,
    UpstreamPeriod,
)
from console.domain.estate import DependencyFacts, JobFacts, RunFacts
from console.text.cleaning import clean_line

_MET = {
    UpstreamCondition.SUCCESS: "is good",
    UpstreamCondition.COMPLETION: "has ended",
    UpstreamCondition.FAILURE: "has failed",
}
_UNMET = {
    UpstreamCondition.SUCCESS: "is not good",
    UpstreamCondition.COMPLETION: "has not ended",
    UpstreamCondition.FAILURE: "has not failed",
}


def condition_text(jobs: Mapping[int, JobFacts], edges: Iterable[DependencyFacts]) -> str:
    """The condition, to follow "until", "once" and "because"."""
    return " and ".join(_phrases(jobs, edges, _MET))


def unmet_condition_text(jobs: Mapping[int, JobFacts], edges: Iterable[DependencyFacts]) -> str:
    """ "extract_orders is not good"."""
    return " and ".join(_phrases(jobs, edges, _UNMET))


def edges_by_gate(edges: Iterable[DependencyFacts]) -> list[list[DependencyFacts]]:
    """The edges of one downstream, grouped by gate, in their order."""
    gates: dict[tuple[object, ...], list[DependencyFacts]] = {}
    for place, edge in enumerate(edges):
        key = (edge.downstream_id, edge.wants.gate) if edge.wants.gate else (place,)
        gates.setdefault(key, []).append(edge)
    return list(gates.values())


def _phrases(
    jobs: Mapping[int, JobFacts], edges: Iterable[DependencyFacts], verbs: Mapping[UpstreamCondition, str]
) -> Iterator[str]:
    """Those that want the same, each by itself, in one phrase; a gate in its own."""
    by_condition: dict[Requirement, list[DependencyFacts]] = {}
    for edge in edges:
        by_condition.setdefault(edge.wants, []).append(edge)
    for wants, same in by_condition.items():
        if wants.condition is UpstreamCondition.READY:
            yield f"check {clean_line(wants.check)} {'passes' if verbs is _MET else 'does not pass'}"
            continue
        ids = dict.fromkeys(edge.upstream_id for edge in same)
        names = " and ".join(clean_line(jobs[job_id].name) for job_id in ids if job_id in jobs)
        if names:
            which = f" ({wants.period_text})" if wants.period_text else ""
            several = "any of " if wants.need == 1 else f"{wants.need} of "
            quantifier = several if wants.gate and wants.need < len(same) else ""
            yield f"{quantifier}{names}{which} {verbs[wants.condition]}"


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """Dependencies in mode hold or trigger of one downstream: one hold, however many upstreams."""

    job_id: int
    edges: tuple[DependencyFacts, ...]

    @property
    def mode(self) -> DependencyMode:
        triggers = any(edge.mode is DependencyMode.TRIGGER for edge in self.edges)
        return DependencyMode.TRIGGER if triggers else DependencyMode.HOLD

    @property
    def is_standing(self) -> bool:
        """True if any of them is fail-closed (`engine_down = "closed"`): always held, except when it may start."""
        return any(edge.engine_down is EngineDown.CLOSED for edge in self.edges)

    @property
    def hold_for(self) -> timedelta:
        return max(edge.hold_for for edge in self.edges)


def hold_policies(index: EstateIndex) -> dict[int, HoldPolicy]:
    """By the job that its scheduler starts (the DAG of a task), in the order of the jobs."""
    edges: dict[int, list[DependencyFacts]] = {}
    for edge in index.estate.dependencies:
        if edge.mode is not DependencyMode.OBSERVE and edge.downstream_id in index.estate.jobs:
            edges.setdefault(index.graph.unit(edge.downstream_id), []).append(edge)
    return {job_id: HoldPolicy(job_id, tuple(edges[job_id])) for job_id in sorted(edges)}


def awaited_edges(
    index: EstateIndex, edges: Iterable[DependencyFacts], business_date: date, at: datetime
) -> list[DependencyFacts]:
    """Unmet edges of unmet gates, for a run of that date that reads as of `at`. `need` is reduced by the edges that
    are met."""
    awaited: list[DependencyFacts] = []
    for gate in edges_by_gate(edges):
        unmet = [member for member in gate if not is_met(index, member, business_date, at)]
        need = min(gate[0].wants.need or 1, len(gate)) - (len(gate) - len(unmet))
        if need > 0:
            alone = not gate[0].wants.gate
            awaited += unmet if alone else [replace(member, wants=replace(member.wants, need=need)) for member in unmet]
    return awaited


def edges_never_met(
    index: EstateIndex, edges: Iterable[DependencyFacts], business_date: date, at: datetime
) -> list[DependencyFacts]:
    """Edges of gates that will not open: they wait for a failure of an upstream that is good."""
    never_met: list[DependencyFacts] = []
    for gate in edges_by_gate(edges):
        good = [member for member in gate if _is_spared(index, member, business_date, at)]
        if len(gate) - len(good) < min(gate[0].wants.need or 1, len(gate)):
            never_met += good
    return never_met


def _is_spared(index: EstateIndex, edge: DependencyFacts, business_date: date, at: datetime) -> bool:
    if edge.wants.condition is not UpstreamCondition.FAILURE or edge.upstream_id not in index.estate.jobs:
        return False
    run = _read(index, edge, business_date, at)
    return run is not None and is_good(index, run)


def is_met(index: EstateIndex, edge: DependencyFacts, business_date: date, at: datetime) -> bool:
    """True if the edge does not keep back a run of that date that reads as of `at`. Unknown is not met."""
    wants = edge.wants
    if edge.upstream_id not in index.estate.jobs or wants.is_simple:
        return is_satisfied(index, edge.upstream_id, business_date, at)
    if wants.condition is UpstreamCondition.READY:
        return readiness(index.estate, wants.check, business_date, index.now).passes
    run = _read(index, edge, business_date, at)
    if run is None:
        if wants.period is UpstreamPeriod.SAME and wants.condition is UpstreamCondition.COMPLETION:
            return is_satisfied(index, edge.upstream_id, business_date, at)
        return wants.period is UpstreamPeriod.PREVIOUS and wants.condition is not UpstreamCondition.FAILURE
    if wants.condition is UpstreamCondition.SUCCESS:
        return is_good(index, run) or index.good_by(run, index.now) is not None
    is_over = wants.condition is UpstreamCondition.COMPLETION and is_good(index, run)
    return is_over or _since(index, run, wants.condition) is not None


def _read(index: EstateIndex, edge: DependencyFacts, business_date: date, at: datetime) -> RunFacts | None:
    loops = index.graph.is_loop(edge.upstream_id, edge.downstream_id)
    return run_to_read(index, edge.upstream_id, edge.wants, ReadPoint(business_date, at, at, index.now), loops)


def _since(index: EstateIndex, run: RunFacts, condition: UpstreamCondition) -> datetime | None:
    if condition is UpstreamCondition.COMPLETION:
        return completed_at(run)
    if condition is UpstreamCondition.FAILURE:
        return red_since(run) if run.state.is_red and not index.is_excused(run) else None
    return index.good_by(run, index.now)


def is_satisfied(index: EstateIndex, upstream_id: int, business_date: date, at: datetime) -> bool:
    """True if good, or nothing to wait for: the run to read as of `at`, or the latest ended one of that date.
    UNKNOWN, PARTIAL and unreachable are not good. Without a run on that date only a schedule without a start
    satisfies it, as at the gate."""
    if upstream_id not in index.estate.jobs:
        return True  # gone from the estate: config names it in vain, and says so
    run = index.read_by(upstream_id, business_date, at)
    if run is not None:
        return is_good(index, run) or index.good_by(run, index.now) is not None
    unit = index.graph.unit(upstream_id)
    if unit != upstream_id and index.of_day(unit, business_date):
        return False
    clock = _clock(index.job(unit))
    return clock is not None and status_without_run(clock, business_date, index.now)[0] is GateStatus.SATISFIED


def _clock(job: JobFacts) -> ScheduleView | None:
    if has_no_clock(job) or job.accepted_at is None:
        return None
    accepted, cutoff = job.schedule, job.cutoff.isoformat()
    clock = (accepted.dialect, accepted.expression, accepted.zone, accepted.next_at)
    return ScheduleView(*clock, job.accepted_at, job.zone, cutoff)


def is_good(index: EstateIndex, run: RunFacts) -> bool:
    """True if green, skipped, or missed and excused: nothing more will come."""
    return index.is_green(run) or run.state is RunState.SKIPPED or index.is_excused(run)


def good_at(index: EstateIndex, edge: DependencyFacts, business_date: date, at: datetime) -> datetime | None:
    """Since when the run to read, or the latest ended one, meets the condition; None if neither does."""
    if edge.wants.condition is UpstreamCondition.READY:
        result = readiness(index.estate, edge.wants.check, business_date, index.now)
        return result.at if result.passes else None
    if edge.upstream_id not in index.estate.jobs:
        return None
    run = _read(index, edge, business_date, at)
    return _since(index, run, edge.wants.condition) if run is not None else None


def all_good_at(
    index: EstateIndex, edges: Iterable[DependencyFacts], business_date: date, at: datetime
) -> datetime | None:
    """Since when all gates of these edges are open; None while one is not."""
    opened: list[datetime] = []
    for gate in edges_by_gate(edges):
        goods = sorted(since for member in gate if (since := good_at(index, member, business_date, at)) is not None)
        need = min(gate[0].wants.need or 1, len(gate))
        if len(goods) < need:
            return None
        opened.append(goods[need - 1])
    return max(opened, default=None)


def all_gates_open(index: EstateIndex, edges: Iterable[DependencyFacts], business_date: date, at: datetime) -> bool:
    """True if every gate is open by a run that is read."""
    edges = list(edges)
    return not edges or all_good_at(index, edges, business_date, at) is not None


def live_edges(index: EstateIndex, policy: HoldPolicy) -> list[DependencyFacts]:
    """The edges of the policy for which Headway may act now."""
    jobs = index.estate.jobs

    def is_live(edge: DependencyFacts) -> bool:
        downstream = jobs[edge.downstream_id]
        return index.estate.modes.dependency_is_live(jobs[edge.upstream_id].name, downstream.name, downstream.system)

    return [edge for edge in policy.edges if edge.upstream_id in jobs and is_live(edge)]
