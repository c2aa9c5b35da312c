"""Finish of every job in every sample: of all jobs of a night, or only of the downstreams of a changed job.

Both compute each figure by the same steps, so that they agree to the last bit. Source: level-wise propagation with
the k-th upstream of many jobs at once; change-driven recomputation (Acar, Blelloch & Harper 2002).
Pools: no more of a pool's jobs run at once than it has slots, first come, first served: the workload recursion of a
queue with several servers (Kiefer & Wolfowitz 1955) in every sample, repeated until the waits converge. Samples in
which the pool is never full are found by sorting, which is cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from console.forecast.simulation.draws import Draws, NightState, begun
from console.forecast.simulation.layers import LayerBlock, LayerPlan, nth_upstreams
from console.forecast.simulation.values import AT_ONCE, Booleans, Floats, Integers, JobPhase

SETTLED = 1.0
"""Change of waits, s, below which they have converged."""
MAX_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class PoolQueue:
    """Waits for slots in the first chunk of samples, of jobs that have not started."""

    places: Integers
    """In order."""
    waits: Floats
    """These places x samples, s, from when the job is ready."""
    freed_by: Integers
    """These places x samples: the place whose end frees the slot; -1 without a wait."""


def slot_starts(ready: Floats, takes: Floats, busy: Floats, slots: int) -> tuple[Floats, Integers]:
    """Start of each job of a pool, and the row of the job that freed its slot, jobs x samples; rows from len(ready) on
    are those of `busy`, -1: the slot was free. `busy`: ends of the running jobs, these x samples."""
    held = -np.sort(-busy, axis=0)[:slots]
    # samples in which more jobs would run at once than there are slots if none waited; each takes some time
    ends = np.maximum(ready + takes, np.nextafter(ready, np.float32(np.inf)))
    begin = np.sort(np.vstack([np.full_like(held, -np.inf), ready]), axis=0)
    end = np.sort(np.vstack([held, ends]), axis=0)
    full = np.asarray((end[: max(len(end) - slots, 0)] > begin[slots:]).any(axis=0))
    starts, freed_by = ready.copy(), np.full(ready.shape, -1)
    if full.any():
        starts[:, full], freed_by[:, full] = _queue(ready[:, full], takes[:, full], busy[:, full], slots)
    return starts, freed_by


def _queue(ready: Floats, takes: Floats, busy: Floats, slots: int) -> tuple[Floats, Integers]:
    """As `slot_starts`: each job in the order in which they become ready."""
    columns = np.arange(ready.shape[1])
    free = np.full((slots, ready.shape[1]), -np.inf, np.float32)
    owner = np.full(free.shape, -1)
    last = np.argsort(-busy, axis=0, kind="stable")[:slots]
    free[: len(last)] = np.take_along_axis(busy, last, axis=0)
    owner[: len(last)] = last + len(ready)
    starts, freed_by = np.empty_like(ready), np.empty(ready.shape, owner.dtype)
    for row in np.argsort(ready, axis=0, kind="stable"):
        slot = free.argmin(axis=0)
        starts[row, columns] = np.maximum(ready[row, columns], free[slot, columns])
        freed_by[row, columns] = owner[slot, columns]
        free[slot, columns] = starts[row, columns] + takes[row, columns]
        owner[slot, columns] = row
    return starts, np.where(starts > ready + np.float32(AT_ONCE), freed_by, -1)


CHUNK = 256
"""Samples per pass: 100 MB for 100,000 jobs."""
PIECE = 256
"""Rows (of one chunk) per recomputation step."""


class Sweep:
    """The finishes of one simulation run; places x CHUNK for a chunk."""

    def __init__(self, plan: LayerPlan, seen: NightState, draws: Draws) -> None:
        self._plan, self._seen, self._draws = plan, seen, draws
        self._repeats = CHUNK // draws.columns
        self._phase = seen.phase
        self._ruled = np.array(sorted(plan.rules), np.intp)
        self._pooled = np.sort(np.concatenate([np.zeros(0, np.intp), *(places for _, places in plan.pools)]))
        self._delays = np.zeros((len(self._pooled), CHUNK), np.float32)

    def run(self, chunk: int, finish: Floats, scratch: Floats) -> None:
        """Writes the finish of each place in this chunk. `scratch`: BLOCK x CHUNK."""
        self._delays = np.zeros((len(self._pooled), CHUNK), np.float32)
        self.all_layers(chunk, finish, scratch)
        for _ in range(MAX_ROUNDS if len(self._pooled) else 0):
            delays = np.zeros_like(self._delays)
            for pending, waits, _ in self._pools(finish):
                delays[np.searchsorted(self._pooled, pending)] = waits
            if np.abs(delays - self._delays).max() < SETTLED:
                break
            self._delays = delays
            self.all_layers(chunk, finish, scratch)

    def queued(self, finish: Floats) -> PoolQueue:
        """Waits for slots in the chunk of the last `run`, with these finishes."""
        empty = (np.zeros(0, np.intp), np.zeros((0, CHUNK), np.float32), np.zeros((0, CHUNK), np.intp))
        places, waits, freed_by = map(np.concatenate, zip(empty, *self._pools(finish), strict=True))
        order = np.argsort(places)
        return PoolQueue(places[order], waits[order], freed_by[order])

    def _pools(self, finish: Floats) -> Iterator[tuple[Integers, Floats, Integers]]:
        """Per pool: the places that have not started, their waits for a slot, and the place whose end frees it."""
        for slots, places in self._plan.pools:
            phase = self._phase[places]
            pending = places[(phase == JobPhase.WAITS) | (phase == JobPhase.READY)]
            running = places[phase == JobPhase.RUNS]
            if len(pending):
                order = np.argsort(-self._plan.upstreams.counts(pending), kind="stable")
                ready = np.empty((len(pending), CHUNK), np.float32)
                ready[order] = self._upstreams(pending[order], finish[None])[0]
                ready = np.maximum(ready, self._seen.floor(pending)[:, None])
                takes = finish[pending] - ready - self._delays[np.searchsorted(self._pooled, pending)]
                starts, freed_by = slot_starts(ready, takes, finish[running], slots)
                yield pending, starts - ready, np.concatenate([pending, running, [-1]])[freed_by]

    def all_layers(self, chunk: int, finish: Floats, scratch: Floats) -> None:
        """As `run`, with unchanged waits for slots."""
        done = np.flatnonzero(self._phase == JobPhase.DONE)
        opened, open_until = self._open
        held = self._held
        failures = self._pending[self._draws.failures.sample[self._pending] // CHUNK == chunk]
        ruled = self._ruled[self._phase[self._ruled] == JobPhase.WAITS]
        samples = self._draws.failures.sample[failures] % CHUNK
        failing = self._draws.failures.place[failures]
        cuts = [
            np.searchsorted(places, self._plan.bounds) for places in (done, opened, held, ruled, failing, self._pooled)
        ]
        for layer, blocks in enumerate(self._plan.blocks):
            of_done, of_open, of_held, of_ruled, fails, of_pool = (slice(cut[layer], cut[layer + 1]) for cut in cuts)
            for block in blocks:
                self._block(block, finish, scratch, held[of_held])
            finish[done[of_done]] = self._seen.end(done[of_done])[:, None]
            finish[opened[of_open]] = self._tiled(open_until[of_open])
            for place in ruled[of_ruled].tolist():
                finish[place] = self._by_rule(place, chunk, finish)
            finish[failing[fails], samples[fails]] += self._draws.failures.costs[failures[fails]]
            finish[self._pooled[of_pool]] += self._delays[of_pool]

    def below(self, changed: Integers, finish: Floats) -> None:
        """Recomputes these places and the downstreams that this changes; `finish`: chunks x places x CHUNK, in
        place."""
        dirty = np.zeros(self._plan.size, bool)
        dirty[changed] = True
        piece = max(1, PIECE // len(finish))
        for start, stop in pairwise(self._plan.bounds.tolist()):
            rows = np.flatnonzero(dirty[start:stop]) + start
            for at in range(0, len(rows), piece):
                below = self._plan.downstreams.of(self._recompute(rows[at : at + piece], finish))
                dirty[below[self._phase[below] == JobPhase.WAITS]] = True

    def _recompute(self, places: Integers, finish: Floats) -> Integers:
        """Recomputes places of one layer; those whose finish changed."""
        until = self._upstreams(places, finish)
        np.maximum(until, self._seen.floor(places)[:, None], out=until)
        columns = until.reshape(len(finish), len(places), self._repeats, -1)
        columns += self._draws.lasts[places, None]
        fixed = np.flatnonzero(self._phase[places] != JobPhase.WAITS)
        if len(fixed):
            until[:, fixed] = self._tiled(begun(self._seen, self._draws, places[fixed]))
        for row in np.flatnonzero(self._ruled_waits(places)).tolist():
            for chunk, done in enumerate(finish):
                until[chunk, row] = self._by_rule(int(places[row]), chunk, done)
        failures = self._draws.failures
        at = failures.spans(places)
        rows = np.repeat(np.arange(len(places)), failures.first[places + 1] - failures.first[places])
        live = self._is_pending(failures.place[at], failures.share[at]) & (failures.sample[at] < len(until) * CHUNK)
        at, rows = at[live], rows[live]
        until[failures.sample[at] // CHUNK, rows, failures.sample[at] % CHUNK] += failures.costs[at]
        is_changed = (until != finish.take(places, 1)).any(axis=2).any(axis=0)
        finish[:, places] = until
        return np.asarray(places[is_changed])

    def _upstreams(self, places: Integers, finish: Floats) -> Floats:
        """Finish of the last upstream of each place, chunks x places x CHUNK; 0 without upstreams. `places`: those
        with most upstreams first, as in a layer."""
        edges = self._plan.upstreams
        nth = nth_upstreams(edges.first[places], edges.counts(places), edges)
        last = np.zeros((len(finish), len(places), CHUNK), np.float32)
        for number, upstream in enumerate(nth):
            rows, ends = last[:, : len(upstream)], finish.take(upstream, 1)
            rows[...] = np.maximum(rows, ends) if number else ends
        return last

    def _by_rule(self, place: int, chunk: int, finish: Floats) -> Floats:
        """The finish by the place's rule; failures count as part of its duration."""
        failures, takes = self._draws.failures, self._tiled(self._draws.lasts[place : place + 1])[0]
        at = failures.spans(np.array([place]))
        at = at[failures.sample[at] // CHUNK == chunk]
        takes[failures.sample[at] % CHUNK] += failures.costs[at]
        return self._plan.rules[place].finish(finish, float(self._seen.floor(np.array([place]))[0]), takes)

    def _block(self, block: LayerBlock, finish: Floats, scratch: Floats, held: Integers) -> None:
        rows = finish[block.start : block.stop]
        count = len(block.nth[0]) if block.nth else 0
        if count:
            finish.take(block.nth[0], 0, rows[:count], "clip")
        rows[count:] = 0.0
        for upstream in block.nth[1:]:
            upstream_rows, waiting_rows = scratch[: len(upstream)], rows[: len(upstream)]
            finish.take(upstream, 0, upstream_rows, "clip")
            np.maximum(waiting_rows, upstream_rows, out=waiting_rows)
        if len(held):
            held_places = held[np.searchsorted(held, block.start) : np.searchsorted(held, block.stop)]
            finish[held_places] = np.maximum(finish[held_places], self._seen.floor(held_places)[:, None])
        by_column = rows.reshape(len(rows), self._repeats, self._draws.columns)
        by_column += self._draws.lasts[block.start : block.stop, None]

    @cached_property
    def _open(self) -> tuple[Integers, Floats]:
        """Started, ready and failed places, and their finish, places x columns."""
        opened = np.flatnonzero((self._phase != JobPhase.DONE) & (self._phase != JobPhase.WAITS))
        return opened, begun(self._seen, self._draws, opened)

    @cached_property
    def _held(self) -> Integers:
        """Waiting places whose floor may be later than their upstreams: those without unfinished upstreams, and those
        with a start time ahead."""
        edges = self._plan.upstreams
        missing = np.add.reduceat(
            np.append(self._phase[edges.linked] != JobPhase.DONE, False), edges.first[:-1], dtype=np.intp
        )
        free = (missing == 0) | (edges.first[1:] == edges.first[:-1])
        return np.flatnonzero((self._phase == JobPhase.WAITS) & (free | (self._seen.earliest > self._seen.now)))

    @cached_property
    def _pending(self) -> Integers:
        """Failures that may still happen, by place."""
        return np.flatnonzero(self._is_pending(self._draws.failures.place, self._draws.failures.share))

    def _is_pending(self, places: Integers, shares: Floats) -> Booleans:
        """Whether a failure at that share of the run may still happen; `_by_rule` adds the failures of its places."""
        progress = self._seen.progress(places, self._draws.usual)
        return np.asarray((shares > progress) & ~self._ruled_waits(places))

    def _ruled_waits(self, places: Integers) -> Booleans:
        if not len(self._ruled):
            return np.zeros(len(places), bool)
        return np.asarray(np.isin(places, self._ruled) & (self._phase[places] == JobPhase.WAITS))

    def _tiled(self, columns: Floats) -> Floats:
        """Places x columns for all samples of a chunk."""
        return np.tile(columns, (1, self._repeats))
