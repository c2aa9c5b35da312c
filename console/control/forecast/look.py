"""One look at a night: what is known by now goes in, and every open service's outcome comes out, all of them from the
same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from console.control.forecast import by_job
from console.control.forecast.chance import seeds
from console.control.forecast.fates import Fates, failing, fates
from console.control.forecast.levels import BLOCK, Plan, plan
from console.control.forecast.outcome import Outcome, mixed, quantiles
from console.control.forecast.prior import Source
from console.control.forecast.recency import seconds
from console.control.forecast.repair import Repair, repair
from console.control.forecast.simulate import Draws, Standing
from console.control.forecast.sweep import CHUNK, Sweep
from console.control.forecast.values import LEVELS, Answer, Floats, Graph, Past, Pool, Promise, Tonight, Whole
from console.control.forecast.views import View, drawn, spread_seconds, views

SAMPLES = 1024
"""Where something may fail tonight; else one chunk holds all there is to draw."""


@dataclass(frozen=True, slots=True)
class Night:
    """What stays the same all night."""

    graph: Graph
    views: tuple[View, ...]
    plan: Plan
    repair: Repair
    fates: Fates
    earliest: Floats
    """By place."""
    ends: Whole
    """Places of the jobs that deliver the services, in order."""
    most_waits: Floats
    """By place, s: no job is drawn to wait longer than twice its longest wait."""

    def source(self, job: int) -> Source:
        """Whose word the job's usual time is."""
        return Source(int(self.views[-1].takes.source[self.plan.place[job]]))

    @property
    def chunks(self) -> int:
        return self.fates.samples // CHUNK


