"""What of an estate hangs together for as long as config and inventories stay: made once, and kept for the next look.

Jobs hang together by dependencies, as a task of its DAG, by a service, or a check, that several of them deliver, and
with the one whose start a service's deadline is counted from; and chains of services by a pool that they meet in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import rustworkx as rx

from console.control.pools import pools_of
from console.model.values import DependencyFacts, Estate, JobFacts


class Shape:
    """The parts of an estate, by number."""

    def __init__(self, estate: Estate) -> None:
        self._jobs, self._dependencies, self._services = estate.jobs, estate.dependencies, estate.services
        self._pools = estate.declared.pools
        self._sharing = pools_of(estate.declared, estate.jobs)
        self._pool_of = {job_id: name for name, jobs in self._sharing.items() for job_id in jobs}
        self._parts = _parts(estate, self._sharing.values())
        self._part_of = {job_id: number for number, part in enumerate(self._parts) for job_id in part}
        self._edges: dict[int, list[DependencyFacts]] = {}
        for edge in estate.dependencies:
            if edge.upstream_id in self._part_of:
                self._edges.setdefault(self._part_of[edge.upstream_id], []).append(edge)
        self._on_target: dict[int, list[int]] = {}
        for job in estate.jobs.values():
            self._on_target.setdefault(job.target_id, []).append(job.id)

    def is_of(self, estate: Estate) -> bool:
        """True where this estate has the same shape; cheap where it shares its values with the one of before."""
        if estate.dependencies is not self._dependencies or estate.services is not self._services:
            return False
        if estate.declared.pools != self._pools:
            return False
        return estate.jobs is self._jobs or _places(estate.jobs) == _places(self._jobs)

    def parts(self) -> Sequence[set[int]]:
        return self._parts

    def parts_with(self, job_ids: Iterable[int]) -> set[int]:
        """The numbers of the parts of these jobs."""
        return {self._part_of[each] for each in job_ids if each in self._part_of}

    def jobs_of(self, parts: Iterable[int]) -> set[int]:
        return set().union(*(self._parts[each] for each in parts))

    def edges_of(self, parts: Iterable[int]) -> tuple[DependencyFacts, ...]:
        """The dependencies within these parts, in order."""
        found = [edge for each in parts for edge in self._edges.get(each, ())]
        return tuple(sorted(found, key=lambda edge: (edge.upstream_id, edge.downstream_id, edge.origin)))

    def sharing_with(self, job_ids: Iterable[int]) -> set[int]:
        """The jobs that take slots of the pools from which these take theirs, these among them."""
        pools = {self._pool_of[each] for each in job_ids if each in self._pool_of}
        return set[int]().union(*(self._sharing[name] for name in pools))

    def on_target(self, target_id: int) -> Sequence[int]:
        """The jobs of a target, in the order of the jobs."""
        return self._on_target.get(target_id, ())


def joined(jobs: Iterable[int], links: Iterable[tuple[int, int]]) -> list[set[int]]:
    """These jobs by parts that the links join."""
    graph = rx.PyGraph[int, None](multigraph=False)
    named = list(jobs)
    places = dict(zip(named, graph.add_nodes_from(named), strict=True))
    known = [(places[one], places[other]) for one, other in links if one in places and other in places]
    graph.add_edges_from_no_data(known)
    return [{graph[place] for place in part} for part in rx.connected_components(graph)]


def _parts(estate: Estate, pools: Collection[Sequence[int]]) -> list[set[int]]:
    """Chains of services that meet in a pool hang together: what the one takes, the other waits for. `pools`: the jobs
    of each."""
    links = list(_lasting(estate))
    parts = joined(estate.jobs, links)
    if not pools:
        return parts
    ends = {each for service in estate.services for each in service.terminals}
    promised = set[int]().union(*(part for part in parts if not part.isdisjoint(ends)))
    links += [link for jobs in pools for link in pairwise(each for each in jobs if each in promised)]
    return joined(estate.jobs, links)


def _lasting(estate: Estate) -> Iterator[tuple[int, int]]:
    for one in estate.dependencies:
        yield one.upstream_id, one.downstream_id
    for job in estate.jobs.values():
        if job.parent_id is not None:
            yield job.parent_id, job.id
    by_check: dict[str, list[int]] = {}
    for service in estate.services:
        begins = service.promise.deadline.of_id
        yield from pairwise(service.terminals if begins is None else (begins, *service.terminals))
        for name in service.ready:
            by_check.setdefault(name, []).extend(service.terminals)
    for terminals in by_check.values():
        yield from pairwise(terminals)


def _places(jobs: Mapping[int, JobFacts]) -> list[tuple[object, ...]]:
    return [(job.id, job.parent_id, job.target_id, job.pool, job.slots) for job in jobs.values()]
