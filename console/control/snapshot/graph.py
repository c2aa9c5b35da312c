"""The dependency graph over all systems.

Nodes are the jobs that schedulers start: a task counts as its DAG, so a dependency on a DAG is on all of it, and
the edge keeps which job or task it reads. Traversals are iterative.

Gates, where they want more than success on the same date, are kept beside the edges. An edge that reads the
previous period and closes a loop is in the gates only: the loop goes through time, not in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import rustworkx as rx

from console.domain.dependency import DependencyOrigin, Requirement, UpstreamPeriod, find_components
from console.domain.estate import DependencyFacts, JobFacts

_DEEPEST = 50
"""Task groups in task groups: more levels than any scheduler has."""
JobPair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class DependencyEdge:
    """Requirement of a downstream on one upstream job."""

    upstream: int
    downstream: int
    reads: tuple[int, ...]
    """The jobs or tasks of the upstream whose success it waits for or relies on."""
    native: bool
    """True when the scheduler itself makes it wait."""


@dataclass(frozen=True, slots=True)
class UpstreamRead:
    """One upstream of a gate."""

    upstream: int
    """The job or task that is read."""
    unit: int
    wants: Requirement
    native: bool = False
    loops: bool = False
    """True where the upstream itself waits for the downstream, or is the same job."""


@dataclass(frozen=True, slots=True)
class UpstreamGate:
    """Upstreams of which `need` let a downstream start."""

    need: int
    reads: tuple[UpstreamRead, ...]


class DependencyGraph:
    """Dependencies between jobs, without cycles: where there is one, `cycles` names it and its edges are left out."""

    def __init__(self, jobs: Mapping[int, JobFacts], dependencies: Iterable[DependencyFacts]) -> None:
        self._tops = _tops(jobs)
        parts_by_pair = _between(
            self._tops, (edge for edge in dependencies if edge.upstream_id in jobs and edge.downstream_id in jobs)
        )
        knots, self.cycles = _knots([pair for pair, parts in parts_by_pair.items() if not _is_previous(parts)])
        acyclic = {
            pair: parts for pair, parts in parts_by_pair.items() if not _inside(pair, knots) or _is_previous(parts)
        }
        loops = _loops(acyclic)
        edges = [_edge(pair, parts) for pair, parts in acyclic.items() if pair not in loops]
        graph: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
        unique = list(dict.fromkeys((edge.upstream, edge.downstream) for edge in edges))
        ids = list(dict.fromkeys(job for pair in unique for job in pair))
        position = dict(zip(ids, graph.add_nodes_from(ids), strict=True))
        graph.add_edges_from_no_data([(position[upstream], position[downstream]) for upstream, downstream in unique])
        self._graph, self._place = graph, position
        self._into: dict[int, list[DependencyEdge]] = {}
        self._out_of: dict[int, list[DependencyEdge]] = {}
        for edge in edges:
            self._into.setdefault(edge.downstream, []).append(edge)
            self._out_of.setdefault(edge.upstream, []).append(edge)
        self._rank = {self._graph[place]: rank for rank, place in enumerate(rx.topological_sort(self._graph))}
        self._gates = _gates(self.unit, acyclic, loops)
        self._loops = loops
        self._batches = _batches(acyclic) if loops else None
        self._tasks: dict[int, list[int]] = {}
        for task, top in self._tops.items():
            self._tasks.setdefault(top, []).append(task)
        looped = {job_id for pair in loops for job_id in pair}
        self._looped = looped.union(*(batch for batch in self._batches or () if not looped.isdisjoint(batch)))

    def unit(self, job_id: int) -> int:
        """The job that the scheduler starts: the DAG of a task, the job itself otherwise."""
        return self._tops.get(job_id, job_id)

    def into(self, job_id: int) -> Sequence[DependencyEdge]:
        """The edges from its direct upstreams, but those that close a loop through the previous period."""
        return self._into.get(job_id, ())

    def out_of(self, job_id: int) -> Sequence[DependencyEdge]:
        """The edges to its direct downstreams."""
        return self._out_of.get(job_id, ())

    @property
    def has_loops(self) -> bool:
        return bool(self._loops)

    def looped_out_of(self, job_id: int) -> Sequence[int]:
        """The jobs that read the run of it of the period before, and lie above it, or are it."""
        return [downstream for upstream, downstream in self._loops if upstream == job_id] if self._loops else ()

    def gates(self, job_id: int) -> Sequence[UpstreamGate] | None:
        """All that it waits for; None where that is no more than the success of each of `into` on the same date."""
        return self._gates.get(job_id)

    @property
    def gated(self) -> Iterable[int]:
        """The jobs that have gates."""
        return self._gates.keys()

    def is_loop(self, upstream_id: int, downstream_id: int) -> bool:
        """True where the upstream itself waits for the downstream, or is the same job: its run before is meant."""
        return (self.unit(upstream_id), self.unit(downstream_id)) in self._loops

    def is_on_loop(self, job_id: int) -> bool:
        """True for a job whose runs read the one before, be it through others."""
        return bool(self._loops) and job_id in self._looped

    def reads_any(self, job_id: int) -> bool:
        """True for a job that has upstreams, be it itself of the period before."""
        return job_id in self._into or job_id in self._gates

    def batches_of(self, job_ids: Iterable[int]) -> Iterable[Sequence[int]]:
        """These jobs, or their DAGs, that have upstreams, upstreams first: each alone, but together where they wait for
        each other through the previous period."""
        units = {self.unit(job_id) for job_id in job_ids}
        if self._batches is None:
            return ((job_id,) for job_id in sorted(units & self._into.keys(), key=self._rank.__getitem__))
        return (batch for batch in self._batches if not units.isdisjoint(batch))

    def tasks(self, job_id: int) -> Sequence[int]:
        """The tasks of a DAG."""
        return self._tasks.get(job_id, ())

    def ranks(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Of each job a number that is greater than those of its upstreams; the same for all jobs of one loop."""
        if self._batches is None:
            return {job_id: place for place, job_id in enumerate(self.ordered(job_ids))}
        place_of = {job_id: place for place, batch in enumerate(self._batches, 1) for job_id in batch}
        return {job_id: place_of.get(job_id, 0) for job_id in job_ids}

    def ancestors(self, job_id: int) -> set[int]:
        """Everything upstream of the job, without itself."""
        place = self._place.get(job_id)
        return set() if place is None else {self._graph[ancestor] for ancestor in rx.ancestors(self._graph, place)}

    def descendants(self, job_id: int) -> set[int]:
        """Everything downstream of the job, without itself."""
        place = self._place.get(job_id)
        return set() if place is None else {self._graph[below] for below in rx.descendants(self._graph, place)}

    def members(self, terminals: Iterable[int]) -> set[int]:
        """The jobs of a service: its terminals and everything upstream of them."""
        ends = {self.unit(terminal) for terminal in terminals}
        return ends.union(*(self.ancestors(end) for end in ends))

    def ordered(self, job_ids: Iterable[int]) -> list[int]:
        """The jobs so that every upstream comes before its downstreams; equals by id."""
        return sorted(job_ids, key=lambda job_id: (self._rank.get(job_id, -1), job_id))


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


