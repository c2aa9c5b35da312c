"""One simulation run of a night: what is known by now goes in, the outcome of every open service comes out.

All services are answered from the same samples: P(late), quantiles, mean and spread of each finish. `SampleWeights`
reweights the samples to a given P(late), so that quantiles, critical path and act-by follow it: post-stratification
(Holt & Smith 1979), two strata, late and in time, each keeping its own ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from console.forecast.simulation.draws import (
    Draws,
    FutureFailures,
    NightState,
    RepairTimes,
    draw_failures,
    fit_repair_times,
    shares_failing,
)
from console.forecast.simulation.layers import BLOCK, LayerPlan, ancestors, plan_layers
from console.forecast.simulation.past_views import PastView, build_views, seconds, write_columns
from console.forecast.simulation.sweep import CHUNK, PoolQueue, Sweep
from console.forecast.simulation.values import (
    LEVELS,
    Booleans,
    Floats,
    Integers,
    NightHistory,
    ServiceAnswer,
    ServicePromise,
    SimulationGraph,
    SlotPool,
    Tonight,
    clip_within,
    seeds,
)

HAIR = 0.003
"""Share of the time left by which a finish near the deadline counts as partly late. More would smear the deadline,
which lies amid the finishes."""


@dataclass(frozen=True)
class ServiceOutcome:
    finish: Floats
    """By column."""
    weights: Floats
    """By column; they add up to 1."""

    def late(self, deadline: float, now: float) -> float:
        hair = max(HAIR * (deadline - now), 1.0)
        return float(self.weights @ (1 / (1 + np.exp(-clip_within((self.finish - deadline) / hair, -30, 30)))))


def quantiles(finish: Floats, weights: Floats, shares: Floats) -> Floats:
    """Of weighted values, between neighbours by a straight line."""
    order = finish.argsort(kind="stable")
    its = weights[order]
    place = its.cumsum() - its / 2
    return np.interp(shares, place / weights.sum(), finish[order])


UNSEEN = 0.05
"""The most that is told of what no sample shows: the quantiles that are told would contradict more."""


@dataclass(frozen=True, slots=True)
class SampleWeights:
    is_late: Booleans
    """Chunks x CHUNK."""
    late: float
    """P(late), as it is told."""

    def of(self, weights: Floats) -> Floats:
        """These weights, of the first chunks, that add up to 1, with the late ones together as likely as is told; as
        they are where none is late, or all are."""
        is_late = self.is_late[: len(weights)]
        own = float(weights[is_late].sum())
        if not 0.0 < own < 1.0 or is_late.all():
            return weights
        return np.asarray(weights * np.where(is_late, self.late / own, (1 - self.late) / (1 - own)))


def tilt_weights(is_late: Booleans, late: float) -> SampleWeights:
    """As near to this P(late) as the samples can be."""
    if not is_late.any():
        return SampleWeights(is_late, min(late, UNSEEN))
    return SampleWeights(is_late, max(late, 1 - UNSEEN) if is_late.all() else late)


SAMPLES = 1024
"""Where something may fail tonight; else one chunk holds all there is to draw."""


@dataclass(frozen=True, slots=True)
class SimulatedNight:
    """What stays the same all night."""

    graph: SimulationGraph
    views: tuple[PastView, ...]
    plan: LayerPlan
    repair: RepairTimes
    failures: FutureFailures
    earliest: Floats
    """By place."""
    ends: Integers
    """Places of the jobs that deliver the services, in order."""
    most_waits: Floats
    """By place, s: no job is drawn to wait longer than twice its longest wait."""
    _awaited: dict[bytes, Integers] = field(default_factory=dict, compare=False)
    """By the jobs that deliver a service."""

    def awaited(self, promise: ServicePromise) -> Integers:
        """Places of the jobs that the service waits for, in order."""
        key = promise.ends.tobytes()
        if key not in self._awaited:
            found = ancestors(self.plan.upstreams, self.plan.place[promise.ends])
            self._awaited[key] = np.flatnonzero(found)
        return self._awaited[key]

    @property
    def chunks(self) -> int:
        return self.failures.samples // CHUNK


@dataclass(frozen=True, slots=True)
class SimulationRun:
    night: SimulatedNight
    tonight: Tonight
    """By job, as it was given."""
    now: float
    draws: Draws
    shift: Floats
    """Views x places: what tonight says about each job's time, in spreads."""
    finish: Floats
    """Chunks that were kept x places x CHUNK, s."""
    ends: Floats
    """All chunks x `night.ends` x CHUNK, s."""
    queued: PoolQueue
    """Of the first chunk: who waits for a slot."""
    tilt: SampleWeights | None = None
    """None: the samples weigh as they were drawn."""
    _delivered: dict[bytes, Floats] = field(default_factory=dict, compare=False)
    """By the jobs that deliver a service."""
    _drawn: dict[int, Floats] = field(default_factory=dict, compare=False)
    """Weights as they were drawn, by how many chunks."""

    def delivered(self, promise: ServicePromise) -> Floats:
        """When the service is, chunks x CHUNK, s."""
        key = promise.ends.tobytes()
        if key not in self._delivered:
            at = np.searchsorted(self.night.ends, self.night.plan.place[promise.ends])
            self._delivered[key] = self.ends[:, at].max(axis=1)
        return self._delivered[key]

    def outcome(self, promise: ServicePromise) -> ServiceOutcome:
        """The service's own, all views together."""
        return ServiceOutcome(self.delivered(promise).ravel(), self.weights(len(self.ends)).ravel())

    def weights(self, chunks: int) -> Floats:
        """By sample of so many chunks (chunks x CHUNK); they add up to 1."""
        if chunks not in self._drawn:
            repeats = chunks * CHUNK // self.draws.columns
            each = self.draws.weights / (self.draws.views * repeats)
            self._drawn[chunks] = np.tile(each, repeats).reshape(chunks, CHUNK)
        drawn = self._drawn[chunks]
        return drawn if self.tilt is None else self.tilt.of(drawn)

    def samples(self, job: int) -> ServiceOutcome:
        """When one of the jobs that services wait for is done, by sample that was kept."""
        done = self.finish[:, self.night.plan.place[job]]
        return ServiceOutcome(done.ravel(), self.weights(len(done)).ravel())


