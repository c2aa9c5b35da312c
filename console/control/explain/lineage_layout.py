"""Geometry of the lineage drawing: layers from left to right with few crossings.

Layer 0 holds the focus, negative layers its upstreams, positive ones its downstreams. A layer holds a limited number
of nodes, the rest is folded into one; an edge over several layers bends in each between. Edges that leave one node
share a lane. Two lanes never overlap, and lanes are ordered so that none hides where another edge enters its row
(except where rows swap places in a circle).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.control.explain.lineage import blast_radius, neighbours

LayerPair = tuple[int, int]
FOLDED = "rest"
"""Group of what a full layer folds."""
_SWEEPS = 4


@dataclass(frozen=True, slots=True)
class LayoutNode:
    """One place of a drawing: a job, several folded into one, or a bend of a long edge."""

    layer: int
    row: int
    """From 0, unique in its layer."""
    jobs: tuple[int, ...]
    """Empty: an edge bends here."""
    group: str = ""
    """Group that its jobs are folded by: `FOLDED`, or a value of `LayoutRequest.groups`; empty for a single job."""


@dataclass(frozen=True, slots=True)
class LineageLayout:
    """A drawing without its strokes."""

    spots: tuple[LayoutNode, ...]
    links: tuple[LayerPair, ...]
    """(place of a spot, place of one in the next layer), each once."""
    loops: tuple[LayerPair, ...]
    """Edges (upstream, downstream) that are not drawn, because they lead back."""
    above: int
    """Jobs further upstream than requested."""
    below: int

    def spot_of(self, job_id: int) -> int | None:
        """Position of the spot that shows the job; None if it is further away than requested."""
        return next((place for place, spot in enumerate(self.spots) if job_id in spot.jobs), None)


@dataclass(frozen=True, slots=True)
class LayoutRequest:
    """The part of a graph to draw."""

    focus: int
    up: int
    """Steps upstream; the same way down."""
    down: int
    most: int = 12
    """Spots of a layer before the rest of it is folded; a layer in `opened` has no limit."""
    opened: Collection[int] = ()
    keep: Collection[int] = ()
    """Jobs that are folded last."""
    groups: Mapping[int, str] = field(default_factory=dict)
    """Job -> what it is folded with, where two of a layer have the same word; the focus stays alone."""


def lay_out(edges: Iterable[LayerPair], request: LayoutRequest, order: Callable[[int], Any] = int) -> LineageLayout:
    """Places the neighbourhood of the focus. `order`: how jobs without a better place follow one another."""
    above, below = neighbours(edges)
    near_above, far_above = _within(request.focus, above, request.up)
    near_below, far_below = _within(request.focus, below, request.down)
    near_below = {job: steps for job, steps in near_below.items() if job not in near_above}
    layers = _ranks(request.focus, near_below, below)
    layers |= {job: -rank for job, rank in _ranks(request.focus, near_above, above).items()}
    inner = dict.fromkeys(
        (upstream, downstream) for upstream in layers for downstream in below.get(upstream, ()) if downstream in layers
    )
    loops = tuple(pair for pair in inner if layers[pair[0]] >= layers[pair[1]])
    drawing = _Drawing(request, layers, order)
    drawing.link([pair for pair in inner if layers[pair[0]] < layers[pair[1]]])
    drawing.untangle()
    spots, links = drawing.placed()
    return LineageLayout(spots, links, loops, far_above, far_below)


def _within(focus: int, next_to: Mapping[int, Sequence[int]], most: int) -> tuple[dict[int, int], int]:
    distances = blast_radius(focus, lambda job: next_to.get(job, ()))
    near = {job: steps for job, steps in distances.items() if steps <= most}
    return near, len(distances) - len(near)


def _ranks(focus: int, near: Mapping[int, int], next_to: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Job -> length of the longest way to it. Where jobs wait for each other in a circle the nearest goes first."""
    waits: dict[int, set[int]] = {job: set() for job in near}
    for job in (focus, *near):
        for neighbour in next_to.get(job, ()):
            if neighbour in waits and neighbour != job:
                waits[neighbour].add(job)
    ranks, done, nearest = {focus: 0}, set[int](), iter(near)
    ahead = [focus]
    while ahead:
        for job_id in ahead:
            done.add(job_id)
            for neighbour in next_to.get(job_id, ()):
                if job_id not in waits.get(neighbour, ()):
                    continue
                waits[neighbour].discard(job_id)
                ranks[neighbour] = max(ranks.get(neighbour, 0), ranks[job_id] + 1)
                if not waits[neighbour]:
                    ahead.append(neighbour)
        ahead = [
            job
            for job in (next((candidate for candidate in nearest if candidate not in done), None),)
            if job is not None
        ]
        for job in ahead:
            waits[job].clear()
            ranks.setdefault(job, near[job])  # all paths to it may be on the other side of the focus
    return ranks


