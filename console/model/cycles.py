"""Circles among names or numbers that lead to each other: the same core for config and for the graph of jobs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

Node = TypeVar("Node", bound=Hashable)


def knots(pairs: Iterable[tuple[Node, Node]]) -> list[tuple[Node, ...]]:
    """One closed path for each knot: "a leads to b leads to a" is (a, b, a), and what leads to itself (a, a).

    A knot is a set of nodes each of which leads to each other; all of its pairs lie inside it. In the order of the
    pairs. Iterative.
    """
    return [path for _, path in knotted(pairs)]


def knotted(pairs: Iterable[tuple[Node, Node]]) -> list[tuple[frozenset[Node], tuple[Node, ...]]]:
    """All nodes of each knot, and one closed path in it."""
    import rustworkx as rx  # noqa: PLC0415 - only where there are pairs to look at, not where the console starts

    unique = list(dict.fromkeys(pairs))
    graph: Any = rx.PyDiGraph(multigraph=False)
    nodes = list(dict.fromkeys(node for pair in unique for node in pair))
    place = dict(zip(nodes, graph.add_nodes_from(nodes), strict=True))
    graph.add_edges_from_no_data([(place[one], place[other]) for one, other in unique])
    found: list[tuple[frozenset[Node], tuple[Node, ...]]]
    found = [(frozenset({one}), (one, one)) for one, other in unique if one == other]
    for part in rx.strongly_connected_components(graph):
        if len(part) > 1:
            knot = graph.subgraph(sorted(part))
            steps = rx.digraph_find_cycle(knot, 0)
            path = (knot[steps[0][0]], *(knot[after] for _, after in steps))
            found.append((frozenset(graph[each] for each in part), path))
    return found