def prepare_night(
    past: NightHistory, graph: SimulationGraph, ends: Sequence[int], samples: int = SAMPLES
) -> SimulatedNight:
    """`ends`: the jobs that deliver the services; `samples`: a multiple of CHUNK. Raises ValueError without a night to
    learn from, and for a loop."""
    if not len(past.takes):
        raise ValueError("no earlier night to learn from: forecast once one is over, or declare what the jobs take")
    way = plan_layers(graph.upstreams, ends, graph.rules)
    way = replace(way, pools=tuple((pool.slots, _of_pool(way, pool, past)) for pool in graph.pools))
    seed = seeds(graph.names, len(graph.upstreams))[way.order]
    both = build_views(_without_queues(past, graph), way.order, seed)
    usual = seconds(both[-1].takes.usual.level[: way.size])
    ran = both[-1].takes.usual.runs[way.place] if past.done is None else past.done
    shares = shares_failing(past.repairs, ran)[way.order[: way.size]]
    mended = fit_repair_times(past.repairs)
    coming = draw_failures(shares, usual, mended, seed, samples if shares.any() else CHUNK)
    most_waits = 2 * np.fmax.reduce(past.waits, axis=0, initial=0.0)[way.jobs]
    delivers = np.unique(way.place[np.asarray(ends, np.intp)])
    return SimulatedNight(
        graph, both, way, mended, coming, graph.earliest[way.order], delivers, most_waits.astype(np.float32)
    )


def _of_pool(way: LayerPlan, pool: SlotPool, past: NightHistory) -> Integers:
    """Places: of those that come at one moment, who waited least on earlier nights is served first."""
    jobs = np.asarray(pool.jobs, np.intp)
    places = way.place[jobs]
    waited = np.array([np.median(known) if len(known) else 0.0 for known in map(_known, past.waits[:, jobs].T)])
    served = places[np.lexsort((places, waited))]
    return np.asarray(served[served < way.size])


def _known(values: Floats) -> Floats:
    return np.asarray(values[np.isfinite(values)])


def _without_queues(past: NightHistory, graph: SimulationGraph) -> NightHistory:
    """What waited for a slot is drawn by the slots."""
    pooled = [job for pool in graph.pools for job in pool.jobs]
    if not pooled:
        return past
    waits = np.array(past.waits)
    waits[:, pooled] = np.where(np.isfinite(waits[:, pooled]), 0.0, np.nan)
    return replace(past, waits=waits)


def run_simulation(
    tonight: Tonight,
    now: float,
    night: SimulatedNight,
    kept: int | None = None,
    held: SimulationRun | None = None,
    over: SimulationRun | None = None,
) -> SimulationRun:
    """`kept`: how many chunks of all finishes are kept, at least one; None: all, which `changed` needs. `held`: an
    earlier look of the night, to keep what its run factor said about every job. `over`: an earlier look
    that is used up: its memory is written over."""
    draws, shift = (held.draws, held.shift) if held else _draws(tonight, now, night)
    keep = len(over.finish) if over else night.chunks if kept is None else max(1, min(kept, night.chunks))
    finish = over.finish if over else unwritten(keep, night.plan.size, CHUNK)
    ends = unwritten(night.chunks, len(night.ends), CHUNK)
    sweep, scratch = _sweep(tonight, now, night, draws), unwritten(BLOCK, CHUNK)
    for chunk in reversed(range(night.chunks)):
        here = finish[chunk if chunk < keep else 0]
        sweep.run(chunk, here, scratch)
        ends[chunk] = here[night.ends]
    return SimulationRun(night, tonight, now, draws, shift, finish, ends, sweep.queued(finish[0]))


