"""Edges between two layers: lanes that never lie over one another, and what leaves a row never hides what enters it."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from console.control.explain.lineage_layout import LayoutRequest, assign_lanes, edge_channels, lay_out
from tests.properties import examples

NETS = st.dictionaries(
    st.integers(0, 9), st.sets(st.integers(0, 9), min_size=1, max_size=4).map(sorted), min_size=1, max_size=8
)


@examples(300)
@given(NETS)
def test_two_edges_never_share_a_stretch_of_a_lane(nets: dict[int, list[int]]) -> None:
    lanes = assign_lanes(nets)
    assert set(lanes) == {row for row, targets in nets.items() if targets != [row]}
    occupied = [(lanes[row], y) for row in lanes for y in range(min(row, *nets[row]), max(row, *nets[row]) + 1)]
    assert len(set(occupied)) == len(occupied)


@examples(300)
@given(NETS)
def test_what_leaves_a_row_turns_off_before_anything_else_enters_it(nets: dict[int, list[int]]) -> None:
    lanes = assign_lanes(nets)
    before = {row: {number for number in nets[row] if number in lanes and number != row and number not in nets[number]}
              for row in lanes}  # fmt: skip
    assume(not _circular(before))
    assert [] == [(row, number) for row, those in before.items() for number in those if lanes[number] >= lanes[row]]


def _circular(before: dict[int, set[int]]) -> bool:
    remaining = dict(before)
    while remaining:
        free = [row for row, those in remaining.items() if not those & remaining.keys()]
        if not free:
            return True
        for row in free:
            del remaining[row]
    return False


def test_rows_that_swap_places_are_both_drawn() -> None:
    assert {0: 0, 1: 1} == assign_lanes({0: [1], 1: [0]})


def test_what_stays_on_its_row_needs_no_lane() -> None:
    layout = lay_out([(1, 2), (2, 3)], LayoutRequest(2, 1, 1))
    assert {-1: 0, 0: 0} == {layer: channel.count for layer, channel in edge_channels(layout).items()}
