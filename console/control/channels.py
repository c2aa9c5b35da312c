"""How the edges of a drawing run from one layer to the next: out of a spot, along a lane of its own, into others.

What leaves one spot shares its lane. Two lanes never lie over one another; what leaves a spot to the right of where
something else enters that row would hide it, so lanes stand in an order that avoids it (but where rows swap places in a
circle, and it cannot be avoided).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from console.control.layering import Layout

Nets = Mapping[int, Sequence[int]]
"""Row of a spot -> rows of those of the next layer that it is linked with, sorted."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What lies between a layer and the next."""

    layer: int
    nets: Nets
    lanes: Mapping[int, int]
    """Row that a net leaves -> its lane, from 0; without one it goes straight over."""

    @property
    def count(self) -> int:
        """Lanes that there are."""
        return max(self.lanes.values(), default=-1) + 1


def channels(layout: Layout) -> dict[int, Channel]:
    """Layer -> the channel to its right; of all layers but the last."""
    nets: dict[int, dict[int, list[int]]] = {spot.layer: {} for spot in layout.spots}
    for place, other in layout.links:
        one = layout.spots[place]
        nets[one.layer].setdefault(one.row, []).append(layout.spots[other].row)
    last = max(nets, default=0)
    return {
        layer: Channel(layer, between, lanes(between))
        for layer, found in nets.items()
        if layer != last
        for between in [{row: sorted(rows) for row, rows in found.items()}]
    }


def lanes(nets: Nets) -> dict[int, int]:
    """Row that a net leaves -> its lane, for all that do not go straight over."""
    into: dict[int, list[int]] = {}
    for row, targets in nets.items():
        for target in targets:
            into.setdefault(target, []).append(row)
    found: dict[int, int] = {}
    taken: list[list[tuple[int, int]]] = []
    for row in _in_order(nets, into):
        ends = (min(row, *nets[row]), max(row, *nets[row]))
        lane = max((found[other] + 1 for other in _before(row, nets) if other in found), default=0)
        while lane < len(taken) and not _is_free(taken[lane], ends):
            lane += 1
        taken += [[] for _ in range(lane + 1 - len(taken))]
        insort(taken[lane], ends)
        found[row] = lane
    return found


def _bent(row: int, nets: Nets) -> bool:
    return list(nets[row]) != [row]


def _before(row: int, nets: Nets) -> Iterator[int]:
    """The nets that leave where this one enters, and do not enter there themselves: their lanes stand left of its."""
    return (each for each in nets[row] if each != row and each in nets and each not in nets[each] and _bent(each, nets))


def _in_order(nets: Nets, into: Mapping[int, Sequence[int]]) -> list[int]:
    """Every bent net after those of `_before`, as far as there is such an order; else from the top."""
    waits = {row: set(_before(row, nets)) for row in nets if _bent(row, nets)}
    ready = [row for row in sorted(waits) if not waits[row]]
    found, left = dict[int, None](), sorted(waits)
    while len(found) < len(waits):
        for row in ready:
            found[row] = None
            for after in into.get(row, ()):
                if row in waits.get(after, ()):
                    waits[after].discard(row)
                    if not waits[after] and after not in found:
                        ready.append(after)
        left = [row for row in left if row not in found]
        ready = left[:1]
        for row in ready:
            waits[row].clear()
    return list(found)


def _is_free(taken: Sequence[tuple[int, int]], ends: tuple[int, int]) -> bool:
    """True where no stretch of the lane touches this one."""
    place = bisect_left(taken, ends)
    return (place == 0 or taken[place - 1][1] < ends[0]) and (place == len(taken) or taken[place][0] > ends[1])
