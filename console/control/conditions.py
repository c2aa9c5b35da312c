"""When an upstream is good enough for a downstream to start: what holds and triggers wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from connectors.contract import State
from console.control.expected import expects_nothing
from console.control.gate import Standing, without_run
from console.control.mapping import Look, meant
from console.control.moments import completed_at, red_since
from console.control.picture import Picture
from console.control.readiness import readiness
from console.control.waits import by_gate, met, unmet
from console.model.values import DependencyFacts, JobFacts, RunFacts
from console.model.views import ClockView
from console.model.wants import Condition, Period
from console.model.words import EngineDown, Mode


@dataclass(frozen=True, slots=True)
class Policy:
    """What the dependencies in mode hold or trigger want of one downstream: one hold, however many upstreams."""

    job_id: int
    edges: tuple[DependencyFacts, ...]

    @property
    def mode(self) -> Mode:
        return Mode.TRIGGER if any(each.mode is Mode.TRIGGER for each in self.edges) else Mode.HOLD

    @property
    def stands(self) -> bool:
        """True where one of them wants it held while no engine works: it is held always, but for what may start."""
        return any(each.engine_down is EngineDown.CLOSED for each in self.edges)

    @property
    def lead(self) -> timedelta:
        return max(each.lead for each in self.edges)

    @property
    def hold_for(self) -> timedelta:
        return max(each.hold_for for each in self.edges)


def policies(picture: Picture) -> dict[int, Policy]:
    """By the job that its scheduler starts (the DAG of a task), in the order of the jobs."""
    found: dict[int, list[DependencyFacts]] = {}
    for edge in picture.estate.dependencies:
        if edge.mode is not Mode.OBSERVE and edge.downstream_id in picture.estate.jobs:
            found.setdefault(picture.graph.unit(edge.downstream_id), []).append(edge)
    return {job_id: Policy(job_id, tuple(found[job_id])) for job_id in sorted(found)}


def awaited(picture: Picture, edges: Iterable[DependencyFacts], bd: date, at: datetime) -> list[DependencyFacts]:
    """The edges that keep back a run of that date which looks back from `at`: those that are not met, of gates that are
    not. What is left of a gate needs so many fewer as are met."""
    left: list[DependencyFacts] = []
    for gate in by_gate(edges):
        unmet = [each for each in gate if not is_met(picture, each, bd, at)]
        need = min(gate[0].wants.need or 1, len(gate)) - (len(gate) - len(unmet))
        if need > 0:
            alone = not gate[0].wants.gate
            left += unmet if alone else [replace(each, wants=replace(each.wants, need=need)) for each in unmet]
    return left


def spared(picture: Picture, edges: Iterable[DependencyFacts], bd: date, at: datetime) -> list[DependencyFacts]:
    """The edges of gates that will not open: they wait to see failed what is good by now. It may still fail when it is
    run again; nobody waits for that."""
    found: list[DependencyFacts] = []
    for gate in by_gate(edges):
        good = [each for each in gate if _is_spared(picture, each, bd, at)]
        if len(gate) - len(good) < min(gate[0].wants.need or 1, len(gate)):
            found += good
    return found


def _is_spared(picture: Picture, edge: DependencyFacts, bd: date, at: datetime) -> bool:
    if edge.wants.condition is not Condition.FAILURE or edge.upstream_id not in picture.estate.jobs:
        return False
    run = _read(picture, edge, bd, at)
    return run is not None and is_good(picture, run)


def is_met(picture: Picture, edge: DependencyFacts, bd: date, at: datetime) -> bool:
    """True when it keeps no run of that date back which looks back from `at`. What nobody can tell is not met."""
    wants = edge.wants
    if edge.upstream_id not in picture.estate.jobs or wants.is_simple:
        return is_satisfied(picture, edge.upstream_id, bd, at)
    if wants.condition is Condition.READY:
        return readiness(picture.estate, wants.check, bd, picture.now).passes
    run = _read(picture, edge, bd, at)
    if run is None:
        if wants.period is Period.SAME and wants.condition is Condition.COMPLETION:
            return is_satisfied(picture, edge.upstream_id, bd, at)
        return wants.period is Period.PREVIOUS and wants.condition is not Condition.FAILURE
    if wants.condition is Condition.SUCCESS:
        return is_good(picture, run) or picture.good_by(run, picture.now) is not None
    return _since(picture, run, wants.condition) is not None or (
        wants.condition is Condition.COMPLETION and is_good(picture, run)
    )


def _read(picture: Picture, edge: DependencyFacts, bd: date, at: datetime) -> RunFacts | None:
    loops = picture.graph.is_loop(edge.upstream_id, edge.downstream_id)
    return meant(picture, edge.upstream_id, edge.wants, Look(bd, at, at, picture.now), loops)


def _since(picture: Picture, run: RunFacts, condition: Condition) -> datetime | None:
    """Since when the run that is read is as wanted; None while it is not."""
    if condition is Condition.COMPLETION:
        return completed_at(run)
    if condition is Condition.FAILURE:
        return red_since(run) if run.state.is_red and not picture.is_excused(run) else None
    return picture.good_by(run, picture.now)


def is_satisfied(picture: Picture, upstream_id: int, bd: date, at: datetime) -> bool:
    """Good, or nothing to wait for: the run that is read from `at`, or the latest of that date that is over by now.
    UNKNOWN, PARTIAL and out of sight are not good. Without a run on that date a job is not waited for only where its
    schedule is known to want none, as at the gate; one that is started by events is."""
    if upstream_id not in picture.estate.jobs:
        return True  # gone from the estate: config names it in vain, and says so
    run = picture.read_by(upstream_id, bd, at)
    if run is not None:
        return is_good(picture, run) or picture.good_by(run, picture.now) is not None
    unit = picture.graph.unit(upstream_id)
    if unit != upstream_id and picture.of_day(unit, bd):
        return False
    clock = _clock(picture.job(unit))
    return clock is not None and without_run(clock, bd, picture.now)[0] is Standing.SATISFIED


def _clock(job: JobFacts) -> ClockView | None:
    """None where nothing runs by the clock."""
    if expects_nothing(job) or job.accepted_at is None:
        return None
    told = job.schedule
    return ClockView(
        told.dialect, told.expression, told.zone, told.next_at, job.accepted_at, job.zone, job.cutoff.isoformat()
    )


def is_good(picture: Picture, run: RunFacts) -> bool:
    """Green; or skipped, or missed and excused: then nothing more will come."""
    return picture.is_green(run) or run.state is State.SKIPPED or picture.is_excused(run)


def good_at(picture: Picture, edge: DependencyFacts, bd: date, at: datetime) -> datetime | None:
    """Since when the run that is read is as wanted, or the latest that is over by now; None while neither is."""
    if edge.wants.condition is Condition.READY:
        found = readiness(picture.estate, edge.wants.check, bd, picture.now)
        return found.at if found.passes else None
    if edge.upstream_id not in picture.estate.jobs:
        return None
    run = _read(picture, edge, bd, at)
    return _since(picture, run, edge.wants.condition) if run is not None else None


def all_good_at(picture: Picture, edges: Iterable[DependencyFacts], bd: date, at: datetime) -> datetime | None:
    """Since when all gates of these edges are open; None while one is not: nothing is taken for granted."""
    found: list[datetime] = []
    for gate in by_gate(edges):
        goods = sorted(since for each in gate if (since := good_at(picture, each, bd, at)) is not None)
        need = min(gate[0].wants.need or 1, len(gate))
        if len(goods) < need:
            return None
        found.append(goods[need - 1])
    return max(found, default=None)


def met_words(picture: Picture, edges: Iterable[DependencyFacts]) -> str:
    """ "extract_orders and load_stock is good": what is waited for."""
    return met(picture.estate.jobs, edges)


def unmet_words(picture: Picture, edges: Iterable[DependencyFacts]) -> str:
    """ "extract_orders is not good"."""
    return unmet(picture.estate.jobs, edges)


def are_green(picture: Picture, edges: Iterable[DependencyFacts], bd: date, at: datetime) -> bool:
    """True when every gate is open by a run that is read: nothing is taken for granted."""
    edges = list(edges)
    return not edges or all_good_at(picture, edges, bd, at) is not None


def live_edges(picture: Picture, policy: Policy) -> list[DependencyFacts]:
    """The edges of the policy for which Headway may act now."""
    modes, jobs = picture.estate.modes, picture.estate.jobs
    return [
        each
        for each in policy.edges
        if each.upstream_id in jobs
        and modes.dependency_is_live(
            jobs[each.upstream_id].name, jobs[each.downstream_id].name, jobs[each.downstream_id].system
        )
    ]
