"""Dependencies learned from datasets: one job writes what another reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from console.domain.dependency import LearnedDependency, SharedDataset

JobPair = tuple[int, int]
"""Upstream and downstream, by job id."""
MAX_DATASETS = 5
"""Of a pair, the last written: more prove nothing further."""


def learned_dependencies(
    shared: Mapping[JobPair, Sequence[SharedDataset]], names: Mapping[int, str], known: Collection[JobPair]
) -> list[LearnedDependency]:
    """Pairs joined by a dataset, by name. Left out: pairs that are connected through `known`, which includes those that
    would close a cycle; and two jobs that each read what the other writes, because their order is unknown."""
    connected = connected_jobs(known)
    learned = []
    for (upstream, downstream), datasets in shared.items():
        if (downstream, upstream) in shared or upstream in connected.get(downstream, ()):
            continue
        newest = sorted(datasets, key=attrgetter("written"), reverse=True)[:MAX_DATASETS]
        learned.append(LearnedDependency(names[upstream], names[downstream], tuple(newest)))
    return sorted(learned, key=lambda pair: (pair.downstream, pair.upstream))


def connected_jobs(known: Collection[tuple[int, int]]) -> dict[int, frozenset[int]]:
    """Job -> every job above or below it."""
    above: dict[int, set[int]] = {}
    below: dict[int, set[int]] = {}
    for upstream, downstream in known:
        above.setdefault(downstream, set()).add(upstream)
        below.setdefault(upstream, set()).add(downstream)

    def reach(job: int, steps: Mapping[int, set[int]]) -> set[int]:
        reached, front = set[int](), [job]
        while front:
            for neighbor in steps.get(front.pop(), ()):
                if neighbor not in reached:
                    reached.add(neighbor)
                    front.append(neighbor)
        return reached

    return {job: frozenset(reach(job, above) | reach(job, below)) for job in {*above, *below}}
