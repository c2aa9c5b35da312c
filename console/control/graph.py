"""The dependencies of all systems as one graph. Its nodes are the jobs that schedulers start: a task counts as its DAG,
so that a dependency on a DAG is on all of it, and the edge keeps which job or task it reads. Walks are iterative."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import rustworkx as rx

from console.model.values import DependencyFacts, JobFacts, Origin

_DEEPEST = 50
"""Task groups in task groups: more levels than any scheduler has."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What a downstream reads of one upstream job."""

    upstream: int
    downstream: int
    reads: tuple[int, ...]
    """The jobs or tasks of the upstream whose success it waits for or relies on."""
    native: bool
    """True when the scheduler itself makes it wait."""


class Graph:
    """Dependencies between jobs, without cycles: where there is one, `cycles` names it and its edges are left out."""

    def __init__(self, jobs: Mapping[int, JobFacts], dependencies: Iterable[DependencyFacts]) -> None:
        self._above = _tops(jobs)
        edges = _edges(self.unit, [each for each in dependencies if _known(each, jobs)])
        knots, self.cycles = _knots([(edge.upstream, edge.downstream) for edge in edges])
        kept = [edge for edge in edges if knots.get(edge.upstream, -1) != knots.get(edge.downstream, -2)]
        self._graph, self._place = _digraph((edge.upstream, edge.downstream) for edge in kept)
        self._into: dict[int, list[Edge]] = {}
        self._out_of: dict[int, list[Edge]] = {}
        for edge in kept:
            self._into.setdefault(edge.downstream, []).append(edge)
            self._out_of.setdefault(edge.upstream, []).append(edge)
        self._rank = {self._graph[place]: rank for rank, place in enumerate(rx.topological_sort(self._graph))}

    def unit(self, job_id: int) -> int:
        """The job that the scheduler starts: the DAG of a task, the job itself otherwise."""
        while (above := self._above.get(job_id)) is not None:
            job_id = above
        return job_id

    def into(self, job_id: int) -> Sequence[Edge]:
        """The edges from its direct upstreams."""
        return self._into.get(job_id, ())

    def out_of(self, job_id: int) -> Sequence[Edge]:
        """The edges to its direct downstreams."""
        return self._out_of.get(job_id, ())

    def downstreams(self) -> list[int]:
        """Every job that has upstreams, so that upstreams come before their downstreams."""
        return sorted(self._into, key=self._rank.__getitem__)

    def ancestors(self, job_id: int) -> set[int]:
        """Everything upstream of the job, without itself."""
        place = self._place.get(job_id)
        return set() if place is None else {self._graph[each] for each in rx.ancestors(self._graph, place)}

    def descendants(self, job_id: int) -> set[int]:
        """Everything downstream of the job, without itself."""
        place = self._place.get(job_id)
        return set() if place is None else {self._graph[each] for each in rx.descendants(self._graph, place)}

    def members(self, terminals: Iterable[int]) -> set[int]:
        """The jobs of a service: its terminals and everything upstream of them."""
        ends = {self.unit(each) for each in terminals}
        return ends.union(*(self.ancestors(each) for each in ends))

    def ordered(self, job_ids: Iterable[int]) -> list[int]:
        """The jobs so that every upstream comes before its downstreams; equals by id."""
        return sorted(job_ids, key=lambda each: (self._rank.get(each, -1), each))


def _tops(jobs: Mapping[int, JobFacts]) -> dict[int, int]:
    """Task -> the job at the top of its parents, none of them missing; a ring of parents has no top and is left out."""
    tops: dict[int, int] = {}
    for job in jobs.values():
        steps, top = 0, job
        while top.parent_id is not None and top.parent_id in jobs and steps <= _DEEPEST:
            steps, top = steps + 1, jobs[top.parent_id]
        if 0 < steps <= _DEEPEST:
            tops[job.id] = top.id
    return tops


def _known(dependency: DependencyFacts, jobs: Mapping[int, JobFacts]) -> bool:
    return dependency.upstream_id in jobs and dependency.downstream_id in jobs


def _edges(unit: Callable[[int], int], dependencies: Sequence[DependencyFacts]) -> list[Edge]:
    """One edge per pair of jobs, ordered by their ids; none inside one DAG."""
    found: dict[tuple[int, int], list[DependencyFacts]] = {}
    for each in dependencies:
        pair = (unit(each.upstream_id), unit(each.downstream_id))
        if pair[0] != pair[1]:
            found.setdefault(pair, []).append(each)
    return [
        Edge(
            upstream,
            downstream,
            reads=tuple(sorted({each.upstream_id for each in parts})),
            native=any(each.origin is Origin.NATIVE for each in parts),
        )
        for (upstream, downstream), parts in sorted(found.items())
    ]


def _knots(pairs: Sequence[tuple[int, int]]) -> tuple[dict[int, int], list[list[int]]]:
    """Job -> number of the knot that it is part of, for jobs on cycles; and one path for each knot."""
    graph, _ = _digraph(pairs)
    parts = [part for part in rx.strongly_connected_components(graph) if len(part) > 1]
    return {graph[place]: number for number, part in enumerate(parts) for place in part}, _paths(graph)


def _digraph(pairs: Iterable[tuple[int, int]]) -> tuple[rx.PyDiGraph[int, None], dict[int, int]]:
    """The graph of these pairs (job ids as nodes) and the place of each job in it."""
    graph: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
    unique = list(dict.fromkeys(pairs))
    jobs = list(dict.fromkeys(job for pair in unique for job in pair))
    place = dict(zip(jobs, graph.add_nodes_from(jobs), strict=True))
    graph.add_edges_from_no_data([(place[upstream], place[downstream]) for upstream, downstream in unique])
    return graph, place


def _paths(graph: rx.PyDiGraph[int, None]) -> list[list[int]]:
    """One closed path of job ids for each strongly connected part of the graph that has more than one job."""
    paths = []
    for part in rx.strongly_connected_components(graph):
        if len(part) > 1:
            knot = graph.subgraph(sorted(part))
            steps = rx.digraph_find_cycle(knot, 0)
            paths.append([knot[steps[0][0]], *(knot[after] for _, after in steps)])
    return paths
