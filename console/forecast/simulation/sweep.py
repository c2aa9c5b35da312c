"""Finish of every job in every sample: all layers of a night, or only what lies below a job that changed.

Both compute each figure by the same steps, so that they agree to the last bit. Source: level-wise propagation with
the k-th upstream of many jobs at once; change-driven recomputation (Acar, Blelloch & Harper 2002).
Pools: no more of a pool's jobs run at once than it has slots, first come, first served: the workload recursion of a
queue with several servers (Kiefer & Wolfowitz 1955) in every sample, repeated until no wait moves. Samples in which
the pool is never full are found by sorting and cost next to nothing.
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
"""Seconds by which waits may still move."""
MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class PoolQueue:
    """What is not begun and takes a slot of a pool: how long it waits for that once it is ready, and who it gets it
    from. Of the first chunk of samples."""

    places: Integers
    """In order."""
    waits: Floats
    """By these, x samples, s."""
    freed_by: Integers
    """By these, x samples: the place of the one whose end frees the slot; -1 where it does not wait."""


def slot_starts(ready: Floats, takes: Floats, busy: Floats, slots: int) -> tuple[Floats, Integers]:
    """When each job of a pool gets a slot, and whose it was, jobs x samples: a row of these jobs, from their number on
    one of those that run; -1 where none had to end. `ready` and `takes`: alike; `busy`: until when those run that hold
    a slot already, running jobs x samples."""
    held = -np.sort(-busy, axis=0)[:slots]
    full = _may_be_full(ready, np.maximum(ready + takes, np.nextafter(ready, np.float32(np.inf))), held, slots)
    if full.all():
        return _one_by_one(ready, takes, busy, slots)
    found, freed_by = ready.copy(), np.full(ready.shape, -1)
    if full.any():
        found[:, full], freed_by[:, full] = _one_by_one(ready[:, full], takes[:, full], busy[:, full], slots)
    return found, freed_by


def _may_be_full(ready: Floats, ends: Floats, held: Floats, slots: int) -> Booleans:
    """By sample: more would run at once than there are slots, if none of these waited; each takes a moment at least."""
    begin = np.sort(np.vstack([np.full_like(held, -np.inf), ready]), axis=0)
    over = np.sort(np.vstack([held, ends]), axis=0)
    return np.asarray((over[: max(len(over) - slots, 0)] > begin[slots:]).any(axis=0))


def _one_by_one(ready: Floats, takes: Floats, busy: Floats, slots: int) -> tuple[Floats, Integers]:
    """As `starts`, whatever comes: in the order in which they come."""
    columns = np.arange(ready.shape[1])
    free = np.full((slots, ready.shape[1]), -np.inf, np.float32)
    owner = np.full(free.shape, -1)
    last = np.argsort(-busy, axis=0, kind="stable")[:slots]
    free[: len(last)] = np.take_along_axis(busy, last, axis=0)
    owner[: len(last)] = last + len(ready)
    found, freed_by = np.empty_like(ready), np.empty(ready.shape, owner.dtype)
    for row in np.argsort(ready, axis=0, kind="stable"):
        slot = free.argmin(axis=0)
        found[row, columns] = np.maximum(ready[row, columns], free[slot, columns])
        freed_by[row, columns] = owner[slot, columns]
        free[slot, columns] = found[row, columns] + takes[row, columns]
        owner[slot, columns] = row
    return found, np.where(found > ready + np.float32(AT_ONCE), freed_by, -1)


CHUNK = 256
"""Samples that are computed at once: a hundred megabytes at a hundred thousand jobs."""
PIECE = 256
"""Rows of a chunk's samples that are computed anew at once, of all chunks."""