def _between(tops: Mapping[int, int], dependencies: Iterable[DependencyFacts]) -> dict[JobPair, list[DependencyFacts]]:
    """The dependencies of each pair of jobs, ordered by their ids; none inside one DAG but on its run before."""
    by_pair: dict[JobPair, list[DependencyFacts]] = {}
    for edge in dependencies:
        upstream, downstream = edge.upstream_id, edge.downstream_id
        upstream, downstream = tops.get(upstream, upstream), tops.get(downstream, downstream)
        if upstream != downstream or edge.wants.period is UpstreamPeriod.PREVIOUS:
            by_pair.setdefault((upstream, downstream), []).append(edge)
    return {pair: by_pair[pair] for pair in sorted(by_pair)}


def _edge(pair: JobPair, parts: Sequence[DependencyFacts]) -> DependencyEdge:
    reads = tuple(sorted({part.upstream_id for part in parts}))
    return DependencyEdge(*pair, reads, native=any(part.origin is DependencyOrigin.NATIVE for part in parts))


def _is_previous(parts: Sequence[DependencyFacts]) -> bool:
    if not any(part.wants.period is UpstreamPeriod.PREVIOUS for part in parts):
        return False
    return all(part.wants.period is UpstreamPeriod.PREVIOUS for part in _effective(parts))


