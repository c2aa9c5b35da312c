"""Why a service is late: its critical path tonight compared with the past, and waits for slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.pools import slot_text
from console.domain.history import NO_HISTORY, EstimateKind, timed_runs_text
from console.domain.probability import format_percent
from console.domain.settings import JobPool
from console.domain.text import At, Text, joined
from console.forecast.night_graph import NightPoint, instant_of
from console.forecast.simulation.critical_path import ServiceSlack
from console.forecast.simulation.simulator import SimulationRun
from console.forecast.simulation.sweep import CHUNK
from console.forecast.simulation.values import AT_ONCE, Floats, JobPhase, NightHistory, RerunRule
from console.forecast.usual import level_shift, shift_text, usual_values
from console.timing.durations import format_duration

MIN_SECONDS = 60.0
"""Delay from which on a reason is reported."""
CostedReason = tuple[Text, float]
"""A delay, and the seconds that it costs."""


def slot_waits(
    index: EstateIndex, sim: SimulationRun, points: Sequence[NightPoint], weights: Floats, job: int
) -> Iterator[CostedReason]:
    """The job's wait for a slot, if it waits for one. `points`: by job of the simulation."""
    point = points[job]
    if point.pool is None:
        return
    pool = point.pool if point.slots is None else JobPool(point.pool.name, point.slots)
    name, row = index.name(point.job_id), np.flatnonzero(sim.queued.places == sim.night.plan.place[job])
    wait = float(weights @ sim.queued.waits[row[0]]) if len(row) else 0.0
    since = _missing_slot_since(sim, job)
    if since is not None:
        holders = index.slot_holders(point.pool)
        if len(holders) >= pool.slots and sim.now - since + wait >= MIN_SECONDS:
            text = f"{name} has waited {format_duration(sim.now - since)} for {slot_text(pool, holders)}"
            yield (text,), sim.now - since + wait
            return
    if wait >= MIN_SECONDS:
        jobs = _slot_holders(sim, points, weights, job, int(row[0]), pool.slots)
        holders = [index.name(job_id) for job_id in jobs]
        yield (f"{name} will wait {format_duration(wait)} for {slot_text(pool, holders)}",), wait


def _missing_slot_since(sim: SimulationRun, job: int) -> float | None:
    """Since when only a slot is missing; None for a job that has begun, or waits for something else."""
    tonight, upstreams = sim.tonight, list(sim.night.graph.upstreams[job])
    if tonight.phase[job] == JobPhase.READY:
        return float(tonight.ready[job])
    since = max([float(sim.night.graph.earliest[job]), *tonight.end[upstreams].tolist()])
    is_ready = tonight.phase[job] == JobPhase.WAITS and bool((tonight.phase[upstreams] == JobPhase.DONE).all())
    return since if is_ready and since <= sim.now else None