class Sweep:
    """One look's night. Finishes are places x CHUNK for a chunk."""

    def __init__(self, plan: LayerPlan, seen: NightState, draws: Draws) -> None:
        self._plan, self._seen, self._draws = plan, seen, draws
        self._repeats = CHUNK // draws.columns
        self._stand = seen.stand
        self._ruled = np.array(sorted(plan.rules), np.intp)
        self._pooled = np.sort(np.concatenate([np.zeros(0, np.intp), *(places for _, places in plan.pools)]))
        self._delays = np.zeros((len(self._pooled), CHUNK), np.float32)

    def run(self, chunk: int, finish: Floats, scratch: Floats) -> None:
        """Writes when each place is done in this chunk. `scratch`: BLOCK x CHUNK."""
        self._delays = np.zeros((len(self._pooled), CHUNK), np.float32)
        self.all_layers(chunk, finish, scratch)
        for _ in range(MOST_ROUNDS if len(self._pooled) else 0):
            delays = self._queues(finish)
            if np.abs(delays - self._delays).max() < SETTLED:
                break
            self._delays = delays
            self.all_layers(chunk, finish, scratch)

    def queued(self, finish: Floats) -> PoolQueue:
        """Of the chunk that was run last, whose finishes these are."""
        pools = list(self._pools(finish))
        places = np.concatenate([np.zeros(0, np.intp), *(coming for coming, _, _ in pools)])
        order = np.argsort(places)
        waits = np.concatenate([np.zeros((0, CHUNK), np.float32), *(each for _, each, _ in pools)])
        freed_by = np.concatenate([np.zeros((0, CHUNK), np.intp), *(each for _, _, each in pools)])
        return PoolQueue(places[order], waits[order], freed_by[order])

    def _queues(self, finish: Floats) -> Floats:
        """What each job of a pool waits for its slot."""
        found = np.zeros_like(self._delays)
        for coming, waits, _ in self._pools(finish):
            found[np.searchsorted(self._pooled, coming)] = waits
        return found

    def _pools(self, finish: Floats) -> Iterator[tuple[Integers, Floats, Integers]]:
        """Of each pool the places that have not begun, what they wait for a slot, and the place whose end frees it."""
        for slots, places in self._plan.pools:
            stand = self._stand[places]
            coming, running = (
                places[(stand == JobPhase.WAITS) | (stand == JobPhase.READY)],
                places[stand == JobPhase.RUNS],
            )
            if len(coming):
                ready = self._ready(coming, finish)
                takes = finish[coming] - ready - self._delays[np.searchsorted(self._pooled, coming)]
                begun, freed_by = slot_starts(ready, takes, finish[running], slots)
                yield coming, begun - ready, np.concatenate([coming, running, [-1]])[freed_by]

    def _ready(self, places: Integers, finish: Floats) -> Floats:
        """When each of these, of any layers, could begin but for a slot; places x CHUNK."""
        order = np.argsort(-self._plan.upstreams.counts(places), kind="stable")
        found = np.empty((len(places), CHUNK), np.float32)
        found[order] = self._upstreams(places[order], finish[None])[0]
        return np.maximum(found, self._seen.floor(places)[:, None])

    def all_layers(self, chunk: int, finish: Floats, scratch: Floats) -> None:
        """As `run`, with the waits for slots as they are."""
        done = np.flatnonzero(self._stand == JobPhase.DONE)
        opened, open_until = self._open
        held = self._held
        failures = self._coming[self._draws.failures.sample[self._coming] // CHUNK == chunk]
        ruled = self._ruled[self._stand[self._ruled] == JobPhase.WAITS]
        samples = self._draws.failures.sample[failures] % CHUNK
        bounds = self._plan.bounds
        cuts = [
            np.searchsorted(each, bounds)
            for each in (done, opened, held, ruled, self._draws.failures.place[failures], self._pooled)
        ]
        for layer, blocks in enumerate(self._plan.blocks):
            of_done, of_open, of_held, of_ruled, fails, of_pool = (slice(cut[layer], cut[layer + 1]) for cut in cuts)
            for block in blocks:
                self._block(block, finish, scratch, held[of_held])
            finish[done[of_done]] = self._seen.end(done[of_done])[:, None]
            finish[opened[of_open]] = self._tiled(open_until[of_open])
            for place in ruled[of_ruled].tolist():
                finish[place] = self._by_rule(place, chunk, finish)
            at = failures[fails]
            finish[self._draws.failures.place[at], samples[fails]] += self._draws.failures.costs[at]
            finish[self._pooled[of_pool]] += self._delays[of_pool]

    def below(self, changed: Integers, finish: Floats) -> Integers:
        """Computes these places anew, and all below that this moves; `finish`: chunks x places x CHUNK, in place. The
        places that came out otherwise."""
        dirty = np.zeros(self._plan.size, bool)
        dirty[changed] = True
        moved, piece = [], max(1, PIECE // len(finish))
        for start, stop in pairwise(self._plan.bounds.tolist()):
            rows = np.flatnonzero(dirty[start:stop]) + start
            for at in range(0, len(rows), piece):
                here = self._anew(rows[at : at + piece], finish)
                below = self._plan.downstreams.of(here)
                dirty[below[self._stand[below] == JobPhase.WAITS]] = True
                moved.append(here)
        return np.concatenate(moved) if moved else changed[:0]

    def _anew(self, places: Integers, finish: Floats) -> Integers:
        """Those of one layer that come out otherwise than they stood."""
        until = self._upstreams(places, finish)
        np.maximum(until, self._seen.floor(places)[:, None], out=until)
        columns = until.reshape(len(finish), len(places), self._repeats, -1)
        columns += self._draws.lasts[places, None]
        fixed = np.flatnonzero(self._stand[places] != JobPhase.WAITS)
        if len(fixed):
            until[:, fixed] = self._tiled(begun(self._seen, self._draws, places[fixed]))
        for row in np.flatnonzero(self._ruled_waits(places)).tolist():
            for chunk, done in enumerate(finish):
                until[chunk, row] = self._by_rule(int(places[row]), chunk, done)
        self._fail(places, until)
        otherwise = (until != finish.take(places, 1)).any(axis=2).any(axis=0)
        finish[:, places] = until
        return np.asarray(places[otherwise])

    def _upstreams(self, places: Integers, finish: Floats) -> Floats:
        """When the last upstream of places is done, those with most upstreams first as they stand in a layer, chunks x
        places x CHUNK; 0 without any."""
        edges = self._plan.upstreams
        nth = nth_upstreams(edges.first[places], edges.counts(places), edges)
        if nth and len(nth[0]) == len(places):
            found, nth = finish.take(nth[0], 1), nth[1:]
        else:
            found = np.zeros((len(finish), len(places), CHUNK), np.float32)
        for upstream in nth:
            these = found[:, : len(upstream)]
            np.maximum(these, finish.take(upstream, 1), out=these)
        return found

    def _fail(self, places: Integers, until: Floats) -> None:
        """Adds what may fail; chunks x places x CHUNK, in place."""
        failures = self._draws.failures
        at = failures.spans(places)
        row = np.repeat(np.arange(len(places)), failures.first[places + 1] - failures.first[places])
        live = self._to_come(failures.place[at], failures.share[at]) & (failures.sample[at] < len(until) * CHUNK)
        at, row = at[live], row[live]
        until[failures.sample[at] // CHUNK, row, failures.sample[at] % CHUNK] += failures.costs[at]

    def _by_rule(self, place: int, chunk: int, finish: Floats) -> Floats:
        """The rule is told what may fail, as part of what the job takes."""
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
            other, these = scratch[: len(upstream)], rows[: len(upstream)]
            finish.take(upstream, 0, other, "clip")
            np.maximum(these, other, out=these)
        if len(held):
            mine = held[np.searchsorted(held, block.start) : np.searchsorted(held, block.stop)]
            finish[mine] = np.maximum(finish[mine], self._seen.floor(mine)[:, None])
        self._by_column(rows)[...] += self._draws.lasts[block.start : block.stop, None]

    @cached_property
    def _open(self) -> tuple[Integers, Floats]:
        """What no longer waits, and when it is done, places x columns."""
        opened = np.flatnonzero((self._stand != JobPhase.DONE) & (self._stand != JobPhase.WAITS))
        return opened, begun(self._seen, self._draws, opened)

    @cached_property
    def _held(self) -> Integers:
        """Waiting places whose floor may lie after their upstreams; what is not done is never done before now."""
        edges = self._plan.upstreams
        missing = np.add.reduceat(
            np.append(self._stand[edges.other] != JobPhase.DONE, False), edges.first[:-1], dtype=np.intp
        )
        free = (missing == 0) | (edges.first[1:] == edges.first[:-1])
        return np.flatnonzero((self._stand == JobPhase.WAITS) & (free | (self._seen.earliest > self._seen.now)))

    @cached_property
    def _coming(self) -> Integers:
        """The failures that are still to come, by place."""
        return np.flatnonzero(self._to_come(self._draws.failures.place, self._draws.failures.share))

    def _to_come(self, places: Integers, shares: Floats) -> Booleans:
        """What fails at that share of its run; a rule's own are told to it."""
        progress = self._seen.progress(places, self._draws.usual)
        return np.asarray((shares > progress) & ~self._ruled_waits(places))

    def _ruled_waits(self, places: Integers) -> Booleans:
        if not len(self._ruled):
            return np.zeros(len(places), bool)
        return np.asarray(np.isin(places, self._ruled) & (self._stand[places] == JobPhase.WAITS))

    def _tiled(self, columns: Floats) -> Floats:
        """Places x columns for all samples of a chunk."""
        return np.tile(columns, (1, self._repeats))

    def _by_column(self, rows: Floats) -> Floats:
        return rows.reshape(len(rows), self._repeats, self._draws.columns)
