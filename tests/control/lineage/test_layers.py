"""A drawing holds every job near the focus once, joins what an edge joins and nothing else, whatever the graph."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from console.control.explain.lineage_layout import FOLDED, LayoutRequest, LineageLayout, lay_out
from tests.properties import examples

EDGES = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=45)
LAYOUTS = st.builds(
    LayoutRequest,
    focus=st.integers(0, 14),
    up=st.integers(0, 5),
    down=st.integers(0, 5),
    most=st.integers(2, 6),
    opened=st.frozensets(st.integers(-2, 2), max_size=2),
    keep=st.frozensets(st.integers(0, 14), max_size=3),
    groups=st.dictionaries(st.integers(0, 14), st.sampled_from(["etl", "dwh"])),
)


def joined(layout: LineageLayout) -> set[tuple[int, int]]:
    """Pairs of spots that are joined, bends followed to their end."""
    right: dict[int, list[int]] = {}
    for number, other in layout.links:
        right.setdefault(number, []).append(other)
    results = set()
    for start, spot in enumerate(layout.spots):
        ahead = list(right.get(start, ())) if spot.jobs else []
        for index in ahead:
            if layout.spots[index].jobs:
                results.add((start, index))
            else:
                ahead += right.get(index, ())
    return results


def within(focus: int, edges: list[tuple[int, int]], steps: int) -> set[int]:
    results = {focus}
    for _ in range(steps):
        results |= {other for number, other in edges if number in results}
    return results


@examples(300)
@given(EDGES, LAYOUTS)
def test_every_job_within_the_steps_has_one_position(edges: list[tuple[int, int]], wanted: LayoutRequest) -> None:
    layout = lay_out(edges, wanted)
    near = within(wanted.focus, edges, wanted.down) | within(wanted.focus, [pair[::-1] for pair in edges], wanted.up)
    shown = [job for spot in layout.spots for job in spot.jobs]
    assert sorted(near) == sorted(shown)
    assert len({(spot.layer, spot.row) for spot in layout.spots}) == len(layout.spots)
    assert min(spot.row for spot in layout.spots) == 0


@examples(300)
@given(EDGES, LAYOUTS)
def test_what_is_joined_is_what_an_edge_joins(edges: list[tuple[int, int]], wanted: LayoutRequest) -> None:
    layout = lay_out(edges, wanted)
    place = {job: number for number, spot in enumerate(layout.spots) for job in spot.jobs}
    drawn = {pair for pair in edges if pair[0] in place and pair[1] in place and pair not in layout.loops}
    assert joined(layout) == {(place[number], place[other]) for number, other in drawn}
    assert all(layout.spots[number].layer + 1 == layout.spots[other].layer for number, other in layout.links)
    assert len(set(layout.links)) == len(layout.links)


@examples(200)
@example([(0, job) for job in range(1, 7)], LayoutRequest(focus=0, up=0, down=1, most=2, keep=frozenset({3, 4, 5})))
@given(EDGES, LAYOUTS)
def test_a_layer_has_a_limit_until_it_is_expanded_and_pinned_jobs_are_folded_last(
    edges: list[tuple[int, int]], wanted: LayoutRequest
) -> None:
    layout = lay_out(edges, wanted)
    assert (wanted.focus,) in [spot.jobs for spot in layout.spots]
    for layer in {spot.layer for spot in layout.spots}:
        spots = [spot for spot in layout.spots if spot.layer == layer and spot.jobs]
        assert layer in wanted.opened or len(spots) <= wanted.most
        rest = [job for spot in spots if spot.group == FOLDED for job in spot.jobs]
        alone = [spot for spot in spots if spot.group != FOLDED]
        if any(job in wanted.keep for job in rest):
            assert all({wanted.focus, *wanted.keep} & {*spot.jobs} for spot in alone)


@examples(200)
@given(st.sets(st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda pair: pair[0] < pair[1]), max_size=45))
def test_where_there_is_no_circle_every_edge_is_drawn(edges: set[tuple[int, int]]) -> None:
    layout = lay_out(sorted(edges), LayoutRequest(7, 20, 20))
    assert layout.loops == ()


def test_a_circle_is_drawn_but_for_the_edge_that_leads_back() -> None:
    layout = lay_out([(1, 2), (2, 3), (3, 1)], LayoutRequest(1, 0, 3))
    assert layout.loops == ((3, 1),)
    assert [spot.jobs for spot in sorted(layout.spots, key=lambda spot: spot.layer)] == [(1,), (2,), (3,)]


def test_what_only_a_circle_through_the_other_side_leads_to_is_drawn_too() -> None:
    layout = lay_out([(0, 1), (0, 2), (1, 0)], LayoutRequest(1, 1, 2))
    assert {(0,): -1, (1,): 0, (2,): 2} == {spot.jobs: spot.layer for spot in layout.spots if spot.jobs}
    assert ((1, 0),) == layout.loops


def test_what_lies_further_away_is_counted() -> None:
    layout = lay_out([(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)], LayoutRequest(3, 1, 1))
    assert (layout.above, layout.below) == (1, 2)


def test_a_chain_is_one_line() -> None:
    layout = lay_out([(1, 2), (2, 3), (3, 4)], LayoutRequest(2, 9, 9))
    assert [(spot.jobs, spot.layer, spot.row) for spot in layout.spots] == [
        ((1,), -1, 0), ((2,), 0, 0), ((3,), 1, 0), ((4,), 2, 0)
    ]  # fmt: skip


def test_an_edge_over_several_layers_bends_in_each_between_once_for_all_of_a_spot() -> None:
    layout = lay_out([(1, 2), (2, 3), (3, 4), (1, 4), (3, 5), (1, 5)], LayoutRequest(1, 9, 9))
    assert [spot.layer for spot in layout.spots if not spot.jobs] == [1, 2]


def test_jobs_of_a_system_are_one_spot_in_each_layer_and_the_focus_stays_alone() -> None:
    groups = dict.fromkeys(range(5), "etl")
    layout = lay_out([(0, 1), (0, 2), (1, 3), (2, 4)], LayoutRequest(0, 9, 9, groups=groups))
    assert [(spot.jobs, spot.group) for spot in layout.spots] == [((0,), ""), ((1, 2), "etl"), ((3, 4), "etl")]