@dataclass(slots=True)
class _Place:
    """A spot while its row is looked for."""

    layer: int
    jobs: tuple[int, ...]
    group: str
    row: int = 0
    left_neighbours: list[int] = field(default_factory=list)
    right_neighbours: list[int] = field(default_factory=list)


class _Drawing:
    """Spots and links while they are put in order."""

    def __init__(self, request: LayoutRequest, layers: Mapping[int, int], order: Callable[[int], Any]) -> None:
        self._request = request
        self._places: list[_Place] = []
        self._place_of: dict[int, int] = {}
        self._rows: dict[int, list[int]] = {}
        """Layer -> its places, top first."""
        by_layer: dict[int, list[int]] = {}
        for job, layer in layers.items():
            by_layer.setdefault(layer, []).append(job)
        for layer in sorted(by_layer):
            for group, jobs in self._folded(layer, sorted(by_layer[layer], key=order)):
                self._place_of |= dict.fromkeys(jobs, self._add(layer, tuple(jobs), group))

    def _add(self, layer: int, jobs: tuple[int, ...], group: str = "") -> int:
        self._places.append(_Place(layer, jobs, group))
        self._rows.setdefault(layer, []).append(len(self._places) - 1)
        return len(self._places) - 1

    def _folded(self, layer: int, jobs: Sequence[int]) -> list[tuple[str, list[int]]]:
        request = self._request
        grouped: dict[str | int, list[int]] = {}
        for job in jobs:
            group = request.groups.get(job, "") if job != request.focus else ""
            grouped.setdefault(group or job, []).append(job)
        groups = [
            (group if isinstance(group, str) and len(members) > 1 else "", members)
            for group, members in grouped.items()
        ]
        if len(groups) <= request.most or layer in request.opened:
            return groups
        first = sorted(
            groups, key=lambda entry: not any(job == request.focus or job in request.keep for job in entry[1])
        )
        unfolded = first[: request.most - 1]
        return [*unfolded, (FOLDED, [job for entry in first[request.most - 1 :] for job in entry[1]])]

    def link(self, pairs: Iterable[LayerPair]) -> None:
        """Joins spots; an edge over several layers bends in each between, once for all edges of a spot."""
        bends: dict[tuple[int, int], int] = {}
        for source, target in dict.fromkeys((self._place_of[up], self._place_of[down]) for up, down in pairs):
            previous = source
            for layer in range(self._places[source].layer + 1, self._places[target].layer):
                bend = bends.get((source, layer))
                if bend is None:
                    bend = bends[source, layer] = self._add(layer, ())
                    self._join(previous, bend)
                previous = bend
            self._join(previous, target)

    def _join(self, source: int, target: int) -> None:
        self._places[source].right_neighbours.append(target)
        self._places[target].left_neighbours.append(source)

    def untangle(self) -> None:
        """Orders each layer by its neighbours, in sweeps to and fro; then assigns rows, from the focus outwards."""
        for row, place in ((row, place) for layer in self._rows.values() for row, place in enumerate(layer)):
            self._places[place].row = row
        layers = sorted(self._rows)
        for sweep in range(_SWEEPS):
            rightwards = sweep % 2 == 0
            for layer in layers if rightwards else reversed(layers):
                self._rows[layer].sort(key=lambda place: self._middle(place, rightwards))
                for row, place in enumerate(self._rows[layer]):
                    self._places[place].row = row
        for layer in sorted(layers, key=lambda layer: (abs(layer), layer)):
            if layer:
                self._settle(layer, rightwards=layer > 0)

    def _middle(self, place: int, leftwards: bool) -> float:
        spot = self._places[place]
        neighbour_places = spot.left_neighbours if leftwards else spot.right_neighbours
        return (
            sum(self._places[neighbour].row for neighbour in neighbour_places) / len(neighbour_places)
            if neighbour_places
            else float(spot.row)
        )

    def _settle(self, layer: int, rightwards: bool) -> None:
        """Rows as near to the neighbours as the order lets them be: blocks that would overlap share their mean."""
        blocks: list[tuple[float, int]] = []
        for number, place in enumerate(self._rows[layer]):
            blocks.append((self._middle(place, rightwards) - number, 1))
            while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
                (mean, count), (last_mean, last_count) = blocks[-2:]
                blocks[-2:] = [((mean * count + last_mean * last_count) / (count + last_count), count + last_count)]
        offsets = [round(mean) for mean, count in blocks for _ in range(count)]
        for number, (place, offset) in enumerate(zip(self._rows[layer], offsets, strict=True)):
            self._places[place].row = offset + number

    def placed(self) -> tuple[tuple[LayoutNode, ...], tuple[LayerPair, ...]]:
        top = min(place.row for place in self._places)
        spots = tuple(LayoutNode(place.layer, place.row - top, place.jobs, place.group) for place in self._places)
        return spots, tuple(
            (place, target) for place, spot in enumerate(self._places) for target in spot.right_neighbours
        )