def _effective(parts: Sequence[DependencyFacts]) -> list[DependencyFacts]:
    by_pair: dict[JobPair, DependencyFacts] = {}
    for part in parts:
        pair = (part.upstream_id, part.downstream_id)
        if pair not in by_pair or part.origin is DependencyOrigin.DECLARED:
            by_pair[pair] = part
    return list(by_pair.values())


def _inside(pair: JobPair, knots: Mapping[int, int]) -> bool:
    return knots.get(pair[0], -1) == knots.get(pair[1], -2)


def _loops(parts_by_pair: Mapping[JobPair, Sequence[DependencyFacts]]) -> set[JobPair]:
    """The pairs that read the previous period and lie on a circle."""
    if not any(_is_previous(parts) for parts in parts_by_pair.values()):
        return set()
    knots, _ = _knots(list(parts_by_pair))
    return {pair for pair, parts in parts_by_pair.items() if _is_previous(parts) and _inside(pair, knots)}


def _batches(job_pairs: Iterable[JobPair]) -> list[Sequence[int]]:
    """Jobs that have upstreams, by the loops that they are on; upstreams before downstreams, loops by their ids."""
    pairs = list(job_pairs)
    # a job that also reads itself: the greater component counts
    knots = sorted((part for part, _ in find_components(pairs)), key=len)
    loop_of = {job: tuple(sorted(part)) for part in knots for job in part}
    ends = [(loop_of.get(up, (up,)), loop_of.get(down, (down,))) for up, down in pairs]
    graph: rx.PyDiGraph[tuple[int, ...], None] = rx.PyDiGraph(multigraph=False)
    nodes = list(dict.fromkeys(node for pair in ends for node in pair))
    place = dict(zip(nodes, graph.add_nodes_from(nodes), strict=True))
    graph.add_edges_from_no_data([(place[up], place[down]) for up, down in dict.fromkeys(ends) if up != down])
    read = {down for _, down in ends}
    return [graph[node] for node in rx.topological_sort(graph) if graph[node] in read]


def _gates(
    unit: Callable[[int], int], parts_by_pair: Mapping[JobPair, Sequence[DependencyFacts]], loops: set[JobPair]
) -> dict[int, tuple[UpstreamGate, ...]]:
    """By downstream, in the order of the upstreams' ids; only of those that want more than what is plain."""
    special = {pair[1] for pair, parts in parts_by_pair.items() if any(not part.wants.is_plain for part in parts)}
    gates_by_job: dict[int, dict[tuple[object, ...], list[UpstreamRead]]] = {}
    for pair, parts in parts_by_pair.items():
        if pair[1] not in special:
            continue
        natively = any(part.origin is DependencyOrigin.NATIVE for part in parts)
        for part in _effective(parts):
            gate_key = (part.downstream_id, part.wants.gate) if part.wants.gate else (part.downstream_id, pair, part)
            read = UpstreamRead(part.upstream_id, pair[0], part.wants, natively, pair in loops)
            gates_by_job.setdefault(pair[1], {}).setdefault(gate_key, []).append(read)
    return {job_id: tuple(map(_gate, gates.values())) for job_id, gates in gates_by_job.items()}


def _gate(reads: Sequence[UpstreamRead]) -> UpstreamGate:
    """Of upstreams that are not there fewer can be needed."""
    need = reads[0].wants.need or len(reads)
    return UpstreamGate(min(need, len(reads)), tuple(reads))


def _knots(pairs: Sequence[JobPair]) -> tuple[dict[int, int], list[list[int]]]:
    """Job -> number of the knot that it is part of, for jobs on cycles; and one path for each knot."""
    components = find_components(pairs)
    return {job: number for number, (part, _) in enumerate(components) for job in part}, [
        list(path) for _, path in components
    ]
