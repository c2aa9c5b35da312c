"""One look at a night: what is known by now goes in, and every open service's outcome comes out, all of them from the
same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from console.control.forecast.simulation.common_random import seeds
from console.control.forecast.simulation.draws import Draws, Standing
from console.control.forecast.simulation.failures import Failures, failures, shares_failing
from console.control.forecast.simulation.layers import BLOCK, Plan, ancestors, plan
from console.control.forecast.simulation.outcome import Outcome, quantiles
from console.control.forecast.simulation.prior import Source
from console.control.forecast.simulation.recency import seconds
from console.control.forecast.simulation.repair import Repair, repair
from console.control.forecast.simulation.slots import Queued
from console.control.forecast.simulation.sweep import CHUNK, Sweep
from console.control.forecast.simulation.tilt import Tilt, fixing, tilt
from console.control.forecast.simulation.values import (
    LEVELS,
    Answer,
    Floats,
    Graph,
    Past,
    Pool,
    Promise,
    Tonight,
    Truths,
    Whole,
)
from console.control.forecast.simulation.views import View, views, write_columns

SAMPLES = 1024
"""Where something may fail tonight; else one chunk holds all there is to draw."""


@dataclass(frozen=True, slots=True)
class Night:
    """What stays the same all night."""

    graph: Graph
    views: tuple[View, ...]
    plan: Plan
    repair: Repair
    failures: Failures
    earliest: Floats
    """By place."""
    ends: Whole
    """Places of the jobs that deliver the services, in order."""
    most_waits: Floats
    """By place, s: no job is drawn to wait longer than twice its longest wait."""
    _awaited: dict[bytes, Whole] = field(default_factory=dict, compare=False)
    """By the jobs that deliver a service."""

    def source(self, job: int) -> Source:
        """Whose word the job's usual time is."""
        return Source(int(self.views[-1].takes.source[self.plan.place[job]]))

    def awaited(self, promise: Promise) -> Whole:
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
class Look:
    night: Night
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
    queued: Queued
    """Of the first chunk: who waits for a slot."""
    tilt: Tilt | None = None
    """None: the samples weigh as they were drawn."""
    _delivered: dict[bytes, Floats] = field(default_factory=dict, compare=False)
    """By the jobs that deliver a service."""
    _drawn: dict[int, Floats] = field(default_factory=dict, compare=False)
    """Weights as they were drawn, by how many chunks."""
    _drawn_of: list[Floats] = field(default_factory=list, compare=False)
    """The same of all chunks, view by view."""

    def delivered(self, promise: Promise) -> Floats:
        """When the service is, chunks x CHUNK, s."""
        key = promise.ends.tobytes()
        if key not in self._delivered:
            at = np.searchsorted(self.night.ends, self.night.plan.place[promise.ends])
            self._delivered[key] = self.ends[:, at].max(axis=1)
        return self._delivered[key]

    def outcome(self, promise: Promise) -> Outcome:
        """The service's own, all views together."""
        return Outcome(self.delivered(promise).ravel(), self.weights(len(self.ends)).ravel())

    def outcomes(self, promise: Promise) -> tuple[Outcome, ...]:
        """The service's own, by view."""
        done = self.by_view(self.delivered(promise))
        return tuple(Outcome(each, its) for each, its in zip(done, self.weights_of_views(), strict=True))

    def weights_of_views(self) -> Sequence[Floats]:
        """View by view, of all chunks; those of a view add up to 1."""
        if self.tilt is None and self._drawn_of:
            return self._drawn_of
        found = [each / each.sum() for each in self.by_view(self.weights(len(self.ends)))]
        if self.tilt is None:
            self._drawn_of.extend(found)
        return found

    def by_view(self, samples: Floats) -> tuple[Floats, ...]:
        """What stands chunk by chunk (chunks x CHUNK), view by view."""
        turned = samples.reshape(-1, self.draws.views, self.draws.columns // self.draws.views)
        return tuple(turned[:, view].ravel() for view in range(self.draws.views))

    def weights(self, chunks: int) -> Floats:
        """By sample of so many chunks (chunks x CHUNK); they add up to 1."""
        if chunks not in self._drawn:
            repeats = chunks * CHUNK // self.draws.columns
            each = self.draws.weights / (self.draws.views * repeats)
            self._drawn[chunks] = np.tile(each, repeats).reshape(chunks, CHUNK)
        drawn = self._drawn[chunks]
        return drawn if self.tilt is None else self.tilt.of(drawn)

    def samples(self, job: int) -> Outcome:
        """When one of the jobs that services wait for is done, by sample that was kept."""
        done = self.finish[:, self.night.plan.place[job]]
        return Outcome(done.ravel(), self.weights(len(done)).ravel())


def night(past: Past, graph: Graph, ends: Sequence[int], samples: int = SAMPLES) -> Night:
    """`ends`: the jobs that deliver the services; `samples`: a multiple of CHUNK. Raises ValueError without a night to
    learn from, and for a loop."""
    if not len(past.takes):
        raise ValueError("no earlier night to learn from: forecast once one is over, or declare what the jobs take")
    way = plan(graph.upstreams, ends, graph.rules)
    way = replace(way, pools=tuple((pool.slots, _of_pool(way, pool, past)) for pool in graph.pools))
    seed = seeds(graph.names, len(graph.upstreams))[way.order]
    both = views(_without_queues(past, graph), way.order, seed)
    usual = seconds(both[-1].takes.usual.level[: way.size])
    ran = both[-1].takes.usual.runs[way.place] if past.done is None else past.done
    shares = shares_failing(past.repairs, ran)[way.order[: way.size]]
    mended = repair(past.repairs)
    coming = failures(shares, usual, mended, seed, samples if shares.any() else CHUNK)
    most_waits = 2 * np.fmax.reduce(past.waits, axis=0, initial=0.0)[way.jobs]
    delivers = np.unique(way.place[np.asarray(ends, np.intp)])
    return Night(graph, both, way, mended, coming, graph.earliest[way.order], delivers, most_waits.astype(np.float32))


def _of_pool(way: Plan, pool: Pool, past: Past) -> Whole:
    """Places: of those that come at one moment, who waited least on earlier nights is served first."""
    jobs = np.asarray(pool.jobs, np.intp)
    places = way.place[jobs]
    waited = np.array([np.median(known) if len(known) else 0.0 for known in map(_known, past.waits[:, jobs].T)])
    served = places[np.lexsort((places, waited))]
    return np.asarray(served[served < way.size])


def _known(values: Floats) -> Floats:
    return np.asarray(values[np.isfinite(values)])


def _without_queues(past: Past, graph: Graph) -> Past:
    """What waited for a slot is drawn by the slots."""
    pooled = [job for pool in graph.pools for job in pool.jobs]
    if not pooled:
        return past
    waits = np.array(past.waits)
    waits[:, pooled] = np.where(np.isfinite(waits[:, pooled]), 0.0, np.nan)
    return replace(past, waits=waits)


def look(
    tonight: Tonight,
    now: float,
    night: Night,
    kept: int | None = None,
    held: Look | None = None,
    over: Look | None = None,
) -> Look:
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
    return Look(night, tonight, now, draws, shift, finish, ends, sweep.queued(finish[0]))


def unwritten(*shape: int) -> Floats:
    return np.empty(shape, np.float32)


def changed(seen: Look, tonight: Tonight, jobs: Sequence[int]) -> Look:
    """The look as it is once these jobs stand otherwise, at the same moment and with the run factor as it was said:
    only they and what lies below are computed anew, in place: the earlier look is used up. Raises ValueError for a look
    that did not keep all chunks."""
    if len(seen.finish) < seen.night.chunks:
        raise ValueError("this look kept some chunks only: look again with all of them before you change it")
    moved, queued = anew(seen, tonight, jobs, seen.finish)
    ends = np.flatnonzero(np.isin(seen.night.ends, moved))
    seen.ends[:, ends] = seen.finish[:, seen.night.ends[ends]]
    return replace(seen, tonight=tonight, queued=queued, _delivered={})


def anew(seen: Look, tonight: Tonight, jobs: Sequence[int], finish: Floats) -> tuple[Whole, Queued]:
    """Computes these jobs and what lies below as they stand in `tonight`, in place in `finish` (some of the look's
    chunks, from the first on); all jobs where slots join chains that lie apart. The places that may have moved, and
    who waits for a slot."""
    place = seen.night.plan.place[np.asarray(jobs, np.intp)]
    sweep = _sweep(tonight, seen.now, seen.night, seen.draws)
    if seen.night.plan.pools:
        for chunk, each in reversed(list(enumerate(finish))):
            sweep.run(chunk, each, unwritten(BLOCK, CHUNK))
        return np.arange(seen.night.plan.size), sweep.queued(finish[0])
    return sweep.below(np.unique(place[place < seen.night.plan.size]), finish), seen.queued


def _sweep(tonight: Tonight, now: float, night: Night, draws: Draws) -> Sweep:
    order = night.plan.jobs
    return Sweep(night.plan, Standing(order, tonight, tonight.stand[order], night.earliest[: len(order)], now), draws)


def _placed(tonight: Tonight, night: Night) -> Tonight:
    order = night.plan.order
    return Tonight(tonight.stand[order], tonight.ready[order], tonight.start[order], tonight.end[order])


def _draws(tonight: Tonight, now: float, night: Night) -> tuple[Draws, Floats]:
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


def told_as(seen: Look, promise: Promise, late: float, fixed: Truths | None = None) -> Look:
    """The same samples, weighted so that the service's P(late) is what is told; as `tilt` of the look says it. `fixed`:
    samples, chunks x CHUNK, that keep their weights."""
    is_late = seen.delivered(promise) > promise.deadline
    if fixed is None:
        return replace(seen, tilt=tilt(is_late, late))
    return replace(seen, tilt=fixing(is_late, late, fixed, seen.weights(len(is_late))))


def answer(seen: Look, promise: Promise) -> Answer:
    """The views together."""
    both = seen.outcome(promise)
    late = seen.tilt.late if seen.tilt is not None else both.late(promise.deadline, seen.now)
    return Answer(min(max(float(late), 0.0), 1.0), quantiles(both.finish, both.weights, LEVELS))