def _slot_holders(
    sim: SimulationRun, points: Sequence[NightPoint], weights: Floats, job: int, row: int, slots: int
) -> list[int]:
    """Ids of the jobs that most likely hold the slots when this job is ready and has to wait. `row`: of the job, in
    `sim.queued`."""
    place = sim.night.plan.place
    pool = (peer for peer, point in enumerate(points) if point.pool == points[job].pool and peer != job)
    peers = np.array([peer for peer in pool if place[peer] < sim.night.plan.size])
    places = place[np.append(peers, job)]
    jobs = sim.night.plan.order[places]
    takes = np.tile(sim.draws.takes(places), (1, CHUNK // sim.draws.columns))
    runs = (sim.tonight.phase[jobs] == JobPhase.RUNS)[:, None]
    begun = np.where(runs, sim.tonight.start[jobs][:, None], sim.finish[0, places] - takes)
    ready = begun[-1] - sim.queued.waits[row]
    holds = (begun[:-1] <= ready) & (sim.finish[0, place[peers]] > ready)
    share = holds @ (weights * (sim.queued.freed_by[row] >= 0))
    most = np.argsort(-share, kind="stable")[:slots]
    return [points[peer].job_id for peer in peers[most[share[most] > 0]].tolist()]


MOST = 2
"""Maximum number of reasons, largest delay first."""
OWN_NIGHTS = 5
"""Number of nights of tonight's kind from which on only these are compared with."""
DECIDES = 0.5
"""Probability of deciding the finish from which on a job's level shift is reported for a service that is not at
risk."""
OFTEN = 0.2
"""Share of the samples from which on a rerun is reported."""


class NightDelays(NamedTuple):
    """The delays that cost the night most, as one text; empty if nothing does."""

    text: Text = ()
    job_id: int | None = None
    """The job of the first delay."""


@dataclass(frozen=True, slots=True)
class _Night:
    """The simulated night and its past."""

    index: EstateIndex
    sim: SimulationRun
    points: Sequence[NightPoint]
    past: NightHistory
    kind: str
    weights: Floats


def explain_lateness(
    index: EstateIndex,
    sim: SimulationRun,
    points: Sequence[NightPoint],
    past: NightHistory,
    kind: str,
    slack: ServiceSlack,
) -> NightDelays:
    """The reasons that cost most. `points`: by job of the simulation; `kind`: of tonight, for example "Thursday"."""
    night = _Night(index, sim, points, past, kind, slack.weights)
    costs: dict[Text, float] = {}
    job_of: dict[Text, int] = {}
    for critical in sorted(slack.jobs[slack.critical[slack.jobs] > 0].tolist()):
        probability = float(slack.critical[critical])
        for job in (critical, *_finished_predecessors(points, sim, critical)):
            for text, seconds in _reasons(night, job):
                costs[text] = max(costs.get(text, 0.0), probability * seconds)
                job_of[text] = points[job].job_id
    worst = _worst(costs)
    return NightDelays(joined(worst, " and "), job_of[worst[0]] if worst else None)


def explain_slowdown(index: EstateIndex, points: Sequence[NightPoint], past: NightHistory, slack: ServiceSlack) -> Text:
    """Level shifts of the deciding jobs of a service that is not at risk."""
    costs: dict[Text, float] = {}
    for job in slack.jobs[slack.critical[slack.jobs] >= DECIDES].tolist():
        name = index.name(points[job].job_id)
        if points[job].phase != JobPhase.DONE and points[job].takes:
            costs |= dict(_level_shift(index, points[job], name, past.takes[:, job]))
    return joined(_worst(costs), " and ")


def _worst(costs: Mapping[Text, float]) -> list[Text]:
    return sorted(costs, key=lambda text: (-costs[text], repr(text)))[:MOST]


def _finished_predecessors(points: Sequence[NightPoint], sim: SimulationRun, job: int) -> Iterator[int]:
    """Finished jobs that a started job waited for tonight, back to the first: they are no longer critical, but their
    delay remains."""
    tonight = sim.tonight
    while np.isfinite(tonight.start[job]):
        done = [upstream for upstream in points[job].upstreams if tonight.phase[upstream] == JobPhase.DONE]
        last = max(done, key=lambda upstream: float(tonight.end[upstream]), default=None)
        if last is None or not tonight.ready[job] - AT_ONCE <= tonight.end[last] <= tonight.start[job] + AT_ONCE:
            return
        yield last
        job = last


def _reasons(night: _Night, job: int) -> Iterator[CostedReason]:
    index, point = night.index, night.points[job]
    name = index.name(point.job_id)
    slots = list(slot_waits(index, night.sim, night.points, night.weights, job))
    yield from slots
    if not (slots and night.sim.tonight.phase[job] == JobPhase.READY):
        yield from _delay_tonight(night, name, job)
    if night.sim.tonight.phase[job] in (JobPhase.WAITS, JobPhase.READY, JobPhase.RUNS) and not point.failed:
        yield from _frequent_failures(night.sim, name, night.past, job)
    yield from _wide_spread_of_peers(index, point, name)
    yield from _level_shift(index, point, name, night.past.takes[:, job])
    yield from _start_before_upstreams(night, name, job)


def _delay_tonight(night: _Night, name: str, job: int) -> Iterator[CostedReason]:
    """A duration or a wait of tonight that is longer than usual, or the repair of a failed run."""
    sim, tonight = night.sim, night.sim.tonight
    match tonight.phase[job]:
        case JobPhase.RUNS:
            yield from _long_duration(night, f"{name} has run", sim.now - tonight.start[job], job)
        case JobPhase.DONE if night.points[job].says and np.isfinite(tonight.start[job]):
            yield from _long_duration(night, f"{name} took", tonight.end[job] - tonight.start[job], job)
        case JobPhase.READY:
            waits = night.past.waits[:, job]
            yield from _longer_than_usual(night, f"{name} has waited", sim.now - tonight.ready[job], waits)
        case JobPhase.FAILED:
            repair = float(np.median(sim.finish[0, sim.night.plan.place[job]])) - sim.now
            text = f"{name} failed (if repaired as usual it succeeds in {format_duration(repair)})"
            yield (text,), max(repair, MIN_SECONDS)


def _long_duration(night: _Night, what: str, took: float, job: int) -> Iterator[CostedReason]:
    """A duration above the declared one, or above those of past nights. `what`: "dwh/mart took"."""
    times = night.past.takes[:, job]
    if night.index.estimate(night.points[job].job_id).source is not EstimateKind.DECLARED:
        yield from _longer_than_usual(night, what, took, times)
    elif (excess := took - float(times[-1])) >= MIN_SECONDS:
        yield (f"{what} {format_duration(took)}, {format_duration(excess)} over the declared duration",), excess


def _longer_than_usual(night: _Night, what: str, took: float, times: Floats) -> Iterator[CostedReason]:
    """A duration or a wait above those of past nights (`times`)."""
    past, kind, ran = night.past, night.kind, np.isfinite(times)
    same = past.similarity == 1.0 if past.similarity is not None else np.ones(len(times), bool)
    kinds = [kind if is_same else "" for is_same in same[ran]]
    usual = usual_values(times[ran].tolist(), kinds, kind, OWN_NIGHTS)
    if usual is None:
        return
    median, p90, of = usual.most(0.5), usual.most(0.9), "" if usual.what == "runs" else f"{kind} "
    excess, than = (took - p90, f"over its {of}p90") if took > p90 else (took - median, "more than usual")
    if excess >= MIN_SECONDS:
        runs = f"({len(usual.values)} runs)"
        yield (f"{what} {format_duration(took)}, {format_duration(excess)} {than} {runs}",), took - median


def _wide_spread_of_peers(index: EstateIndex, point: NightPoint, name: str) -> Iterator[CostedReason]:
    """The uncertainty of a job that is estimated from its peers."""
    known = index.estimate(point.job_id)
    if known.source is not EstimateKind.PEERS or known.takes is None:
        return
    if point.phase is not JobPhase.DONE and point.takes:
        cost = (known.takes.p95 - known.takes.p50).total_seconds() + MIN_SECONDS
        peers = f"its {known.peers} peer jobs take {format_duration(known.takes.p50)}"
        yield (f"{name} has {timed_runs_text(known.runs)}; {peers}",), cost


def _start_before_upstreams(night: _Night, name: str, job: int) -> Iterator[CostedReason]:
    """A start by schedule that often comes before the upstreams succeed, so that the job runs twice."""
    sim, point = night.sim, night.points[job]
    if not isinstance(point.rule, RerunRule):
        return
    place = sim.night.plan.place
    costs = sim.finish[0, place[job]] - sim.finish[0, place[point.rule.first]]
    share = float(night.weights @ (costs > 1.0))
    if share >= OFTEN:
        early = f"with {format_percent(share)} probability before its upstreams succeed"
        text = (f"{name} starts ", At(instant_of(point.due)), f" by its schedule, {early}")
        yield text, float(night.weights @ costs)


def _frequent_failures(sim: SimulationRun, name: str, past: NightHistory, job: int) -> Iterator[CostedReason]:
    """The average cost of its failures on past nights."""
    repairs = past.repairs[:, job]
    failed, nights = ~np.isnan(repairs), np.isfinite(past.takes[:, job]) | ~np.isnan(repairs)
    known = repairs[np.isfinite(repairs)]
    repair = float(np.median(known)) if len(known) else float(np.exp(sim.night.repair.center))
    costs = repair * failed.sum() / max(nights.sum(), 1)
    if costs >= MIN_SECONDS:
        after = f"restarted after {format_duration(repair)}" if len(known) else "not restarted that night"
        yield (f"{name} failed on {failed.sum()} of {nights.sum()} nights, and was {after}",), float(costs)


def _level_shift(index: EstateIndex, point: NightPoint, name: str, times: Floats) -> Iterator[CostedReason]:
    """The job's higher level since some night, which the forecast uses."""
    shift = level_shift(times.tolist())
    if shift is not None and shift.since - shift.before >= MIN_SECONDS:
        days = index.estate.history.get(point.job_id, NO_HISTORY).days
        yield (shift_text(name, shift, days, index.now.date()),), shift.since - shift.before