def unwritten(*shape: int) -> Floats:
    return np.empty(shape, np.float32)


def resimulate(sim: SimulationRun, tonight: Tonight, jobs: Sequence[int]) -> SimulationRun:
    """The look as it is once these jobs stand otherwise, at the same moment and with the run factor as it was said:
    only they and what lies below are computed anew, in place: the earlier look is used up. Raises ValueError for a look
    that did not keep all chunks."""
    if len(sim.finish) < sim.night.chunks:
        raise ValueError("this look kept some chunks only: look again with all of them before you change it")
    moved, queued = recompute_finishes(sim, tonight, jobs, sim.finish)
    ends = np.flatnonzero(np.isin(sim.night.ends, moved))
    sim.ends[:, ends] = sim.finish[:, sim.night.ends[ends]]
    return replace(sim, tonight=tonight, queued=queued, _delivered={})


def recompute_finishes(
    sim: SimulationRun, tonight: Tonight, jobs: Sequence[int], finish: Floats
) -> tuple[Integers, PoolQueue]:
    """Computes these jobs and what lies below as they stand in `tonight`, in place in `finish` (some of the look's
    chunks, from the first on); all jobs where slots join chains that lie apart. The places that may have moved, and
    who waits for a slot."""
    place = sim.night.plan.place[np.asarray(jobs, np.intp)]
    sweep = _sweep(tonight, sim.now, sim.night, sim.draws)
    if sim.night.plan.pools:
        for chunk, each in reversed(list(enumerate(finish))):
            sweep.run(chunk, each, unwritten(BLOCK, CHUNK))
        return np.arange(sim.night.plan.size), sweep.queued(finish[0])
    return sweep.below(np.unique(place[place < sim.night.plan.size]), finish), sim.queued


def _sweep(tonight: Tonight, now: float, night: SimulatedNight, draws: Draws) -> Sweep:
    order = night.plan.jobs
    return Sweep(night.plan, NightState(order, tonight, tonight.stand[order], night.earliest[: len(order)], now), draws)


def _placed(tonight: Tonight, night: SimulatedNight) -> Tonight:
    order = night.plan.order
    return Tonight(tonight.stand[order], tonight.ready[order], tonight.start[order], tonight.end[order])


def _draws(tonight: Tonight, now: float, night: SimulatedNight) -> tuple[Draws, Floats]:
    placed, size = _placed(tonight, night), night.plan.size
    columns = np.cumsum([0, *(len(view.columns.night) for view in night.views)])
    lasts = np.empty((size, columns[-1]), np.float32)
    queues = [view.waits.usual for view in night.views if view.waits is not None]
    waits = np.empty_like(lasts) if queues else None
    shifts = [
        write_columns(view, placed, now, lasts[:, start:stop], None if waits is None else waits[:, start:stop])
        for view, (start, stop) in zip(night.views, pairwise(columns.tolist()), strict=True)
    ]
    if waits is not None:
        np.minimum(waits, night.most_waits[:, None], out=waits)
        lasts += waits
    spreads = np.stack([view.takes.usual.spread_seconds[:size] for view in night.views])
    waits_spreads = np.stack([usual.spread_seconds[:size] for usual in queues]) if queues else np.zeros_like(spreads)
    usual = seconds(night.views[-1].takes.usual.level[:size])
    weights = np.concatenate([view.columns.weights for view in night.views])
    coming = night.failures
    if tonight.failed is not None and tonight.failed.any():
        coming = coming.without(tonight.failed[night.plan.jobs])
    draws = Draws(lasts, waits, weights, len(night.views), spreads, waits_spreads, usual, night.repair, coming)
    return draws, np.stack(shifts)


def reweight(sim: SimulationRun, promise: ServicePromise, late: float) -> SimulationRun:
    """The same samples, weighted so that the service's P(late) is what is told; as `tilt` of the look says it."""
    return replace(sim, tilt=tilt_weights(sim.delivered(promise) > promise.deadline, late))


def answer_for(sim: SimulationRun, promise: ServicePromise) -> ServiceAnswer:
    """The views together."""
    both = sim.outcome(promise)
    late = sim.tilt.late if sim.tilt is not None else both.late(promise.deadline, sim.now)
    return ServiceAnswer(min(max(float(late), 0.0), 1.0), quantiles(both.finish, both.weights, LEVELS))
