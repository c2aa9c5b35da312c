"""One simulation run of a night: P(late) and finish times of every open service, from the same samples.

`SampleWeights` reweights the samples to a given P(late), so that quantiles, critical path and act-by follow it:
post-stratification (Holt & Smith 1979), two strata, late and in time, each keeping its own ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from console.forecast.simulation.layers import BLOCK, LayerPlan, plan_layers
from console.forecast.simulation.past_views import PastView, build_views, seconds, write_columns
from console.forecast.simulation.sweep import CHUNK, PoolQueue, Sweep
from console.forecast.simulation.values import (
    Booleans,
    Floats,
    Integers,
    NightHistory,
    ServicePromise,
    SimulationGraph,
    SlotPool,
    Tonight,
    clip_within,
    seeds,
)

DEADLINE_BLUR = 0.003
"""Share of the remaining time by which a finish near the deadline counts as partly late."""


@dataclass(frozen=True)
class ServiceOutcome:
    """Finish times and weights by sample; weights add up to 1."""

    finish: Floats
    weights: Floats

    def late(self, deadline: float, now: float) -> float:
        blur = max(DEADLINE_BLUR * (deadline - now), 1.0)
        return float(self.weights @ (1 / (1 + np.exp(-clip_within((self.finish - deadline) / blur, -30, 30)))))


def quantiles(finish: Floats, weights: Floats, shares: Floats) -> Floats:
    """Quantiles of weighted values, interpolated linearly."""
    order = finish.argsort(kind="stable")
    sorted_weights = weights[order]
    place = sorted_weights.cumsum() - sorted_weights / 2
    return np.interp(shares, place / weights.sum(), finish[order])


UNSEEN = 0.05
"""Highest P(late) without a late sample, so that it does not contradict the published quantiles."""


@dataclass(frozen=True, slots=True)
class SampleWeights:
    is_late: Booleans
    """Chunks x CHUNK."""
    late: float
    """Published P(late)."""

    def of(self, weights: Floats) -> Floats:
        """The weights of the first chunks, with the late samples reweighted to `late`; unchanged if none is late, or
        all are."""
        is_late = self.is_late[: len(weights)]
        own = float(weights[is_late].sum())
        if not 0.0 < own < 1.0 or is_late.all():
            return weights
        return np.asarray(weights * np.where(is_late, self.late / own, (1 - self.late) / (1 - own)))


def tilt_weights(is_late: Booleans, late: float) -> SampleWeights:
    """Weights as near to this P(late) as the samples allow."""
    if not is_late.any():
        return SampleWeights(is_late, min(late, UNSEEN))
    return SampleWeights(is_late, max(late, 1 - UNSEEN) if is_late.all() else late)


SAMPLES = 1024
"""Number of samples if jobs may fail tonight; otherwise one chunk contains all that can be drawn."""


@dataclass(frozen=True, slots=True)
class SimulatedNight:
    """The part of a simulation that does not change during the night."""

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
    """By place, s: twice the longest wait of the past, the longest that is drawn."""

    @property
    def chunks(self) -> int:
        return self.failures.samples // CHUNK


@dataclass(frozen=True, slots=True)
class SimulationRun:
    night: SimulatedNight
    tonight: Tonight
    now: float
    draws: Draws
    shift: Floats
    """Views x places: the correction of each job's duration by tonight's evidence, in spreads."""
    finish: Floats
    """Kept chunks x places x CHUNK, s."""
    ends: Floats
    """All chunks x `night.ends` x CHUNK, s."""
    queued: PoolQueue
    """Waits for slots in the first chunk."""
    tilt: SampleWeights | None = None
    """None: weights as drawn."""

    def delivered(self, promise: ServicePromise) -> Floats:
        """Finish of the service, chunks x CHUNK, s."""
        at = np.searchsorted(self.night.ends, self.night.plan.place[promise.ends])
        return np.asarray(self.ends[:, at].max(axis=1))

    def outcome(self, promise: ServicePromise) -> ServiceOutcome:
        """Finish of the service in all samples."""
        return ServiceOutcome(self.delivered(promise).ravel(), self.weights(len(self.ends)).ravel())

    def weights(self, chunks: int) -> Floats:
        """Weights of the samples of the first chunks (chunks x CHUNK); they add up to 1."""
        repeats = chunks * CHUNK // self.draws.columns
        drawn = np.tile(self.draws.weights / (self.draws.views * repeats), repeats).reshape(chunks, CHUNK)
        return drawn if self.tilt is None else self.tilt.of(drawn)

    def samples(self, job: int) -> ServiceOutcome:
        """Finish of a job in the kept samples."""
        done = self.finish[:, self.night.plan.place[job]]
        return ServiceOutcome(done.ravel(), self.weights(len(done)).ravel())


def prepare_night(
    past: NightHistory, graph: SimulationGraph, ends: Sequence[int], samples: int = SAMPLES
) -> SimulatedNight:
    """`ends`: the jobs that deliver the services; `samples`: a multiple of CHUNK. Raises ValueError without a night to
    learn from, and for a loop."""
    if not len(past.takes):
        raise ValueError(
            "no earlier night to learn from: forecast after the first one, or declare the durations of the jobs"
        )
    plan = plan_layers(graph.upstreams, ends, graph.rules)
    plan = replace(plan, pools=tuple((pool.slots, _queue_order(plan, pool, past)) for pool in graph.pools))
    seed = seeds(graph.names, len(graph.upstreams))[plan.order]
    unqueued, pooled = past, [job for pool in graph.pools for job in pool.jobs]
    if pooled:  # the sweep computes waits for slots
        waits = np.array(past.waits)
        waits[:, pooled] = np.where(np.isfinite(waits[:, pooled]), 0.0, np.nan)
        unqueued = replace(past, waits=waits)
    views = build_views(unqueued, plan.order, seed)
    usual = seconds(views[-1].takes.usual.level[: plan.size])
    ran = views[-1].takes.usual.runs[plan.place] if past.done is None else past.done
    shares = shares_failing(past.repairs, ran)[plan.jobs]
    repair = fit_repair_times(past.repairs)
    failures = draw_failures(shares, usual, repair, seed, samples if shares.any() else CHUNK)
    most_waits = (2 * np.fmax.reduce(past.waits, axis=0, initial=0.0)[plan.jobs]).astype(np.float32)
    delivers = np.unique(plan.place[np.asarray(ends, np.intp)])
    return SimulatedNight(graph, views, plan, repair, failures, graph.earliest[plan.order], delivers, most_waits)


def _queue_order(plan: LayerPlan, pool: SlotPool, past: NightHistory) -> Integers:
    """Places of the pool's jobs: among jobs that become ready together, the one that waited least in the past gets a
    slot first."""
    jobs = np.asarray(pool.jobs, np.intp)
    places = plan.place[jobs]
    waits = (values[np.isfinite(values)] for values in past.waits[:, jobs].T)
    medians = np.array([np.median(values) if len(values) else 0.0 for values in waits])
    ordered = places[np.lexsort((places, medians))]
    return np.asarray(ordered[ordered < plan.size])


def run_simulation(tonight: Tonight, now: float, night: SimulatedNight, chunks: int | None = None) -> SimulationRun:
    """`chunks`: number of chunks whose finishes are all kept, at least one; None: all."""
    return simulate(tonight, now, night, *draw_durations(tonight, now, night), chunks)


def simulate(
    tonight: Tonight, now: float, night: SimulatedNight, draws: Draws, shift: Floats, chunks: int | None = None
) -> SimulationRun:
    keep = night.chunks if chunks is None else max(1, min(chunks, night.chunks))
    finish = unwritten(keep, night.plan.size, CHUNK)
    ends = unwritten(night.chunks, len(night.ends), CHUNK)
    sweep, scratch = _sweep(tonight, now, night, draws), unwritten(BLOCK, CHUNK)
    for chunk in reversed(range(night.chunks)):
        chunk_finish = finish[chunk if chunk < keep else 0]
        sweep.run(chunk, chunk_finish, scratch)
        ends[chunk] = chunk_finish[night.ends]
    return SimulationRun(night, tonight, now, draws, shift, finish, ends, sweep.queued(finish[0]))


def unwritten(*shape: int) -> Floats:
    return np.empty(shape, np.float32)


def recompute_finishes(sim: SimulationRun, tonight: Tonight, jobs: Sequence[int], finish: Floats) -> None:
    """Recomputes these jobs and their downstreams for `tonight`, in place in `finish` (the first chunks of the run);
    all jobs if there are pools, as slots connect independent chains."""
    place = sim.night.plan.place[np.asarray(jobs, np.intp)]
    sweep = _sweep(tonight, sim.now, sim.night, sim.draws)
    if sim.night.plan.pools:
        for chunk, chunk_finish in reversed(list(enumerate(finish))):
            sweep.run(chunk, chunk_finish, unwritten(BLOCK, CHUNK))
    else:
        sweep.below(np.unique(place[place < sim.night.plan.size]), finish)


def _sweep(tonight: Tonight, now: float, night: SimulatedNight, draws: Draws) -> Sweep:
    order = night.plan.jobs
    return Sweep(night.plan, NightState(order, tonight, tonight.phase[order], night.earliest[: len(order)], now), draws)


def draw_durations(tonight: Tonight, now: float, night: SimulatedNight) -> tuple[Draws, Floats]:
    """Durations and waits by place and column, and `SimulationRun.shift`."""
    order, size = night.plan.order, night.plan.size
    placed = Tonight(tonight.phase[order], tonight.ready[order], tonight.start[order], tonight.end[order])
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
    failures = night.failures
    if tonight.failed is not None and tonight.failed.any():
        failures = failures.without(tonight.failed[night.plan.jobs])
    draws = Draws(lasts, waits, weights, len(night.views), spreads, waits_spreads, usual, night.repair, failures)
    return draws, np.stack(shifts)


def reweight(sim: SimulationRun, promise: ServicePromise, late: float) -> SimulationRun:
    """The same samples, weighted so that the service's P(late) is `late`."""
    return replace(sim, tilt=tilt_weights(sim.delivered(promise) > promise.deadline, late))


def p_late(sim: SimulationRun, promise: ServicePromise) -> float:
    late = sim.tilt.late if sim.tilt is not None else sim.outcome(promise).late(promise.deadline, sim.now)
    return min(max(float(late), 0.0), 1.0)
