"""The graph in layers, renumbered so that a layer is one slice, and computed in blocks that fit the cache.

Source: longest path in a directed acyclic graph (Kelley & Walker 1959, critical path method), layers by Kahn
(1962), the k-th upstream of all jobs of a block in one step. A job's number here is its *place*; `LayerPlan.place`
maps one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np

from console.forecast.simulation.values import Booleans, Integers, StartRule

BLOCK = 256
"""Rows per step: with 256 columns of four bytes they stay in the CPU cache."""


SMALL = 64
"""Plans of graphs up to this number of jobs are cached: many small services share a few shapes."""


@dataclass(frozen=True, slots=True)
class EdgeIndex:
    """By job or place: those at the other end are `linked[first[it]:first[it + 1]]`."""

    first: Integers
    linked: Integers

    def of(self, nodes: Integers) -> Integers:
        """At the other end of any of these, each as often as it occurs."""
        return self.linked[self.spans(nodes)]

    def spans(self, nodes: Integers) -> Integers:
        """Indices of the edges of these."""
        counts = self.first[nodes + 1] - self.first[nodes]
        before = np.cumsum(counts) - counts
        return np.repeat(self.first[nodes] - before, counts) + np.arange(int(counts.sum()))

    def counts(self, nodes: Integers) -> Integers:
        return np.asarray(self.first[nodes + 1] - self.first[nodes])


@dataclass(frozen=True, slots=True)
class LayerBlock:
    """Places `start` … `stop`-1 of one layer; `nth[k]`: the k-th upstream of the first `len(nth[k])` of them."""

    start: int
    stop: int
    nth: tuple[Integers, ...]


@dataclass(frozen=True, slots=True)
class LayerPlan:
    order: Integers
    """Job by place: those that services wait for, layer by layer, then all others."""
    place: Integers
    """Place by job."""
    bounds: Integers
    """Layer k is the places `bounds[k]` … `bounds[k + 1]`-1."""
    blocks: tuple[tuple[LayerBlock, ...], ...]
    """By layer."""
    upstreams: EdgeIndex
    """By place, of the places that services wait for."""
    downstreams: EdgeIndex
    rules: Mapping[int, StartRule]
    """By place, of places."""
    pools: tuple[tuple[int, Integers], ...] = ()
    """Slots, and places in order."""

    @property
    def size(self) -> int:
        """How many jobs services wait for."""
        return int(self.bounds[-1])

    @property
    def jobs(self) -> Integers:
        """Those that services wait for, by place."""
        return self.order[: self.size]


def ancestors(upstreams: EdgeIndex, ends: Iterable[int]) -> Booleans:
    """By job: whether it is one of `ends` or upstream of them."""
    reached = np.zeros(len(upstreams.first) - 1, bool)
    ahead = np.unique(np.fromiter(ends, np.intp))
    while len(ahead):
        reached[ahead] = True
        ahead = np.unique(upstreams.of(ahead))
        ahead = ahead[~reached[ahead]]
    return reached


def edge_index(of: Sequence[Sequence[int]]) -> EdgeIndex:
    counts = np.fromiter(map(len, of), np.intp, len(of))
    first = np.concatenate([np.zeros(1, np.intp), np.cumsum(counts)])
    return EdgeIndex(first, np.fromiter(chain.from_iterable(of), np.intp, int(first[-1])))


def reversed_edges(edges: EdgeIndex) -> EdgeIndex:
    """The same edges seen from their other ends."""
    count = len(edges.first) - 1
    counts = np.bincount(edges.linked, minlength=count)
    source = np.repeat(np.arange(count), np.diff(edges.first))
    first = np.concatenate([np.zeros(1, np.intp), np.cumsum(counts)])
    return EdgeIndex(first, source[np.argsort(edges.linked, kind="stable")])


def plan_layers(
    upstreams: Sequence[Sequence[int]], ends: Iterable[int], rules: Mapping[int, StartRule] | None = None
) -> LayerPlan:
    """All upstreams of the jobs `ends`, in layers; `rules` by job. Raises ValueError for a loop among them. The arrays
    are read-only: small graphs of one shape share a plan."""
    if rules or len(upstreams) > SMALL:
        return _plan_layers(upstreams, ends, rules)
    return _of_shape(tuple(map(tuple, upstreams)), tuple(ends))


@lru_cache(maxsize=256)
def _of_shape(upstreams: tuple[tuple[int, ...], ...], ends: tuple[int, ...]) -> LayerPlan:
    return _plan_layers(upstreams, ends, None)


def _plan_layers(
    upstreams: Sequence[Sequence[int]], ends: Iterable[int], rules: Mapping[int, StartRule] | None
) -> LayerPlan:
    every = edge_index(upstreams)
    mine = ancestors(every, ends)
    depth = _depths(every, mine)
    waited_for = np.diff(every.first)
    order = np.lexsort((np.arange(len(mine)), -waited_for, np.where(mine, depth, depth.max(initial=0) + 1)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    size = int(mine.sum())
    bounds = np.searchsorted(depth[order[:size]], np.arange(depth.max(initial=-1) + 2))
    first = np.concatenate([np.zeros(1, np.intp), np.cumsum(waited_for[order[:size]])])
    ups = EdgeIndex(first, place[every.of(order[:size])])
    places = dict(enumerate(place.tolist())) if rules else {}
    of_places = {places[job]: rule.renumbered(places) for job, rule in (rules or {}).items() if place[job] < size}
    return LayerPlan(order, place, bounds, _blocks(ups, bounds), ups, reversed_edges(ups), of_places)


def _depths(upstreams: EdgeIndex, mine: Booleans) -> Integers:
    """By job, the longest way to it from one that waits for none; -1 outside of `mine`."""
    downstreams, missing = reversed_edges(upstreams), np.diff(upstreams.first).copy()
    depth = np.where(mine, 0, -1)
    ahead = np.flatnonzero(mine & (missing == 0))
    reached, at = len(ahead), 0
    while len(ahead):
        depth[ahead] = at
        below, times = np.unique(downstreams.of(ahead), return_counts=True)
        missing[below] -= times
        ahead = below[(missing[below] == 0) & mine[below]]
        reached, at = reached + len(ahead), at + 1
    if reached < mine.sum():
        raise ValueError(_loop(upstreams, np.flatnonzero(mine & (missing > 0)), missing))
    return depth


def _loop(upstreams: EdgeIndex, stuck: Integers, missing: Integers) -> str:
    job, passed = int(stuck[0]), set[int]()
    while job not in passed:
        passed.add(job)
        job = next(int(upstream) for upstream in upstreams.of(np.array([job])) if missing[upstream] > 0)
    return f"job {job} waits for itself: its upstreams form a loop; take one dependency out"


def _blocks(upstreams: EdgeIndex, bounds: Integers) -> tuple[tuple[LayerBlock, ...], ...]:
    layers = pairwise(bounds.tolist())
    return tuple(
        tuple(_block(upstreams, at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK))
        for start, stop in layers
    )


def _block(upstreams: EdgeIndex, start: int, stop: int) -> LayerBlock:
    first = upstreams.first[start:stop]
    return LayerBlock(
        int(start), int(stop), nth_upstreams(first, upstreams.first[start + 1 : stop + 1] - first, upstreams)
    )


def nth_upstreams(first: Integers, counts: Integers, upstreams: EdgeIndex) -> tuple[Integers, ...]:
    """Of places whose edges begin at `first`, those with most upstreams first."""
    most = int(counts[0]) if len(counts) else 0
    heads = (first[: int(np.searchsorted(-counts, -k, side="left"))] + k for k in range(most))
    return tuple(upstreams.linked[head] for head in heads)