Nets = Mapping[int, Sequence[int]]
"""Row of a spot -> rows of those of the next layer that it is linked with, sorted."""


@dataclass(frozen=True, slots=True)
class EdgeChannel:
    """Edges between a layer and the next."""

    nets: Nets
    lanes: Mapping[int, int]
    """Row that a net leaves -> its lane, from 0; without one it goes straight over."""

    @property
    def count(self) -> int:
        """Lanes that there are."""
        return max(self.lanes.values(), default=-1) + 1


def edge_channels(layout: LineageLayout) -> dict[int, EdgeChannel]:
    """Layer -> the channel to its right; of all layers but the last."""
    nets: dict[int, dict[int, list[int]]] = {spot.layer: {} for spot in layout.spots}
    for source, target in layout.links:
        spot = layout.spots[source]
        nets[spot.layer].setdefault(spot.row, []).append(layout.spots[target].row)
    last = max(nets, default=0)
    return {
        layer: EdgeChannel(between, assign_lanes(between))
        for layer, targets_by_row in nets.items()
        if layer != last
        for between in [{row: sorted(rows) for row, rows in targets_by_row.items()}]
    }


def assign_lanes(nets: Nets) -> dict[int, int]:
    """Row that a net leaves -> its lane, for all that do not go straight over."""
    into: dict[int, list[int]] = {}
    for row, targets in nets.items():
        for target in targets:
            into.setdefault(target, []).append(row)
    lanes: dict[int, int] = {}
    taken: list[list[tuple[int, int]]] = []
    for row in _in_order(nets, into):
        ends = (min(row, *nets[row]), max(row, *nets[row]))
        lane = max((lanes[net] + 1 for net in _before(row, nets) if net in lanes), default=0)
        while lane < len(taken) and not _is_free(taken[lane], ends):
            lane += 1
        taken += [[] for _ in range(lane + 1 - len(taken))]
        insort(taken[lane], ends)
        lanes[row] = lane
    return lanes


def _bent(row: int, nets: Nets) -> bool:
    return list(nets[row]) != [row]


def _before(row: int, nets: Nets) -> Iterator[int]:
    return (net for net in nets[row] if net != row and net in nets and net not in nets[net] and _bent(net, nets))


def _in_order(nets: Nets, into: Mapping[int, Sequence[int]]) -> list[int]:
    """Every bent net after those of `_before`, as far as there is such an order; else from the top."""
    waits = {row: set(_before(row, nets)) for row in nets if _bent(row, nets)}
    ready = [row for row in sorted(waits) if not waits[row]]
    ordered, remaining = dict[int, None](), sorted(waits)
    while len(ordered) < len(waits):
        for row in ready:
            ordered[row] = None
            for after in into.get(row, ()):
                if row in waits.get(after, ()):
                    waits[after].discard(row)
                    if not waits[after] and after not in ordered:
                        ready.append(after)
        remaining = [row for row in remaining if row not in ordered]
        ready = remaining[:1]
        for row in ready:
            waits[row].clear()
    return list(ordered)


def _is_free(taken: Sequence[tuple[int, int]], ends: tuple[int, int]) -> bool:
    place = bisect_left(taken, ends)
    return (place == 0 or taken[place - 1][1] < ends[0]) and (place == len(taken) or taken[place][0] > ends[1])