@dataclass(frozen=True)
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

    def outcomes(self, promise: Promise) -> tuple[Outcome, ...]:
        """The service's own, by view."""
        at = np.searchsorted(self.night.ends, self.night.plan.place[promise.ends])
        done = self.ends[:, at].max(axis=1)
        weights = self.weights(len(self.ends))
        return tuple(
            Outcome(each, its / its.sum()) for each, its in zip(self.by_view(done), self.by_view(weights), strict=True)
        )

    def by_view(self, samples: Floats) -> tuple[Floats, ...]:
        """What stands chunk by chunk (chunks x CHUNK), view by view."""
        turned = samples.reshape(-1, self.draws.views, self.draws.columns // self.draws.views)
        return tuple(turned[:, view].ravel() for view in range(self.draws.views))

    def weights(self, chunks: int) -> Floats:
        """By sample of so many chunks (chunks x CHUNK); they add up to 1."""
        repeats = chunks * CHUNK // self.draws.columns
        return np.tile(self.draws.weights / (self.draws.views * repeats), repeats).reshape(chunks, CHUNK)

    @cached_property
    def drawn(self) -> tuple[by_job.Drawn, ...]:
        """By view: what each job takes and waits, in every sample that was kept."""
        return by_job.drawn(self.night.plan, self.draws, self.shift, len(self.finish) * CHUNK)

    @cached_property
    def finishes(self) -> tuple[Floats, ...]:
        """By view: when each job is done, jobs x samples that were kept; NaN for what no service waits for."""
        return by_job.by_view(self.night.plan, self.draws, self.finish)

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
    way = replace(way, pools=tuple((pool.slots, _of_pool(way, pool)) for pool in graph.pools))
    seed = seeds(graph.names, len(graph.upstreams))[way.order]
    both = views(_without_queues(past, graph), way.order, seed)
    usual = seconds(both[-1].takes.usual.level[: way.size])
    shares = failing(past.repairs, both[-1].takes.usual.runs[way.place])[way.order[: way.size]]
    mended = repair(past.repairs)
    coming = fates(shares, usual, mended, seed, samples if shares.any() else CHUNK)
    most_waits = 2 * np.fmax.reduce(past.waits, axis=0, initial=0.0)[way.jobs]
    delivers = np.unique(way.place[np.asarray(ends, np.intp)])
    return Night(graph, both, way, mended, coming, graph.earliest[way.order], delivers, most_waits.astype(np.float32))


def _of_pool(way: Plan, pool: Pool) -> Whole:
    places = np.sort(way.place[np.asarray(pool.jobs, np.intp)])
    return np.asarray(places[places < way.size])


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
    draws, shift = (held.draws, held.shift) if held else _drawn(tonight, now, night)
    keep = len(over.finish) if over else night.chunks if kept is None else max(1, min(kept, night.chunks))
    finish = over.finish if over else room(keep, night.plan.size, CHUNK)
    ends = room(night.chunks, len(night.ends), CHUNK)
    sweep, scratch = _sweep(tonight, now, night, draws), room(BLOCK, CHUNK)
    for chunk in reversed(range(night.chunks)):
        here = finish[chunk if chunk < keep else 0]
        sweep.run(chunk, here, scratch)
        ends[chunk] = here[night.ends]
    return Look(night, tonight, now, draws, shift, finish, ends)


def room(*shape: int) -> Floats:
    """Not yet written."""
    return np.empty(shape, np.float32)


def changed(seen: Look, tonight: Tonight, jobs: Sequence[int]) -> Look:
    """The look as it is once these jobs stand otherwise, at the same moment and with the run factor as it was said:
    only they and what lies below are computed anew, in place: the earlier look is used up. Raises ValueError for a look
    that did not keep all chunks."""
    if len(seen.finish) < seen.night.chunks:
        raise ValueError("this look kept some chunks only: look again with all of them before you change it")
    moved = anew(seen, tonight, jobs, seen.finish)
    ends = np.flatnonzero(np.isin(seen.night.ends, moved))
    seen.ends[:, ends] = seen.finish[:, seen.night.ends[ends]]
    return replace(seen, tonight=tonight)


def anew(seen: Look, tonight: Tonight, jobs: Sequence[int], finish: Floats) -> Whole:
    """Computes these jobs and what lies below as they stand in `tonight`, in place in `finish` (some of the look's
    chunks, from the first on); all jobs where slots join chains that lie apart. The places that may have moved."""
    place = seen.night.plan.place[np.asarray(jobs, np.intp)]
    sweep = _sweep(tonight, seen.now, seen.night, seen.draws)
    if seen.night.plan.pools:
        for chunk, each in enumerate(finish):
            sweep.run(chunk, each, room(BLOCK, CHUNK))
        return np.arange(seen.night.plan.size)
    return sweep.below(np.unique(place[place < seen.night.plan.size]), finish)


def _sweep(tonight: Tonight, now: float, night: Night, draws: Draws) -> Sweep:
    order = night.plan.jobs
    return Sweep(night.plan, Standing(order, tonight, tonight.stand[order], night.earliest[: len(order)], now), draws)


def _placed(tonight: Tonight, night: Night) -> Tonight:
    order = night.plan.order
    return Tonight(tonight.stand[order], tonight.ready[order], tonight.start[order], tonight.end[order])


def _drawn(tonight: Tonight, now: float, night: Night) -> tuple[Draws, Floats]:
    placed, size = _placed(tonight, night), night.plan.size
    columns = np.cumsum([0, *(len(view.columns.night) for view in night.views)])
    lasts = np.empty((size, columns[-1]), np.float32)
    queues = [view.waits.usual for view in night.views if view.waits is not None]
    waits = np.empty_like(lasts) if queues else None
    shifts = [
        drawn(view, placed, now, lasts[:, start:stop], None if waits is None else waits[:, start:stop])
        for view, (start, stop) in zip(night.views, pairwise(columns.tolist()), strict=True)
    ]
    if waits is not None:
        np.minimum(waits, night.most_waits[:, None], out=waits)
        lasts += waits
    spreads = np.stack([spread_seconds(view.takes.usual)[:size] for view in night.views])
    waits_spreads = np.stack([spread_seconds(usual)[:size] for usual in queues]) if queues else np.zeros_like(spreads)
    usual = seconds(night.views[-1].takes.usual.level[:size])
    weights = np.concatenate([view.columns.weights for view in night.views])
    draws = Draws(lasts, waits, weights, len(night.views), spreads, waits_spreads, usual, night.repair, night.fates)
    return draws, np.stack(shifts)


def answer(seen: Look, promise: Promise) -> Answer:
    """Without anything learned: the views together."""
    both = mixed(seen.outcomes(promise))
    return Answer(
        float(np.clip(both.late(promise.deadline, seen.now), 0.0, 1.0)),
        quantiles(both.finish, both.weights, LEVELS),
    )
