"""A layered graph as lines of text: nodes as labels, edges as strokes between them. Pure; a layout in, segments out.

An edge that crosses another passes below it: its line is broken for one cell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from console.control.explain.lineage_layout import EdgeChannel, LayerPair, LineageLayout, edge_channels
from console.tui.frame.glyphs import SIGNS
from console.tui.widgets.paint import Segment, cut_runs, fit_middle, length_of

BOX = " ╴╸╷┐┑╻┒┓╶─╾┌┬┭┎┰┱╺╼━┍┮┯┏┲┳╵┘┙│┤┥╽┧┪└┴┵├┼┽┟╁╅┕┶┷┝┾┿┢╆╈╹┚┛╿┦┩┃┨┫┖┸┹┞╀╃┠╂╉┗┺┻┡╄╇┣╊╋"
"""The stroke of a cell by its arms: up, right, down, left, each 0, 1 (light) or 2 (heavy), as digits of base 3."""
ARROW = SIGNS["arrow"]
Arms = tuple[int, int, int, int]
Cell = tuple[int, int]
WIDE_LANES = 5
ENDS = 2


@dataclass(frozen=True, slots=True)
class NodeSign:
    mark: Segment
    text: str
    style: str
    below: Sequence[Sequence[Segment]] = ()
    tail: Segment = ("", "plain")


class LayeredDrawing:
    """The lines of a layout. `critical`: highlighted edges (upstream job, downstream job); a row takes `spacing` lines.
    A channel's strokes are made when it first becomes visible."""

    def __init__(
        self, layout: LineageLayout, labels: Sequence[NodeSign], widest: int, spacing: int = 1,
        critical: Collection[LayerPair] = (), plain: bool = False, room: int = 0,
    ) -> None:  # fmt: skip
        self.layout, self.labels, self.spacing, self.plain = layout, labels, spacing, plain
        self._channels = edge_channels(layout)
        self._at = {(spot.layer, spot.row): node for node, spot in enumerate(layout.spots)}
        self._right: dict[int, list[int]] = {}
        self._left: dict[int, list[int]] = {}
        for source, target in layout.links:
            self._right.setdefault(source, []).append(target)
            self._left.setdefault(target, []).append(source)
        self.lit = frozenset(self._links_of(critical))
        self._ends_lit = {node for link in self.lit for node in link[:1]}
        names = self._wanted(below=0, is_tight=room > 0)
        spare = room - sum(names.values()) if room else 0
        self._is_narrow = self._between(True) <= spare < self._between(False)  # nothing else makes room for the names
        self._widths = {layer: min(widest, cells) for layer, cells in names.items()}
        self.is_cut = self._widen(room)
        self.layers = sorted(self._widths)
        self._cells: dict[int, dict[Cell, Arms]] = {}
        self._heavy: dict[int, set[Cell]] = {}

    @property
    def height(self) -> int:
        return (max(spot.row for spot in self.layout.spots) + 1) * self.spacing

    @property
    def width(self) -> int:
        return sum(self._widths.values()) + self._between(self._is_narrow)

    def _between(self, is_narrow: bool) -> int:
        return sum(_room(channel, _gap(channel, is_narrow)) for channel in self._channels.values())

    def box(self, node: int) -> tuple[int, int, int]:
        """(x, y, cells) of a node's label."""
        spot, x = self.layout.spots[node], 0
        for layer in self.layers:
            if layer == spot.layer:
                break
            x += self._widths[layer] + self._room(self._channels[layer])
        return x, spot.row * self.spacing, self._widths[spot.layer]

    # neighbors

    def ways(self, node: int, step: int) -> list[list[LayerPair]]:
        """The links from a node to each of its neighbors."""
        next_to = self._right if step > 0 else self._left
        paths: list[list[LayerPair]] = []
        ahead: list[tuple[int, list[LayerPair]]] = [(node, [])]
        for at, way in ahead:
            for neighbor in next_to.get(at, ()):
                link = (at, neighbor) if step > 0 else (neighbor, at)
                if self.layout.spots[neighbor].jobs:
                    paths.append([*way, link])
                else:
                    ahead.append((neighbor, [*way, link]))
        return paths

    def _links_of(self, pairs: Collection[LayerPair]) -> set[LayerPair]:
        node_of = {job: node for node, spot in enumerate(self.layout.spots) for job in spot.jobs} if pairs else {}
        known = {
            (node_of[source], node_of[target]) for source, target in pairs if source in node_of and target in node_of
        }
        links: set[LayerPair] = set()
        for source in {pair[0] for pair in known}:
            for way in self.ways(source, 1):
                if (source, way[-1][1]) in known:
                    links.update(way)
        return links

    # strokes

    def _layer(self, link: LayerPair) -> int:
        return self.layout.spots[link[0]].layer

    def _gap(self, channel: EdgeChannel) -> int:
        return _gap(channel, self._is_narrow)

    def _room(self, channel: EdgeChannel) -> int:
        return _room(channel, self._gap(channel))

    def _path(self, link: LayerPair) -> Iterator[tuple[Cell, Arms]]:
        """The cells of a link from its start to its end, with the arms of each."""
        start, end = (self.layout.spots[node].row for node in link)
        channel = self._channels[self._layer(link)]
        lane, width = channel.lanes.get(start), self._room(channel)
        first, last = start * self.spacing, end * self.spacing
        if lane is None:
            yield from (((x, first), (0, 1, 0, 1)) for x in range(width))
            return
        at = ENDS + lane * self._gap(channel)
        yield from (((x, first), (0, 1, 0, 1)) for x in range(at))
        if first == last:
            yield (at, first), (0, 1, 0, 1)
        else:
            down = last > first
            yield (at, first), (not down, 0, down, 1)
            step = 1 if down else -1
            yield from (((at, y), (1, 0, 1, 0)) for y in range(first + step, last, step))
            yield (at, last), (down, 1, not down, 0)
        yield from (((x, last), (0, 1, 0, 1)) for x in range(at + 1, width))

    def _strokes(self, layer: int) -> dict[Cell, Arms]:
        strokes = self._cells.get(layer)
        if strokes is None:
            strokes = self._cells[layer] = self._drawn(self._channels[layer])
            self._heavy[layer] = set()
            lit = (link for link in self.lit if self._layer(link) == layer)
            for cell, arms in chain.from_iterable(map(self._path, lit)):
                before = strokes[cell]
                if not any(arm and not old for arm, old in zip(arms, before, strict=True)):  # else it passes below
                    strokes[cell] = _joined(before, arms, 2)
                    self._heavy[layer].add(cell)
        return strokes

    def _drawn(self, channel: EdgeChannel) -> dict[Cell, Arms]:
        strokes: dict[Cell, Arms] = {}
        owner: dict[Cell, Sequence[int]] = {}
        width = self._room(channel)
        for row, lane in channel.lanes.items():
            x, targets = ENDS + lane * self._gap(channel), channel.nets[row]
            first, last = (end * self.spacing for end in (min(row, *targets), max(row, *targets)))
            for y in range(first, last + 1):
                strokes[x, y], owner[x, y] = (int(y > first), 0, int(y < last), 0), targets
            strokes[x, row * self.spacing] = _joined(strokes[x, row * self.spacing], (0, 0, 0, 1))
            for target in targets:
                strokes[x, target * self.spacing] = _joined(strokes[x, target * self.spacing], (0, 1, 0, 0))
        for row, targets in channel.nets.items():
            own = channel.lanes.get(row)
            at = width if own is None else ENDS + own * self._gap(channel)
            level = [((x, row), row in targets) for x in range(at)]
            level += [((x, target), True) for target in targets for x in range(at + 1, width)]
            for (x, end), enters in level:
                cell = (x, end * self.spacing)
                crossed = owner.get(cell)
                if crossed is None or (enters and end in crossed):
                    strokes[cell] = _joined(strokes.get(cell, _NONE), (0, 1, 0, 1))
        return strokes

    # lines

    def _wanted(self, below: int, is_tight: bool = False) -> dict[int, int]:
        """Layer -> cells that its labels, and this many lines below each, need; `is_tight`: without spare cells."""
        cells = {spot.layer: 4 for spot in self.layout.spots}
        for node, (spot, label) in enumerate(zip(self.layout.spots, self.labels, strict=True)):
            if spot.jobs:
                named = length_of([(label.text, ""), label.tail]) + (self._beside(node) if is_tight else 4)
                widths = (length_of(line) + 4 for line in label.below[:below])
                cells[spot.layer] = max(cells[spot.layer], named, *widths)
        return cells

    def _widen(self, room: int) -> bool:
        """Distributes `room` over the layers, for names first, then for the lines below them. True if something stays
        cut."""
        below = self.spacing - 1
        for needed in (self._wanted(0, is_tight=True), self._wanted(below, is_tight=True), self._wanted(below)):
            short = {layer for layer, cells in needed.items() if self._widths[layer] < cells}
            spare = room - self.width
            while short and spare > 0:
                for layer in sorted(short, key=abs)[:spare]:
                    self._widths[layer] += 1
                spare -= len(short)
                short = {layer for layer in short if self._widths[layer] < needed[layer]}
        return bool(short)

    def marked(self, links: Collection[LayerPair]) -> set[tuple[int, int, int]]:
        return {(self._layer(link), *cell) for link in links for cell, _ in self._path(link)}

    def line(
        self, y: int, here: int | None, marked: Collection[tuple[int, int, int]], style: Callable[[int], str]
    ) -> list[Segment]:
        """One line. `here`: the node under the cursor; `style`: of the label of a node, "" for its own."""
        row, below = divmod(y, self.spacing)
        runs: list[Segment] = []
        for layer in self.layers:
            node = self._at.get((layer, row))
            runs += self._column(layer, node, below, here, style)
            channel = self._channels.get(layer)
            if channel is not None:
                runs += [self._cell(layer, (x, y), marked) for x in range(self._room(channel))]
        return runs

    def _column(
        self, layer: int, node: int | None, below: int, here: int | None, style: Callable[[int], str]
    ) -> list[Segment]:
        width = self._widths[layer]
        if node is None:
            return [(" " * width, "plain")]
        label, spot = self.labels[node], self.layout.spots[node]
        if not spot.jobs:
            lit = node in self._ends_lit
            return [(" " * width if below else self._stroke((0, 2, 0, 2) if lit else (0, 1, 0, 1)) * width,
                     "warn" if lit else "dim")]  # fmt: skip
        if below:
            shown = cut_runs([("  ", "plain"), *(label.below[below - 1] if below <= len(label.below) else ())], width)
            return [*shown, (" " * (width - length_of(shown)), "plain")]
        own = "here" if node == here else style(node) or label.style
        text = fit_middle(label.text, max(1, width - self._beside(node) - length_of([label.tail])))
        mark = (label.mark[0], own if own in ("here", "dim") else label.mark[1])
        runs: list[Segment] = [mark, (" ", own if own == "here" else "plain"), (text, own)]
        runs += [label.tail] if label.tail[0] else []
        spare = width - length_of(runs)
        if not self._right.get(node):
            return [*runs, (" " * spare, "plain")]
        lit = node in self._ends_lit
        tail = self._stroke((0, 2, 0, 2) if lit else (0, 1, 0, 1)) * (spare - 1)
        return [*runs, (" ", "plain"), (tail, "warn" if lit else "dim")]

    def _beside(self, node: int) -> int:
        """Cells beside the name: its mark, a blank, and one more before a stroke."""
        return 3 if self._right.get(node) else 2

    def _cell(self, layer: int, cell: Cell, marked: Collection[tuple[int, int, int]]) -> Segment:
        arms = self._strokes(layer).get(cell)
        if arms is None:
            return " ", "plain"
        style = "key" if (layer, *cell) in marked else "warn" if cell in self._heavy[layer] else "dim"
        x, y = cell
        if x == self._room(self._channels[layer]) - 1:
            following = self._at.get((layer + 1, y // self.spacing))
            if following is not None and self.layout.spots[following].jobs:
                return ARROW.shape(self.plain), style
        return self._stroke(arms), style

    def _stroke(self, arms: Arms) -> str:
        if not self.plain:
            north, east, south, west = arms
            return BOX[27 * north + 9 * east + 3 * south + west]
        upright, level = max(arms[0], arms[2]), max(arms[1], arms[3])
        if upright and level:
            return "+"
        return " ="[level > 1] if level > 1 else "-" if level else "#" if upright > 1 else "|"


def _gap(channel: EdgeChannel, is_narrow: bool) -> int:
    return 2 if channel.count <= WIDE_LANES and not is_narrow else 1


def _room(channel: EdgeChannel, gap: int) -> int:
    return channel.count * gap + 2 * ENDS - (channel.count > 0)


_NONE: Arms = (0, 0, 0, 0)


def _joined(before: Arms, arms: Arms, weight: int = 1) -> Arms:
    north, east, south, west = (max(old, weight * new) for old, new in zip(before, arms, strict=True))
    return north, east, south, west
