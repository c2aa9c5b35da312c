"""The runs of an estate by their jobs: an estate of a hundred thousand jobs is never laid out as one row of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from console.model.values import RunFacts


class Runs(Sequence[RunFacts]):
    """Runs by job, which look like one sequence: by job, then as they stand. Neither is changed once it is made."""

    __slots__ = ("_flat", "_red", "by_job")

    def __init__(self, by_job: Mapping[int, tuple[RunFacts, ...]], red: frozenset[int] | None = None) -> None:
        self.by_job = by_job
        self._red = red
        self._flat: tuple[RunFacts, ...] | None = None

    @property
    def red(self) -> frozenset[int]:
        """The jobs of which a run is red; told by whoever knows them, found once where nobody does."""
        if self._red is None:
            self._red = frozenset(job_id for job_id, runs in self.by_job.items() if has_red(runs))
        return self._red

    def __iter__(self) -> Iterator[RunFacts]:
        return (run for job_id in sorted(self.by_job) for run in self.by_job[job_id])

    def __len__(self) -> int:
        return sum(map(len, self.by_job.values()))

    @overload
    def __getitem__(self, place: int) -> RunFacts: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[RunFacts, ...]: ...
    def __getitem__(self, place: int | slice) -> RunFacts | tuple[RunFacts, ...]:
        if self._flat is None:
            self._flat = tuple(self)
        return self._flat[place]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Runs):
            return self.by_job == other.by_job
        return tuple(self) == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Runs({tuple(self)!r})"


def by_job(runs: Sequence[RunFacts]) -> Mapping[int, tuple[RunFacts, ...]]:
    """Job id -> its runs, in their order; jobs without runs are not in it."""
    if isinstance(runs, Runs):
        return runs.by_job
    found: dict[int, list[RunFacts]] = {}
    for run in runs:
        found.setdefault(run.job_id, []).append(run)
    return {job_id: tuple(each) for job_id, each in found.items()}


def red_jobs(runs: Sequence[RunFacts]) -> Iterator[tuple[int, tuple[RunFacts, ...]]]:
    """The jobs of which a run is red, in no order, each with all its runs."""
    found = grouped(runs)
    return ((job_id, found.by_job[job_id]) for job_id in found.red)


def grouped(runs: Sequence[RunFacts]) -> Runs:
    """The same by job."""
    return runs if isinstance(runs, Runs) else Runs(by_job(runs))


def has_red(runs: Sequence[RunFacts]) -> bool:
    return any(run.state.is_red for run in runs)
