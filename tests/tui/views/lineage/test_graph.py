"""Whoever follows a stroke from a spot comes to the spots that it feeds, and to no other."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from console.control.explain.lineage_layout import LayoutRequest, LineageLayout, edge_channels, lay_out
from console.tui.widgets.layered_drawing import BOX, LayeredDrawing, NodeSign
from tests.properties import examples

EDGES = st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda pair: pair[0] < pair[1]), max_size=24)


def _own(place: int) -> str:
    """No label has another style than its own."""
    return ""


def drawing(edges: list[tuple[int, int]], focus: int = 0, plain: bool = False, spacing: int = 1,
            lit: tuple[tuple[int, int], ...] = ()) -> LayeredDrawing:  # fmt: skip
    layout = lay_out(edges, LayoutRequest(focus, 20, 20))
    labels = [NodeSign(("o", "ok"), f"job{spot.jobs[0]}" if spot.jobs else "", "plain") for spot in layout.spots]
    return LayeredDrawing(layout, labels, 10, spacing, lit, plain)


def lines(layered_drawing: LayeredDrawing) -> list[str]:
    return [
        "".join(text for text, _ in layered_drawing.line(y, None, (), _own)).rstrip()
        for y in range(layered_drawing.height)
    ]


def test_every_stroke_has_its_own_sign() -> None:
    assert len(set(BOX)) == len(BOX) == 81


def test_a_chain_is_a_line_with_arrows() -> None:
    assert lines(drawing([(0, 1), (1, 2)])) == ["o job0 ────▸o job1 ────▸o job2"]


def test_the_critical_path_is_heavy_and_in_letters_it_is_double() -> None:
    assert lines(drawing([(0, 1), (0, 2)], lit=((0, 2),))) == ["o job0 ━━━┱─▸o job1", "          ┗━▸o job2"]
    assert lines(drawing([(0, 1), (0, 2)], plain=True, lit=((0, 2),))) == ["o job0 ===+->o job1", "          +=>o job2"]


def test_with_room_a_row_has_a_second_line() -> None:
    layout = lay_out([(0, 1)], LayoutRequest(0, 1, 1))
    labels = [NodeSign(("o", "ok"), f"job{number}", "plain", [[("03:12", "dim")]]) for number in range(2)]
    assert lines(LayeredDrawing(layout, labels, 10, 2)) == ["o job0 ────▸o job1", "  03:12       03:12"]


def test_the_text_below_is_complete_where_there_is_room_and_cut_where_there_is_none() -> None:
    layout = lay_out([(0, 1)], LayoutRequest(0, 1, 1))
    labels = [
        NodeSign(("o", "ok"), f"job{number}", "plain", [[("waits for it, due 04:00", "dim")]]) for number in range(2)
    ]
    assert lines(LayeredDrawing(layout, labels, 10, 2, room=80))[1].count("waits for it, due 04:00") == 2
    assert LayeredDrawing(layout, labels, 10, 2, room=40).width <= 40


def test_wide_names_are_cut_by_cells() -> None:
    layout = lay_out([(0, 1)], LayoutRequest(0, 1, 1))
    labels = [NodeSign(("o", "ok"), "漢字の名前の仕事", "plain"), NodeSign(("o", "ok"), "b", "plain")]
    layered_drawing = LayeredDrawing(layout, labels, 10)
    assert [layered_drawing.width] == [sum(len(text) + sum(letter > "\u3000" for letter in text) for text, _ in
                               layered_drawing.line(0, None, (), _own))]  # fmt: skip


def test_right_and_left_lead_along_the_edges_behind_all_bends() -> None:
    layered_drawing = drawing([(0, 1), (1, 2), (0, 2)])
    place = {spot.jobs[0]: number for number, spot in enumerate(layered_drawing.layout.spots) if spot.jobs}
    assert {place[1], place[2]} == {way[-1][1] for way in layered_drawing.ways(place[0], 1)}
    assert {place[0], place[1]} == {way[-1][0] for way in layered_drawing.ways(place[2], -1)}


@examples(150)
@given(EDGES, st.integers(1, 2))
def test_an_edge_leads_where_it_should_cell_by_cell(edges: set[tuple[int, int]], spacing: int) -> None:
    layered_drawing = drawing(sorted(edges), 6, spacing=spacing)
    for link in layered_drawing.layout.links:
        cells = list(layered_drawing._path(link))
        assert all(abs(x - u) + abs(y - v) == 1 for ((x, y), _), ((u, v), _) in pairwise(cells))
        assert cells[0][0] == (0, layered_drawing.layout.spots[link[0]].row * spacing)
        assert cells[-1][0][1] == layered_drawing.layout.spots[link[1]].row * spacing
    assert (
        len(
            {
                len("".join(text for text, _ in layered_drawing.line(y, None, (), _own)))
                for y in range(layered_drawing.height)
            }
        )
        == 1
    )


@examples(150)
@given(EDGES)
def test_a_stroke_that_is_followed_ends_at_what_the_spot_feeds_or_joins_its_way(edges: set[tuple[int, int]]) -> None:
    """To the right, up or down along a lane, never back to the left: what is reached is fed by it, or by what joins."""
    layered_drawing = drawing(sorted(edges), 6)
    if any(_swaps(layered_drawing.layout, layer) for layer in edge_channels(layered_drawing.layout)):
        return
    for layer, channel in edge_channels(layered_drawing.layout).items():
        for row, targets in channel.nets.items():
            assert set(targets) <= _reached(layered_drawing, layer, row)


def _reached(layered_drawing: LayeredDrawing, layer: int, row: int) -> set[int]:
    cells, results, ahead = layered_drawing._strokes(layer), set[tuple[int, int]](), [(0, row)]
    for x, y in ahead:
        if (x, y) in results or (x, y) not in cells:
            continue
        results.add((x, y))
        up, right, down, _ = cells[x, y]
        ahead += [(x, y - 1)] * bool(up) + [(x + 1, y)] * bool(right) + [(x, y + 1)] * bool(down)
        if not right and not up and not down:
            continue
        behind = next((u for u in range(x + 1, x + 40) if not _passes_below(cells, (u, y))), None)
        if right and behind is not None:
            ahead.append((behind, y))
    last = max(x for x, _ in cells)
    return {y for x, y in results if x == last}


def _passes_below(cells: dict[tuple[int, int], tuple[int, int, int, int]], cell: tuple[int, int]) -> bool:
    """A lane that nothing enters or leaves there: a line goes on behind it."""
    arms = cells.get(cell)
    return arms is not None and not arms[1] and not arms[3]


def _swaps(layout: LineageLayout, layer: int) -> bool:
    nets = edge_channels(layout)[layer].nets
    return any(row in nets.get(target, ()) for row, targets in nets.items() for target in targets if target != row)
