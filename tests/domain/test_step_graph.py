"""The order of a plan's steps."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from console.domain.step_graph import StepGraph

SIZE = 7
GRAPHS = st.lists(st.frozensets(st.integers(-1, SIZE + 1)), min_size=SIZE, max_size=SIZE).map(
    lambda drawn: {place: tuple(sorted(after)) for place, after in enumerate(drawn, 1)}
)
"""With steps that wait for each other in a circle, for themselves, or for one that is not in the plan."""


def reach(after: Mapping[int, tuple[int, ...]]) -> dict[int, set[int]]:
    """The earlier steps that each waits for, step by step."""
    before: dict[int, set[int]] = {place: set() for place in after}
    for _ in after:
        for place in after:
            near = {number for number in after[place] if 0 < number < place}
            before[place] = near.union(*(before[number] for number in near))
    return before


@given(GRAPHS)
def test_a_step_waits_for_all_earlier_ones_on_every_way_to_it(after: dict[int, tuple[int, ...]]) -> None:
    graph, before = StepGraph(after), reach(after)
    assert before == {place: graph.before(place) for place in after}
    for place in after:
        parallel = {n for n in after if n != place and n not in before[place] and place not in before[n]}
        assert parallel == {*graph.parallel(place)}


@given(GRAPHS, st.frozensets(st.integers(1, SIZE)))
def test_the_nearest_candidates_stand_for_all_those_before_them(
    after: dict[int, tuple[int, ...]], candidates: frozenset[int]
) -> None:
    graph, before = StepGraph(after), reach(after)
    for place in after:
        nearest = {*graph.nearest(place, candidates)}
        assert before[place] & candidates == (nearest.union(*(before[near] for near in nearest)) & candidates)
        assert not any(near in before[peer] for near in nearest for peer in nearest)


def test_a_step_is_as_deep_as_the_longest_way_to_it() -> None:
    assert {1: 0, 2: 1, 3: 0, 4: 2} == StepGraph({4: (2, 3), 3: (), 2: (1,), 1: (9,)}).depths()
